"""The width of a vector register: taken from the processor, or forced; every width gives the same answer."""

import os
import subprocess
import sys

import numpy as np
import pytest
from ase.build import molecule
from engine_cases import evaluate
from factory import random_model

from ase_schnet.inference import simd
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.registers import (
    TRIPLE,
    VARIABLE,
    WIDTHS,
    register_bytes,
    widest_used,
)
from ase_schnet.modelfile import save_model
from ase_schnet.schnet_config import SchNetConfig

LINUX = "x86_64-unknown-linux-gnu"
THIS_IS_X86 = TRIPLE.startswith("x86_64")
on_x86 = pytest.mark.skipif(not THIS_IS_X86, reason="LLVM of this machine knows no x86 processor")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith(("NUMBA_CPU_", VARIABLE))}


def in_a_fresh_process(code: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        env=ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


EVALUATE = """
import sys
import numpy as np
from ase.build import molecule
from ase_schnet.inference import buffers, pair_checks, rows, simd
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import load_model
from ase_schnet.neighbors import half_list
# what has no vectors need not be compiled
for name, each in vars(pair_checks).items():
    if getattr(each, "__module__", None) == pair_checks.__name__:
        setattr(pair_checks, name, lambda *_: None)
for each in (rows.rows_of, rows._halos, rows._shares):
    setattr(rows, each.__name__, each.py_func)
buffers.rows_of = rows.rows_of
atoms = molecule("CH3COCH3")
engine = Ensemble(load_model(sys.argv[1]), threads=1)
got = engine.evaluate(atoms.numbers, atoms.positions, half_list(atoms.positions, 4.0))
np.savez(sys.argv[2], width=simd.BYTES, energies=got.energies, forces=got.forces)
"""


@pytest.mark.slow
def test_every_width_gives_the_same_energies_and_forces(tmp_path, request):
    """Each has a cache of its own, which lasts: no code of another width is found there.

    conftest.py lets this file begin: it compiles while all other tests wait for the first compilation.
    """
    model = random_model(SchNetConfig(40, 20, n_interactions=2, n_rbf=20, cutoff=4.0, gamma=4.0))
    save_model(tmp_path / "model", model)
    (tmp_path / "code.py").write_text(EVALUATE)
    running = {}
    for width in WIDTHS:
        if width == simd.BYTES:
            continue
        compiled = request.config.cache.mkdir(f"registers-{width}")  # again where sources changed
        environment = {VARIABLE: str(width), "NUMBA_CACHE_DIR": str(compiled)}
        running[width] = subprocess.Popen(
            [sys.executable, "code.py", "model", f"{width}.npz"],
            cwd=tmp_path,
            env=ENVIRONMENT | environment,
            stderr=subprocess.PIPE,
            text=True,
        )
    expected = evaluate(Ensemble(model), molecule("CH3COCH3"))
    for width, process in running.items():
        errors = process.communicate()[1]
        assert process.returncode == 0, errors
        with np.load(tmp_path / f"{width}.npz") as got:
            assert got["width"] == width
            np.testing.assert_allclose(got["energies"], expected.energies, rtol=1e-13)
            np.testing.assert_allclose(got["forces"], expected.forces, rtol=0, atol=1e-11)


@on_x86
@pytest.mark.parametrize(
    ("name", "features", "width"),
    [
        ("generic", "", 16),
        ("nehalem", "", 16),
        ("sandybridge", "", 32),
        ("haswell", "", 32),
        ("skylake-avx512", "", 64),
        ("znver4", "", 64),
        ("znver4", "-avx512f", 32),
        ("haswell", "-avx", 16),
        ("generic", "+avx512f", 64),
    ],
)
def test_the_width_is_that_of_the_processor(name, features, width):
    assert widest_used(LINUX, name, features) == width


@pytest.mark.parametrize("triple", ["aarch64-unknown-linux-gnu", "arm64-apple-darwin24.1.0"])
def test_arm_has_registers_of_16_bytes_even_with_sve(triple):
    assert widest_used(triple, "neoverse-v1", "+sve") == 16


@pytest.mark.slow
@on_x86
@pytest.mark.parametrize(
    ("environment", "width"),
    [
        ({"NUMBA_CPU_NAME": "haswell"}, 32),
        ({"NUMBA_CPU_NAME": "nehalem"}, 16),
        ({"NUMBA_CPU_NAME": "generic"}, 16),
        ({"NUMBA_CPU_FEATURES": "-avx"}, 16),
        ({"NUMBA_CPU_NAME": "nehalem", VARIABLE: "64"}, 64),
    ],
    ids=str,
)
def test_the_processor_is_the_one_that_numba_compiles_for(environment, width):
    code = "from ase_schnet.inference import registers; print(registers.register_bytes())"
    own = in_a_fresh_process(code).communicate()[0]
    out, errors = in_a_fresh_process(code, **environment).communicate()
    assert out, errors
    assert int(out) == (width if VARIABLE in environment else min(width, int(own)))


@pytest.mark.parametrize("width", WIDTHS)
def test_an_environment_variable_forces_a_width(monkeypatch, width):
    monkeypatch.setenv(VARIABLE, str(width))
    assert register_bytes() == width


def test_an_empty_variable_forces_nothing(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    expected = register_bytes()
    monkeypatch.setenv(VARIABLE, "")
    assert register_bytes() == expected


@pytest.mark.parametrize("value", ["48", "0", "-16", "16.0", "avx2", "512"])
def test_another_width_is_refused(monkeypatch, value):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ValueError, match=f"{VARIABLE} must be 16, 32 or 64, got '{value}'"):
        register_bytes()

"""Compiling happens once, wherever the package is installed, and says nothing."""

import hashlib
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from factory import ethanol, random_model
from numba.core import caching
from numba.core.errors import NumbaWarning
from test_inference import evaluate

from ase_schnet.inference import kernels
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.neighbors import Pairs, half_list

PLACES = "CacheImpl" if hasattr(caching, "CacheImpl") else "_CacheImpl"  # numba < 0.61


def square_sum(values):
    total = 0.0
    for value in values:
        total += value * value
    return total


def test_without_a_place_for_its_cache_a_kernel_is_compiled_in_memory(monkeypatch):
    """As in a container whose install, home and temporary files are all read-only."""
    monkeypatch.setattr(getattr(caching, PLACES), "_locator_classes", [])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        function = kernels.compiled(square_sum)
        assert function(np.arange(4.0)) == 14.0
    assert function.stats.cache_path is None


def test_where_there_is_a_place_the_cache_is_used(monkeypatch, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    hits = []
    for _ in range(2):
        function = kernels.compiled(square_sum)
        assert function(np.arange(4.0)) == 14.0
        hits.append(sum(function.stats.cache_hits.values()))
    assert hits == [0, 1]
    assert list(tmp_path.rglob("*.nbi"))


def test_the_package_imports_and_works_where_nothing_can_be_cached():
    """All of its kernels, in a fresh process; the shortest of them is run."""
    code = f"""
from numba.core import caching
caching.{PLACES}._locator_classes = []
import numpy as np
from ase_schnet.inference import kernels
empty = np.zeros(0, np.int64)
print(kernels.rows_of(empty, empty, np.zeros((0, 3)), 1, 128)[0].tolist())
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], capture_output=True, text=True
    )
    assert done.stdout.strip() == "[0, 0]", done.stderr[-800:]
    assert done.stderr == ""


@pytest.fixture(scope="module")
def engine():
    engine = Ensemble(random_model())
    evaluate(engine, ethanol())
    return engine


def read_only(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


def compiled_variants() -> int:
    """How many times numba has compiled or loaded something of the kernels."""
    return sum(len(f.signatures) for f in vars(kernels).values() if hasattr(f, "signatures"))


ARRAYS = {
    "read-only": read_only,
    "of another width": lambda a: a.astype(np.int32 if a.dtype.kind == "i" else np.float32),
    "in Fortran order": lambda a: np.array(a, order="F"),
    "a stride": lambda a: np.repeat(a, 2, axis=0)[::2],
    "lists": lambda a: a.tolist(),
    "big endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_no_array_of_a_caller_is_worth_compiling_again(engine, kind):
    """A read-only array, say of `np.load(mmap_mode="r")`, is another type for numba: seconds of waiting."""
    convert, atoms = ARRAYS[kind], ethanol()
    pairs = half_list(atoms.positions, 4.0)
    expected = engine.evaluate(atoms.numbers, atoms.positions, pairs)
    before = compiled_variants()
    got = engine.evaluate(convert(atoms.numbers), convert(atoms.positions), pairs)
    assert compiled_variants() == before
    tolerance = 1e-4 if kind == "of another width" else 0
    np.testing.assert_allclose(got.forces, expected.forces, rtol=0, atol=tolerance)


def test_nor_is_a_list_of_pairs_that_is_read_only(engine):
    atoms = ethanol()
    pairs = half_list(atoms.positions, 4.0)
    expected = engine.evaluate(atoms.numbers, atoms.positions, pairs)
    before = compiled_variants()
    frozen = Pairs(*(read_only(part) for part in pairs))
    got = engine.evaluate(atoms.numbers, atoms.positions, frozen)
    assert compiled_variants() == before
    np.testing.assert_array_equal(got.forces, expected.forces)


def test_numba_has_nothing_to_complain_about():
    """Compiled or read from the cache, in both precisions."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", NumbaWarning)
        for dtype in ("float64", "float32"):
            evaluate(Ensemble(random_model(), dtype), ethanol())


def test_a_second_process_does_not_compile_again(engine):
    """The cache on disk is found: seconds otherwise, for each command and each worker."""
    code = """
from ase_schnet import SchNetCalculator
from ase.build import molecule
SchNetCalculator("ethanol").get_property("forces", molecule("CH3CH2OH"))
from ase_schnet.inference import kernels
print(sum(kernels.run.stats.cache_misses.values()))
"""
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
    assert int(out) == 0


def test_the_cache_notices_a_change_of_the_loops():
    """numba looks at the file of the kernel alone; old machine code would run without a word."""
    folder = Path(kernels.__file__).parent
    content = b"".join((folder / name).read_bytes() for name in ("loops.py", "simd.py"))
    digest = hashlib.sha256(content).hexdigest()[:16]
    assert digest == kernels.LOOPS, f'write LOOPS = "{digest}" into inference/kernels.py'

"""Compiling happens once, wherever the package is installed, and says nothing."""

import importlib
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from engine_cases import evaluate
from factory import ethanol, random_model
from filelock import FileLock
from numba.core import caching
from numba.core.dispatcher import Dispatcher
from numba.core.errors import NumbaWarning

from ase_schnet.inference import compilation, compile_lock, kernels, pair_checks
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.model import pair_loops
from ase_schnet.neighbors import Pairs, half_list
from ase_schnet.training import orthogonal_loops

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
        function = compilation.compiled(square_sum)
        assert function(np.arange(4.0)) == 14.0
    assert function.stats.cache_path is None


def test_where_there_is_a_place_the_cache_is_used(monkeypatch, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    hits = []
    for _ in range(2):
        function = compilation.compiled(square_sum)
        assert function(np.arange(4.0)) == 14.0
        hits.append(sum(function.stats.cache_hits.values()))
    assert hits == [0, 1]
    assert list(tmp_path.rglob("*.nbi"))


@pytest.mark.slow
def test_the_package_imports_and_works_where_nothing_can_be_cached():
    """All of its kernels, in a fresh process; the shortest of them is run."""
    code = f"""
from filelock import FileLock
from numba.core import caching
caching.{PLACES}._locator_classes = []
import numpy as np
from ase_schnet.inference import compilation, compile_lock, rows
empty = np.zeros(0, np.int64)
print(rows.rows_of(empty, empty, np.zeros((0, 3)), 1, 128)[0].tolist())
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


@pytest.mark.slow
def test_a_second_process_does_not_compile_again(engine):
    """The cache on disk is found: seconds otherwise, for each command and each worker."""
    code = """
from ase_schnet import SchNetCalculator
from ase.build import molecule
SchNetCalculator("ethanol").get_property("forces", molecule("CH3CH2OH"))
from ase_schnet.inference import compilation, compile_lock, kernels
print(sum(kernels.run.stats.cache_misses.values()))
"""
    command = [sys.executable, "-c", code]
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ).stdout
    assert int(out) == 0


def compiled_anew(function, argument) -> bool:
    """Whether a process that begins now has to compile `function`."""
    again = compilation.compiled(function)
    assert again(argument) == 14.0
    return not sum(again.stats.cache_hits.values())


def test_the_cache_notices_changes_that_numba_does_not_see(monkeypatch, tmp_path):
    """numba looks at the file of the function alone; old machine code would run without a word."""
    source, values = tmp_path / "loops.py", np.arange(4.0)
    source.write_text("x = 1")
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(compilation, "_SHARED_SOURCES", (str(source),))
    assert compiled_anew(square_sum, values)
    assert not compiled_anew(square_sum, values)
    source.write_text("x = 2")
    assert compiled_anew(square_sum, values)
    assert not compiled_anew(square_sum, values)
    monkeypatch.setattr(compilation, "BYTES", 8)
    assert compiled_anew(square_sum, values)
    monkeypatch.setitem(compilation.OPTIONS, "fastmath", {"nsz"})
    assert compiled_anew(square_sum, values)
    monkeypatch.setitem(compilation.OPTIONS, "error_model", "python")
    assert compiled_anew(square_sum, values)


def test_the_cache_notices_a_change_of_the_file_that_leaves_its_time_and_size(
    monkeypatch, tmp_path
):
    """As an unpacked archive or a checkout may leave them; `model/pair_loops.py` is such a file."""
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(tmp_path)
    path, answers = tmp_path / "loops_elsewhere.py", []
    for factor in (2, 3):
        path.write_text(
            "from ase_schnet.inference.compilation import compiled\n"
            f"@compiled\ndef times(x):\n    return {factor} * x\n"
        )
        os.utime(path, (1e9, 1e9))
        sys.modules.pop("loops_elsewhere", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
        answers.append(importlib.import_module("loops_elsewhere").times(5.0))
    assert answers == [10.0, 15.0]


@pytest.mark.parametrize("module", [kernels, pair_checks, pair_loops, orthogonal_loops])
def test_every_compiled_function_is_made_of_its_file_and_of_all_options(monkeypatch, module):
    functions = [f for f in vars(module).values() if isinstance(f, Dispatcher)]
    cached = [f for f in functions if isinstance(f._cache, compilation._Cache)]
    assert cached
    file, read = Path(module.__file__), Path.read_bytes

    def changed(path):
        return read(path) + (b"#" if path == file else b"")

    for function in cached:
        before = compilation._Cache(function.py_func)._made_of
        assert before == function._cache._made_of
        with monkeypatch.context() as patch:
            patch.setitem(compilation.OPTIONS, "nogil", False)
            assert compilation._Cache(function.py_func)._made_of != before
        with monkeypatch.context() as patch:
            patch.setattr(Path, "read_bytes", changed)
            assert compilation._Cache(function.py_func)._made_of != before


@pytest.mark.parametrize("content", [b"", b"garbage", "half"])
@pytest.mark.parametrize("kind", ["nbi", "nbc"])
def test_a_damaged_cache_is_removed_and_made_again(kind, content, monkeypatch, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    values = np.arange(4.0)
    assert compiled_anew(square_sum, values)
    (file,) = tmp_path.rglob(f"*.{kind}")
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2] if content == "half" else content)
    assert compiled_anew(square_sum, values)
    assert not compiled_anew(square_sum, values)


def test_a_full_disk_costs_time_and_a_line_and_nothing_else(monkeypatch, tmp_path, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    monkeypatch.setattr(compilation, "_warned", set())
    for _ in range(2):
        assert compiled_anew(square_sum, np.arange(4.0))
    (line,) = capsys.readouterr().err.splitlines()
    assert "No space left on device" in line
    assert "set NUMBA_CACHE_DIR" in line


SLOW_STARTER = """
import sys, time
from ase_schnet.inference import compilation
import slow
print("ready", flush=True)
sys.stdin.readline()
with compilation.first_use(slow):
    assert slow.sums(3.0) == 6.0
print(sum(slow.sums.stats.cache_misses.values()) - sum(slow.sums.stats.cache_hits.values()))
"""
SLOW_MODULE = """
import time
from ase_schnet.inference.compilation import compiled, inner
from numba.extending import overload

def waits(x):
    return x

@overload(waits)
def _waits(x):
    time.sleep(1.0)  # what a large function takes to compile
    return lambda x: x + x

@compiled
def sums(x):
    return waits(x)
"""


def start_together(tmp_path, count):
    """What processes that use `slow.sums` for the first time at one moment print, and say on stderr."""
    (tmp_path / "slow.py").write_text(SLOW_MODULE)
    package = Path(kernels.__file__).parents[2]
    settings = {
        "PYTHONPATH": os.pathsep.join((str(tmp_path), str(package))),
        "NUMBA_CACHE_DIR": str(tmp_path / "cache"),
    }
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", SLOW_STARTER], text=True, env=os.environ | settings, **pipes
        )
        for _ in range(count)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    answers = [process.communicate("go\n", timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, answers
    return answers


@pytest.mark.slow
def test_of_processes_that_start_together_one_compiles_and_says_so(tmp_path):
    answers = start_together(tmp_path, 4)
    said = [err for _, err in answers if err]
    assert len(said) == 1
    assert said[0].count("\n") == 1
    assert "compiling" in said[0]
    ((_, later),) = start_together(tmp_path, 1)
    assert later == ""  # nothing is compiled, nothing is said


def test_a_lock_that_cannot_be_had_stops_nobody(monkeypatch, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compile_lock, "PATIENCE_S", 0.1)
    folder = Path(compilation.compiled(square_sum)._cache.cache_path)
    folder.mkdir(exist_ok=True)
    with FileLock(folder / compile_lock.LOCK), compilation.first_use():
        assert compiled_anew(square_sum, np.arange(4.0))


def test_an_interrupted_first_use_lets_the_next_process_go_on(monkeypatch, tmp_path):
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    function = compilation.compiled(square_sum)

    def interrupted():
        with compilation.first_use():
            function._cache.load_overload((), function.targetctx)  # takes the lock
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    lock = FileLock(Path(function._cache.cache_path) / compile_lock.LOCK)
    lock.acquire(timeout=0.1)
    lock.release()

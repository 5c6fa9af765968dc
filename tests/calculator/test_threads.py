"""One calculator in many threads and many processes."""

import copy
import multiprocessing
import operator
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from ase.build import molecule
from engine_cases import PERIODIC, diamond
from factory import ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model

CLONES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda c: pickle.loads(pickle.dumps(c)),
}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=2, pbc=True))


def structures() -> list:
    """Of all sizes and kinds."""
    water = molecule("H2O")
    water.rattle(0.05, seed=0)
    return [
        ethanol(seed=0),
        diamond(),
        water,
        ethanol(seed=1),
        PERIODIC["triclinic"],
        PERIODIC["three chunks"],
        molecule("CH3OH"),
        PERIODIC["slab"],
    ]


def in_threads(work, n):
    """work(k) in n threads that start together; raises what one of them raised."""
    errors, gate = [], threading.Barrier(n)

    def run(k):
        try:
            gate.wait(timeout=60)
            work(k)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(k,)) for k in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


def test_eight_threads_share_a_calculator(model_dir):
    """Each gets the answers for its own structure, whoever else asks meanwhile."""
    own, expected = structures(), []
    for atoms in own:
        atoms = atoms.copy()
        atoms.calc = SchNetCalculator(model_dir)
        expected.append((atoms.get_potential_energy(), atoms.get_forces()))
    shared = SchNetCalculator(model_dir, threads=2)

    def work(k):
        energy, forces = expected[k]
        for _ in range(15):
            atoms = own[k].copy()
            atoms.calc = shared
            np.testing.assert_allclose(atoms.get_forces(), forces, rtol=0, atol=1e-11)
            assert atoms.get_potential_energy() == pytest.approx(energy, abs=1e-9)

    in_threads(work, len(own))


def test_eight_threads_share_a_calculator_that_changes_its_parameters(model_dir):
    """float64 or float32, never something between."""
    calc, atoms = SchNetCalculator(model_dir), diamond()
    allowed = [
        SchNetCalculator(model_dir, dtype=d).get_property("forces", atoms)
        for d in ("float64", "float32")
    ]

    def work(k):
        for n in range(5):
            if k == 0:
                calc.set(dtype=("float32", "float64")[n % 2])
                continue
            mine = atoms.copy()
            mine.calc = calc
            got = mine.get_forces()
            assert min(np.abs(got - forces).max() for forces in allowed) < 1e-11

    in_threads(work, 8)


def test_eight_calculators_are_made_and_used_at_once(model_dir):
    expected = SchNetCalculator(model_dir).get_property("forces", diamond())

    def work(_):
        atoms = diamond()
        atoms.calc = SchNetCalculator(model_dir)
        np.testing.assert_array_equal(atoms.get_forces(), expected)

    in_threads(work, 8)


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("clone", CLONES)
@pytest.mark.parametrize("name", ["triclinic", "three chunks"])
def test_a_copy_gives_the_same_answer(model_dir, used, clone, name):
    calc, atoms = SchNetCalculator(model_dir, threads=2), PERIODIC[name].copy()
    atoms.calc = calc
    if used:
        atoms.get_forces()
    other = atoms.copy()
    other.calc = CLONES[clone](calc)
    np.testing.assert_array_equal(other.get_forces(), atoms.get_forces())
    assert other.calc.implemented_properties == calc.implemented_properties
    assert other.calc.parameters == calc.parameters
    assert other.calc.atoms == calc.atoms == atoms


@pytest.mark.parametrize("clone", CLONES)
def test_a_copy_goes_its_own_way(model_dir, clone):
    """Buffers and lists of neighbours are not shared with the original."""
    calc, atoms = SchNetCalculator(model_dir), diamond()
    atoms.calc = calc
    forces = atoms.get_forces()
    other = diamond()
    other.calc = CLONES[clone](calc)
    assert other.calc.check_state(other) == []  # it remembers, too
    other.rattle(0.3, seed=7)
    other.get_forces()
    other.calc.set(dtype="float32")
    assert calc.parameters.dtype == "float64"
    np.testing.assert_array_equal(calc.results["forces"], forces)
    atoms.rattle(1e-9, seed=0)
    assert np.abs(atoms.get_forces() - forces).max() < 1e-6


def test_spawned_processes_answer_alike(model_dir):
    """Calculators that were used and not, with atoms and threads, pickled to a fresh interpreter."""
    sent, expected = [], []
    for atoms in (ethanol(), PERIODIC["triclinic"].copy(), PERIODIC["three chunks"].copy()):
        expected.append(SchNetCalculator(model_dir).get_property("forces", atoms))
        atoms.calc = SchNetCalculator(model_dir, threads=2)
        sent.append(atoms)
    sent[2].get_forces()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        got = pool.map(operator.methodcaller("get_forces"), sent, chunksize=3)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)


FORK = """
import multiprocessing, pickle, sys
from ase_schnet import SchNetCalculator
atoms = pickle.load(open(sys.argv[2], "rb"))
atoms.calc = SchNetCalculator(sys.argv[1], threads=2)
before = atoms.get_forces()  # its threads run now, and do not follow into a forked process
def child(queue):
    atoms.positions += 1e-3
    queue.put(abs(atoms.get_forces() - before).max())
context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,), daemon=True)
process.start()
print(queue.get(timeout=20) < 1e-8)
"""


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system cannot fork"
)
def test_forked_processes_answer_too(model_dir, tmp_path):
    """What `multiprocessing` did by default on Linux until Python 3.14."""
    path = tmp_path / "atoms.pickle"
    path.write_bytes(pickle.dumps(PERIODIC["three chunks"]))
    command = [sys.executable, "-W", "ignore", "-c", FORK, str(model_dir), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.stdout.strip() == "True", done.stderr[-800:]


FORK_WHILE_BUSY = """
import os, pickle, signal, sys, threading
from ase_schnet import SchNetCalculator
large, small = pickle.load(open(sys.argv[2], "rb"))
calc = SchNetCalculator(sys.argv[1], threads=int(sys.argv[3]))
small.calc = large.calc = calc
expected, begun = small.get_forces(), threading.Event()
def busy():
    while True:
        large.rattle(1e-6)
        begun.set()
        large.get_forces()
threading.Thread(target=busy, daemon=True).start()
begun.wait()
for n in range(8):
    calc_lock_held = not calc._lock.acquire(blocking=False)
    if not calc_lock_held:
        calc._lock.release()
    pid = os.fork()
    if pid == 0:
        signal.alarm(5)
        same = abs(small.get_forces() - expected).max() < 1e-11
        large.get_forces()
        os._exit(0 if same and abs(small.get_forces() - expected).max() < 1e-11 else 1)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code:
        sys.exit(f"fork {n} ended with {code}")
    if calc_lock_held:
        print("forked while busy")
os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_process_forked_while_another_thread_computes_goes_on(model_dir, tmp_path, threads):
    path = tmp_path / "atoms.pickle"
    large, small = PERIODIC["three chunks"].repeat((2, 1, 1)), diamond()
    path.write_bytes(pickle.dumps((large, small)))
    arguments = [FORK_WHILE_BUSY, str(model_dir), str(path), str(threads)]
    command = [sys.executable, "-u", "-W", "ignore", "-c", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.returncode == 0, done.stderr[-800:]
    assert "forked while busy" in done.stdout


def test_a_relative_path_is_found_from_any_directory(model_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(model_dir.parent)
    calc = SchNetCalculator(model_dir.name)
    expected = calc.get_property("forces", diamond())
    assert calc.model_info["model"] == str(model_dir)
    monkeypatch.chdir(tmp_path)
    assert calc.set(skin=0.4)
    for other in (SchNetCalculator(**calc.parameters), CLONES["pickle"](calc)):
        other.set(skin=0.3)
        np.testing.assert_array_equal(other.get_property("forces", diamond()), expected)
    calc.set(model=model_dir)
    assert calc.parameters.model == str(model_dir)
    assert SchNetCalculator("ethanol").parameters.model == "ethanol"

"""How many threads work on a structure changes not a bit, and is nobody else's business."""

import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import time

import numba
import numpy as np
import pytest
import torch
from ase.build import bulk
from engine_cases import PERIODIC, cluster, evaluate
from factory import ethanol, preset, random_model

from ase_schnet.inference.ensemble import CHUNK, Ensemble
from ase_schnet.inference.prediction import ONE_THREAD_BELOW
from ase_schnet.inference.threads import Threads
from ase_schnet.neighbors import half_list


@pytest.fixture(scope="module")
def model():
    return random_model(members=3, pbc=True)


@pytest.fixture(scope="module")
def large():
    """Six chunks, so that threads have something to compete for."""
    atoms = bulk("C", cubic=True).repeat((5, 4, 4))
    atoms.numbers = np.random.default_rng(0).choice([1, 6, 8], size=len(atoms))
    atoms.rattle(0.1, seed=0)
    assert len(atoms) >= max(ONE_THREAD_BELOW, 4 * CHUNK + 1)
    return atoms


def workers() -> set:
    """The engines' threads that are alive."""
    return {t for t in threading.enumerate() if t.name.startswith("ase_schnet")}


def assert_same_bits(a, b):
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_any_number_of_threads_gives_the_same_bits(model, large, dtype):
    alone = evaluate(Ensemble(model, dtype, threads=1), large)
    for threads in (2, 3, 7):
        engine, before = Ensemble(model, dtype, threads=threads), workers()
        for _ in range(5):
            assert_same_bits(evaluate(engine, large), alone)
        assert 1 <= len(workers() - before) < threads  # really used, and no more than allowed


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system binds no process")
def test_every_chunk_is_taken_once_whatever_the_switches_between_threads(monkeypatch, model, large):
    """Not a promise of the interpreter's global lock: Python may run without."""
    engine, taken = Ensemble(model, threads=4), []
    run = engine._run_chunks

    def watched(b, phases, chunks, *rest):
        taken.append((phases, chunks))
        run(b, phases, chunks, *rest)

    monkeypatch.setattr(engine, "_run_chunks", watched)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(5):
            taken.clear()
            evaluate(engine, large)
            chunks = -(-len(large) // CHUNK)
            expected = [
                ((phase, phase + 1), (chunk, chunk + 1))
                for phase in range(4 * model.config["n_interactions"] + 1)
                for chunk in range(chunks)
            ]
            assert sorted(taken) == expected
    finally:
        sys.setswitchinterval(interval)


def test_cores_are_those_that_the_process_may_use():
    program = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])\n"
    program += "from ase_schnet.runtime.cores import cores; print(cores())"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1\n"


def test_an_evaluation_after_an_interrupted_one_is_right():
    """Real signals, at any instant: the other threads are then still at work on what they were given."""
    model = random_model(preset("fast"), members=2, pbc=True)
    atoms = bulk("C", cubic=True, a=4.5).repeat(6)
    atoms.rattle(0.1, seed=0)
    other = atoms.copy()
    other.rattle(0.1, seed=1)
    reach = model.config["cutoff"] + 1.0
    pairs = half_list(atoms.positions, reach, atoms.cell.array, atoms.pbc)
    engine = Ensemble(model, threads=2)

    def forces(atoms):  # at once: the other threads are soon done
        return engine.evaluate(atoms.numbers, atoms.positions, pairs)

    right, start = forces(atoms), time.perf_counter()
    forces(atoms)
    takes, interrupted = time.perf_counter() - start, 0
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        for share in np.linspace(0.05, 0.95, 10):
            try:
                signal.setitimer(signal.ITIMER_REAL, share * takes)
                forces(other)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            assert_same_bits(forces(atoms), right)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert interrupted >= 5


@pytest.mark.parametrize("threads", [1, 3])
def test_calls_in_between_do_not_matter(model, large, threads):
    engine = Ensemble(model, threads=threads)
    first = [evaluate(engine, atoms) for atoms in (large, ethanol())]
    for _ in range(3):
        for atoms, answer in zip((large, ethanol()), first, strict=True):
            assert_same_bits(evaluate(engine, atoms), answer)


def test_a_molecule_is_the_business_of_one_thread(model):
    before = workers()
    evaluate(Ensemble(model, threads=4), ethanol())
    evaluate(Ensemble(model, threads=4), cluster(ONE_THREAD_BELOW - 1))
    assert not workers() - before


def test_threads_end_with_their_engine(model, large):
    before, engine = workers(), Ensemble(model, threads=3)
    evaluate(engine, large)
    mine = workers() - before
    del engine
    for thread in mine:
        thread.join(timeout=20)
        assert not thread.is_alive()


def test_answers_are_the_callers_own(model, large):
    for threads, atoms in ((1, ethanol()), (2, large)):
        engine = Ensemble(model, threads=threads)
        first = evaluate(engine, atoms)
        kept = [part.copy() for part in first]
        for part in first:
            part[:] = np.nan
        assert_same_bits(evaluate(engine, atoms), kept)
        atoms = atoms.copy()
        second = evaluate(engine, atoms)
        atoms.rattle(0.01, seed=4)
        evaluate(engine, atoms)
        assert_same_bits(second, kept)


def test_no_global_setting_is_touched(model, large):
    # numba.get_num_threads() would start its threads, which is what must not happen
    before = torch.get_num_threads(), dict(os.environ), numba.config.NUMBA_NUM_THREADS
    evaluate(Ensemble(model, threads=2), large)
    assert (torch.get_num_threads(), dict(os.environ), numba.config.NUMBA_NUM_THREADS) == before


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="counts threads in /proc")
def test_the_process_has_no_thread_but_those_asked_for(model, tmp_path):
    """Neither numba's pool nor BLAS's is woken: beside the caller, threads - 1 of the engine."""
    code = """
import os, pickle, sys
import numpy as np
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.neighbors import half_list
model, atoms = pickle.load(open(sys.argv[1], "rb"))
pairs = half_list(atoms.positions, model.config["cutoff"], atoms.cell.array, atoms.pbc)
for threads in (1, 2):
    engine = Ensemble(model, threads=threads)
    engine.evaluate(atoms.numbers, atoms.positions, pairs)
    print(len(os.listdir("/proc/self/task")))
"""
    path = tmp_path / "case.pickle"
    path.write_bytes(pickle.dumps((model, PERIODIC["three chunks"])))
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-c", code, str(path)]
    out = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | one
    ).stdout
    assert out.split() == ["1", "2"]


@pytest.mark.parametrize(
    ("wished", "cores", "expected"),
    [("1", 8, 1), ("3", 8, 3), ("16", 8, 8), (None, 8, 8), ("", 8, 8), ("0", 8, 8), ("x", 8, 8)],
)
def test_omp_num_threads_is_honoured(monkeypatch, model, wished, cores, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)), raising=False)
    if wished is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", wished)
    assert Ensemble(model).threads == expected
    assert Ensemble(model, threads=5).threads == 5  # what the caller says comes first


def test_one_thread_wished_is_one_thread_used(monkeypatch, model, large):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = workers()
    evaluate(Ensemble(model), large)
    assert not workers() - before


@pytest.mark.parametrize("threads", [0, -1, "2", 2.0, 1.5, []])
def test_a_number_of_threads_that_is_none(model, threads):
    with pytest.raises(ValueError, match="threads is a number >= 1 or None"):
        Ensemble(model, threads=threads)


def test_numpy_integers_will_do(model):
    assert Ensemble(model, threads=np.int64(2)).threads == 2


@pytest.mark.parametrize("used", [False, True])
def test_a_pickled_engine_is_the_same_engine(model, large, used):
    engine = Ensemble(model, "float32", threads=2)
    if used:
        evaluate(engine, large)
    again = pickle.loads(pickle.dumps(engine))
    assert (again.dtype, again.threads) == ("float32", 2)
    assert_same_bits(evaluate(again, large), evaluate(engine, large))


def test_two_engines_at_once_do_not_disturb_each_other(large):
    """Each has its own buffers; the compiled code lets go of Python's lock."""
    models = [random_model(preset("fast", cutoff=3.0), members=m, pbc=True) for m in (1, 2)]
    engines = [Ensemble(m, threads=2) for m in models]
    expected = [evaluate(e, large) for e in engines]
    found = [None, None]

    def work(k):
        found[k] = [evaluate(engines[k], large) for _ in range(3)]

    threads = [threading.Thread(target=work, args=(k,)) for k in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for answers, answer in zip(found, expected, strict=True):
        for a in answers:
            assert_same_bits(a, answer)


def test_an_interrupt_at_any_instant_leaves_the_threads_as_they_were():
    """By futures some thousand interrupts left a lock taken: the next call waited for ever."""
    threads, interrupted, end = Threads(1), 0, time.perf_counter() + 1.0
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        while time.perf_counter() < end:
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 2e-4))
                for _ in range(30):
                    threads.run(lambda _: time.sleep(0))
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    done = []
    threads.run(done.append)
    assert sorted(done) == [0, 1]
    assert interrupted > 500


def test_threads_end_with_what_they_work_for():
    before = threading.active_count()
    threads = Threads(3)
    assert threading.active_count() == before + 3
    del threads
    assert threading.active_count() == before


def test_what_a_thread_raises_is_raised():
    def fail(number):
        if number == 1:
            raise ValueError("in a thread")

    with pytest.raises(ValueError, match="in a thread"):
        Threads(2).run(fail)

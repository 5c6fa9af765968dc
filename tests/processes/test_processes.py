"""Our processes: signals while they start, their names, and scripts that they would run again."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ase_schnet.runtime.processes import AGAIN, NO_FILE, THREADS, Workers, signals_later

HELPERS = str(Path(__file__).parents[1] / "helpers")


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="masks of signals are POSIX")
@pytest.mark.parametrize("by", ["to this thread", "to another thread"])
def test_ctrl_c_waits_for_the_end_of_the_block(by):
    """Also if another thread takes it, which no mask of this one prevents."""
    before = signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])
    there, end = threading.Event(), threading.Event()
    other = threading.Thread(target=lambda: (there.set(), end.wait()))
    other.start()
    there.wait()
    thread = threading.main_thread() if by == "to this thread" else other
    masks = []

    def interrupted():
        with signals_later():
            signal.pthread_kill(thread.ident, signal.SIGINT)
            time.sleep(0.05)  # the other thread has to get its turn
            masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted()
    finally:
        end.set()
        other.join()
    (mask,) = masks  # the block came to its end
    assert {signal.SIGINT, signal.SIGTERM} <= mask  # a process that is started now inherits it
    assert (signal.getsignal(signal.SIGINT), signal.pthread_sigmask(signal.SIG_BLOCK, [])) == before


def about_me():
    handler = signal.getsignal(signal.SIGINT)
    mask = (
        signal.pthread_sigmask(signal.SIG_BLOCK, []) if hasattr(signal, "pthread_sigmask") else ()
    )
    name = multiprocessing.current_process().name
    return name, [os.environ[key] for key in THREADS], callable(handler), set(mask)


@pytest.mark.slow
def test_a_worker_knows_its_name_has_one_thread_and_ends_at_once_when_it_is_told_to():
    found = []

    def failing():
        with Workers("testing", 1) as workers:
            found.append(workers.submit(about_me).result())
            found.extend(workers._context.processes)
            workers.submit(time.sleep, 600)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        failing()
    (name, threads, answers, mask), process = found
    assert name == "ase_schnet testing"
    assert threads == ["1"] * len(THREADS)
    assert answers
    assert mask == set()
    assert process.exitcode == -signal.SIGTERM


BEGINNING = """
import sys
sys.path.append({helpers!r})
from ase.build import molecule
"""
CALLS = {
    "sample": """
from ase_schnet import sample_structures
from sampling_cases import MakeSprings
sample_structures([molecule("CH3CH2OH")], MakeSprings(molecule("CH3CH2OH")), 24, jobs=2, directory="parts")
""",
    "label": """
from ase_schnet import label_structures
frames = [molecule("H2O") for _ in range(8)]
for k, atoms in enumerate(frames):
    atoms.rattle(0.02, seed=k)
label_structures(frames, "gfn2-xtb", "labels.extxyz", jobs=2)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("by", ["a file", "standard input"])
@pytest.mark.parametrize("call", CALLS)
def test_scripts_that_processes_cannot_start_from_are_told_so_in_one_line(call, by, tmp_path):
    """No process of theirs prints a word; for a training see tests/training/test_training_jobs.py."""
    text = BEGINNING.format(helpers=HELPERS) + CALLS[call]
    (tmp_path / "script.py").write_text(text)
    words, given = (["script.py"], None) if by == "a file" else (["-"], text)
    done = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, input=given, capture_output=True, text=True
    )
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    if by == "a file":
        assert done.stderr.count("Traceback") == 1  # the parent's, where the script called it
        assert last == f"ase_schnet.runtime.processes.StartedAgain: {AGAIN}"
    else:
        assert last == f"concurrent.futures.process.BrokenProcessPool: {NO_FILE}"


TWICE_INTERRUPTED = """
import multiprocessing, os, signal, threading, time
from ase_schnet.runtime.processes import Workers

def begin(stop):
    pass

def interrupt_twice():
    for _ in range(2):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGINT)

def work():
    stop = multiprocessing.get_context("spawn").Event()
    workers = Workers("trying", 2, begin, (stop,))
    try:
        futures = [workers.submit(time.sleep, 20) for _ in range(2)]
        threading.Thread(target=interrupt_twice, daemon=True).start()
        for future in futures:
            future.result()
    finally:
        stop.set()
        workers.shutdown(cancel_futures=True)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        work()
    except KeyboardInterrupt:
        left = [process.is_alive() for process in multiprocessing.active_children()]
        print("interrupted", left)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="masks of signals are POSIX")
def test_a_second_ctrl_c_ends_processes_that_still_start_without_a_word(tmp_path):
    """They would look for the event that they are handed, which Python had taken away by then."""
    (tmp_path / "script.py").write_text(TWICE_INTERRUPTED)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )  # a machine that takes both for one waits 20 s
    assert (done.stdout, done.stderr) == ("interrupted []\n", "")

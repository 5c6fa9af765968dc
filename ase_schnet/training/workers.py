"""Members trained side by side, each in a process of its own with one thread.

A process gets the place of the data, the recipe and the number of a fold, and reads its part of the data.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.synchronize import Event, RLock
from pathlib import Path

import torch
from tqdm import tqdm

from ase_schnet.cores import cores
from ase_schnet.data.dataset import Dataset
from ase_schnet.training.fold import RunControl, train_member
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.workdir import WorkDirectory

NAME = "ase_schnet member"
UNGUARDED = 79  # exit code of a process that ran the caller's script again
AGAIN = (
    "the processes that train the members run this script again from its top: put its own work under "
    '`if __name__ == "__main__":`, or give jobs=1'
)


class StartedAgain(BrokenProcessPool):
    """The processes ran the script of the caller, which has no main guard, instead of their work."""


def refuse_to_start_again() -> None:
    """End a process that is only starting, and has come here through the top of the caller's script.

    Raises
    ------
    StartedAgain
        If that process is not one of ours; for one of ours, the parent says what is wrong.
    """
    process = multiprocessing.current_process()
    if not getattr(process, "_inheriting", False):
        return
    if process.name == NAME:
        raise SystemExit(UNGUARDED)
    raise StartedAgain(AGAIN)


def train_members(
    dataset: Dataset,
    work: WorkDirectory,
    recipe: Recipe,
    folds: list[int],
    jobs: int | None,
    take_over: bool = False,
) -> None:
    """Train several folds side by side; on a GPU one after the other.

    Parameters
    ----------
    dataset
        All labelled structures, the same that lie in `work`.
    work
        Where the training was begun.
    recipe
        Checked, with all defaults decided.
    folds
        Numbers of the folds, from 1.
    jobs
        Processes; None: all cores.
    take_over
        As in :func:`~ase_schnet.training.fold.train_fold`.

    Raises
    ------
    StartedAgain
        If the caller's script has no main guard.
    BrokenProcessPool
        If a process was killed.
    TrainingDiverged, ValueError, OSError
        As :func:`~ase_schnet.training.fold.train_fold`.
    """
    jobs = min(len(folds), jobs or cores())
    if jobs == 1 or recipe.device != "cpu":
        for fold in folds:
            train_member(dataset, work, recipe, fold, RunControl(take_over=take_over))
        return
    context = _Spawning()
    # once for all; not with initargs: the next process is started only when those have been read
    orders = pickle.dumps((work.data, work, recipe, take_over))
    try:
        _train_side_by_side(context, orders, folds, jobs)
    except BrokenProcessPool:
        raise _cause_of_death(context) from None


def _train_side_by_side(context: _Spawning, orders: bytes, folds: list[int], jobs: int) -> None:
    """Train the folds in so many processes; after an error all have ended when this returns."""
    stop, lock = context.Event(), context.RLock()  # one terminal, several bars
    with _signals_later() as came:  # a half started process would wait for its orders for ever
        executor = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_start_worker, initargs=(stop, lock)
        )
        futures = [executor.submit(_train_in_worker, orders, fold) for fold in folds]
    try:
        for number in came:
            signal.raise_signal(number)
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:  # after Ctrl-C or a failure the members end their epoch and save it
        stop.set()
        executor.shutdown(cancel_futures=True)


def _cause_of_death(context: _Spawning) -> Exception:
    """Return the error to raise when a process has ended without an answer; all of them have ended."""
    if any(process.exitcode == UNGUARDED for process in context.processes):
        return StartedAgain(AGAIN)
    if _from_standard_input():
        return ValueError(
            "worker processes cannot start from a script on standard input: put the script in a file, "
            "or give jobs=1"
        )
    return BrokenProcessPool(
        "a process that trains members was killed (out of memory?) or could not start; its files "
        "are kept, and resume=True goes on"
    )


@contextmanager
def _signals_later() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM during the block, to be raised after it."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield came
        return
    kinds = signal.SIGINT, signal.SIGTERM
    before = {kind: signal.signal(kind, lambda number, _: came.append(number)) for kind in kinds}
    try:
        yield came
    finally:
        for kind, handler in before.items():
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)


class _Spawning(SpawnContext):
    """Start processes with a name by which they know themselves, and list them."""

    def __init__(self):
        super().__init__()
        self.processes: list = []

    def Process(self, *args, **kwargs) -> SpawnProcess:
        """Return a new process, not yet started."""
        process = super().Process(*args, name=NAME, **kwargs)
        self.processes.append(process)
        return process


_stop: Event | None = None  # in a worker process: set when the parent wants it to end


def _start_worker(stop: Event, lock: RLock) -> None:
    global _stop  # the only way to hand a synchronisation primitive to the tasks of a pool
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    torch.set_num_threads(1)  # nothing else runs in this process
    tqdm.set_lock(lock)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _from_standard_input() -> bool:
    """Return whether the main script has no file that worker processes could read."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    return path is not None and not Path(path).exists()


def _end_with_parent() -> None:
    """End this process when its parent was killed; its last checkpoint is whole."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _train_in_worker(orders: bytes, fold: int) -> None:
    data, work, recipe, take_over = pickle.loads(orders)
    control = RunControl(fold - 1, lambda: not _stop.is_set(), take_over)
    train_member(data, work, recipe, fold, control)

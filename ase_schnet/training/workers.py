"""Members trained side by side, each in a process of its own with one thread."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext

import torch
from tqdm import tqdm

from ase_schnet.data.dataset import Dataset
from ase_schnet.inference.ensemble import cores
from ase_schnet.training.fold import train_member
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.workdir import WorkDirectory

NAME = "ase_schnet member"
UNGUARDED = 79  # exit code of a process that ran the caller's script again
AGAIN = (
    "the processes that train the members run this script again from its top: put its own work under "
    '`if __name__ == "__main__":`, or give jobs=1'
)


class StartedAgain(BrokenProcessPool):
    """The processes ran the caller's script, which has no main guard, in place of their work."""


def refuse_to_start_again() -> None:
    """End a process that is but starting, and has come here through the top of the caller's script.

    Raises StartedAgain, where that process is not ours; of ours, the parent says what is wrong.
    """
    process = multiprocessing.current_process()
    if not getattr(process, "_inheriting", False):
        return
    if process.name == NAME:
        raise SystemExit(UNGUARDED)
    raise StartedAgain(AGAIN)


def train_members(
    dataset: Dataset, work: WorkDirectory, recipe: Recipe, folds: list[int], jobs: int | None
) -> None:
    """Train `folds`, `jobs` of them at a time (all cores by default); on a GPU one after the other.

    Raises what `train_member` does; StartedAgain; BrokenProcessPool for a process that was killed.
    """
    jobs = min(len(folds), jobs or cores())
    if jobs == 1 or recipe.device != "cpu":
        for fold in folds:
            train_member(dataset, work, recipe, fold)
        return
    context = _Spawning()
    stop, lock = context.Event(), context.RLock()  # one terminal, several bars
    with _signals_later() as came:  # a half started process would wait for its orders for ever
        executor = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_start_worker, initargs=(stop, lock)
        )
        futures = [executor.submit(_train_in_worker, dataset, work, recipe, fold) for fold in folds]
    try:
        for number in came:
            signal.raise_signal(number)
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BrokenProcessPool:
        executor.shutdown()  # until all exit codes are known
        if any(process.exitcode == UNGUARDED for process in context.processes):
            raise StartedAgain(AGAIN) from None
        raise BrokenProcessPool(
            "a process that trains members was killed (out of memory?) or could not start; what was written "
            "is kept, and resume=True goes on"
        ) from None
    finally:  # after Ctrl-C or a failure the members end their epoch and save it
        stop.set()
        executor.shutdown(cancel_futures=True)


@contextmanager
def _signals_later() -> Iterator[list[int]]:
    """Collect Ctrl-C and SIGTERM, to be raised when they can be answered."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # which alone is told of them
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
    """Processes with a name by which they know themselves, and a list of them."""

    def __init__(self):
        super().__init__()
        self.processes: list = []

    def Process(self, *args, **kwargs):
        process = super().Process(*args, name=NAME, **kwargs)
        self.processes.append(process)
        return process


_stop = None  # in a worker process: set when the parent wants it to end


def _start_worker(stop, lock) -> None:
    global _stop  # the only way to hand a synchronisation primitive to a pool's tasks
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)  # this process is ours alone
    tqdm.set_lock(lock)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A worker must not outlive a parent that was killed; its last checkpoint is whole."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _train_in_worker(dataset: Dataset, work: WorkDirectory, recipe: Recipe, fold: int) -> None:
    going = {"position": fold - 1, "keep_going": lambda: not _stop.is_set()}
    train_member(dataset, work, recipe, fold, **going)

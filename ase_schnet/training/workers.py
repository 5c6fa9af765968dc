"""Members trained side by side, each in a process of its own with one thread, here or on a cluster.

A process gets the place of the data, the recipe and the number of a fold, and reads its part of the data.
"""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import FIRST_EXCEPTION, CancelledError, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event, RLock

import torch
from tqdm import tqdm

from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.cluster import GAVE_UP, is_killed_worker
from ase_schnet.runtime.cores import cores
from ase_schnet.runtime.processes import Workers
from ase_schnet.training.fold import RunControl, train_member
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.workdir import WorkDirectory

KILLED = (
    "a process that trains members was killed (out of memory?) or could not start; its files "
    "are kept, and resume=True goes on"
)


def train_members(
    dataset: Dataset,
    work: WorkDirectory,
    recipe: Recipe,
    folds: list[int],
    jobs: int | None,
    take_over: bool = False,
    executor: Executor | None = None,
) -> None:
    """Train several folds side by side; on a GPU one after the other, unless an executor is given.

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
    executor
        Trains each fold as a job by itself; None: processes of this machine.

    Raises
    ------
    ConnectionError
        If the executor gives its jobs up.
    StartedAgain
        If the caller's script has no main guard.
    BrokenProcessPool
        If a process was killed.
    TrainingDiverged, ValueError, OSError
        As :func:`~ase_schnet.training.fold.train_fold`.
    """
    if executor is not None:
        _train_elsewhere(executor, pickle.dumps((work.data, work, recipe, True)), folds)
        return
    jobs = min(len(folds), jobs or cores())
    if jobs == 1 or recipe.device != "cpu":
        for fold in folds:
            train_member(dataset, work, recipe, fold, RunControl(take_over=take_over))
        return
    # once for all; not with initargs: the next process is started only when those have been read
    orders = pickle.dumps((work.data, work, recipe, take_over))
    _train_side_by_side(orders, folds, jobs)


def _train_elsewhere(executor: Executor, orders: bytes, folds: list[int]) -> None:
    """Train each fold as a job of an executor, and wait for all, or for the first that fails.

    A job takes its fold over from a process that is noted as training it: its scheduler knows better which of
    its workers live, and should it err, both come to the same weights.
    """
    futures = [executor.submit(_train_alone, orders, fold) for fold in folds]
    try:
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:  # of the others nothing is known but that we give them up
            _require_done(future)
    finally:
        for future in futures:
            future.cancel()  # what runs comes to its end, or the next call goes on from its checkpoints


def _require_done(future: Future) -> None:
    try:
        future.result()
    except CancelledError:
        raise ConnectionError(f"{GAVE_UP}; what is trained is kept") from None
    except Exception as error:
        if is_killed_worker(error):
            raise ConnectionError(KILLED) from None
        raise


def _train_alone(orders: bytes, fold: int) -> None:
    data, work, recipe, take_over = pickle.loads(orders)
    torch.set_num_threads(1)
    train_member(data, work, recipe, fold, RunControl(take_over=take_over))


def _train_side_by_side(orders: bytes, folds: list[int], jobs: int) -> None:
    """Train the folds in so many processes; after an error all have ended when this returns."""
    context = multiprocessing.get_context("spawn")
    stop, lock = context.Event(), context.RLock()  # one terminal, several bars
    workers = Workers("member", jobs, _start_worker, (stop, lock))
    try:
        futures = [workers.submit(_train_in_worker, orders, fold) for fold in folds]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    except BrokenProcessPool:
        raise workers.cause_of_death(KILLED) from None
    finally:  # after Ctrl-C or a failure the members end their epoch and save it
        stop.set()
        workers.shutdown(cancel_futures=True)


_stop: Event | None = None  # in a worker process: set when the parent wants it to end


def _start_worker(stop: Event, lock: RLock) -> None:
    global _stop  # the only way to hand a synchronisation primitive to the tasks of a pool
    _stop = stop
    torch.set_num_threads(1)  # nothing else runs in this process
    tqdm.set_lock(lock)


def _train_in_worker(orders: bytes, fold: int) -> None:
    data, work, recipe, take_over = pickle.loads(orders)
    control = RunControl(fold - 1, lambda: not _stop.is_set(), take_over)
    train_member(data, work, recipe, fold, control)

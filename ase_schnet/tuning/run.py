"""Search for hyperparameters, with as many processes as are wanted, until the time is spent.

A trial trains the first member of the ensemble for a share of its epochs, is judged by its errors on the fold
that this member does not see, and ends early if it is worse than the median of the trials before. The part
that is kept out is not touched. The first trial is the recipe itself; ten points are drawn at random, the
others by a tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011).

No trial that ended is trained again, and one that was cut off goes on from its checkpoint.
"""

from __future__ import annotations

import multiprocessing
import pickle
import time
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.synchronize import Event
from pathlib import Path

from ase_schnet.arguments import positive, whole
from ase_schnet.data.dataset import Dataset
from ase_schnet.runtime.cores import cores
from ase_schnet.runtime.processes import Workers, refuse_to_start_again
from ase_schnet.runtime.progress import say
from ase_schnet.training.fold import checked_recipe
from ase_schnet.training.recipe import Recipe
from ase_schnet.tuning.optuna_study import require_optuna
from ase_schnet.tuning.progress import Progress
from ase_schnet.tuning.result import TuneResult
from ase_schnet.tuning.score import Score
from ase_schnet.tuning.search import SESSIONS, Search
from ase_schnet.tuning.sessions import Session, time_spent
from ase_schnet.tuning.settings import TuneSettings

LOOK_S = 0.5  # between two looks of the parent at its processes
KILLED = (
    "a process that trains trials was killed (out of memory?) or could not start; trials that ended are "
    "kept, and the same call goes on"
)


def tune(
    dataset: Dataset,
    directory: str | Path,
    recipe: Recipe,
    settings: TuneSettings | None = None,
    *,
    hours: float = 1.0,
    jobs: int | None = None,
    allow_outliers: bool = False,
    allow_contradictions: bool = False,
    take_over: bool = False,
    tell: Callable[[str], None] = say,
) -> TuneResult:
    """Search for the network, loss and fit whose validation errors are smallest.

    Whatever ends the process, the same call goes on; several calls at a time share one search.

    Parameters
    ----------
    dataset, directory
        All labelled structures; the directory of the search.
    recipe
        What is to be trained, as for `cross_validate`; its epochs are those of that training.
    settings
        The space, and what a trial is.
    hours
        Time in all, h, of the first call and of all that go on from it. With a larger one a search goes on.
    jobs
        Processes that train trials, one thread each; None: all cores. On a GPU one.
    allow_outliers, allow_contradictions, take_over
        As in :func:`~ase_schnet.training.fold.train_fold`.
    tell
        Called with lines about the space and the time.

    Returns
    -------
    TuneResult
        The trials. The best one is in ``settings.json`` too, for ``train --settings``.

    Raises
    ------
    ValueError
        For impossible arguments or values in the space, labels as in `train_fold`, another search in
        `directory`; if Optuna is not installed.
    BrokenProcessPool, OSError
        As `cross_validate`; the same call goes on.
    """
    refuse_to_start_again()
    require_optuna()
    positive("hours", hours)
    whole("jobs", 1 if jobs is None else jobs, 1)
    recipe = checked_recipe(dataset, recipe, allow_outliers, allow_contradictions, False)
    search = Search(Path(directory), recipe, settings or TuneSettings(), take_over)
    search.begin(dataset)
    tell(search.plan(hours))
    try:
        _run(search, hours, jobs or cores(), tell)
    finally:  # after Ctrl-C or a failure too
        search.result().write()
    return search.result(with_importance=True)


def _run(search: Search, hours: float, jobs: int, tell: Callable[[str], None]) -> None:
    """Train trials until the time is spent or all points were tried."""
    spent, budget = time_spent(search.directory / SESSIONS), 3600 * hours
    if spent >= budget:
        tell(f"the {hours:g} h are spent: with more hours the search goes on")
        return
    deadline = time.monotonic() + budget - spent  # on a clock that all processes here share
    session = Session(search.directory / SESSIONS, hours)
    with Progress(spent, budget, search.found) as progress:

        def go_on() -> bool:
            session.note_at_times()
            progress.show()
            return time.monotonic() < deadline

        try:
            if jobs == 1 or search.recipe.device != "cpu":
                search.work(go_on)
            else:
                _work_side_by_side(search, jobs, deadline, go_on)
        finally:
            session.note()


def _work_side_by_side(
    search: Search, jobs: int, deadline: float, look: Callable[[], bool]
) -> None:
    """Work in so many processes; after an error all have ended when this returns."""
    asked = search.directory, search.recipe, search.settings, search.take_over
    orders = pickle.dumps((asked, search.score, deadline))
    stop = multiprocessing.get_context("spawn").Event()
    workers = Workers("trial", jobs, _start_worker, (stop,))
    try:
        left = {workers.submit(_work, orders) for _ in range(jobs)}
        while left:
            done, left = wait(left, LOOK_S, FIRST_EXCEPTION)
            for future in done:
                future.result()
            look()
    except BrokenProcessPool:
        raise workers.cause_of_death(KILLED) from None
    finally:  # after Ctrl-C or a failure the processes end their epoch and save it
        stop.set()
        workers.shutdown(cancel_futures=True)


_stop: Event | None = None  # in a worker process: set when the parent wants it to end


def _start_worker(stop: Event) -> None:
    global _stop  # the only way to hand a synchronisation primitive to the tasks of a pool
    _stop = stop


def _work(orders: bytes) -> None:
    asked: tuple[Path, Recipe, TuneSettings, bool]
    score: Score
    asked, score, deadline = pickle.loads(orders)
    search = Search(*asked)
    search.open(score)
    search.work(lambda: time.monotonic() < deadline and not _stop.is_set())

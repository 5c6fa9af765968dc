"""Chunks side by side, in processes with one thread each."""

from __future__ import annotations

import pickle
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from functools import partial

from ase_schnet.runtime.processes import Workers
from ase_schnet.sampling.chunks import Chunk, Task, make_chunk
from ase_schnet.sampling.md import CalculatorFactory
from ase_schnet.sampling.plan import SamplingPlan

KILLED = (
    "a process that samples was killed (out of memory?) or could not start; finished parts are kept, and the "
    "same command goes on"
)


class Makers:
    """Make chunks in several processes, or in this one.

    Parameters
    ----------
    jobs
        Processes; 1: this one alone.
    calculator
        Makes calculators. It is pickled if there are several processes.
    plan, seed
        Of the sampling.

    Raises
    ------
    ValueError
        If ``calculator`` cannot be pickled.
    """

    def __init__(
        self, jobs: int, calculator: CalculatorFactory | None, plan: SamplingPlan, seed: int
    ):
        self.jobs = jobs
        self._make = partial(make_chunk, calculator=calculator, plan=plan, seed=seed)
        self._workers: Workers | None = None
        if jobs > 1:
            _require_picklable(calculator)
            self._workers = Workers("sampling", jobs)

    def __enter__(self) -> Makers:
        return self

    def __exit__(self, *_) -> None:
        """End the processes; what they have in hand is lost."""
        if self._workers is not None:
            self._workers.kill()

    def submit(self, task: Task) -> Future[Chunk]:
        """Return the chunk of a task, later.

        Raises
        ------
        BrokenProcessPool
            If a process was killed.
        """
        if self._workers is None:
            done: Future[Chunk] = Future()
            done.set_result(self._make(task))
            return done
        try:
            return self._workers.submit(self._make, task)
        except BrokenProcessPool:
            raise self._workers.cause_of_death(KILLED) from None

    def result(self, future: Future[Chunk]) -> Chunk:
        """Return a finished chunk.

        Raises
        ------
        BrokenProcessPool
            If a process was killed.
        """
        try:
            return future.result()
        except BrokenProcessPool:
            raise self._workers.cause_of_death(KILLED) from None


def _require_picklable(calculator: CalculatorFactory | None) -> None:
    try:
        pickle.dumps(calculator)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the calculator cannot be sent to other processes ({error}): give a function at the top of a "
            "module that makes it, or jobs=1"
        ) from None

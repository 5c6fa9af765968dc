"""Hand structures to an executor in bundles, and collect their labels."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    wait,
)

from ase_schnet.labelling.cluster import GAVE_UP, is_killed_worker
from ase_schnet.labelling.jobs import Job, Outcome, label_bundle
from ase_schnet.labelling.limit import took_longer
from ase_schnet.labelling.methods import Reference
from ase_schnet.runtime.cores import cores

#: Time that a bundle of structures should take, s: long beside the cost of sending it, short for a kill.
BUNDLE_S = 0.2
MAX_BUNDLE = 500
LEAST_DASK = 32
ASK_DASK_S = 5.0
CRASHED = "its process was killed or crashed (out of memory?)"


class Inline(Executor):
    """Run each job at once, in this process."""

    _max_workers = 1

    def submit(self, fn: Callable, /, *args, **kwargs) -> Future:
        """Run a job, and return its finished future."""
        future: Future = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


def width_of(executor: Executor, jobs: int | None) -> Callable[[], int]:
    """Return a function that says how many bundles to hand an executor at a time: two for each process.

    Parameters
    ----------
    executor
        Any executor; of Dask's, the threads of its workers are counted again as they come and go.
    jobs
        Number of jobs that it does at a time; None: as many as it says.
    """
    client = getattr(executor, "_client", None)  # of Dask
    if jobs is None and hasattr(client, "nthreads"):
        return _DaskWidth(client.nthreads)
    if isinstance(executor, Inline):
        return lambda: 1
    number = jobs or getattr(executor, "_max_workers", None) or cores()
    return lambda: 2 * number


class _DaskWidth:
    """Return twice the threads of a cluster, asked for now and then; enough for one that adapts to grow."""

    def __init__(self, threads: Callable[[], dict[str, int]]):
        self._threads, self._asked, self._width = threads, -math.inf, LEAST_DASK

    def __call__(self) -> int:
        if time.monotonic() - self._asked > ASK_DASK_S:
            self._width = max(LEAST_DASK, 2 * sum(self._threads().values()))
            self._asked = time.monotonic()
        return self._width


class Dispatcher:
    """Label structures with an executor, several at a time.

    Parameters
    ----------
    reference
        Method of the labels.
    executor
        Any executor. One with a method ``restart`` goes on after a crash of its processes.
    width
        Returns how many bundles are handed out at a time.
    """

    def __init__(self, reference: Reference, executor: Executor, width: Callable[[], int]):
        self._reference, self._executor, self._width = reference, executor, width
        self._flying: dict[Future, list[Job]] = {}
        self._seconds, self._count = 0.0, 0

    def run(self, jobs: Sequence[Job]) -> Iterator[Outcome]:
        """Yield the outcomes as they come.

        Raises
        ------
        ValueError
            No calculator can be made, in one line.
        BrokenExecutor, ConnectionError
            The processes of the executor ended, and it cannot start others.
        """
        waiting = deque(jobs)
        try:
            while waiting or self._flying:
                while waiting and len(self._flying) < self._width():
                    self._submit([waiting.popleft() for _ in range(self._size(len(waiting)))])
                done, _ = wait(self._flying, return_when=FIRST_COMPLETED)
                for future in done:
                    yield from self._collect(future)
        finally:
            for future in self._flying:
                future.cancel()
            self._flying.clear()

    def _size(self, left: int) -> int:
        """Return the number of structures of the next bundle; the last bundles are small, to end together."""
        if not self._count:
            return 1
        size = min(MAX_BUNDLE, int(BUNDLE_S * self._count / max(self._seconds, 1e-6)))
        return max(1, min(size, math.ceil(left / (2 * self._width()))))

    def _submit(self, bundle: list[Job]) -> None:
        try:
            future = self._executor.submit(label_bundle, self._reference, bundle)
        except BrokenExecutor as error:  # it broke after the last result was taken
            future = Future()
            future.set_exception(error)
        self._flying[future] = bundle

    def _collect(self, future: Future) -> Iterator[Outcome]:
        bundle = self._flying.pop(future, None)
        if bundle is None:  # it was labelled anew after a crash
            return
        try:
            outcomes, seconds = future.result()
        except BrokenExecutor:
            yield from self._after_crash(bundle)
            return
        except CancelledError:
            raise ConnectionError(f"{GAVE_UP}; what is labelled is kept") from None
        except Exception as error:
            if not is_killed_worker(error):
                raise
            if len(bundle) == 1:
                yield Outcome(bundle[0].key, failure=CRASHED)
            for job in bundle if len(bundle) > 1 else ():
                self._submit([job])
            return
        self._seconds, self._count = self._seconds + seconds, self._count + len(outcomes)
        yield from outcomes

    def _after_crash(self, bundle: list[Job]) -> Iterator[Outcome]:
        """Start new processes, and label what was handed out one by one, to find what crashes."""
        restart = getattr(self._executor, "restart", None)
        if restart is None:
            raise BrokenExecutor(
                "a process that labels was killed (out of memory?); what is labelled is kept"
            ) from None
        suspects = list(bundle)
        flying = dict(self._flying)
        self._flying.clear()
        wait(flying)  # all of them have failed with the same error, unless they were done before
        for future, other in flying.items():
            if future.exception() is None:
                yield from future.result()[0]
            else:
                suspects += other
        restart()
        for job in suspects:
            start = time.monotonic()
            try:
                yield from self._executor.submit(label_bundle, self._reference, [job]).result()[0]
            except BrokenExecutor:
                yield Outcome(job.key, failure=self._cause(time.monotonic() - start))
                restart()

    def _cause(self, seconds: float) -> str:
        """Return why the process of a job ended after some seconds."""
        limit = self._reference.time_limit_s
        return CRASHED if limit is None or seconds < limit else took_longer(limit)

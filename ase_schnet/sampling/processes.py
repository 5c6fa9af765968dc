"""Chunks side by side, in processes with one thread each."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path

from ase_schnet.sampling.chunks import Chunk, Task, chunk_size, make_chunk
from ase_schnet.sampling.md import CalculatorFactory
from ase_schnet.sampling.plan import SamplingPlan

#: Variables with which libraries choose their number of threads when they are loaded.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


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
        If processes cannot be started from the script of the caller, or ``calculator`` cannot be pickled.
    """

    def __init__(
        self, jobs: int, calculator: CalculatorFactory | None, plan: SamplingPlan, seed: int
    ):
        self.jobs = jobs
        self._orders = calculator, plan, seed
        self._executor: ProcessPoolExecutor | None = None
        if jobs > 1:
            _require_spawning()
            orders = _pickled(self._orders)
            self._context = _Spawning()
            self._executor = ProcessPoolExecutor(
                jobs, mp_context=self._context, initializer=_start, initargs=(orders,)
            )

    def __enter__(self) -> Makers:
        return self

    def __exit__(self, *_) -> None:
        """End the processes; what they have in hand is lost."""
        if self._executor is not None:
            for process in self._context.processes:
                process.terminate()
            self._executor.shutdown(cancel_futures=True)

    def submit(self, task: Task) -> Future[Chunk]:
        """Return the chunk of a task, later.

        Raises
        ------
        BrokenProcessPool
            If a process was killed; the result of a chunk raises it too.
        """
        if self._executor is not None:
            with _signals_later():  # a half started process would wait for its orders for ever
                return self._executor.submit(_make_in_process, task)
        done: Future[Chunk] = Future()
        done.set_result(_make(self._orders, task))
        return done


def result_of(future: Future[Chunk]) -> Chunk:
    """Return a finished chunk.

    Raises
    ------
    BrokenProcessPool
        If its process was killed, with what can be done.
    """
    try:
        return future.result()
    except BrokenProcessPool:
        raise BrokenProcessPool(
            "a process that samples was killed (out of memory?) or could not start (a script needs "
            '`if __name__ == "__main__":` around its work, or jobs=1); finished parts are kept, and the '
            "same command goes on"
        ) from None


Orders = tuple[CalculatorFactory | None, SamplingPlan, int]
_orders: Orders | None = None  # of a worker process


def _make(orders: Orders, task: Task) -> Chunk:
    calculator, plan, seed = orders
    return make_chunk(task, calculator, plan, seed, chunk_size(task.kind, plan))


def _make_in_process(task: Task) -> Chunk:
    return _make(_orders, task)


def _start(orders: bytes) -> None:
    global _orders  # the only way to hand something to all tasks of a process
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent answers Ctrl-C
    os.environ |= dict.fromkeys(THREADS, "1")  # for libraries that the calculator loads
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _orders = pickle.loads(orders)


def _end_with_parent() -> None:
    """End this process when its parent was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _pickled(orders: Orders) -> bytes:
    try:
        return pickle.dumps(orders)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"the calculator cannot be sent to other processes ({error}): give a function at the top of a "
            "module that makes it, or jobs=1"
        ) from None


def _require_spawning() -> None:
    """Refuse to start processes where they would run the caller's script again, or not find it."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise ValueError(
            'put the work of this script under `if __name__ == "__main__":`, or give jobs=1'
        )
    path = getattr(sys.modules["__main__"], "__file__", None)
    if path is not None and not Path(path).exists():
        raise ValueError(
            "processes cannot start from a script on standard input: put the script in a file, or give "
            "jobs=1"
        )


class _Spawning(SpawnContext):
    """Start processes, and list them."""

    def __init__(self):
        super().__init__()
        self.processes: list = []

    def Process(self, *args, **kwargs) -> SpawnProcess:
        """Return a new process, not yet started."""
        process = super().Process(*args, **kwargs)
        self.processes.append(process)
        return process


@contextmanager
def _signals_later() -> Iterator[None]:
    """Hold back Ctrl-C and SIGTERM during the block, and raise them after it."""
    if threading.current_thread() is not threading.main_thread():  # which alone gets signals
        yield
        return
    came: list[int] = []
    kinds = signal.SIGINT, signal.SIGTERM
    before = {kind: signal.signal(kind, lambda number, _: came.append(number)) for kind in kinds}
    try:
        yield
    finally:
        for kind, handler in before.items():
            signal.signal(kind, signal.SIG_DFL if handler is None else handler)
    for number in came:
        signal.raise_signal(number)

"""Processes of this machine that label, one thread each; they can be started again after a crash.

This module imports nothing that computes, so that a new process sets its number of threads first.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path

NAME = "ase_schnet labelling"
UNGUARDED = 79  # exit code of a process that ran the caller's script again
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
#: Seconds that a process is given to end when it is told to.
GRACE_S = 2.0


def refuse_to_start_again() -> None:
    """End a process that is only starting, and has come here through the top of the caller's script."""
    process = multiprocessing.current_process()
    if getattr(process, "_inheriting", False) and process.name == NAME:
        raise SystemExit(UNGUARDED)


class LocalProcesses(Executor):
    """Run jobs in processes of this machine.

    Parameters
    ----------
    jobs
        Number of processes.
    """

    def __init__(self, jobs: int):
        self._max_workers = jobs
        self._start()

    def _start(self) -> None:
        self._context = _Spawning()
        self._pool = ProcessPoolExecutor(
            self._max_workers, mp_context=self._context, initializer=_start_worker
        )

    def submit(self, fn: Callable, /, *args, **kwargs) -> Future:
        """Schedule a call."""
        with _signals_later():  # a process that is half started would wait for its orders for ever
            return self._pool.submit(fn, *args, **kwargs)

    def restart(self) -> None:
        """Start new processes after one was killed or crashed.

        Raises
        ------
        BrokenProcessPool
            In one line: they cannot be started.
        """
        self._pool.shutdown()  # until all exit codes are known
        codes = [process.exitcode for process in self._context.processes]
        if UNGUARDED in codes:
            raise BrokenProcessPool(
                "the processes that label run this script again from its top: put its own work under "
                '`if __name__ == "__main__":`, or give jobs=1'
            )
        self._start()
        try:
            self.submit(os.getpid).result()
        except BrokenProcessPool:
            main = getattr(sys.modules["__main__"], "__file__", None)
            by_hand = main is not None and not Path(main).exists()
            raise BrokenProcessPool(
                "worker processes cannot start from a script on standard input: put the script in a file, or "
                "give jobs=1"
                if by_hand
                else "the processes that label end as soon as they start (out of memory?); what is labelled "
                "is kept"
            ) from None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; with `cancel_futures` at once, whatever they are computing."""
        self._pool.shutdown(wait=False, cancel_futures=cancel_futures)
        if cancel_futures:
            for process in self._context.processes:
                process.terminate()
            for process in self._context.processes:
                process.join(GRACE_S)
                process.kill()
        self._pool.shutdown(wait=wait)


class _Spawning(SpawnContext):
    """Start processes with a name by which they know themselves, and list them."""

    def __init__(self):
        super().__init__()
        self.processes: list[SpawnProcess] = []

    def Process(self, *args, **kwargs) -> SpawnProcess:
        """Return a new process, not yet started."""
        process = super().Process(*args, name=NAME, **kwargs)
        self.processes.append(process)
        return process


@contextmanager
def _signals_later() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM back in the block, also from the processes that are started in it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    kinds = {signal.SIGINT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, kinds)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    for name in THREADS:
        os.environ[name] = "1"
    # the parent answers Ctrl-C; a handler, unlike SIG_IGN, is not handed on to programs that are called
    signal.signal(signal.SIGINT, _nothing)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    warnings.showwarning = _one_line
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _one_line(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _nothing(*_) -> None:
    """Do nothing on a signal."""


def _end_with_parent() -> None:
    """End this process when its parent was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)

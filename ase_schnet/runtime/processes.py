"""Processes of this machine that do our work, one thread each.

The caller's script, a Ctrl-C, or a kill of either side can come between; each ends in one line, and none
leaves a process behind. This module imports nothing that computes, so that a new process sets its number of
threads first.
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

from ase_schnet.runtime.refusals import mark_refusal

#: How the names of our processes begin; by it they know themselves.
OURS = "ase_schnet "
#: Exit code of a process that ran the caller's script again.
UNGUARDED = 79
AGAIN = (
    "worker processes run this script again from its top: put its own work under "
    '`if __name__ == "__main__":`, or give jobs=1'
)
NO_FILE = (
    "worker processes cannot start from a script on standard input: put the script in a file, "
    "or give jobs=1"
)
AT_ONCE = "worker processes end as soon as they start (out of memory?); what is done is kept"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
#: Seconds that a process is given to end when it is told to.
GRACE_S = 2.0


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
    if process.name.startswith(OURS):
        raise SystemExit(UNGUARDED)
    raise StartedAgain(AGAIN)


class Workers(Executor):
    """Run calls in processes of this machine.

    As a context manager it ends the processes: at once after an error or Ctrl-C, else when all is done.

    Parameters
    ----------
    name
        What the processes do, in one word.
    jobs
        Number of processes.
    initializer, initargs
        Called at the start of each process. The arguments are small: a process that starts is waited for
        until it has read what does not fit into a pipe.
    """

    def __init__(
        self,
        name: str,
        jobs: int,
        initializer: Callable[..., None] | None = None,
        initargs: tuple = (),
    ):
        self._name, self._max_workers = OURS + name, jobs
        self._first = (initializer, *initargs)
        self._start()

    def _start(self) -> None:
        self._context = _Spawning(self._name)
        # it starts the resource tracker too, here and not in signals_later, whose mask that would undo
        self._pool = ProcessPoolExecutor(
            self._max_workers,
            mp_context=self._context,
            initializer=_start_worker,
            initargs=self._first,
        )

    def submit(self, fn: Callable, /, *args, **kwargs) -> Future:
        """Schedule a call."""
        with signals_later():  # a process that is half started would wait for its orders for ever
            return self._pool.submit(_call, fn, *args, **kwargs)

    def cause_of_death(self, otherwise: str) -> BrokenProcessPool:
        """Return the error to raise when a process has ended without an answer, which ends all of them.

        Parameters
        ----------
        otherwise
            What to say if the script of the caller is not the cause.
        """
        self._pool.shutdown()  # until all exit codes are known
        if any(process.exitcode == UNGUARDED for process in self._context.processes):
            return StartedAgain(AGAIN)
        return BrokenProcessPool(NO_FILE if _from_standard_input() else otherwise)

    def restart(self) -> None:
        """Start new processes after one was killed or crashed.

        Raises
        ------
        BrokenProcessPool
            In one line: they cannot be started.
        """
        cause = self.cause_of_death("")
        if isinstance(cause, StartedAgain):
            raise cause from None
        self._start()
        try:
            self.submit(os.getpid).result()
        except BrokenProcessPool:
            raise self.cause_of_death(AT_ONCE) from None

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes when they have done what they have in hand, or at once on Ctrl-C."""
        try:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)
        except KeyboardInterrupt:
            self.kill()  # Python would not wait for them, but take the locks of those that start
            raise

    def kill(self) -> None:
        """End the processes at once; what they have in hand is lost."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        started = [process for process in self._context.processes if process.pid is not None]
        with signals_later():
            for process in started:
                process.terminate()
            for process in started:
                process.join(GRACE_S)
                process.kill()
                process.join()
        self._pool.shutdown()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """End the processes, at once after an error."""
        if kind is None:
            self.shutdown()
        else:
            self.kill()


class _Spawning(SpawnContext):
    """Start processes with a name, and list them."""

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.processes: list[SpawnProcess] = []

    def Process(self, *args, **kwargs) -> SpawnProcess:
        """Return a new process, not yet started."""
        process = super().Process(*args, name=self.name, **kwargs)
        self.processes.append(process)
        return process


@contextmanager
def signals_later() -> Iterator[None]:
    """Keep Ctrl-C and SIGTERM back in the block; they are answered after it.

    The processes that are started in the block keep them back too, until they are ready to answer.
    """
    kinds = {signal.SIGINT, signal.SIGTERM}
    came: list[int] = []
    before = {}
    masked = None
    try:
        if threading.current_thread() is threading.main_thread():  # which alone answers signals
            for kind in kinds:
                # None: a handler that is not Python's, and could not be put back
                if signal.getsignal(kind) is not None:
                    before[kind] = signal.signal(kind, lambda number, _: came.append(number))
        if hasattr(signal, "pthread_sigmask"):  # not on Windows; another thread may still take them
            masked = signal.pthread_sigmask(signal.SIG_BLOCK, kinds)
        yield
    finally:
        if masked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, masked)
        for kind, handler in before.items():
            signal.signal(kind, handler)
        for number in came:
            signal.raise_signal(number)


def _from_standard_input() -> bool:
    """Return whether the main script has no file that worker processes could read."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    return path is not None and not Path(path).exists()


def _start_worker(then: Callable[..., None] | None, *args) -> None:
    for name in THREADS:
        os.environ[name] = "1"
    # the parent answers Ctrl-C; a handler, unlike SIG_IGN, is not handed on to programs that are called
    signal.signal(signal.SIGINT, _nothing)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT, signal.SIGTERM})
    warnings.showwarning = _one_line
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if then is not None:
        then(*args)


def _call(function: Callable, /, *args, **kwargs):
    """Call a function in a worker; its error goes on without a traceback, and says if it is a refusal."""
    try:
        return function(*args, **kwargs)
    except Exception as error:
        mark_refusal(error)
        raise


def _one_line(message: Warning | str, *_: object, **__: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


def _nothing(*_) -> None:
    """Do nothing on a signal."""


def _end_with_parent() -> None:
    """End this process when its parent was killed; files that it wrote are whole."""
    multiprocessing.parent_process().join()
    os._exit(1)

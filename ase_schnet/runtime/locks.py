"""Let one process at a time work on a file or directory.

The operating system locks the file, and lets go of it however the process ends. Some network file systems
cannot lock, and on no system does a lock say who holds it: so the process also writes down its host and
number, from its start to its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

from ase_schnet.runtime.files import naming

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

OPTION = "take_over=True (--take-over)"
NAME_WAIT_S = 1.0  # a process that has just locked writes its name a moment later


class InUseError(ValueError):
    """Another process is at work."""


def this_process() -> dict:
    """Return the host and the number (pid) of this process."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


class Lock:
    """Hold a file or directory from the making of this object to `release`.

    Parameters
    ----------
    path
        An existing file or directory.
    holder
        Returns the process that wrote itself down, as :func:`this_process` gives it, or None.
    what
        What is locked, for the message: "fold 3".
    take_over
        Count a process of another host as dead: nobody here can see whether it lives.

    Raises
    ------
    InUseError
        If another process is at work, with its host and number.
    """

    def __init__(
        self, path: Path, holder: Callable[[], dict | None], what: str, *, take_over: bool = False
    ):
        self._what = what
        self._descriptor: int | None = None
        if fcntl is not None:
            self._lock(path, holder)
        try:
            self._check(holder(), take_over)
        except InUseError:
            self.release()
            raise

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_) -> None:
        self.release()

    def _lock(self, path: Path, holder: Callable[[], dict | None]) -> None:
        is_directory = path.is_dir()
        while True:
            # NFS locks what is open for writing; a directory cannot be
            self._descriptor = os.open(path, os.O_RDONLY if is_directory else os.O_RDWR)
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._close()
                raise InUseError(self._in_use(_soon(holder))) from None
            except OSError:  # a file system without locks: there is the name of the process
                self._close()
                return
            if self._is_at(path):
                return
            self._close()  # the process that held it has removed it: lock a new one
            path.mkdir(exist_ok=True) if is_directory else path.touch()

    def _is_at(self, path: Path) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), path.stat())
        except FileNotFoundError:
            return False

    def _check(self, holder: dict | None, take_over: bool) -> None:
        if holder is None or holder == this_process():
            return
        if holder["host"] != socket.gethostname():
            if not take_over:
                raise InUseError(
                    f"{self._in_use(holder)}, or was when that process ended abruptly. If it no longer runs, "
                    f"give {OPTION}"
                )
        elif self._descriptor is None and _lives(holder["pid"]):
            raise InUseError(self._in_use(holder))

    def _in_use(self, holder: dict | None) -> str:
        by = "another process" if holder is None else f"process {holder['pid']} on {holder['host']}"
        return f"{self._what} is in use by {by}"

    def _close(self) -> None:
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None

    def release(self) -> None:
        """Let other processes in. It may be called again."""
        self._close()


class LockFile(Lock):
    """Hold a file that exists for this purpose alone, and write this process into it.

    Parameters
    ----------
    path
        The file. It is made if missing, and stays, empty, after the release.
    what, take_over
        As in :class:`Lock`.

    Raises
    ------
    InUseError
        As :class:`Lock`.
    CannotWrite
        If the file cannot be written.
    """

    def __init__(self, path: Path, what: str, *, take_over: bool = False):
        self._path = path
        self._holds = False
        with naming(path):
            path.touch()
            super().__init__(path, self._written, what, take_over=take_over)
            self._holds = True
            try:
                path.write_text(json.dumps(this_process()))
            except OSError:
                self.release()
                raise

    def _written(self) -> dict | None:
        try:
            process = json.loads(self._path.read_text())
            return {"host": process["host"], "pid": process["pid"]}
        except (OSError, ValueError, TypeError, KeyError):  # empty: nobody is at work
            return None

    def release(self) -> None:
        """Let other processes in. It may be called again."""
        if self._holds and self._is_mine():
            with contextlib.suppress(OSError):
                self._path.write_text("")
        self._holds = False
        super().release()

    def _is_mine(self) -> bool:
        """Say whether the file is still there, and not a later one of its name."""
        mine = self._descriptor is None or self._is_at(self._path)
        return mine and self._written() == this_process()


def _soon(holder: Callable[[], dict | None]) -> dict | None:
    """Return the process that wrote itself down, as soon as it has."""
    deadline = time.monotonic() + NAME_WAIT_S
    while (found := holder()) is None and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def _lives(pid: int) -> bool:
    """Say whether a process of this host runs; where that cannot be seen, it does."""
    if os.name == "nt":  # there a signal of 0 is Ctrl-C
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # of another user
        return True
    return True

"""One process at a time in a run directory.

The operating system locks the directory itself, and lets go of it however the process ends. Some network file
systems cannot, and on no system does a lock say who holds it: so ``run.json`` names the process that is at
work, from its start to its end.
"""

import contextlib
import json
import os
import socket
from pathlib import Path

from ase_schnet.runs.record import RUN_FILE

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def this_process() -> dict:
    """Host and pid, as ``run.json`` has them."""
    return {"host": socket.gethostname(), "pid": os.getpid()}


def holder_of(directory: Path) -> dict | None:
    """The process that is at work in `directory`, or was when it ended abruptly."""
    try:
        return json.loads((directory / RUN_FILE).read_text()).get("process")
    except (OSError, ValueError, AttributeError):
        return None


class DirectoryLock:
    """Held from its making to `release`.

    Parameters
    ----------
    directory
        An existing one.
    take_over
        A process of another host, of which nobody here can see whether it lives, counts as dead.

    Raises
    ------
    ValueError
        If another process is at work in the directory.
    """

    def __init__(self, directory: Path, *, take_over: bool = False):
        self._descriptor: int | None = None
        if fcntl is not None:
            self._lock(directory)
        try:
            self._check(directory, holder_of(directory), take_over)
        except ValueError:
            self.release()
            raise

    def _lock(self, directory: Path) -> None:
        self._descriptor = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise ValueError(_in_use(directory, holder_of(directory))) from None
        except OSError:  # a file system without locks: there is the name in run.json
            self.release()

    def _check(self, directory: Path, holder: dict | None, take_over: bool) -> None:
        if holder is None or holder == this_process():
            return
        if holder["host"] != socket.gethostname():
            if not take_over:
                raise ValueError(
                    f"{_in_use(directory, holder)}, or was when that ended abruptly: if it no longer runs, "
                    "take_over=True (--take-over)"
                )
        elif self._descriptor is None and _lives(holder["pid"]):
            raise ValueError(_in_use(directory, holder))

    def release(self) -> None:
        """Let others in. May be called again."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def _in_use(directory: Path, holder: dict | None) -> str:
    by = "another process" if holder is None else f"process {holder['pid']} on {holder['host']}"
    return f"{directory} is in use by {by}"


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True

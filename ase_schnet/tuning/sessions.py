"""How much of its time a search has spent: all calls that worked on it write down when they did.

How long a call has worked is read off a clock that nobody sets; when it began, to tell which calls overlap,
off that of the wall.
"""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path

from ase_schnet.runtime.files import write_whole

#: Seconds between two notes that a call is still at work; a kill loses no more of the count.
EVERY_S = 10.0


class Session:
    """Write down from when to when this call works on a search.

    Parameters
    ----------
    directory
        Where the calls write, a file each.
    hours
        Budget of the search that this call was given, h.
    """

    def __init__(self, directory: Path, hours: float):
        directory.mkdir(exist_ok=True)
        began, self._since = time.time(), time.monotonic()
        host, pid = socket.gethostname(), os.getpid()
        self._path = directory / f"{began:.3f}_{host}_{pid}.json"
        self._said = {"host": host, "pid": pid, "hours": hours, "began": began}
        self.note()

    def note(self) -> None:
        """Write down that the call is at work. Raises CannotWrite."""
        self._noted = time.monotonic()
        until = self._said["began"] + self._noted - self._since
        write_whole(self._path, json.dumps({**self._said, "until": until}).encode())

    def note_at_times(self) -> None:
        """Do as `note`, if the last time was a while ago."""
        if time.monotonic() - self._noted >= EVERY_S:
            self.note()


def time_spent(directory: Path) -> float:
    """Return the seconds in which at least one call was at work.

    Parameters
    ----------
    directory
        Of the sessions; it need not exist.
    """
    spans = []
    for path in directory.glob("*.json"):
        try:
            said = json.loads(path.read_text())
            spans.append((float(said["began"]), float(said["until"])))
        except (ValueError, KeyError, TypeError):  # a file of somebody else
            continue
    total, reached = 0.0, 0.0
    for began, until in sorted(spans):
        total += max(0.0, until - max(began, reached))
        reached = max(reached, until)
    return total

"""Progress of long work on stderr: a bar on a terminal, about a line per minute elsewhere."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable

from tqdm import tqdm

EVERY_S = 60.0


def say(line: str) -> None:
    """Print a line on stderr, between the bars; if stderr is closed or full, drop it and go on."""
    with contextlib.suppress(OSError):
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()


def is_hidden(show: bool | None) -> bool | None:
    """Return tqdm's ``disable`` for a bar that a user wants shown, or not, or (None) on a terminal only."""
    return None if show is None else not show


def time_left(began: float, done: float, total: float) -> str:
    """Return ", 5 min left" after `done` of `total` since `began` (time.monotonic); "" as long as none is."""
    if done <= 0:
        return ""
    return f", {duration((time.monotonic() - began) * (total - done) / done)} left"


def duration(seconds: float) -> str:
    """Return "1 h 5 min" or "3 min"; at least a minute."""
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60} min" if minutes >= 60 else f"{max(minutes, 1)} min"


class MinuteLines:
    """Print a line about every minute of a with block, whatever goes on in it.

    Each is written at once: several processes may write to one file.

    Parameters
    ----------
    line
        Returns the line.
    """

    def __init__(self, line: Callable[[], str]):
        self._end = threading.Event()
        # not kept here: a thread forgets its arguments at its end, and a fit must not live longer than it
        self._follower = threading.Thread(target=self._follow, args=(line,), daemon=True)

    def __enter__(self) -> MinuteLines:
        self._follower.start()
        return self

    def __exit__(self, *error) -> None:
        self._end.set()
        self._follower.join()

    def _follow(self, line: Callable[[], str]) -> None:
        while not self._end.wait(EVERY_S):
            say(line())


class Tally:
    """Show how many of many things are done, within a with block.

    Parameters
    ----------
    total
        How many there are.
    label
        What goes on, such as "sampling".
    unit
        Of what, in the singular.
    done
        How many were done before.
    show
        False: nothing; True: a bar also where there is no terminal.
    """

    def __init__(self, total: int, label: str, unit: str, done: int = 0, show: bool | None = None):
        self._total, self._label, self._unit = total, label, unit
        self._done = self._before = done
        self._bar = tqdm(total=total, initial=done, desc=label, unit=unit, disable=is_hidden(show))
        self._doing = ""
        lines = show is None and not sys.stderr.isatty()
        self._lines = MinuteLines(self._line) if lines else contextlib.nullcontext()

    def __enter__(self) -> Tally:
        self._began = time.monotonic()
        self._lines.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._lines.__exit__(*error)
        self._bar.close()

    def update(self, n: int = 1) -> None:
        """Count `n` more."""
        self._done += n
        self._bar.update(n)

    def doing(self, what: str) -> None:
        """Say behind the numbers what is done just now."""
        self._doing = f" ({what})"
        self._bar.set_postfix_str(what, refresh=False)

    def _line(self) -> str:
        left = time_left(self._began, self._done - self._before, self._total - self._before)
        return f"{self._label}: {self._done} of {self._total} {self._unit}s{self._doing}{left}"

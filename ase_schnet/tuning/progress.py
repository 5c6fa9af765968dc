"""How far a search is, on a terminal and in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext

from tqdm import tqdm

from ase_schnet.runtime.progress import MinuteLines, duration

EVERY_S = 1.0


class Progress:
    """Show within a with block how much of its time a search has spent, and what it has found.

    A bar on a terminal, about a line per minute elsewhere.

    Parameters
    ----------
    spent_s, budget_s
        Seconds that were spent before, and in all.
    found
        Returns what was found up to now, in a few words.
    """

    def __init__(self, spent_s: float, budget_s: float, found: Callable[[], str]):
        self._found, self._budget_s = found, budget_s
        self._end = time.monotonic() + budget_s - spent_s
        self._shown = 0.0
        self._bar = tqdm(
            total=round(budget_s),
            initial=round(spent_s),
            desc="tune",
            bar_format="{desc} {percentage:3.0f}%|{bar}|{postfix}",
            disable=None,  # off when not a terminal
        )
        in_lines = not sys.stderr.isatty()
        self._lines = MinuteLines(lambda: f"tune: {self._state()}") if in_lines else nullcontext()

    def __enter__(self) -> Progress:
        self._lines.__enter__()
        return self

    def __exit__(self, *error) -> None:
        self._lines.__exit__(*error)
        self._bar.close()

    def show(self) -> None:
        """Bring the bar up to date, if that was a while ago."""
        if self._bar.disable or time.monotonic() - self._shown < EVERY_S:
            return
        self._shown = time.monotonic()
        self._bar.n = min(self._bar.total, round(self._budget_s - (self._end - time.monotonic())))
        self._bar.set_postfix_str(self._state())

    def _state(self) -> str:
        return f"{self._found()}, {duration(self._end - time.monotonic())} left"

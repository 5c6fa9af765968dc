"""A limit of the time that one label may take, in a process that does nothing else.

First an exception is raised where the calculator is, which also ends a program that it called. What does not
answer, as code in C that never comes back, is ended with its process.
"""

from __future__ import annotations

import faulthandler
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from ase.calculators.calculator import CalculationFailed

#: Seconds that a calculator has to answer the exception.
GRACE_S = 2.0


class TookLonger(CalculationFailed):
    """A label took longer than it may."""


def took_longer(seconds: float) -> str:
    """Return why there is no label."""
    return f"took longer than {seconds:g} s"


@contextmanager
def at_most(seconds: float | None) -> Iterator[None]:
    """Raise `TookLonger` if the block takes longer, and soon after end the process; None: no limit.

    It is for the main thread of a process that can be spared.
    """
    if seconds is None:
        yield
        return
    with open(os.devnull, "w") as nowhere:
        # a thread of C, which needs no turn of Python
        faulthandler.dump_traceback_later(seconds + GRACE_S, exit=True, file=nowhere)
        try:
            with _alarm(seconds):
                yield
        finally:
            faulthandler.cancel_dump_traceback_later()


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    if not hasattr(signal, "setitimer"):  # Windows
        yield
        return

    def late(*_) -> None:
        raise TookLonger(took_longer(seconds))

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

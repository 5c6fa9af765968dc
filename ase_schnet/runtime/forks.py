"""Objects that are repaired in a forked process."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class Repairable(Protocol):
    """Describe an object that other threads may be using at the moment of a fork."""

    def repair_after_fork(self) -> None:
        """Leave the state that a thread of the parent process had begun to change."""


_alive: weakref.WeakSet[Repairable] = weakref.WeakSet()


def repair_when_forked(item: Repairable) -> None:
    """Call ``item.repair_after_fork()`` in every process that is forked from now on."""
    _alive.add(item)


def _repair() -> None:
    for item in list(_alive):
        item.repair_after_fork()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_repair)

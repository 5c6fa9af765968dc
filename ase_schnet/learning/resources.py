"""Who does the work of a learning, which decides nothing about its outcome."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from ase_schnet.arguments import positive, whole
from ase_schnet.labelling.label import NO_LIMIT
from ase_schnet.runtime.progress import say


@dataclass(frozen=True)
class Resources:
    """Hold who labels and fits, the longest time of a label, whether to retry failed ones, whom to tell.

    Raises
    ------
    ValueError
        For no processes, no time, or a limit of time for an executor, which knows none.
    """

    jobs: int | None = None
    executor: Executor | None = None
    take_over: bool = False
    tell: Callable[[str], None] = say
    time_limit_s: float | None = None
    retry_failed: bool = False

    def __post_init__(self):
        if self.executor is not None and self.time_limit_s is not None:
            raise ValueError(NO_LIMIT)
        if self.jobs is not None:
            whole("jobs", self.jobs, 1)
        if self.time_limit_s is not None:
            positive("time_limit_s", self.time_limit_s)

    @property
    def workers(self) -> dict[str, Any]:
        """Return who labels and fits, as arguments of the functions that do."""
        return {"jobs": self.jobs, "executor": self.executor, "take_over": self.take_over}

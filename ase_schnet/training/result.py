"""How a fit ends: with a result, or because it diverged."""

from __future__ import annotations

from dataclasses import dataclass

from ase_schnet.model.potential import Potential
from ase_schnet.training.metrics import Metrics


class TrainingDiverged(RuntimeError):
    """The loss is not a finite number any more, or a thousand times what it was."""


@dataclass(frozen=True, eq=False)
class FitResult:
    """Hold the averaged weights, their epoch, and how the fit went."""

    potential: Potential
    epoch: int
    validation: Metrics
    history: list[dict]
    stopped_early: bool

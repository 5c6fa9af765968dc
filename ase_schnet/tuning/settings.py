"""What a search is asked for: its space, and how long and on how many folds a trial is trained."""

from __future__ import annotations

from dataclasses import dataclass

from ase_schnet.arguments import whole
from ase_schnet.tuning.space import SearchSpace


@dataclass(frozen=True)
class TuneSettings:
    """Hold what is asked of a search.

    Attributes
    ----------
    space
        What is varied; None: `SearchSpace.around` what is to be trained.
    share
        Epochs of a trial over those of the training that the search is for. The learning rate falls to zero
        within a trial.
    trial_folds
        Folds that each trial is trained and judged on. More tell better points from lucky ones, and cost as
        much more. A trial can end early in its first fold alone.
    seed
        Of the points that are tried.

    Raises
    ------
    ValueError
        For impossible values.
    """

    space: SearchSpace | None = None
    share: float = 0.2
    trial_folds: int = 1
    seed: int = 0

    def __post_init__(self):
        if not 0 < self.share <= 1:
            raise ValueError(f"share must be above 0 and at most 1, not {self.share}")
        whole("trial_folds", self.trial_folds, 1)
        whole("seed", self.seed, 0)

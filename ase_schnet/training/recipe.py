"""What decides, besides the data, which ensemble comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import FoldPlan
from ase_schnet.model.schnet import SchNetConfig
from ase_schnet.training.electrons import settled_electrons
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit


class Augment(Protocol):
    """More structures for the members' training (see `ase_schnet.augment`)."""

    def __call__(self, dataset: Dataset, training: np.ndarray) -> Dataset | None:
        """Structures made from those of `dataset` with the indices `training`, and from no others."""

    def to_dict(self) -> dict:
        """Plain types, for the card."""


@dataclass(frozen=True)
class Recipe:
    """Everything besides the data that decides what comes out.

    charge, multiplicity : of the structures, for the card; None: see `settled_electrons`.
    """

    config: SchNetConfig
    weights: LossWeights
    settings: FitSettings
    plan: FoldPlan
    device: str = "cpu"
    augment: Augment | None = None
    charge: int | str | None = None
    multiplicity: int | str | None = None

    @property
    def n_folds(self) -> int:
        """Members of the ensemble."""
        return len(self.plan.folds)

    def to_dict(self) -> dict:
        """Plain types, ready for JSON; the network's shape has its own place in the card."""
        return {
            "loss": self.weights.to_dict(),
            "settings": self.settings.to_dict(),
            "charge": self.charge,
            "multiplicity": self.multiplicity,
            "kept_out": self.plan.kept_out.tolist(),
            "folds": [fold.tolist() for fold in self.plan.folds],
            **({} if self.augment is None else {"augmentation": self.augment.to_dict()}),
        }

    def settled(self, dataset: Dataset) -> Recipe:
        """This recipe with weights that suit the labels of `dataset`, which every part must have.

        Raises ValueError for labels that a term with weight lacks, what the augmentation raises, and what
        `settled_electrons` does.
        """
        charge, multiplicity = settled_electrons(dataset, self.charge, self.multiplicity)
        weights = self.weights.settled(dataset)
        recipe = replace(self, weights=weights, charge=charge, multiplicity=multiplicity)
        recipe.weights.require(dataset.subset(self.plan.kept_out), "kept-out")
        for fold in range(self.n_folds):
            training = dataset.subset(self.plan.training(fold))
            recipe.weights.settled(training).require(training, "training")
            recipe.weights.require(dataset.subset(self.plan.validation(fold)), "validation")
        if self.augment is not None:  # better now than in a worker, with a directory begun
            self.augment(dataset, self.plan.training(0))
        return recipe

    def seed(self, fold: int, attempt: int = 0) -> int:
        """Seed of member `fold`; no two members and attempts of an ensemble share one."""
        return self.settings.seed + fold + attempt * self.n_folds

    def fit(self, dataset: Dataset, fold: int, attempt: int = 0, kind: type[Fit] = Fit) -> Fit:
        """Member `fold`, counted from 0, ready to run."""
        training = self.plan.training(fold)
        return kind(
            self.config,
            dataset.subset(training),
            dataset.subset(self.plan.validation(fold)),
            self.weights,
            replace(self.settings, seed=self.seed(fold, attempt)),
            self.device,
            None if self.augment is None else self.augment(dataset, training),
        )

"""What decides, besides the data, which ensemble comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import FoldPlan
from ase_schnet.deprecation import renamed
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.trained_model import UNSPECIFIED
from ase_schnet.training.electrons import settled_electrons, stating
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import Start
from ase_schnet.training.stored import StoredDataset
from ase_schnet.training.trainer import Fit


class Augment(Protocol):
    """Make more structures for the training of each member (see `ase_schnet.augment`)."""

    def __call__(self, dataset: Dataset, training: NDArray, fold: int) -> Dataset | None:
        """Return structures for member `fold` made from those with the indices `training` alone."""

    def to_dict(self) -> dict:
        """Return plain types, for the card."""
        ...


def _kind_of(device: str) -> str:
    """Return "cpu" or "cuda"; ValueError for a name of anything else."""
    try:
        kind = torch.device(device).type
    except RuntimeError:
        kind = None
    if kind not in ("cpu", "cuda"):
        raise ValueError(f"device must be 'cpu', 'cuda' or 'cuda:1', got {device!r}")
    return kind


@dataclass(frozen=True, eq=False)
class Recipe:
    """Hold everything besides the data that decides what comes out.

    Attributes
    ----------
    config
        Shape of the network.
    weights
        The loss and the weights of its terms.
    settings
        How each member is fitted.
    plan
        The folds and the kept-out part, as indices of the structures.
    device
        "cpu" or the name of a GPU, as torch says it.
    augment
        More structures for the training of each member, or None.
    charge, multiplicity
        Of the structures, for the card; None: see `settled_electrons`.
    start
        The model that the members start from, of the same shape; None: random weights.
    level_of_theory
        Of the labels, for the card, such as "PBE/def2-SVP".
    baseline
        Method to which the labels are the difference, such as "gfn2-xtb"; None: they are whole.

    Raises
    ------
    ValueError
        If `config` is not the shape of the model in `start`, or `baseline` not its baseline.
    """

    config: SchNetConfig
    weights: LossWeights
    settings: FitSettings
    plan: FoldPlan
    device: str = "cpu"
    augment: Augment | None = None
    charge: int | str | None = None
    multiplicity: int | str | None = None
    start: Start | None = None
    level_of_theory: str = UNSPECIFIED
    baseline: str | None = None

    def __post_init__(self):
        _kind_of(self.device)
        if self.start is not None and self.config != self.start.config:
            raise ValueError(f"the network must have the shape of that in {self.start.name}")
        if self.start is not None and self.baseline != self.start.model.baseline:
            holds = self.start.model.baseline or "no baseline"
            raise ValueError(
                f"{self.start.name} was trained with {holds}, and cannot be the start of a training with "
                f"{self.baseline or 'no baseline'}: whole energies and differences are other functions"
            )

    def require_device(self) -> None:
        """Raise ValueError if it is to be trained on a GPU that torch does not find here."""
        if _kind_of(self.device) == "cuda" and not torch.cuda.is_available():
            raise ValueError(
                f"device={self.device!r}, but torch finds no GPU here: train with device='cpu'"
            )

    @property
    def n_folds(self) -> int:
        """Number of members of the ensemble."""
        return len(self.plan.folds)

    @property
    def seen_before(self) -> str | None:
        """Return the structures that the model in `start` has seen with such labels; see `Start.seen`."""
        return None if self.start is None else self.start.seen(self.level_of_theory)

    def to_dict(self) -> dict:
        """Return plain types, ready for JSON; the shape of the network has its own place in the card."""
        return {
            "loss": self.weights.to_dict(),
            "settings": self.settings.to_dict(),
            "charge": self.charge,
            "multiplicity": self.multiplicity,
            "kept_out": self.plan.kept_out.tolist(),
            "folds": [fold.tolist() for fold in self.plan.folds],
            **({} if self.augment is None else {"augmentation": self.augment.to_dict()}),
            **({} if self.start is None else {"start": self.start.to_dict()}),
            "level_of_theory": self.level_of_theory,
            **({} if self.baseline is None else {"baseline": self.baseline}),
        }

    def require_trainable(self, dataset: Dataset) -> None:
        """Raise ValueError unless the folds are those of `dataset` and train every member on all elements.

        A member knows nothing of an element that is in no structure of its training part, not even the energy
        of its atoms, and the model would count it among those that it knows. Elements of the model that the
        members start from are known.
        """
        self.plan.require_whole(len(dataset))
        elements = np.array(dataset.elements)
        known = np.isin(elements, [] if self.start is None else self.start.model.elements)
        has = dataset.compositions()[:, elements] > 0  # (S, E)
        for fold in range(self.n_folds):
            missing = np.flatnonzero(~has[self.plan.training(fold)].any(axis=0) & ~known)
            if len(missing):
                symbol, n = chemical_symbols[elements[missing[0]]], int(has[:, missing[0]].sum())
                raise ValueError(
                    f"{symbol} is in {n} of {len(dataset)} structures, and in none that member {fold + 1} is "
                    f"trained on: add structures with {symbol} or leave these out; if there are several, "
                    "another seed may divide them better"
                )

    def with_defaults_for(self, dataset: Dataset) -> Recipe:
        """Return this recipe with all that was left open decided by the labels of `dataset`.

        Raises
        ------
        ValueError
            If a term with weight has no labels in the data or, of stress, in the training part of a fold;
            and what `settled_electrons` raises.
        """
        charge, multiplicity = settled_electrons(dataset, self.charge, self.multiplicity)
        weights = self.weights.with_defaults_for(dataset)
        weights.require(dataset, "data")
        for fold in range(self.n_folds):
            weights.require_stress(dataset, self.plan.training(fold))
        return replace(self, weights=weights, charge=charge, multiplicity=multiplicity)

    settled = renamed(with_defaults_for, "Recipe.settled", "Recipe.with_defaults_for")

    def seed(self, fold: int, attempt: int = 0) -> int:
        """Return the seed of member `fold`; no two members and attempts of an ensemble share one."""
        return self.settings.seed + fold + attempt * self.n_folds

    def augmented(self, dataset: Dataset, training: NDArray, fold: int) -> Dataset | None:
        """Return what is made of the structures ``training`` for a fold; None if nothing is."""
        if self.augment is None:
            return None
        return self.augment(stating(dataset, self.charge, self.multiplicity), training, fold)

    def fit(
        self,
        data: Dataset | StoredDataset,
        fold: int,
        attempt: int = 0,
        kind: type[Fit] = Fit,
    ) -> Fit:
        """Return the fit of one member, ready to run.

        Parameters
        ----------
        data
            All structures; the fit takes its part.
        fold
            Counted from 0.
        attempt
            Counted from 0; another one has another seed.
        kind
            A fit of one process or of several.
        """
        training = self.plan.training(fold)
        augmented = None
        if self.augment is not None:
            whole = data.read() if isinstance(data, StoredDataset) else data
            augmented = self.augmented(whole, training, fold)
        return kind(
            self.config,
            data.subset(training),
            data.subset(self.plan.validation(fold)),
            self.weights,
            replace(self.settings, seed=self.seed(fold, attempt)),
            self.device,
            augmented,
            None if self.start is None else self.start.of_member(fold),
        )

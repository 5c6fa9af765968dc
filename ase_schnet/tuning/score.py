"""The number that trials are compared by.

The loss will not do: its weights are searched too, and losses with other weights are other functions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ase_schnet.data.dataset import Dataset
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.verdict import label_spreads

#: Validation errors in the records of a fit; label_spreads has the same units.
COLUMNS = {
    "energy": "energy_mae_meV_per_atom",
    "forces": "forces_mae_meV_per_Ang",
    "stress": "stress_mae_meV_per_Ang3",
}
SMALLEST = 1e-12  # an error of zero has no logarithm


@dataclass(frozen=True)
class Score:
    """Compute the geometric mean of the validation errors, each over the spread of its labels.

    A tenth less of one error counts as much as a tenth less of another, in any units.

    Attributes
    ----------
    spreads
        RMS of the labels about the simplest guess, in meV/atom, meV/Å and meV/Å³, of what is learnt.
    """

    spreads: Mapping[str, float]

    @classmethod
    def of(cls, dataset: Dataset, weights: LossWeights) -> Score:
        """Return the score for a training.

        Parameters
        ----------
        dataset
            Its structures.
        weights
            Of its loss, all of them decided.

        Raises
        ------
        ValueError
            If the labels of all that is learnt are equal.
        """
        learnt = {name: getattr(weights, name) > 0 for name in COLUMNS}
        spreads = {k: v for k, v in label_spreads(dataset).items() if learnt[k] and v > 0}
        if not spreads:
            raise ValueError("all labels are equal: there is nothing to tune for")
        return cls(spreads)

    def errors(self, record: Mapping[str, float]) -> dict[str, float]:
        """Return the validation errors of an epoch, with their units in their names."""
        return {COLUMNS[name]: record[f"validation_{COLUMNS[name]}"] for name in self.spreads}

    def __call__(self, record: Mapping[str, float]) -> float:
        """Return the score of an epoch, from its record in the history of a fit."""
        return geometric_mean(
            [record[f"validation_{COLUMNS[name]}"] / by for name, by in self.spreads.items()]
        )


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean of values that are at least 0."""
    return math.exp(sum(math.log(max(value, SMALLEST)) for value in values) / len(values))

"""Divide structures into folds for the ensemble, and a part kept out of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.seen import structure_hashes
from ase_schnet.uncertainty.bars import LEVEL
from ase_schnet.uncertainty.conformal import structures_needed


@dataclass(frozen=True, eq=False)
class FoldPlan:
    """Hold k folds and one kept-out part; together they contain every structure once.

    Member f of the ensemble is validated on fold f and trained on the others. No member sees the kept-out
    part, which tests the ensemble.

    Attributes
    ----------
    folds
        Numbers of the structures in each fold.
    kept_out
        Numbers of the structures that are kept out.
    """

    folds: tuple[NDArray, ...]
    kept_out: NDArray

    def validation(self, fold: int) -> NDArray:
        """Return the numbers of the structures that validate member `fold`."""
        return self.folds[fold]

    def training(self, fold: int) -> NDArray:
        """Return the numbers of the structures that train member `fold`."""
        fold = range(len(self.folds))[fold]  # as lists count, from the end too
        return np.concatenate([f for k, f in enumerate(self.folds) if k != fold])

    def restricted(self, kept: NDArray) -> FoldPlan:
        """Return the plan of the structures `kept` (K,) alone, in their numbering."""
        *folds, kept_out = (
            np.flatnonzero(np.isin(kept, part)) for part in (*self.folds, self.kept_out)
        )
        return FoldPlan(tuple(folds), kept_out)

    def require_whole(self, n_structures: int) -> None:
        """Raise ValueError unless every part holds structures, and all parts each of `n_structures` once."""
        parts = (*self.folds, self.kept_out)
        if len(self.folds) < 2 or not all(len(part) for part in parts):
            raise ValueError(
                "a training needs at least two folds and a kept-out part, with structures in each; these are "
                f"{len(self.folds)} folds of {', '.join(str(len(fold)) for fold in self.folds)} structures, "
                f"and {len(self.kept_out)} kept out"
            )
        if not np.array_equal(np.sort(np.concatenate(parts)), np.arange(n_structures)):
            raise ValueError(
                f"the folds and the kept-out part do not hold each of the {n_structures} structures once: "
                "make them for these structures, as with plan_folds(len(dataset), ...)"
            )

    def divided(self, twins: NDArray) -> int:
        """Count the structures that have a twin in another part; `twins` as `twins_of` returns them."""
        part = np.full(len(twins), -1)
        for k, members in enumerate((*self.folds, self.kept_out)):
            part[members] = k
        return int((part != part[twins]).sum())


def twins_of(dataset: Dataset) -> NDArray:
    """Return for each structure the first one that is the same to a network, (S,) int.

    For the first one this is its own number. A molecule is the same wherever it lies, turned, mirrored, in
    any order of its atoms, and with coordinates that were rounded, as in two files; a crystal wherever its
    atoms lie in the same cell. See `structure_hashes`. Labels are not compared.
    """
    _, first, number = np.unique(structure_hashes(dataset), return_index=True, return_inverse=True)
    return first[number]


def default_kept_out(n_structures: int) -> int:
    """Return how many structures to keep out of a training by default: 5 %.

    Of small data sets nine, which error bars of 90 % need, where that is no more than a tenth.
    """
    share, needed = round(0.05 * n_structures), structures_needed(LEVEL)
    return max(share, needed) if n_structures >= 10 * needed else share


def plan_folds(
    n_structures: int,
    n_folds: int = 5,
    *,
    n_kept_out: int,
    seed: int = 0,
    contiguous: bool = False,
    twins: NDArray | None = None,
) -> FoldPlan:
    """Divide structures 0..n-1 into `n_folds` folds after keeping `n_kept_out` of them out.

    Parameters
    ----------
    n_structures
        Size of the data set.
    n_folds
        Number of folds, at least 2.
    n_kept_out
        Number of structures that no member sees, at least 1.
    seed
        Of the random division.
    contiguous
        Make blocks of consecutive frames, the last one kept out, in place of a random division. In one
        trajectory neighbours in time are alike, and errors after a random division are too small.
    twins
        What `twins_of` returns for the data set. Structures that are the same go to one part
        together: otherwise a member would be tested on what it was trained on. Parts then differ in size.

    Raises
    ------
    ValueError
        For fewer than two folds, nothing kept out, or fewer (different) structures than folds.
    """
    if twins is not None and len(np.unique(twins)) < n_structures:
        return _plan_with_twins(np.asarray(twins), n_folds, n_kept_out, seed, contiguous)
    if n_folds < 2:
        raise ValueError(f"an ensemble needs at least 2 folds, got {n_folds}")
    if n_kept_out < 1:
        raise ValueError(
            f"at least one structure must be kept out to test the ensemble, not {n_kept_out} of "
            f"{n_structures}: give more structures, or a larger kept_out"
        )
    n_rest = n_structures - n_kept_out
    if n_rest < n_folds:
        raise ValueError(
            f"{n_structures} structures are too few for {n_folds} folds and {n_kept_out} kept out"
        )
    order = np.arange(n_structures)
    if not contiguous:
        order = np.random.default_rng(seed).permutation(n_structures)
    rest, kept_out = order[:n_rest], order[n_rest:]
    folds = tuple(np.sort(part) for part in np.array_split(rest, n_folds))
    return FoldPlan(folds, np.sort(kept_out))


def _plan_with_twins(
    twins: NDArray, n_folds: int, n_kept_out: int, seed: int, contiguous: bool
) -> FoldPlan:
    """Return a plan of the different structures, each together with all of its twins."""
    n, (different, number) = len(twins), np.unique(twins, return_inverse=True)
    kept_out = max(1, round(n_kept_out * len(different) / n))
    if len(different) - kept_out < n_folds:
        raise ValueError(
            f"only {len(different)} of {n} structures differ from each other, too few for {n_folds} folds "
            f"and {kept_out} kept out"
        )
    plan = plan_folds(
        len(different), n_folds, n_kept_out=kept_out, seed=seed, contiguous=contiguous
    )
    folds = tuple(np.flatnonzero(np.isin(number, fold)) for fold in plan.folds)
    return FoldPlan(folds, np.flatnonzero(np.isin(number, plan.kept_out)))


def random_split(n_structures: int, n_validation: int, seed: int = 0) -> tuple[NDArray, NDArray]:
    """Return the numbers of the structures (training, validation) of one random split."""
    if not 0 < n_validation < n_structures:
        raise ValueError(f"cannot take {n_validation} of {n_structures} structures for validation")
    order = np.random.default_rng(seed).permutation(n_structures)
    return np.sort(order[n_validation:]), np.sort(order[:n_validation])

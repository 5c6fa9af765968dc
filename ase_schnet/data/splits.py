"""Which structures train, which judge: folds for the ensemble and the part kept out of all of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn.model_selection import KFold


@dataclass(frozen=True)
class FoldPlan:
    """k folds and one kept-out part; together they hold every structure once.

    Member f of the ensemble is validated on fold f and trained on the others. The kept-out part is seen
    by no member and judges the ensemble.
    """

    folds: tuple[np.ndarray, ...]
    kept_out: np.ndarray

    def validation(self, fold: int) -> np.ndarray:
        """Structure indices that validate member `fold`."""
        return self.folds[fold]

    def training(self, fold: int) -> np.ndarray:
        """Structure indices that train member `fold`."""
        return np.concatenate([f for k, f in enumerate(self.folds) if k != fold])


def plan_folds(
    n_structures: int,
    n_folds: int = 5,
    *,
    n_kept_out: int,
    seed: int = 0,
    contiguous: bool = False,
) -> FoldPlan:
    """Divide structures 0..n-1 into `n_folds` folds after keeping `n_kept_out` of them out.

    Random by default. For frames of one trajectory, neighbours in time look alike and a random split
    flatters the model: `contiguous=True` cuts blocks of consecutive frames, the last one kept out.

    Raises
    ------
    ValueError : fewer than two folds, nothing kept out, or fewer structures than folds.
    """
    if n_folds < 2:
        raise ValueError(f"an ensemble needs at least 2 folds, got {n_folds}")
    if n_kept_out < 1:
        raise ValueError(f"at least one structure must be kept out, got {n_kept_out}")
    n_rest = n_structures - n_kept_out
    if n_rest < n_folds:
        raise ValueError(
            f"{n_structures} structures are too few for {n_folds} folds and {n_kept_out} kept out"
        )
    order = np.arange(n_structures)
    if not contiguous:
        order = np.random.default_rng(seed).permutation(n_structures)
    rest, kept_out = order[:n_rest], order[n_rest:]
    folds = tuple(np.sort(rest[part]) for _, part in KFold(n_folds).split(rest))
    return FoldPlan(folds, np.sort(kept_out))


def random_split(
    n_structures: int, n_validation: int, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Indices (training, validation) of one random split."""
    if not 0 < n_validation < n_structures:
        raise ValueError(f"cannot take {n_validation} of {n_structures} structures for validation")
    order = np.random.default_rng(seed).permutation(n_structures)
    return np.sort(order[n_validation:]), np.sort(order[:n_validation])

"""Separate augmented structures of a data set from true ones.

An augmented structure may only train, and only beside the structure that it was made from: one that was made
from a validation structure would give its answer away.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset


@dataclass(frozen=True, eq=False)
class GivenStructures:
    """Hold augmented structures that were read from files.

    Attributes
    ----------
    structures
        The K augmented structures.
    originals
        (K,) numbers of the true structures that they were made from.
    rule
        Names of the rules that labelled them.
    """

    structures: Dataset
    originals: NDArray
    rule: str

    def __call__(self, dataset: Dataset, training: NDArray, fold: int = 0) -> Dataset | None:
        """Return the structures made from those with the indices `training`; None if there are none."""
        chosen = np.flatnonzero(np.isin(self.originals, training))
        return self.structures.subset(chosen) if len(chosen) else None

    def to_dict(self) -> dict:
        """Return plain types for the model card."""
        return {"rule": self.rule, "n_structures": len(self.structures), "moves": "from a file"}


def true_structures(dataset: Dataset) -> NDArray:
    """Return the numbers of the structures of `dataset` that are not augmented."""
    if dataset.augmented is None:
        return np.arange(len(dataset))
    return np.flatnonzero(dataset.augmented == "")


def separate_augmented(dataset: Dataset) -> tuple[Dataset, GivenStructures | None]:
    """Return the true structures, and the augmented ones made from them; None if there are none of these.

    Raises
    ------
    ValueError
        If all structures are augmented.

    Warns
    -----
    UserWarning
        If the originals of augmented structures are missing. Such structures are left out, because nobody
        knows beside which structures they may train.
    """
    if dataset.augmented is None:
        return dataset, None
    true = true_structures(dataset)
    if not len(true):
        raise ValueError("all structures are augmented: give their originals too")
    found = _originals(dataset)
    known = np.flatnonzero(found >= 0)
    missing = len(dataset) - len(true) - len(known)
    if missing:
        warnings.warn(
            f"{missing} augmented structures are left out: their originals are not in the data",
            stacklevel=2,
        )
    if not len(known):
        return _unmarked(dataset.subset(true)), None
    originals = np.searchsorted(true, found[known])
    rule = ", ".join(sorted(set(dataset.augmented[known].tolist())))
    given = replace(_unmarked(dataset.subset(known)), source="augmented frames of the files")
    return _unmarked(dataset.subset(true)), GivenStructures(given, originals, rule)


def _originals(dataset: Dataset) -> NDArray:
    """Return the number of the structure that each augmented one was made from, (S,); -1 for all others.

    Names of originals are those of files, and files of different folders may have one name. An original
    stands before what is made from it, so the last one of its name before a structure is meant.
    """
    named: dict[str, list[int]] = {}
    for s in np.flatnonzero((dataset.augmented == "") & (dataset.frame_id != "")).tolist():
        named.setdefault(str(dataset.frame_id[s]), []).append(s)
    found = np.full(len(dataset), -1)
    for s in np.flatnonzero(dataset.augmented != "").tolist():
        if places := named.get(str(dataset.augmented_from[s])):
            found[s] = max((k for k in places if k < s), default=places[0])
    return found


def _unmarked(dataset: Dataset) -> Dataset:
    """Return the data set as it would have been packed alone: no marks, and no weights or masks of ones."""
    weight, mask = dataset.weight, dataset.force_mask
    return replace(
        dataset,
        augmented=None,
        augmented_from=None,
        frame_id=None,
        weight=None if weight is None or (weight == 1).all() else weight,
        force_mask=None if mask is None or mask.all() else mask,
    )

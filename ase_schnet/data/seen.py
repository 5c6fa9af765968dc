"""Which structures a model has seen: short hashes in its card, held against those of other data.

A model judged on structures that its members were trained on looks better than it is, and intervals fitted
to them are too narrow.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset

#: Decimals of Å to which lengths are compared. Files round positions; few atoms have few lengths to tell them
#: apart by.
DECIMALS, DECIMALS_OF_FEW, FEW = 3, 5, 5


def structure_hashes(dataset: Dataset) -> NDArray:
    """Return 64 bits for each structure, (S,) uint64: equal structures have equal ones, whatever the file.

    A molecule is told by the distances of its atoms of each element from their centre, wherever it lies,
    however it is turned, and in any order of its atoms. A periodic structure is told by its cell and the
    positions of its atoms about the first of them. Labels are not looked at.
    """
    hashes = np.empty(len(dataset), dtype="<u8")
    for s in range(len(dataset)):
        atoms = slice(dataset.ptr[s], dataset.ptr[s + 1])
        numbers, positions = dataset.Z[atoms], dataset.R[atoms]
        if dataset.pbc[s].any():
            lengths = np.concatenate([dataset.cells[s], positions - positions[0]])
        else:
            lengths = np.linalg.norm(positions - positions.mean(axis=0), axis=1)
            order = np.lexsort((lengths, numbers))
            numbers, lengths = numbers[order], lengths[order]
        decimals = DECIMALS if len(numbers) > FEW else DECIMALS_OF_FEW
        digest = hashlib.sha256(numbers.astype("<i8").tobytes() + dataset.pbc[s].tobytes())
        # + 0.0: there is a negative zero
        digest.update((np.round(lengths, decimals) + 0.0).astype("<f8").tobytes())
        hashes[s] = int.from_bytes(digest.digest()[:8], "little")
    return hashes


def seen_entry(dataset: Dataset, kept_out: NDArray, before: str | None = None) -> str:
    """Return what a card keeps of the structures that members saw: all but the numbers `kept_out` (K,).

    `before` is the entry of the model that they started from, if it is known; its structures count too.
    """
    seen = np.ones(len(dataset), bool)
    seen[kept_out] = False
    hashes = np.sort(structure_hashes(dataset)[seen])
    if before is not None:
        hashes = np.union1d(hashes, _hashes(before))
    return base64.b64encode(hashes.tobytes()).decode()


def seen_in_training(card: dict, dataset: Dataset) -> NDArray | None:
    """Return which structures a member of the model was trained on or validated with, (S,) bool.

    None: the card does not know, as those of version 0.1 and of models from elsewhere.

    Parameters
    ----------
    card
        Of the model.
    dataset
        The structures.

    Raises
    ------
    ValueError
        The entry of the card is damaged.
    """
    entry = card.get("training", {}).get("seen")
    return None if entry is None else is_seen(entry, dataset)


def is_seen(entry: str, dataset: Dataset) -> NDArray:
    """Return which structures are among those of an entry of `seen_entry`, (S,) bool."""
    return np.isin(structure_hashes(dataset), _hashes(entry))


def _hashes(entry: str) -> NDArray:
    try:
        return np.frombuffer(base64.b64decode(entry, validate=True), dtype="<u8")
    except (binascii.Error, TypeError, ValueError):
        raise ValueError(
            "the card is damaged or edited: training.seen is no list of hashes"
        ) from None

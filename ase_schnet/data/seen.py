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

#: Decimals of Å to which positions are compared: files round them, to eight at the most.
DECIMALS = 4


def structure_hashes(dataset: Dataset) -> NDArray:
    """Return 64 bits for each structure, (S,) uint64: equal structures have equal ones, whatever the file.

    Equal are structures with the same atoms in the same order at the same places, to 1e-4 Å, about the first
    of them; labels are not looked at.
    """
    hashes = np.empty(len(dataset), dtype="<u8")
    for s in range(len(dataset)):
        atoms = slice(dataset.ptr[s], dataset.ptr[s + 1])
        positions = dataset.R[atoms] - dataset.R[dataset.ptr[s]]
        digest = hashlib.sha256(dataset.Z[atoms].astype("<i8").tobytes())
        for lengths in (positions, dataset.cells[s] if dataset.pbc[s].any() else positions[:0]):
            # + 0.0: there is a negative zero
            digest.update((np.round(lengths, DECIMALS) + 0.0).astype("<f8").tobytes())
        digest.update(dataset.pbc[s].tobytes())
        hashes[s] = int.from_bytes(digest.digest()[:8], "little")
    return hashes


def seen_entry(dataset: Dataset, kept_out: NDArray) -> str:
    """Return what a card keeps of the structures that members saw: all but the numbers `kept_out` (K,)."""
    seen = np.ones(len(dataset), bool)
    seen[kept_out] = False
    return base64.b64encode(np.sort(structure_hashes(dataset)[seen]).tobytes()).decode()


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
    if entry is None:
        return None
    try:
        seen = np.frombuffer(base64.b64decode(entry, validate=True), dtype="<u8")
    except (binascii.Error, TypeError, ValueError):
        raise ValueError(
            "the card is damaged or edited: training.seen is no list of hashes"
        ) from None
    return np.isin(structure_hashes(dataset), seen)

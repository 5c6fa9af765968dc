"""Batches of tensors, from pairs that are found once for the whole data set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray
from torch import Tensor

from ase_schnet.data.dataset import Dataset, concatenated_ranges
from ase_schnet.data.pairs import distance_range, pair_blocks
from ase_schnet.model.batch import AtomsBatch
from ase_schnet.model.tabulated import FilterGrid
from ase_schnet.schnet_config import SchNetConfig


class Labels(NamedTuple):
    """Hold the reference values of a batch; None where there are no labels.

    Attributes
    ----------
    E
        Energies (S,) in eV, float64.
    F
        Forces (N, 3) in eV/Å.
    stress
        (S, 3, 3) in eV/Å³; NaN where a structure has no label.
    weight
        Of the structures in the loss, (S,); None: 1.
    force_mask
        Components of F that are labels, (N, 3) bool; None: all.
    """

    E: Tensor | None
    F: Tensor | None
    stress: Tensor | None = None
    weight: Tensor | None = None
    force_mask: Tensor | None = None


class Source(ABC):
    """Make batches of a data set.

    Attributes
    ----------
    dataset
        The structures with their labels.
    """

    dataset: Dataset

    def __len__(self) -> int:
        return len(self.dataset)

    @abstractmethod
    def batch(self, structures: NDArray) -> tuple[AtomsBatch, Labels]:
        """Return the structures with the indices `structures` as one batch, with their labels."""

    def epoch(
        self, batch_size: int, order: NDArray | None = None
    ) -> Iterator[tuple[AtomsBatch, Labels]]:
        """Yield batches that contain every structure once, in the given order."""
        order = np.arange(len(self)) if order is None else order
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size])


class BatchSource(Source):
    """Make batches of a data set as tensors of one dtype on one device; its pairs are found once.

    Parameters
    ----------
    dataset
        The structures with their labels.
    cutoff
        Largest distance of a pair, Å.
    dtype, device
        Of the tensors; energies are float64 always.
    """

    def __init__(self, dataset: Dataset, cutoff: float, dtype: torch.dtype, device: str = "cpu"):
        self.dataset, self.dtype, self.device = dataset, dtype, device
        pairs = _stored_pairs(dataset, cutoff)
        self._n_pairs, self._idx_i, self._idx_j, self._shifts = pairs
        self._pair_start = self._n_pairs.cumsum() - self._n_pairs
        self._volumes = dataset.volumes

    def batch(self, structures: NDArray) -> tuple[AtomsBatch, Labels]:
        """Return the structures with the indices `structures` as one batch, with their labels."""
        data = self.dataset
        n_atoms, n_pairs = data.n_atoms[structures], self._n_pairs[structures]
        atoms = concatenated_ranges(data.ptr[structures], n_atoms)
        pairs = concatenated_ranges(self._pair_start[structures], n_pairs)
        first_atom = np.repeat(n_atoms.cumsum() - n_atoms, n_pairs)
        batch = AtomsBatch(
            Z=self._tensor(data.Z[atoms]),
            R=self._tensor(data.R[atoms], self.dtype),
            idx_i=self._tensor(self._idx_i[pairs] + first_atom),
            idx_j=self._tensor(self._idx_j[pairs] + first_atom),
            shifts=torch.zeros(len(pairs), 3, dtype=self.dtype, device=self.device)
            if self._shifts is None
            else self._tensor(self._shifts[pairs], self.dtype),
            idx_m=self._tensor(np.repeat(np.arange(len(structures)), n_atoms)),
            n_structures=len(structures),
            volumes=self._tensor(self._volumes[structures], self.dtype),
            structures=structures,
        )
        return batch, Labels(
            E=None if data.E is None else self._tensor(data.E[structures], torch.float64),
            F=None if data.F is None else self._tensor(data.F[atoms], self.dtype),
            stress=None
            if data.stress is None
            else self._tensor(voigt_6_to_full_3x3_stress(data.stress[structures]), self.dtype),
            weight=None
            if data.weight is None
            else self._tensor(data.weight[structures], self.dtype),
            force_mask=None if data.force_mask is None else self._tensor(data.force_mask[atoms]),
        )

    def _tensor(self, array: NDArray, dtype: torch.dtype | None = None) -> Tensor:
        return torch.as_tensor(array, dtype=dtype).to(self.device)


def _stored_pairs(
    dataset: Dataset, cutoff: float
) -> tuple[NDArray, NDArray, NDArray, NDArray | None]:
    """Return the arrays of `PackedPairs` for a data set: two bytes a pair of small molecules, not forty.

    Numbers of atoms below 256 are bytes, and molecules have no shifts.
    """
    molecules = not dataset.pbc.any()
    number = np.uint8 if dataset.n_atoms.max() <= 256 else np.int64
    data = (dataset.R, dataset.ptr, dataset.cells, dataset.pbc)
    n_pairs, idx_i, idx_j, shifts = [], [], [], []
    for _, pairs in pair_blocks(*data, cutoff):
        n_pairs.append(pairs.n_pairs)
        idx_i.append(pairs.idx_i.astype(number, copy=False))
        idx_j.append(pairs.idx_j.astype(number, copy=False))
        if not molecules:
            shifts.append(pairs.shifts)
    i, j = np.concatenate(idx_i), np.concatenate(idx_j)
    return np.concatenate(n_pairs), i, j, None if molecules else np.concatenate(shifts)


def grid_for(config: SchNetConfig, parts: tuple[Dataset, ...], device: str) -> FilterGrid:
    """Return the grid of the filters from the shortest to the longest distance, Å, in the data."""
    ranges = [distance_range(d.R, d.ptr, d.cells, d.pbc, config.cutoff) for d in parts]
    low, high = zip(*ranges, strict=True)
    return FilterGrid(config, min(low), max(high), device=device)

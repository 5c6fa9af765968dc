"""Batches of data sets with too many pairs for the memory: found for a batch, and then forgotten."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.model.batch import AtomsBatch
from ase_schnet.neighbors import ALL_PAIRS_LIMIT
from ase_schnet.training.batches import BatchSource, Labels, Source

STORED_ATOMS = 200_000
"""Largest number of atoms of a data set for which pairs are kept: a pair list takes 1 to 2 kB per atom
(benchmarks/qm9_memory.md)."""
STORED_ATOMS_OF_SMALL = 2_000_000
"""Likewise of molecules of up to `ALL_PAIRS_LIMIT` atoms, whose list takes at most 64 bytes per atom."""


class StreamingSource(Source):
    """Make the same batches as a `BatchSource`, bit for bit, and find the pairs of each batch anew.

    The parameters are those of :class:`~ase_schnet.training.batches.BatchSource`.
    """

    def __init__(self, dataset: Dataset, cutoff: float, dtype: torch.dtype, device: str = "cpu"):
        self.dataset, self.device = dataset, device
        self._arguments = cutoff, dtype, device

    def batch(self, structures: NDArray) -> tuple[AtomsBatch, Labels]:
        """Return the structures with the indices `structures` as one batch, with their labels."""
        part = self.dataset.subset(structures)
        batch, labels = BatchSource(part, *self._arguments).batch(np.arange(len(part)))
        return batch._replace(structures=structures), labels


def source_of(dataset: Dataset, cutoff: float, dtype: torch.dtype, device: str = "cpu") -> Source:
    """Return a source of batches; pairs are found once if they fit into memory, else batch by batch."""
    small = not dataset.pbc.any() and dataset.n_atoms.max() <= ALL_PAIRS_LIMIT
    most = STORED_ATOMS_OF_SMALL if small else STORED_ATOMS
    kind = BatchSource if len(dataset.Z) <= most else StreamingSource
    return kind(dataset, cutoff, dtype, device)

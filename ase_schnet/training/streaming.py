"""Batches of data sets whose pairs would fill the memory: found when a batch is asked for, and let go."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from ase_schnet.data.dataset import Dataset
from ase_schnet.model.batch import AtomsBatch
from ase_schnet.training.batches import BatchSource, Labels

STORED_ATOMS = 200_000
"""Atoms of a data set beyond which pairs are not kept. In a liquid, with a cutoff of 5 Å, a pair list
takes 1 to 2 kB per atom, so up to 0.4 GB are kept; QM9 has 2.4 million atoms."""


class StreamingSource:
    """The same batches as those of a `BatchSource`, bit for bit, from nothing but the data set itself."""

    def __init__(self, dataset: Dataset, cutoff: float, dtype: torch.dtype, device: str = "cpu"):
        self.dataset, self.device = dataset, device
        self._arguments = cutoff, dtype, device

    def __len__(self) -> int:
        return len(self.dataset)

    def batch(self, structures: np.ndarray) -> tuple[AtomsBatch, Labels]:
        """The structures `structures` as one batch, with their labels."""
        part = self.dataset.subset(structures)
        return BatchSource(part, *self._arguments).batch(np.arange(len(part)))

    def epoch(
        self, batch_size: int, order: np.ndarray | None = None
    ) -> Iterator[tuple[AtomsBatch, Labels]]:
        """Batches that cover every structure once, in the given order."""
        order = np.arange(len(self)) if order is None else order
        for start in range(0, len(order), batch_size):
            yield self.batch(order[start : start + batch_size])


def source_of(
    dataset: Dataset, cutoff: float, dtype: torch.dtype, device: str = "cpu"
) -> BatchSource | StreamingSource:
    """Batches of a data set: with pairs found once for all where they fit, else batch by batch."""
    kind = BatchSource if len(dataset.Z) <= STORED_ATOMS else StreamingSource
    return kind(dataset, cutoff, dtype, device)

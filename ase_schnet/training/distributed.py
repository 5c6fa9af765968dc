"""One fit shared by several processes: `torchrun --nproc-per-node 2 -m ase_schnet train ... --fold 1`.

Every step, each process takes its part of the batch; the gradients are added up and every process makes
the same step. The batch size is that of the whole step, so the fit is, to rounding, the one that a single
process would make, and a checkpoint can be continued by any number of them. The first process validates,
decides and writes; the others hear of it.

torch's DistributedDataParallel averages the processes' losses, which is wrong for parts of unequal size, and
wants to own the forward pass, which here is differentiated twice.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from ase_schnet.model.batch import AtomsBatch
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import Loss
from ase_schnet.training.metrics import Metrics
from ase_schnet.training.streaming import StreamingSource
from ase_schnet.training.trainer import Fit

T = TypeVar("T")


def launched_by_torchrun() -> bool:
    """This process is one of those that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def process_group(device: str = "cpu") -> Iterator[None]:
    """Join the processes that torchrun started; nothing where it did not.

    Raises ValueError for a GPU: one has never been shared or joined here.
    """
    if not launched_by_torchrun():
        yield
        return
    if device != "cpu":
        raise ValueError(f"under torchrun a fit is shared by CPUs, not by {device}")
    dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def shared() -> bool:
    """Several processes train one fit."""
    return dist.is_initialized()


def leads() -> bool:
    """This process writes and prints: the only one, or the first."""
    return not shared() or dist.get_rank() == 0


def told(make: Callable[[], T]) -> T:
    """What `make` returns, or raises, in the leading process, told to all of them."""
    if not shared():
        return make()
    answer: list = [None, None]
    if leads():
        try:
            answer[0] = make()
        except Exception as error:  # the others wait for an answer, whatever it is
            answer[1] = error
    dist.broadcast_object_list(answer, src=0)
    if answer[1] is not None:
        raise answer[1]
    return answer[0]


class SharedFit(Fit):
    """A fit whose batches are divided among the processes of a group."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.training = self._part = _PartOfBatches(self.training)
        self.loss = _LossOfPart(self.loss, self._part)

    def resume(self, path: Path) -> None:
        """As one process does, which then tells the others: they need not see the file."""

        def load() -> tuple[dict, dict]:
            super(SharedFit, self).resume(path)
            return self.state()

        self.restore(*told(load))

    def save(self, path: Path) -> None:
        """Write the state once."""
        if leads():
            super().save(path)

    def _join_gradients(self) -> None:
        """The whole batch's gradient from those of its parts: Σ (structures here / in all) · g."""
        self.parameters.gradient *= self._part.structures
        dist.all_reduce(self.parameters.gradient)

    def _joined(self, total: float) -> float:
        sums = torch.tensor(total, dtype=torch.float64, device=self._part.device)
        dist.all_reduce(sums)
        return float(sums)

    def _validate(self) -> Metrics:
        return told(super()._validate)


class _PartOfBatches:
    """This process's part of every batch: every n-th structure of it.

    structures, size: of the part now being handed out, its structures over those of the whole batch, and the
    mean number of atoms in a structure of the part over that in the whole.
    """

    def __init__(self, whole: BatchSource | StreamingSource):
        self.dataset, self.device, self.batch = whole.dataset, whole.device, whole.batch
        self.structures, self.size = 1.0, 1.0

    def __len__(self) -> int:
        return len(self.dataset)

    def epoch(self, batch_size: int, order: np.ndarray | None = None):
        """As BatchSource, in parts. A process without a part gets a structure that counts nothing."""
        n_atoms = self.dataset.n_atoms
        order = np.arange(len(self)) if order is None else order
        for start in range(0, len(order), batch_size):
            whole = order[start : start + batch_size]
            part = whole[dist.get_rank() :: dist.get_world_size()]
            self.structures = len(part) / len(whole)
            part = part if len(part) else whole[:1]
            self.size = n_atoms[part].mean() / n_atoms[whole].mean()
            yield self.batch(part)
        self.structures = self.size = 1.0


class _LossOfPart(Loss):
    """A loss whose average over the parts, weighted by their structures, is that of the whole batch.

    Energy and stress terms are means over structures, as is SchNet's force term. The standardised force term
    is a mean over atoms, of which a part with large molecules has more than its share.
    """

    def __init__(self, whole: Loss, part: _PartOfBatches):
        self.__dict__ |= whole.__dict__
        self._part = part

    def __call__(self, potential, batch: AtomsBatch, labels) -> Tensor:
        """Scalar loss of the part, zero where the part is empty."""
        loss = super().__call__(potential, batch, labels)
        return loss if self._part.structures else 0.0 * loss

    def forces_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Mean of the squared errors, weighted as it weighs in the whole batch."""
        term = super().forces_term(error, batch)
        return term * self._part.size if self.weights.kind == "standardised" else term

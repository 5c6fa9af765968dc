"""One fit shared by several processes: `torchrun --nproc-per-node 2 -m ase_schnet train ... --fold 1`.

Every step, each process takes its part of the batch; the gradients are added up and every process makes the
same step. The batch size is that of the whole step, so the fit is, to rounding, the one that a single
process would make, and a checkpoint can be continued by any number of them. The first process, rank zero,
validates, decides and writes, and the others get its answers and its errors. Rank zero does nothing alone
outside :func:`on_rank_zero`: if it failed there, the others would wait for it.

The DistributedDataParallel of torch averages the losses of the processes, which is wrong for parts of unequal
size, and it must own the forward pass, which here is differentiated twice.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn.functional  # before there is a group, see process_group
from numpy.typing import NDArray
from torch import Tensor

from ase_schnet.model.batch import AtomsBatch
from ase_schnet.runtime.locks import Lock
from ase_schnet.training.batches import BatchSource, Labels
from ase_schnet.training.loss import Loss, Model
from ase_schnet.training.metrics import Metrics
from ase_schnet.training.streaming import StreamingSource
from ase_schnet.training.trainer import Fit

T = TypeVar("T")


def launched_by_torchrun() -> bool:
    """Say whether this process is one of those that torchrun started."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def process_group(device: str = "cpu") -> Iterator[None]:
    """Join the processes that torchrun started; do nothing where it did not.

    Raises
    ------
    ValueError
        For a GPU: one has never been shared or joined here.

    Notes
    -----
    The functions of torch.distributed.nn take the group of the moment of their import as default argument.
    Imported (by the optimizer, with the compiler) while there is a group, they keep it for ever: its threads
    outlive `destroy_process_group` and now and then abort the interpreter at its end. So they are imported
    above, before there is one.
    """
    if not launched_by_torchrun():
        yield
        return
    if device != "cpu":
        raise ValueError(f"under torchrun a fit can be shared by CPUs only, not by {device}")
    dist.init_process_group("gloo")
    try:
        yield
        dist.barrier()  # a process that ends while another still talks to it is aborted
    finally:
        dist.destroy_process_group()


def shared() -> bool:
    """Say whether several processes train one fit."""
    return dist.is_initialized()


def is_rank_zero() -> bool:
    """Say whether this process writes and prints: it is the only one, or the first."""
    return not shared() or dist.get_rank() == 0


def on_rank_zero(function: Callable[[], T]) -> T:
    """Call a function on rank zero; return its value, or raise its exception, on every rank."""
    if not shared():
        return function()
    answer: list = [None, None]
    if is_rank_zero():
        answer = _outcome(function)
    dist.broadcast_object_list(answer, src=0)
    return _value_of(answer)


def on_every_rank(function: Callable[[], T]) -> T:
    """Call a function on every rank and return its value there; if one raises, all raise its exception."""
    if not shared():
        return function()
    value, error = _outcome(function, answer_travels=False)
    errors: list = [None] * dist.get_world_size()
    dist.all_gather_object(errors, error)
    first = next((error for error in errors if error is not None), None)
    return _value_of([value, first])


@contextmanager
def locked_by_rank_zero(acquire: Callable[[], Lock]) -> Iterator[None]:
    """Let rank zero hold a lock during the block. Raises on every rank where it does not get it."""
    held: list[Lock] = []
    on_rank_zero(lambda: held.append(acquire()))
    try:
        yield
    finally:
        for lock in held:
            lock.release()


def _outcome(function: Callable[[], T], *, answer_travels: bool = True) -> list:
    """Return value and exception of a call, one of them None, in a form that can be sent."""
    try:
        value = function()
        if answer_travels:
            pickle.dumps(value)
    except Exception as error:
        return [None, _portable(error)]
    return [value, None]


def _portable(error: Exception) -> Exception:
    """Return the exception, or its text in a RuntimeError where it cannot be sent."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _value_of(answer: list[Any]) -> Any:
    value, error = answer
    if error is not None:
        raise error
    return value


class SharedFit(Fit):
    """Run a fit with batches that are divided among the processes of a group."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.training = self._part = _PartOfBatches(self.training)
        self.loss = _LossOfPart(self.loss, self._part)

    def resume(self, path: Path) -> None:
        """Read a checkpoint on rank zero and send it to the others, which need not see the file."""

        def load() -> tuple[dict, dict]:
            super(SharedFit, self).resume(path)
            return self.state()

        self.restore(*on_rank_zero(load))

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """Call a function on rank zero; return its value, or raise its exception, on every rank."""
        return on_rank_zero(function)

    def _join_gradients(self) -> None:
        """Make the gradient of the whole batch from those of its parts: Σ (structures here / in all) · g."""
        self.parameters.gradient *= self._part.structures
        dist.all_reduce(self.parameters.gradient)

    def _joined(self, total: float) -> float:
        sums = torch.tensor(total, dtype=torch.float64, device=self._part.device)
        dist.all_reduce(sums)
        return float(sums)

    def _validate(self) -> Metrics:
        return on_rank_zero(super()._validate)


class _PartOfBatches:
    """Hand out the part of every batch that belongs to this process: every n-th structure of it.

    Attributes
    ----------
    structures
        Structures of the present part over those of the whole batch.
    size
        Mean number of atoms in a structure of the part over that in the whole batch.
    """

    def __init__(self, whole: BatchSource | StreamingSource):
        self.dataset, self.device, self.batch = whole.dataset, whole.device, whole.batch
        self.structures, self.size = 1.0, 1.0

    def __len__(self) -> int:
        return len(self.dataset)

    def epoch(
        self, batch_size: int, order: NDArray | None = None
    ) -> Iterator[tuple[AtomsBatch, Labels]]:
        """Yield parts of the batches of a BatchSource, or a structure of weight 0 where there is none."""
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
    """Compute the loss of a part; the average over parts, weighted by their structures, is that of the batch.

    Energy and stress terms are means over structures, as is SchNet's force term. The standardised force term
    is a mean over atoms, and a part with large molecules has more atoms than its share.
    """

    def __init__(self, whole: Loss, part: _PartOfBatches):
        super().__init__(whole.weights, whole.statistics, whole.device)
        self._part = part

    def __call__(self, model: Model, batch: AtomsBatch, labels: Labels) -> Tensor:
        """Return the scalar loss of the part, zero where the part is empty."""
        loss = super().__call__(model, batch, labels)
        return loss if self._part.structures else 0.0 * loss

    def forces_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Return the mean of the squared errors, with the weight that it has in the whole batch."""
        term = super().forces_term(error, batch)
        return term * self._part.size if self.weights.kind == "standardised" else term

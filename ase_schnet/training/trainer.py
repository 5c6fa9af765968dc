"""One fit of one potential: schedule, running average of the weights, early stop, exact state.

The random order of epoch e and the masks of its dropout depend on (seed, e) alone and the learning rate on
the step alone, so the weights, their running average, the optimiser's moments and a few counters are the
whole state: 10 epochs give the same bits as 5, a kill, and 5 more. `training/run.py` runs it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch

from ase_schnet.data.dataset import Dataset, join
from ase_schnet.data.statistics import label_statistics
from ase_schnet.model.dropout import dropout_of
from ase_schnet.model.tabulated import Tabulated, share_grid
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.training.batches import grid_for
from ase_schnet.training.changes import require_same_fit
from ase_schnet.training.checkpoint import (
    load_checkpoint,
    nested,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    unnested,
)
from ase_schnet.training.loss import Loss
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.metrics import Metrics, validation_metrics
from ase_schnet.training.offsets import fit_offsets
from ase_schnet.training.optimizers import as_vector, optimizers_for
from ase_schnet.training.result import FitResult, TrainingDiverged
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import MemberStart, RandomStart
from ase_schnet.training.streaming import source_of

EVALUATION_BATCH = 64
EXPLODED = 1000.0  # times the lowest loss so far: such a fit does not recover by itself
TINY_LOSS = 1e-9  # factors of smaller losses mean nothing
MAX_RECOVERIES = 4  # then the learning rate is 1/16 of the one in the settings

T = TypeVar("T")


class Fit:
    """Hold the running state of one fit.

    Parameters
    ----------
    config
        Shape of the network.
    training, validation
        The two parts of the data.
    weights
        Of the terms of the loss.
    settings
        Optimiser and schedule.
    device
        "cpu" or the name of a GPU, as torch says it.
    augmented
        Structures that train beside those of `training`. They count in the loss, by their weights, and
        nowhere else: shift and scales are those of the true labels, and nothing is validated on them.
    start
        A model whose weights are the first ones; None: random weights.

    Raises
    ------
    ValueError
        If labels are missing for a term with weight.
    """

    def __init__(
        self,
        config: SchNetConfig,
        training: Dataset,
        validation: Dataset,
        weights: LossWeights,
        settings: FitSettings,
        device: str = "cpu",
        augmented: Dataset | None = None,
        start: MemberStart | None = None,
    ):
        weights = weights.with_defaults_for(training)
        weights.require(training, "training")
        weights.require(validation, "validation")
        statistics = label_statistics(training)
        self.settings, self.weights = settings, weights
        begin = RandomStart(config, settings.seed) if start is None else start
        self.potential = begin.potential(training, statistics).to(device)
        self.average = deepcopy(self.potential)
        self.parameters, self._averages = (
            as_vector(p, settings) for p in (self.potential, self.average)
        )
        self.optimizers = optimizers_for(self.parameters, settings)
        self._frozen = self.parameters.copies(begin.is_frozen)
        self.loss = Loss(weights, statistics, device)
        self.augmented, self._true = augmented is not None, training
        training = training if augmented is None else join(training, augmented)
        self.training = source_of(training, config.cutoff, torch.float32, device)
        self.validation = source_of(validation, config.cutoff, torch.float32, device)
        self._grid = grid_for(config, (training, validation), device)
        self.model, self.averaged = (
            Tabulated(p, self._grid) for p in (self.potential, self.average)
        )
        self.inputs = {
            "config": config.to_dict(),
            "weights": weights.to_dict(),
            "settings": settings.to_dict(),
            "training": training.fingerprint(),
            "validation": validation.fingerprint(),
            **begin.to_dict(),
        }
        self.epoch, self.step = 0, 0
        self.best_epoch, self.best_loss = 0, math.inf
        self.best_weights = self._average_weights()
        self.history: list[dict] = []
        self.recoveries: list[int] = []  # the epochs that diverged

    @property
    def atoms_per_batch(self) -> int:
        """Mean number of atoms in a batch."""
        return round(self.settings.batch_size * self.training.dataset.n_atoms.mean())

    @property
    def steps_per_epoch(self) -> int:
        """Number of batches in an epoch."""
        return math.ceil(len(self.training) / self.settings.batch_size)

    @property
    def total_steps(self) -> int:
        """Number of steps in all epochs, over which the learning rate falls."""
        return self.settings.epochs * self.steps_per_epoch

    @property
    def finished(self) -> bool:
        """Whether all epochs are done or the fit has stopped early."""
        return self.epoch >= self.settings.epochs or self.stopped_early

    @property
    def stopped_early(self) -> bool:
        """Whether there was no better validation loss for `patience` epochs."""
        patience = self.settings.patience
        return patience > 0 and self.epoch - self.best_epoch >= patience

    @property
    def slowdown(self) -> float:
        """Factor on the learning rate: halved by each recovery."""
        return 0.5 ** len(self.recoveries)

    @property
    def diverged(self) -> bool:
        """Whether the fit recovered too often: this seed does not converge."""
        return len(self.recoveries) > MAX_RECOVERIES

    def run_epoch(self) -> dict:
        """Train once over all structures and validate the averaged weights.

        Returns
        -------
        dict
            The record of the epoch, with units in its names.

        Raises
        ------
        TrainingDiverged
            If a loss explodes. The fit cannot go on then before `recover`.
        """
        share_grid(self._grid, self.model, self.averaged)
        self.model.dropout = dropout_of(
            self.potential.config.dropout, self.settings.seed, self.epoch
        )
        n, size = len(self.training), self.settings.batch_size
        order = np.random.default_rng([self.settings.seed, self.epoch]).permutation(n)
        total = 0.0
        for batch, labels in self.training.epoch(size, order):
            rate = self.slowdown * self.settings.rate(self.step, self.total_steps)
            loss = self.loss(self.model, batch, labels)
            self._descend(loss, rate)
            total += float(loss.detach()) * batch.n_structures
        self.epoch += 1
        training_loss = self._joined(total) / n
        self._require_sane("training", training_loss)
        metrics = self._validate()
        self._require_sane("validation", metrics.loss)
        record = {"epoch": self.epoch, "learning_rate": rate, "training_loss": training_loss}
        record |= {f"validation_{k}": v for k, v in metrics.to_dict().items()}
        self.history.append(record)
        if metrics.loss < self.best_loss:
            self.best_loss, self.best_epoch = metrics.loss, self.epoch
            self.best_weights = self._average_weights()
        return record

    def result(self) -> FitResult:
        """Return the averaged weights of the end of the fit, with their errors on the validation set.

        With patience, these are the weights of the lowest validation loss; without, those of the last epoch,
        for the minimum of a validation curve is partly noise. After forces alone, energies get their offsets.
        """
        epoch = self.best_epoch if self.settings.patience > 0 else self.epoch
        if epoch != self.epoch:
            self.average.load_state_dict(self.best_weights)
        if self.weights.energy == 0:
            fit_offsets(self.average, self._true)
        metrics = self._validate()
        return FitResult(self.average, epoch, metrics, self.history, self.stopped_early)

    def recover(self, good: tuple[dict, dict]) -> None:
        """Go back from an epoch that diverged to the state `good`, and on with half the learning rate."""
        recoveries = [*self.recoveries, self.epoch]
        self.restore(*good)
        self.recoveries = recoveries

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """Return the whole state: tensors (copies), and a header in plain types."""
        tensors = (
            nested("raw", self.potential.state_dict())
            | nested("average", self.average.state_dict())
            | nested("best", self.best_weights)
        )
        for k, optimizer in enumerate(self.optimizers):
            tensors |= nested(f"optimizer{k}", optimizer_tensors(optimizer))
        header = {
            "inputs": self.inputs,
            "epoch": self.epoch,
            "step": self.step,
            "best_epoch": self.best_epoch,
            "best_loss": self.best_loss,
            "history": list(self.history),
            "recoveries": list(self.recoveries),
        }
        return {name: tensor.detach().clone() for name, tensor in tensors.items()}, header

    def restore(self, tensors: dict[str, torch.Tensor], header: dict) -> None:
        """Put back what `state` returned."""
        self.potential.load_state_dict(unnested("raw", tensors))
        self.average.load_state_dict(unnested("average", tensors))
        self.best_weights = unnested("best", tensors)
        for k, optimizer in enumerate(self.optimizers):
            restore_optimizer(optimizer, unnested(f"optimizer{k}", tensors))
        self.epoch, self.step = header["epoch"], header["step"]
        self.best_epoch, self.best_loss = header["best_epoch"], header["best_loss"]
        self.history, self.recoveries = list(header["history"]), list(header["recoveries"])

    def save(self, path: Path) -> None:
        """Write the whole state. Raises CannotWrite."""
        save_checkpoint(path, *self.state())

    def resume(self, path: Path) -> None:
        """Continue from a checkpoint if there is one. Raises ValueError if it belongs to another fit."""
        if not path.exists():
            return
        tensors, header = load_checkpoint(path)
        require_same_fit(path, header["inputs"], self.inputs)
        self.restore(tensors, header)

    def on_rank_zero(self, function: Callable[[], T]) -> T:
        """Call a function in the process that decides and writes; return its value in all (here: one)."""
        return function()

    def _join_gradients(self) -> None:
        """Do nothing: one process has the whole batch. See training/distributed.py for several."""

    def _joined(self, total: float) -> float:
        return total

    def _validate(self) -> Metrics:
        share_grid(self._grid, self.model, self.averaged)
        return validation_metrics(self.averaged, self.validation, self.loss, EVALUATION_BATCH)

    def _require_sane(self, part: str, loss: float) -> None:
        lowest = min((row[f"{part}_loss"] for row in self.history), default=math.inf)
        if not loss < EXPLODED * max(lowest, TINY_LOSS):  # true for NaN and infinity too
            raise TrainingDiverged(f"the {part} loss of epoch {self.epoch} is {loss:.3g}")

    def _descend(self, loss: torch.Tensor, rate: float) -> None:
        """Do one step of the optimisers and of the running average."""
        self.parameters.gradient.zero_()
        loss.backward()
        self._join_gradients()
        self.parameters.clip(self.settings.clip_norm)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate * group["rate_factor"]
            optimizer.step()
        for piece, values in self._frozen:
            self.parameters.values[piece] = values
        self.step += 1
        # a young average forgets faster: the random weights of the start must not linger in it
        decay = min(self.settings.ema_decay, (1 + self.step) / (10 + self.step))
        self._averages.values.lerp_(self.parameters.values, 1.0 - decay)

    def _average_weights(self) -> dict[str, torch.Tensor]:
        return {k: t.detach().clone() for k, t in self.average.state_dict().items()}

"""One fit of one potential: schedule, running average of the weights, early stop, exact resume.

The random order of epoch e depends on (seed, e) alone and the learning rate on the step alone, so the
weights, their running average, the optimiser's moments and a few counters are the whole state: 10 epochs
give the same bits as 5, a kill, and 5 more.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import label_statistics
from ase_schnet.inference.torch_ensemble import threads_for
from ase_schnet.model.potential import Potential
from ase_schnet.model.schnet import SchNetConfig
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.checkpoint import (
    load_checkpoint,
    nested,
    optimizer_tensors,
    restore_optimizer,
    save_checkpoint,
    unnested,
)
from ase_schnet.training.loss import Loss, LossWeights
from ase_schnet.training.metrics import Metrics, evaluate
from ase_schnet.training.muon import Muon
from ase_schnet.training.settings import FitSettings

EVALUATION_BATCH = 64
MUON_RATE = 10.0  # Muon's learning rate over Adam's: its step is measured in spectral norm


class TrainingDiverged(RuntimeError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class FitResult:
    """The averaged weights, of which epoch, and how the fit went."""

    potential: Potential
    epoch: int
    validation: Metrics
    history: list[dict]
    stopped_early: bool


class Fit:
    """The running state of one fit."""

    def __init__(
        self,
        config: SchNetConfig,
        training: Dataset,
        validation: Dataset,
        weights: LossWeights,
        settings: FitSettings,
        device: str = "cpu",
    ):
        weights = weights.settled(training)
        weights.require(training, "training")
        weights.require(validation, "validation")
        statistics = label_statistics(training)
        scale = statistics.scale(np.array(training.elements))
        self.settings, self.weights = settings, weights
        self.potential = Potential.create(
            config, statistics.energy_shift, scale, seed=settings.seed
        ).to(device)
        self.average = AveragedModel(
            self.potential, multi_avg_fn=get_ema_multi_avg_fn(settings.ema_decay)
        )
        self.optimizers = _optimizers(self.potential, settings)
        self.loss = Loss(weights, statistics, device)
        self.training = BatchSource(training, config.cutoff, torch.float32, device)
        self.validation = BatchSource(validation, config.cutoff, torch.float32, device)
        self.inputs = {
            "config": config.to_dict(),
            "weights": weights.to_dict(),
            "settings": settings.to_dict(),
            "training": training.fingerprint(),
            "validation": validation.fingerprint(),
        }
        self.epoch, self.step = 0, 0
        self.best_epoch, self.best_loss = 0, math.inf
        self.best_weights = self._average_weights()
        self.history: list[dict] = []

    @property
    def atoms_per_batch(self) -> int:
        """On average."""
        return round(self.settings.batch_size * self.training.dataset.n_atoms.mean())

    @property
    def finished(self) -> bool:
        """All epochs done, or patience at an end."""
        return self.epoch >= self.settings.epochs or self.stopped_early

    @property
    def stopped_early(self) -> bool:
        """No better validation loss for `patience` epochs."""
        patience = self.settings.patience
        return patience > 0 and self.epoch - self.best_epoch >= patience

    def run_epoch(self) -> dict:
        """Train once over all structures, validate the averaged weights, return the epoch's record."""
        n, size = len(self.training), self.settings.batch_size
        total_steps = self.settings.epochs * math.ceil(n / size)
        order = np.random.default_rng([self.settings.seed, self.epoch]).permutation(n)
        total = 0.0
        for batch, labels in self.training.epoch(size, order):
            rate = self.settings.rate(self.step, total_steps)
            loss = self.loss(self.potential, batch, labels)
            self.potential.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.potential.parameters(), self.settings.clip_norm)
            for optimizer in self.optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = rate * group["rate_factor"]
                optimizer.step()
            self.average.update_parameters(self.potential)
            self.step += 1
            total += float(loss.detach()) * batch.n_structures
        self.epoch += 1
        if not math.isfinite(total):
            raise TrainingDiverged(
                f"the training loss of epoch {self.epoch} is {total}; "
                f"lower the learning rate (now {self.settings.learning_rate:g})"
            )
        metrics = evaluate(self.average.module, self.validation, self.loss, EVALUATION_BATCH)
        record = {"epoch": self.epoch, "learning_rate": rate, "training_loss": total / n}
        record |= {f"validation_{k}": v for k, v in metrics.to_dict().items()}
        self.history.append(record)
        if metrics.loss < self.best_loss:
            self.best_loss, self.best_epoch = metrics.loss, self.epoch
            self.best_weights = self._average_weights()
        return record

    def result(self) -> FitResult:
        """The averaged weights with which the fit ends, evaluated on the validation set.

        With patience, those of the lowest validation loss. Without, those of the last epoch, where the
        schedule has brought them to rest: the minimum of a validation curve is partly noise, and a few
        odd frames in its mean square can put it far from the end.
        """
        potential = self.average.module
        epoch = self.best_epoch if self.settings.patience > 0 else self.epoch
        if epoch != self.epoch:
            potential.load_state_dict(self.best_weights)
        metrics = evaluate(potential, self.validation, self.loss, EVALUATION_BATCH)
        return FitResult(potential, epoch, metrics, self.history, self.stopped_early)

    def save(self, path: Path) -> None:
        """Write the whole state; see the module's docstring for why this is all of it."""
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
            "history": self.history,
        }
        save_checkpoint(path, tensors, header)

    def load(self, path: Path) -> None:
        """Continue from a checkpoint. Raises ValueError if it belongs to another fit."""
        tensors, header = load_checkpoint(path)
        changed = [k for k, v in self.inputs.items() if header["inputs"].get(k) != v]
        if changed:
            raise ValueError(
                f"{path} belongs to a fit with other {', '.join(changed)}; "
                "resume with the same options or choose another output directory"
            )
        self.potential.load_state_dict(unnested("raw", tensors))
        self.average.load_state_dict(unnested("average", tensors))
        self.best_weights = unnested("best", tensors)
        for k, optimizer in enumerate(self.optimizers):
            restore_optimizer(optimizer, unnested(f"optimizer{k}", tensors))
        self.epoch, self.step = header["epoch"], header["step"]
        self.best_epoch, self.best_loss = header["best_epoch"], header["best_loss"]
        self.history = header["history"]

    def _average_weights(self) -> dict[str, torch.Tensor]:
        return {k: t.detach().clone() for k, t in self.average.module.state_dict().items()}


def _optimizers(potential: Potential, settings: FitSettings) -> list[torch.optim.Optimizer]:
    """Muon for the matrices between hidden layers, Adam for embedding, biases and the last layer."""
    hidden, rest = [], []
    for name, parameter in potential.named_parameters():
        matrix = parameter.ndim == 2 and "embedding" not in name and "readout_out" not in name
        (hidden if matrix and settings.optimizer == "muon" else rest).append(parameter)
    adam = torch.optim.AdamW if settings.weight_decay > 0 else torch.optim.Adam
    rate, decay = settings.learning_rate, settings.weight_decay
    optimizers = [adam([{"params": rest, "rate_factor": 1.0}], lr=rate, weight_decay=decay)]
    if hidden:
        groups = [{"params": hidden, "rate_factor": MUON_RATE}]
        optimizers.append(Muon(groups, lr=rate, weight_decay=decay))
    return optimizers


def run_fit(
    fit: Fit,
    checkpoint: Path | None = None,
    *,
    label: str = "fit",
    position: int = 0,
    checkpoint_every_s: float = 20.0,
    keep_going: Callable[[], bool] = lambda: True,
) -> FitResult | None:
    """Run epochs until the fit is finished, continuing from `checkpoint` where that file exists.

    Returns None when `keep_going()` turned false first; the checkpoint then holds the last epoch.
    """
    if checkpoint is not None and checkpoint.exists():
        fit.load(checkpoint)
    saved_at = time.monotonic()
    bar = tqdm(
        total=fit.settings.epochs,
        initial=fit.epoch,
        desc=label,
        unit="epoch",
        position=position,
        disable=None,  # off when not a terminal
    )
    with bar, threads_for(fit.atoms_per_batch):
        while not fit.finished and keep_going():
            record = fit.run_epoch()
            bar.set_postfix_str(_describe(record, fit.training.dataset.told_per_atom))
            bar.update()
            if checkpoint is not None and time.monotonic() - saved_at >= checkpoint_every_s:
                fit.save(checkpoint)
                saved_at = time.monotonic()
    if checkpoint is not None:
        fit.save(checkpoint)
    return fit.result() if fit.finished else None


def _describe(record: dict, per_atom: bool) -> str:
    """The validation errors of an epoch in a few words."""
    energy = ("energy_mae_meV_per_atom", "meV/atom") if per_atom else ("energy_mae_meV", "meV")
    columns = {
        "F": ("forces_mae_meV_per_Ang", "meV/Å"),
        "E": energy,
        "σ": ("stress_mae_meV_per_Ang3", "meV/Å³"),
    }
    known = {k: (record[f"validation_{name}"], unit) for k, (name, unit) in columns.items()}
    return ", ".join(f"{k} {v:.1f} {unit}" for k, (v, unit) in known.items() if v is not None)

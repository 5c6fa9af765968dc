"""The trainings of `benchmarks.units`: the same frames, their numbers in several units, several losses."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.rescaling import Rescaling
from ase_schnet.data.statistics import LabelStatistics
from ase_schnet.model.potential import Potential
from ase_schnet.model.schnet import PRESETS
from ase_schnet.training.loss_weights import LossWeights, equivalent_loss_weights
from ase_schnet.training.result import TrainingDiverged
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import RandomStart
from ase_schnet.training.streaming import source_of
from ase_schnet.training.trainer import Fit
from ase_schnet.units import FileUnits

FRAMES, TRAINING = 200, 160
EPOCHS = 250  # of 16 steps
ENERGY_WEIGHT, FORCES_WEIGHT = 0.01, 0.99  # of the notes, meant for eV and Å here
UNITS = {
    "eV, Å": FileUnits("eV"),
    "kcal/mol, Å": FileUnits("kcal/mol"),
    "Hartree, bohr": FileUnits("Hartree", "Bohr"),
    "none (σ)": None,  # E and r standardised
}
LOSSES = ("raw", "transformed", "standardised")
#: Whether the output of the network is multiplied by a scale of the labels, and what trains it.
NETWORKS = {
    "scaled": "output × rms force of the labels × 1 Å, Muon, gradients clipped (the package)",
    "plain": "output in the unit of the labels, Adam, no clipping (as the notes have it)",
}
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Job:
    """One training."""

    network: str
    loss: str
    units: str
    seed: int

    @property
    def key(self) -> str:
        """Name in the store."""
        return f"{self.network}; {self.loss}; {self.units}; {self.seed}"

    @property
    def same_as(self) -> Job:
        """The training that this one is, to the bit: in eV and Å the transformed weights are the raw ones."""
        own = self.loss == "transformed" and self.units == "eV, Å"
        return Job(self.network, "raw", self.units, self.seed) if own else self

    def rescaling(self, training: Dataset) -> Rescaling:
        """From eV and Å to the units of the training."""
        units = UNITS[self.units]
        return Rescaling.standardising(training) if units is None else Rescaling.to_units(units)

    def weights(self, rescaling: Rescaling) -> LossWeights:
        """The loss; the stress has no weight."""
        pair = ENERGY_WEIGHT, FORCES_WEIGHT
        if self.loss == "transformed":
            pair = equivalent_loss_weights(
                *pair,
                energy_factor=1 / rescaling.energy_scale,
                length_factor=1 / rescaling.length_scale,
            )
        return LossWeights() if self.loss == "standardised" else LossWeights(*pair, kind="schnet")

    def settings(self, epochs: int) -> FitSettings:
        """How it is trained."""
        plain = {"optimizer": "adam", "clip_norm": math.inf} if self.network == "plain" else {}
        return FitSettings(epochs, seed=self.seed, **plain)


JOBS = [
    Job(network, loss, units, seed)
    for seed in SEEDS
    for network in NETWORKS
    for loss in LOSSES
    for units in UNITS
]


class StartInUnits(RandomStart):
    """Random weights, and what their output is multiplied by in the units of the labels."""

    def __init__(self, job: Job, rescaling: Rescaling):
        super().__init__(rescaling.network(PRESETS["fast"]), job.seed)
        object.__setattr__(self, "_angstrom", 1 / rescaling.length_scale)
        object.__setattr__(self, "_plain", job.network == "plain")

    def potential(self, training: Dataset, statistics: LabelStatistics) -> Potential:
        """Return the potential; its shift removes the mean energy."""
        scale = self._angstrom * statistics.scale(np.array(training.elements))
        shift = statistics.energy_shift
        return Potential.create(self.config, shift, 1.0 if self._plain else scale, seed=self.seed)


def read(directory: Path) -> tuple[Dataset, Dataset]:
    """The frames that train and validate, and those of the test."""
    frames = [
        read_labelled(directory / f"rmd17_ethanol_{part}_01.npz", "kcal/mol")[0]
        for part in ("train", "test")
    ]
    chosen = np.random.default_rng(0).permutation(len(frames[0]))[:FRAMES]
    return Dataset.from_atoms(frames[0]).subset(chosen), Dataset.from_atoms(frames[1])


def fit_of(job: Job, data: Dataset, epochs: int) -> tuple[Fit, Rescaling]:
    """The fit of one training, ready to run, on data in eV and Å; and to which units they were brought."""
    training = data.subset(np.arange(len(data))[: TRAINING * len(data) // FRAMES])
    validation = data.subset(np.arange(len(data))[len(training) :])
    rescaling = job.rescaling(training)
    fit = Fit(
        rescaling.network(PRESETS["fast"]),
        rescaling.apply(training),
        rescaling.apply(validation),
        job.weights(rescaling),
        job.settings(epochs),
        start=StartInUnits(job, rescaling),
    )
    return fit, rescaling


def trained(job: Job, data: Dataset, test: Dataset, epochs: int) -> dict:
    """Errors of one training in meV and meV/Å, and what it took."""
    began = time.process_time()
    fit, rescaling = fit_of(job, data, epochs)
    try:
        potential = run_fit(fit, label=None).potential
    except TrainingDiverged as error:
        return {"diverged": str(error)}
    source = source_of(rescaling.apply(test), fit.potential.config.cutoff, torch.float32)
    energy, forces = [], []
    for batch, labels in source.epoch(100):
        found = potential.properties(batch)
        energy.append((found.energies - labels.E).numpy())
        forces.append((found.forces - labels.F).numpy().ravel())
    to_meV = 1000 * rescaling.energy_scale
    return {
        "energy_mae_meV": to_meV * float(np.abs(np.concatenate(energy)).mean()),
        "forces_mae_meV_per_Ang": 1000
        / rescaling.forces_factor
        * float(np.abs(np.concatenate(forces)).mean()),
        "steps": fit.step,
        "recoveries": fit.recoveries,
        "processor_s": time.process_time() - began,
    }

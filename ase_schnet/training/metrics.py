"""Errors that a fit reports, with their units."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from ase_schnet.model.batch import AtomsBatch
from ase_schnet.model.potential import Properties
from ase_schnet.training.batches import Labels, Source
from ase_schnet.training.loss import Loss, Model

#: Structures of a validation part whose losses are told one by one: some five milliseconds each.
MOST_ALONE = 2000


@dataclass(frozen=True)
class Metrics:
    """Hold errors with their units; None where there were no labels or the term has no weight.

    energy_*_meV are per structure, energy_*_meV_per_atom divided by its number of atoms,
    forces_*_meV_per_Ang per Cartesian component, stress_*_meV_per_Ang3 per Voigt component.
    """

    loss: float
    energy_mae_meV: float | None
    energy_rmse_meV: float | None
    energy_mae_meV_per_atom: float | None
    energy_rmse_meV_per_atom: float | None
    forces_mae_meV_per_Ang: float | None
    forces_rmse_meV_per_Ang: float | None
    stress_mae_meV_per_Ang3: float | None
    stress_rmse_meV_per_Ang3: float | None
    n_structures: int

    def to_dict(self) -> dict:
        """Return plain types, ready for JSON."""
        return asdict(self)


@dataclass(eq=False)
class _Errors:
    """Collect the errors of one batch after the other, flat arrays in eV, eV/Å or eV/Å³."""

    energy: list[NDArray] = field(default_factory=list)
    energy_per_atom: list[NDArray] = field(default_factory=list)
    forces: list[NDArray] = field(default_factory=list)
    stress: list[NDArray] = field(default_factory=list)

    def add(
        self, properties: Properties, batch: AtomsBatch, labels: Labels, with_energy: bool
    ) -> None:
        """Append the errors of a batch."""
        if with_energy:
            error = (properties.energies - labels.E).cpu().numpy()
            self.energy.append(error)
            self.energy_per_atom.append(error / np.bincount(batch.idx_m.cpu().numpy()))
        if properties.forces is not None:
            error = properties.forces - labels.F
            error = error.flatten() if labels.force_mask is None else error[labels.force_mask]
            self.forces.append(error.cpu().numpy().astype(np.float64))
        if properties.stress is not None:
            error = (properties.stress - labels.stress).cpu().numpy().astype(np.float64)
            components = full_3x3_to_voigt_6_stress(error).ravel()
            self.stress.append(components[~np.isnan(components)])


def validation_metrics(model: Model, source: Source, loss: Loss, batch_size: int) -> Metrics:
    """Return the errors of `model` over every structure of `source`."""
    errors, total = _Errors(), 0.0
    for batch, labels in source.epoch(batch_size):
        properties = loss.properties(model, batch, labels)
        errors.add(properties, batch, labels, loss.weights.energy > 0)
        total += float(loss.of(properties, batch, labels)) * batch.n_structures
    return Metrics(
        total / len(source),
        *_mae_rmse_milli(errors.energy),
        *_mae_rmse_milli(errors.energy_per_atom),
        *_mae_rmse_milli(errors.forces),
        *_mae_rmse_milli(errors.stress),
        len(source),
    )


def losses_per_structure(model: Model, source: Source, loss: Loss) -> NDArray:
    """Return the loss of each structure by itself, (S,); of many structures that of `MOST_ALONE` of them."""
    order = np.linspace(0, len(source) - 1, min(len(source), MOST_ALONE)).round().astype(int)
    return np.array([float(loss(model, *parts).detach()) for parts in source.epoch(1, order)])


def _mae_rmse_milli(errors: list[NDArray]) -> tuple[float | None, float | None]:
    error = 1000.0 * np.concatenate(errors) if errors else np.array([])
    if not len(error):
        return None, None
    return float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))

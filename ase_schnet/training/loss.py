"""What a fit minimises, and the errors it reports.

Two losses: the standardised one, free of units, size and composition (papers/pes_loss_functions.txt),
and SchNet's own (arXiv:1706.08566, eq. 5 of the implementation report's section 2.3).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from ase_schnet.data.dataset import Dataset, LabelStatistics
from ase_schnet.model.batch import AtomsBatch, sum_per_structure
from ase_schnet.model.potential import Potential, energy_and_forces
from ase_schnet.training.batches import BatchSource, Labels

# standardised: found on ethanol, where 0.1 makes force and energy errors half again as large (29 and 5.9
# against 19 meV/Å and 3.8 meV after 60 epochs): a structure has one energy and 3N force components, so
# the energy's gradient is noise beside the forces'. schnet: the paper's ρ
DEFAULT_ENERGY_WEIGHT = {"standardised": 0.004, "schnet": 0.01}


@dataclass(frozen=True)
class LossWeights:
    """Weights of the two terms and which loss they belong to.

    kind "standardised": energy · <(ΔE/√Σσ²)²> + forces · <(ΔF/η)²>, both terms without units.
    kind "schnet": energy · <ΔE²> + forces · <Σ_i |ΔF_i|²/n>; the papers' ρ is energy/forces.
    energy None is DEFAULT_ENERGY_WEIGHT of the kind.
    """

    energy: float | None = None
    forces: float = 1.0
    kind: str = "standardised"

    def __post_init__(self):
        if self.kind not in DEFAULT_ENERGY_WEIGHT:
            raise ValueError(f"loss is 'standardised' or 'schnet', got {self.kind!r}")
        if self.energy is None:
            object.__setattr__(self, "energy", DEFAULT_ENERGY_WEIGHT[self.kind])
        if not (self.energy >= 0 and self.forces >= 0 and self.energy + self.forces > 0):
            raise ValueError(
                f"loss weights must be >= 0 and not both zero, got energy {self.energy}, "
                f"forces {self.forces}"
            )

    def require(self, dataset: Dataset, part: str) -> None:
        """Raise ValueError when a property with weight > 0 has no labels in this part (R4)."""
        for name, weight, labels in (
            ("energy", self.energy, dataset.E),
            ("forces", self.forces, dataset.F),
        ):
            if weight > 0 and labels is None:
                raise ValueError(
                    f"the {part} set has no {name} labels but the {name} weight is {weight}; "
                    f"set --{name}-weight 0 or supply them"
                )

    def to_dict(self) -> dict:
        """Plain types, ready for JSON."""
        return asdict(self)


class Loss:
    """A weighted sum of energy and force errors of a batch. Terms of weight 0 are not evaluated."""

    def __init__(self, weights: LossWeights, statistics: LabelStatistics, device: str = "cpu"):
        self.weights = weights
        variance = torch.as_tensor(statistics.energy_std**2, dtype=torch.float64).to(device)
        eta = torch.as_tensor(statistics.forces_std, dtype=torch.float64).to(device)
        # a species or a data set that never moves must not divide by zero
        self._energy_variance = torch.where(variance > 0, variance, torch.ones_like(variance))
        self._inverse_eta = torch.where(eta > 0, 1.0 / eta, torch.ones_like(eta))

    def __call__(self, potential: Potential, batch: AtomsBatch, labels: Labels) -> Tensor:
        """Scalar loss, differentiable in the potential's weights."""
        if self.weights.forces > 0:
            energies, forces = energy_and_forces(potential, batch, create_graph=True)
            loss = self.weights.forces * self.forces_term(forces - labels.F, batch)
        else:
            energies, loss = potential(batch), 0.0
        if self.weights.energy > 0:
            loss = loss + self.weights.energy * self.energy_term(energies - labels.E, batch)
        return loss

    def energy_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Mean over the structures of the squared errors (S,) in eV, without its weight."""
        if self.weights.kind == "standardised":
            variance = sum_per_structure(self._energy_variance[batch.Z], batch)  # (S,)
            return (error**2 / variance).mean()
        return (error**2).mean()

    def forces_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Mean of the squared errors (N, 3) in eV/Å, without its weight."""
        if self.weights.kind == "standardised":
            scaled = error * self._inverse_eta[batch.Z].to(error.dtype)[:, None]
            return (scaled**2).mean()
        n_atoms = sum_per_structure(torch.ones_like(error[:, 0]), batch)  # (S,)
        return (sum_per_structure((error**2).sum(dim=1), batch) / n_atoms).mean()


@dataclass(frozen=True)
class Metrics:
    """Errors with their units; None where there were no labels or the term has no weight.

    energy_mae_meV and energy_rmse_meV are per structure, forces_*_meV_per_Ang per Cartesian component.
    """

    loss: float
    energy_mae_meV: float | None
    energy_rmse_meV: float | None
    forces_mae_meV_per_Ang: float | None
    forces_rmse_meV_per_Ang: float | None
    n_structures: int

    def to_dict(self) -> dict:
        """Plain types, ready for JSON."""
        return asdict(self)


def evaluate(potential: Potential, source: BatchSource, loss: Loss, batch_size: int) -> Metrics:
    """Errors of `potential` over every structure of `source`."""
    energy_errors, force_errors, total = [], [], 0.0
    for batch, labels in source.epoch(batch_size):
        if loss.weights.forces > 0:
            energies, forces = energy_and_forces(potential, batch)
            delta = forces - labels.F
            term = loss.weights.forces * loss.forces_term(delta, batch)
            force_errors.append(delta.flatten().cpu().numpy().astype(np.float64))
        else:
            with torch.no_grad():
                energies, term = potential(batch), 0.0
        if loss.weights.energy > 0:
            delta = energies - labels.E
            term = term + loss.weights.energy * loss.energy_term(delta, batch)
            energy_errors.append(delta.cpu().numpy())
        total += float(term) * batch.n_structures
    energy_mae, energy_rmse = _mae_rmse_milli(energy_errors)
    forces_mae, forces_rmse = _mae_rmse_milli(force_errors)
    return Metrics(
        total / len(source), energy_mae, energy_rmse, forces_mae, forces_rmse, len(source)
    )


def losses_per_structure(potential: Potential, source: BatchSource, loss: Loss) -> np.ndarray:
    """The loss of each structure by itself, (S,)."""
    return np.array([float(loss(potential, *parts).detach()) for parts in source.epoch(1)])


def _mae_rmse_milli(errors: list[np.ndarray]) -> tuple[float | None, float | None]:
    if not errors:
        return None, None
    error = 1000.0 * np.concatenate(errors)
    return float(np.abs(error).mean()), float(np.sqrt((error**2).mean()))

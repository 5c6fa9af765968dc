"""What a fit minimises.

Two losses: the standardised one, free of units, size and composition (papers/pes_loss_functions.txt),
and SchNet's own (arXiv:1706.08566, eq. 5 of the implementation report's section 2.3).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import torch
from torch import Tensor

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import LabelStatistics
from ase_schnet.model.batch import AtomsBatch, sum_per_structure
from ase_schnet.model.potential import Potential, Properties
from ase_schnet.model.tabulated import Tabulated
from ase_schnet.training.batches import Labels

# standardised: found on ethanol, one member after 200 epochs: 0.004 gives 12.9 meV/Å and 2.2 meV, 0.001 gives
# 11.0 and 1.9, and 0.0003 nothing more (benchmarks/accuracy.md): a structure has one energy and 3N
# force components, so the energy's gradient is noise beside the forces'. Silicon wants more, 29 meV/atom
# with 0.004 and 9 to 11 with 0.02 to 0.1 after 60 epochs: σ is large where crystals and melts are trained
# together.
# schnet: the paper's ρ
DEFAULT_ENERGY_WEIGHT = {"standardised": 0.001, "schnet": 0.01}
# standardised: found on silicon, where 0.01 leaves 2.1 meV/Å³ of stress error and 0.1 leaves 1.6, at the
# price of 2 % in the forces
DEFAULT_STRESS_WEIGHT = {"standardised": 0.1, "schnet": 0.01}


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms and which loss they belong to.

    kind "standardised": energy · <(ΔE/√Σσ²)²> + forces · <(ΔF/η)²> + stress · <(V Δσ)²/Σω²>, all terms
    without units. kind "schnet": energy · <ΔE²> + forces · <Σ_i |ΔF_i|²/n> + stress · <|V Δσ|²/n>; the
    papers' ρ is energy/forces.
    energy None is DEFAULT_ENERGY_WEIGHT of the kind. stress None is DEFAULT_STRESS_WEIGHT of the kind for
    data with stress labels and 0 for others: `settled` decides.
    """

    energy: float | None = None
    forces: float = 1.0
    kind: str = "standardised"
    stress: float | None = None

    def __post_init__(self):
        if self.kind not in DEFAULT_ENERGY_WEIGHT:
            raise ValueError(f"loss is 'standardised' or 'schnet', got {self.kind!r}")
        if self.energy is None:
            object.__setattr__(self, "energy", DEFAULT_ENERGY_WEIGHT[self.kind])
        values = (self.energy, self.forces, self.stress or 0.0)
        if not (min(values) >= 0 and sum(values) > 0):
            raise ValueError(
                f"loss weights must be >= 0 and not all zero, got energy {self.energy}, "
                f"forces {self.forces}, stress {self.stress}"
            )

    def settled(self, dataset: Dataset) -> LossWeights:
        """These weights with a stress weight that suits the labels of `dataset`.

        Raises ValueError when stress was given a weight but has no labels at all.
        """
        if self.stress is None:
            default = DEFAULT_STRESS_WEIGHT[self.kind]
            return replace(self, stress=0.0 if dataset.stress is None else default)
        if self.stress > 0 and dataset.stress is None:
            raise ValueError(
                f"the training set has no stress labels but the stress weight is {self.stress}; "
                "set --stress-weight 0 or supply them"
            )
        return self

    def require(self, dataset: Dataset, part: str) -> None:
        """Raise ValueError when energy or forces with weight > 0 have no labels in this part (R4)."""
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


Model = Potential | Tabulated  # one slow and plain, one fast: they agree


class Loss:
    """A weighted sum of the errors of a batch. Terms without weight or labels are not evaluated."""

    def __init__(self, weights: LossWeights, statistics: LabelStatistics, device: str = "cpu"):
        self.weights = weights
        eta = torch.as_tensor(statistics.forces_std, dtype=torch.float64).to(device)
        self._inverse_eta = torch.where(eta > 0, 1.0 / eta, torch.ones_like(eta))
        self._energy_variance = _variance(statistics.energy_std, device)
        self._virial_variance = _variance(statistics.virial_std, device)

    def __call__(self, model: Model, batch: AtomsBatch, labels: Labels) -> Tensor:
        """Scalar loss, differentiable in the model's weights."""
        return self.of(self.properties(model, batch, labels, create_graph=True), batch, labels)

    def properties(
        self, model: Model, batch: AtomsBatch, labels: Labels, *, create_graph: bool = False
    ) -> Properties:
        """What the terms with weight and labels need, and nothing else."""
        return model.properties(
            batch,
            forces=self.weights.forces > 0,
            stress=bool(self.weights.stress) and labels.stress is not None,
            create_graph=create_graph,
        )

    def of(self, properties: Properties, batch: AtomsBatch, labels: Labels) -> Tensor:
        """Loss of predicted properties; a structure's terms count as often as its weight says."""
        terms = []
        # every term is quadratic: an error times the root of the weight is a square times the weight
        root = None if labels.weight is None else labels.weight.sqrt()  # (S,)
        if properties.forces is not None:
            error = properties.forces - labels.F
            if labels.force_mask is not None:  # zero, so that a label weighs the same in any batch
                error = error * labels.force_mask
            error = error if root is None else error * root[batch.idx_m, None]
            terms.append(self.weights.forces * self.forces_term(error, batch))
        if properties.stress is not None:
            error = properties.stress - labels.stress
            error = error if root is None else error * root[:, None, None]
            terms.append(self.weights.stress * self.stress_term(error, batch))
        if self.weights.energy > 0:
            error = properties.energies - labels.E
            error = error if root is None else error * root
            terms.append(self.weights.energy * self.energy_term(error, batch))
        return sum(terms)

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

    def stress_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Squared errors (S, 3, 3) in eV/Å³ as virials, per structure, without its weight.

        All nine components count, so the term is the same however the cell is turned. Errors of structures
        without a label (NaN) count as zero: a label weighs the same in whatever batch it comes.
        """
        known = ~torch.isnan(error[:, 0, 0])
        virials = batch.volumes[known, None, None] * error[known]  # (K, 3, 3) eV
        if self.weights.kind == "standardised":
            variance = sum_per_structure(self._virial_variance[batch.Z], batch)[known]  # (K,)
            each = (virials**2).mean(dim=(1, 2)) / variance
        else:
            n_atoms = torch.bincount(batch.idx_m, minlength=batch.n_structures)[known]
            each = (virials**2).sum(dim=(1, 2)) / n_atoms
        return each.sum() / batch.n_structures


def _variance(std, device: str) -> Tensor:
    """std² (100,); 1 for what never moves, which must not divide by zero."""
    variance = torch.as_tensor(std**2, dtype=torch.float64).to(device)
    return torch.where(variance > 0, variance, torch.ones_like(variance))

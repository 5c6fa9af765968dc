"""What a fit minimises.

Two losses: the standardised one, which does not depend on units, size and composition (docs/sources.md,
standardised loss), and SchNet's own (arXiv:1706.08566; docs/sources.md, SchNet's loss).
"""

from __future__ import annotations

from typing import cast

import torch
from numpy.typing import NDArray
from torch import Tensor

from ase_schnet.data.statistics import LabelStatistics
from ase_schnet.model.batch import AtomsBatch, sum_per_structure
from ase_schnet.model.potential import Potential, Properties
from ase_schnet.model.tabulated import Tabulated
from ase_schnet.training.batches import Labels
from ase_schnet.training.loss_weights import LossWeights

Model = Potential | Tabulated  # the same function: plainly written, and fast


class Loss:
    """Compute a weighted sum of the errors of a batch; terms without weight or labels are not evaluated.

    Parameters
    ----------
    weights
        Weights of the terms, and which loss.
    statistics
        Scales of the labels, from the training part.
    device
        Where the tensors are.
    """

    def __init__(self, weights: LossWeights, statistics: LabelStatistics, device: str = "cpu"):
        self.weights, self.statistics, self.device = weights, statistics, device
        eta = torch.as_tensor(statistics.forces_std, dtype=torch.float64).to(device)
        self._inverse_eta = torch.where(eta > 0, 1.0 / eta, torch.ones_like(eta))
        self._energy_variance = _variance(statistics.energy_std, device)
        self._virial_variance = _variance(statistics.virial_std, device)

    def __call__(self, model: Model, batch: AtomsBatch, labels: Labels) -> Tensor:
        """Return the scalar loss, differentiable in the weights of the model."""
        return self.of(self.properties(model, batch, labels, create_graph=True), batch, labels)

    def properties(
        self, model: Model, batch: AtomsBatch, labels: Labels, *, create_graph: bool = False
    ) -> Properties:
        """Return what the terms with weight and labels need, and nothing else."""
        return model.properties(
            batch,
            forces=self.weights.forces > 0,
            stress=bool(self.weights.stress) and labels.stress is not None,
            create_graph=create_graph,
        )

    def of(self, properties: Properties, batch: AtomsBatch, labels: Labels) -> Tensor:
        """Return the loss of predicted properties; the terms of a structure are multiplied by its weight."""
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
        return cast(Tensor, sum(terms))

    def energy_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Return the mean over the structures of the squared errors (S,) in eV, without its weight."""
        if self.weights.kind == "standardised":
            variance = sum_per_structure(self._energy_variance[batch.Z], batch)  # (S,)
            return (error**2 / variance).mean()
        return (error**2).mean()

    def forces_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Return the mean of the squared errors (N, 3) in eV/Å, without its weight."""
        if self.weights.kind == "standardised":
            scaled = error * self._inverse_eta[batch.Z].to(error.dtype)[:, None]
            return (scaled**2).mean()
        n_atoms = sum_per_structure(torch.ones_like(error[:, 0]), batch)  # (S,)
        return (sum_per_structure((error**2).sum(dim=1), batch) / n_atoms).mean()

    def stress_term(self, error: Tensor, batch: AtomsBatch) -> Tensor:
        """Return the mean squared error of the virials, from errors (S, 3, 3) in eV/Å³, without its weight.

        All nine components count, so the term does not depend on the orientation of the cell. Errors of
        structures without a label (NaN) count as zero: so a label has the same weight in any batch.
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


def _variance(std: NDArray, device: str) -> Tensor:
    """Return std² (100,), and 1 where that is zero, to divide by."""
    variance = torch.as_tensor(std**2, dtype=torch.float64).to(device)
    return torch.where(variance > 0, variance, torch.ones_like(variance))

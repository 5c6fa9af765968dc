"""SchNet with its filters read off a grid and its forces written out: what training differentiates.

Autograd alone could make the forces (`potential.properties_of` does), but a loss of them is then
differentiated through a differentiation, with filter networks evaluated and differentiated at every pair. A
filter is a function of one distance. Here its network is evaluated on a grid, whose size does not depend on
the batch, and read off between the points; and forces are the adjoint equations of the network, so that one
differentiation is left. Readings come from polynomials of degree five through six points; they change forces
by some 1e-6 of their size, less than float32 does, in which training computes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ase_schnet.model.batch import AtomsBatch, pair_vectors, sum_per_structure
from ase_schnet.model.pair_loops import TAPS
from ase_schnet.model.pair_ops import Pairs, Taps, contract, convolve, prepare, read
from ase_schnet.model.potential import Potential, Properties, symmetric
from ase_schnet.model.radial import CosineCutoff, GaussianRBF, shifted_softplus
from ase_schnet.model.schnet import SchNetConfig

BEFORE = TAPS // 2 - 1  # points below the interval that holds the distance
SPACING = 0.09  # between points, in standard deviations of a Gaussian


class FilterGrid:
    """Points from `low` to `high` Å, and how values and slopes between them follow from values on them."""

    def __init__(
        self,
        config: SchNetConfig,
        low: float,
        high: float,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
    ):
        spacing = SPACING / math.sqrt(2.0 * config.gamma)
        self.low, self.spacing = low, spacing
        self.n_intervals = max(1, math.ceil((high - low) / spacing))
        k = torch.arange(self.n_intervals + TAPS, dtype=torch.float64) - BEFORE
        points = low + spacing * k  # (G,)
        rbf = GaussianRBF(config.n_rbf, config.cutoff, config.gamma)
        self.rbf = rbf(points).to(device, dtype)  # (G, K)
        envelope = torch.ones_like(points)
        if config.envelope == "cosine":
            envelope = CosineCutoff(config.cutoff).cosine(points)
        self.envelope = envelope.to(device, dtype)[:, None]  # (G, 1)
        self._polynomials = _lagrange(spacing).to(device)  # (TAPS, 2 TAPS)
        self._powers = torch.arange(TAPS, device=device)

    def taps(self, distances: Tensor) -> Taps:
        """Which rows of a table on this grid are read at distances (P,) in Å, between `low` and `high`."""
        t = (distances.double() - self.low) / self.spacing
        interval = t.floor().clamp_(0, self.n_intervals - 1)
        powers = (t - interval)[:, None] ** self._powers  # (P, TAPS)
        return Taps(interval.long(), (powers @ self._polynomials).to(distances.dtype))


def _lagrange(spacing: float) -> Tensor:
    """Lagrange's polynomials, then their derivatives, as coefficients of powers: (TAPS, 2 TAPS)."""
    nodes = np.arange(TAPS) - BEFORE
    values = np.linalg.inv(np.vander(nodes, increasing=True).astype(float))  # (powers, points)
    slopes = np.zeros_like(values)
    slopes[:-1] = values[1:] * np.arange(1, TAPS)[:, None]
    return torch.tensor(np.hstack([values, slopes / spacing]))


class Tabulated:
    """A potential whose filters are read off a grid; its weights are the potential's own."""

    def __init__(self, potential: Potential, grid: FilterGrid):
        self.potential, self.grid = potential, grid
        if grid.rbf.device.type == "cpu":
            prepare(grid.rbf.dtype)

    def properties(
        self,
        batch: AtomsBatch,
        *,
        forces: bool = True,
        stress: bool = False,
        create_graph: bool = False,
    ) -> Properties:
        """As `potential.properties_of`, which is its independent check."""
        with torch.set_grad_enabled(create_graph):
            vectors = pair_vectors(batch)  # (P, 3)
            distances = vectors.norm(dim=1)
            filters = self._filters(distances)
            energies, pair_slopes = self._energies(batch, filters, forces or stress)
            if pair_slopes is None:
                return Properties(energies)
            along = pair_slopes[:, None] * (vectors / distances[:, None])  # (P, 3) ∂E/∂r
            return Properties(
                energies,
                _forces(along, batch) if forces else None,
                _stress(along, vectors, batch) if stress else None,
            )

    def _filters(self, distances: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Of each layer the filters and their slopes at the pairs, (P, F) both."""
        grid, taps = self.grid, self.grid.taps(distances)
        filters = []
        for block in self.potential.schnet.interactions:
            conv = block.cfconv
            table = conv.filter_out(shifted_softplus(conv.filter_in(grid.rbf))) * grid.envelope
            filters.append(read(table, taps))
        return filters

    def _energies(
        self, batch: AtomsBatch, filters: list[tuple[Tensor, Tensor]], with_slopes: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Energies (S,) in eV and, if asked for, ∂E/∂d of every pair (P,) in eV/Å.

        Forwards through the network as in `schnet.py`, then the same lines backwards.
        """
        net, scale = self.potential.schnet, self.potential.scale
        pairs, layers = Pairs(batch.idx_i, batch.idx_j), []
        x = net.embedding(batch.Z)  # (N, F)
        for block, (values, slopes) in zip(net.interactions, filters, strict=True):
            features = block.atomwise_in(x)
            mid = block.atomwise_mid(convolve(features, values, pairs))
            x = x + block.atomwise_out(shifted_softplus(mid))
            layers.append((block, values, slopes, features, mid))
        readout = net.readout_in(x)
        atomic = net.readout_out(shifted_softplus(readout))[:, 0]  # (N,)
        energies = scale * sum_per_structure(atomic, batch).double()
        energies = energies + sum_per_structure(self.potential.shift[batch.Z], batch)
        if not with_slopes:
            return energies, None

        pair_slopes = batch.R.new_zeros(len(batch.idx_i))
        x_bar = (readout.sigmoid() * net.readout_out.weight) @ net.readout_in.weight  # ∂Σε/∂x
        for block, values, slopes, features, mid in reversed(layers):
            mid_bar = (x_bar @ block.atomwise_out.weight) * mid.sigmoid()
            y_bar = mid_bar @ block.atomwise_mid.weight
            pair_slopes = pair_slopes + contract(features, y_bar, slopes, pairs)
            if block is not net.interactions[0]:  # the embedding does not depend on positions
                x_bar = x_bar + convolve(y_bar, values, pairs) @ block.atomwise_in.weight
        return energies, scale * pair_slopes


def _forces(along: Tensor, batch: AtomsBatch) -> Tensor:
    """−∂E/∂R (N, 3) of ∂E/∂r (P, 3), with r from i to j."""
    none = torch.zeros_like(batch.R)
    return none.index_add(0, batch.idx_i, along).index_add(0, batch.idx_j, -along)


def _stress(along: Tensor, vectors: Tensor, batch: AtomsBatch) -> Tensor:
    """(1/V) Σ r ⊗ ∂E/∂r of every structure, (S, 3, 3)."""
    each = vectors[:, :, None] * along[:, None, :]  # (P, 3, 3)
    virial = each.new_zeros((batch.n_structures, 3, 3))
    virial = virial.index_add(0, batch.idx_m[batch.idx_i], each)
    return symmetric(virial) / batch.volumes[:, None, None]

"""SchNet with its filters read off a grid and its forces written out: what training differentiates.

Autograd alone could make the forces (:func:`potential.properties_of` does), but a loss of them is then
differentiated through a differentiation, with filter networks evaluated and differentiated at every pair. A
filter is a function of one distance. Here its network is evaluated on a grid, whose size does not depend on
the batch, and read off between the points; and forces are the adjoint equations of the network, so that one
differentiation is left. Readings come from polynomials of degree five through six points; what they change
in the forces is less than the rounding of float32, in which training computes.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ase_schnet.model.batch import AtomsBatch, pair_vectors, sum_per_structure
from ase_schnet.model.dropout import Dropout, masked, masks_of
from ase_schnet.model.pair_loops import TAPS
from ase_schnet.model.pair_ops import Pairs, Taps, contract, convolve, prepare, read
from ase_schnet.model.potential import Potential, Properties, symmetric
from ase_schnet.model.radial import ACTIVATIONS, ENVELOPES, GaussianRBF
from ase_schnet.schnet_config import SchNetConfig

BEFORE = TAPS // 2 - 1  # points below the interval that holds the distance
SPACING = 0.09  # between points, in standard deviations of the narrowest Gaussian
SPACING_TRAINABLE = 0.045  # likewise: these Gaussians may become narrower while they are trained
MOST_HALVINGS = 4  # of the spacing, however narrow Gaussians have become


class FilterGrid:
    """Hold equally spaced distances, and how values and slopes between them follow from values on them.

    Parameters
    ----------
    config
        Shape of the network.
    low
        Shortest distance in Å that is asked for.
    high
        Longest distance in Å that is asked for.
    dtype
        Precision of the network.
    device
        Where the network is.
    halvings
        How often the spacing of the points is halved, from what the Gaussians of the configuration need.
    """

    def __init__(
        self,
        config: SchNetConfig,
        low: float,
        high: float,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        halvings: int = 0,
    ):
        share = SPACING_TRAINABLE if config.trainable_gaussians else SPACING
        spacing = share / math.sqrt(2.0 * float(config.gaussians()[1].max()))
        spacing /= 2**halvings
        self._arguments = config, low, high, dtype, device
        self.low, self.spacing = low, spacing
        self.n_intervals = max(1, math.ceil((high - low) / spacing))
        k = torch.arange(self.n_intervals + TAPS, dtype=torch.float64) - BEFORE
        points = low + spacing * k  # (G,)
        self.points = points.to(device)
        self.rbf = GaussianRBF(config)(points).to(device, dtype)  # (G, K)
        envelope = ENVELOPES[config.envelope](config.cutoff).smooth(points)
        self.envelope = envelope.to(device, dtype)[:, None]  # (G, 1)
        self._polynomials = _lagrange(spacing).to(device)  # (TAPS, 2 TAPS)
        self._powers = torch.arange(TAPS, device=device)

    def refined(self, narrowest: float) -> FilterGrid:
        """Return a grid for Gaussians whose smallest standard deviation has become `narrowest`, in Å.

        It is this grid as long as that is fine enough, and for trained Gaussians has the spacing halved once
        for each halving of their widths beyond the first, up to `MOST_HALVINGS`.
        """
        if not math.isfinite(narrowest):  # a training that diverges: its loss will say so
            return self
        too_wide = self.spacing / (SPACING * max(narrowest, 1e-12))
        halvings = min(math.ceil(math.log2(too_wide) - 1e-6), MOST_HALVINGS)
        return self if halvings <= 0 else FilterGrid(*self._arguments, halvings)

    def taps(self, distances: Tensor) -> Taps:
        """Return which rows of a table on this grid are read at distances (P,) in Å, with which weights.

        Distances lie between ``low`` and ``high``.
        """
        t = (distances.double() - self.low) / self.spacing
        interval = t.floor().clamp_(0, self.n_intervals - 1)
        powers = (t - interval)[:, None] ** self._powers  # (P, TAPS)
        return Taps(interval.long(), (powers @ self._polynomials).to(distances.dtype))


def _lagrange(spacing: float) -> Tensor:
    """Return Lagrange's polynomials, then their derivatives, as coefficients of powers: (TAPS, 2 TAPS)."""
    nodes = np.arange(TAPS) - BEFORE
    values = np.linalg.inv(np.vander(nodes, increasing=True).astype(float))  # (powers, points)
    slopes = np.zeros_like(values)
    slopes[:-1] = values[1:] * np.arange(1, TAPS)[:, None]
    return torch.tensor(np.hstack([values, slopes / spacing]))


class Tabulated:
    """Evaluate a potential with its filters read off a grid; the weights are the potential's own.

    Parameters
    ----------
    potential
        The potential.
    grid
        Distances on which its filters are evaluated.
    dropout
        Which hidden units are left out; None: none.
    """

    def __init__(self, potential: Potential, grid: FilterGrid, dropout: Dropout | None = None):
        self.potential, self.grid, self.dropout = potential, grid, dropout
        self._activation = ACTIVATIONS[potential.config.activation]
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
        """Return what :func:`potential.properties_of` does, which is its independent check."""
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
        """Return for each layer the filters and their slopes at the pairs, (P, F) both."""
        net, grid, taps = self.potential.schnet, self.grid, self.grid.taps(distances)
        rbf = [grid.rbf] * len(net.interactions)
        if net.config.trainable_gaussians:  # in float64: rounded points would spoil the slopes
            rbf = [gaussians.to(grid.rbf.dtype) for gaussians in net.expand(grid.points)]
        return [
            read(block.cfconv.filters(on_grid) * grid.envelope, taps)
            for block, on_grid in zip(net.interactions, rbf, strict=True)
        ]

    def _energies(
        self, batch: AtomsBatch, filters: list[tuple[Tensor, Tensor]], with_slopes: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return energies (S,) in eV and, if asked for, ∂E/∂d of every pair (P,) in eV/Å.

        Forwards through the network as in `schnet.py`, then the same lines backwards.
        """
        net, scale, activation = self.potential.schnet, self.potential.scale, self._activation
        pairs, layers = Pairs(batch.idx_i, batch.idx_j), []
        masks = masks_of(self.dropout, net.config, batch)
        of_blocks, of_readout = masks[: len(net.interactions)], masks[len(net.interactions) :]
        x = net.embedding(batch.Z)  # (N, B)
        for block, (values, slopes), mask in zip(net.interactions, filters, of_blocks, strict=True):
            features = block.atomwise_in(x)
            mid = block.atomwise_mid(convolve(features, values, pairs))
            x = x + block.atomwise_out(masked(activation.value(mid), mask))
            layers.append((block, values, slopes, features, mid, mask))
        hidden = []
        for layer, mask in zip(net.hidden_readout, of_readout, strict=True):
            hidden.append(layer(x))
            x = masked(net.readout_activation.value(hidden[-1]), mask)
        atomic = net.readout_out(x)[:, 0]  # (N,)
        energies = scale * sum_per_structure(atomic, batch).double()
        energies = energies + sum_per_structure(self.potential.shift[batch.Z], batch)
        if not with_slopes:
            return energies, None

        pair_slopes = batch.R.new_zeros(len(batch.idx_i))
        x_bar = net.readout_out.weight  # ∂Σε/∂x of every atom, (1, width) or (N, width)
        backwards = (reversed(part) for part in (net.hidden_readout, hidden, of_readout))
        for layer, h, mask in zip(*backwards, strict=True):
            x_bar = (net.readout_activation.slope(h) * masked(x_bar, mask)) @ layer.weight
        for block, values, slopes, features, mid, mask in reversed(layers):
            mid_bar = masked(x_bar @ block.atomwise_out.weight, mask) * activation.slope(mid)
            y_bar = mid_bar @ block.atomwise_mid.weight
            pair_slopes = pair_slopes + contract(features, y_bar, slopes, pairs)
            if block is not net.interactions[0]:  # the embedding does not depend on positions
                x_bar = x_bar + convolve(y_bar, values, pairs) @ block.atomwise_in.weight
        return energies, scale * pair_slopes


def share_grid(grid: FilterGrid, *networks: Tabulated) -> None:
    """Let networks read their filters off `grid`, made finer where Gaussians have become narrower.

    That depends on their weights alone, so that a training that is resumed does the same.
    """
    refined = grid.refined(min(n.potential.schnet.narrowest_gaussian for n in networks))
    for network in networks:
        network.grid = refined


def _forces(along: Tensor, batch: AtomsBatch) -> Tensor:
    """Return −∂E/∂R (N, 3) of ∂E/∂r (P, 3), with r from i to j."""
    none = torch.zeros_like(batch.R)
    return none.index_add(0, batch.idx_i, along).index_add(0, batch.idx_j, -along)


def _stress(along: Tensor, vectors: Tensor, batch: AtomsBatch) -> Tensor:
    """Return (1/V) Σ r ⊗ ∂E/∂r of every structure, (S, 3, 3)."""
    each = vectors[:, :, None] * along[:, None, :]  # (P, 3, 3)
    virial = each.new_zeros((batch.n_structures, 3, 3))
    virial = virial.index_add(0, batch.idx_m[batch.idx_i], each)
    return symmetric(virial) / batch.volumes[:, None, None]

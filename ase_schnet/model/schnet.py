"""SchNet: Z and distances in, one atomic energy per atom out (Schütt et al. 2017, arXiv:1706.08566).

embedding(Z) -> T × [atomwise, cfconv, atomwise, activation, atomwise, + residual] -> readout
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from ase_schnet.model.batch import AtomsBatch, pair_distances
from ase_schnet.model.dropout import Dropout, masked, masks_of
from ase_schnet.model.radial import ACTIVATIONS, ENVELOPES, GaussianRBF, TrainableGaussians
from ase_schnet.schnet_config import MAX_ELEMENTS, SchNetConfig
from ase_schnet.schnet_config import PRESETS as PRESETS


class CFConv(nn.Module):
    """Convolve features with continuous filters, y_i = Σ_j x_j ∘ W(d_ij) (eq. 2), W made by a network."""

    def __init__(self, n_rbf: int, n_filters: int, activation: str = "ssp"):
        super().__init__()
        self.filter_in = nn.Linear(n_rbf, n_filters)
        self.activation = ACTIVATIONS[activation].value
        self.filter_out = nn.Linear(n_filters, n_filters)

    def filters(self, rbf: Tensor) -> Tensor:
        """Return the filters (P, F) without cutoff function, of Gaussians (P, K)."""
        return self.filter_out(self.activation(self.filter_in(rbf)))

    def forward(self, x: Tensor, rbf: Tensor, envelope: Tensor, batch: AtomsBatch) -> Tensor:
        """Return y (N, F) of features x (N, F), Gaussians (P, K) and cutoff function (P,)."""
        filters = self.filters(rbf) * envelope[:, None]  # (P, F)
        # each pair is listed once: its filter carries i's features to j and j's to i
        out = torch.zeros_like(x).index_add(0, batch.idx_i, x[batch.idx_j] * filters)
        return out.index_add(0, batch.idx_j, x[batch.idx_i] * filters)  # (N, F)


class Interaction(nn.Module):
    """Give what an atom learns from its neighbours: the increment of its features."""

    def __init__(self, config: SchNetConfig):
        super().__init__()
        n_basis, n_filters = config.n_atom_basis, config.n_filters
        self.atomwise_in = nn.Linear(n_basis, n_filters)
        self.cfconv = CFConv(config.n_rbf, n_filters, config.activation)
        self.atomwise_mid = nn.Linear(n_filters, n_basis)
        self.activation = ACTIVATIONS[config.activation].value
        self.atomwise_out = nn.Linear(n_basis, n_basis)

    def forward(
        self,
        x: Tensor,
        rbf: Tensor,
        envelope: Tensor,
        batch: AtomsBatch,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Return the increment (N, B) of features x (N, B); `mask` (N, B) is that of dropout."""
        y = self.cfconv(self.atomwise_in(x), rbf, envelope, batch)
        return self.atomwise_out(masked(self.activation(self.atomwise_mid(y)), mask))


class SchNet(nn.Module):
    """Give atomic energies without unit, from atomic numbers and distances alone."""

    def __init__(self, config: SchNetConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(MAX_ELEMENTS, config.n_atom_basis)
        if config.trainable_gaussians:
            self.gaussians = nn.ModuleList(
                TrainableGaussians(config) for _ in range(config.n_interactions)
            )
        else:
            self.rbf = GaussianRBF(config)
        self.envelope = ENVELOPES[config.envelope](config.cutoff)
        self.interactions = nn.ModuleList(Interaction(config) for _ in range(config.n_interactions))
        hidden = config.readout_widths
        if hidden:
            self.readout_in = nn.Linear(config.n_atom_basis, hidden[0])
            self.readout_mid = nn.ModuleList(nn.Linear(*widths) for widths in pairwise(hidden))
        self.readout_activation = ACTIVATIONS[config.readout_activation]
        self.readout_out = nn.Linear(hidden[-1] if hidden else config.n_atom_basis, 1)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw Glorot weights from `generator` alone (no global seed) and set biases to zero."""
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight, generator=generator)
                    layer.bias.zero_()
                elif isinstance(layer, TrainableGaussians):
                    layer.reset_parameters()

    @property
    def narrowest_gaussian(self) -> float:
        """Smallest standard deviation of a Gaussian, in Å."""
        if self.config.trainable_gaussians:
            return min(float(g.widths.detach().abs().min()) for g in self.gaussians)
        return 1.0 / math.sqrt(2.0 * float(self.config.gaussians()[1].max()))

    @property
    def hidden_readout(self) -> list[nn.Module]:
        """Dense layers between the last features and `readout_out`."""
        return [self.readout_in, *self.readout_mid] if self.config.readout_widths else []

    def expand(self, distances: Tensor) -> list[Tensor]:
        """Return for each interaction block the Gaussians (P, K) at distances (P,) in Å."""
        if self.config.trainable_gaussians:
            return [gaussians(distances) for gaussians in self.gaussians]
        return [self.rbf(distances)] * len(self.interactions)

    def forward(self, batch: AtomsBatch, dropout: Dropout | None = None) -> Tensor:
        """Return atomic energies (N,), in units of the potential's scale."""
        distances = pair_distances(batch)  # (P,)
        envelope = self.envelope(distances)  # (P,)
        masks = iter(masks_of(dropout, self.config, batch))
        x = self.embedding(batch.Z)  # (N, B)
        for interaction, rbf in zip(self.interactions, self.expand(distances), strict=True):
            x = x + interaction(x, rbf, envelope, batch, next(masks))
        for layer in self.hidden_readout:
            x = masked(self.readout_activation.value(layer(x)), next(masks))
        return self.readout_out(x)[:, 0]  # (N, 1) -> (N,)

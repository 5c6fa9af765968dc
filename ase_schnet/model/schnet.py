"""SchNet: Z and distances in, one atomic energy per atom out (Schütt et al. 2017, arXiv:1706.08566).

embedding(Z) -> T × [atomwise, cfconv, atomwise, ssp, atomwise, + residual] -> readout
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from ase_schnet.model.batch import AtomsBatch, pair_distances
from ase_schnet.model.radial import CosineCutoff, GaussianRBF, HardCutoff, shifted_softplus
from ase_schnet.modelfile import MAX_ELEMENTS, READOUT_WIDTH


@dataclass(frozen=True)
class SchNetConfig:
    """Everything that fixes the shape of the network.

    n_atom_basis: width of the atomic features. n_filters: width of the convolution.
    n_rbf Gaussians of width γ (`gamma`, Å⁻²) sit every cutoff/n_rbf from 0 Å.
    envelope: "cosine" (smooth) or "none" (the original report's step at the cutoff).
    """

    n_atom_basis: int = 64
    n_filters: int = 64
    n_interactions: int = 3
    n_rbf: int = 50
    cutoff: float = 5.0
    gamma: float = 10.0
    envelope: str = "cosine"

    def __post_init__(self):
        for name in ("n_atom_basis", "n_filters", "n_interactions", "n_rbf", "cutoff", "gamma"):
            if not getattr(self, name) > 0:
                raise ValueError(f"SchNetConfig.{name} must be positive, got {getattr(self, name)}")
        if self.envelope not in ("cosine", "none"):
            raise ValueError(f"SchNetConfig.envelope is 'cosine' or 'none', got {self.envelope!r}")

    def to_dict(self) -> dict:
        """Plain types, ready for JSON."""
        return asdict(self)


PRESETS = {
    # 13 345, 116 225 and 874 817 parameters (docs/sources.md, network and its presets)
    "small": SchNetConfig(32, 32, n_interactions=1, n_rbf=150, cutoff=15.0),
    "default": SchNetConfig(64, 64, n_interactions=3, n_rbf=300, cutoff=30.0),
    "large": SchNetConfig(128, 128, n_interactions=6, n_rbf=600, cutoff=60.0),
    # for practical use: a short cutoff, so that cost grows linearly with the number of atoms, and wide
    # Gaussians, so that filters are smooth, which makes errors smaller (benchmarks/accuracy.md)
    "fast": SchNetConfig(64, 64, n_interactions=3, n_rbf=32, cutoff=5.0, gamma=4.0),
    "accurate": SchNetConfig(128, 128, n_interactions=3, n_rbf=32, cutoff=5.0, gamma=4.0),
}


class CFConv(nn.Module):
    """Continuous-filter convolution: y_i = Σ_j x_j ∘ W(d_ij) (eq. 2), with W made by a network."""

    def __init__(self, n_rbf: int, n_filters: int):
        super().__init__()
        self.filter_in = nn.Linear(n_rbf, n_filters)
        self.filter_out = nn.Linear(n_filters, n_filters)

    def forward(self, x: Tensor, rbf: Tensor, envelope: Tensor, batch: AtomsBatch) -> Tensor:
        """X (N, F), rbf (P, K), envelope (P,) -> (N, F)."""
        filters = self.filter_out(shifted_softplus(self.filter_in(rbf)))  # (P, F)
        filters = filters * envelope[:, None]
        # each pair is listed once: its filter carries i's features to j and j's to i
        out = torch.zeros_like(x).index_add(0, batch.idx_i, x[batch.idx_j] * filters)
        return out.index_add(0, batch.idx_j, x[batch.idx_i] * filters)  # (N, F)


class Interaction(nn.Module):
    """One interaction block: what an atom learns from its neighbours, added to its features."""

    def __init__(self, n_atom_basis: int, n_filters: int, n_rbf: int):
        super().__init__()
        self.atomwise_in = nn.Linear(n_atom_basis, n_filters)
        self.cfconv = CFConv(n_rbf, n_filters)
        self.atomwise_mid = nn.Linear(n_filters, n_atom_basis)
        self.atomwise_out = nn.Linear(n_atom_basis, n_atom_basis)

    def forward(self, x: Tensor, rbf: Tensor, envelope: Tensor, batch: AtomsBatch) -> Tensor:
        """X (N, F) -> the increment v (N, F)."""
        y = self.cfconv(self.atomwise_in(x), rbf, envelope, batch)
        return self.atomwise_out(shifted_softplus(self.atomwise_mid(y)))


class SchNet(nn.Module):
    """Atomic energies, unit-free, from atomic numbers and distances alone."""

    def __init__(self, config: SchNetConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(MAX_ELEMENTS, config.n_atom_basis)
        self.rbf = GaussianRBF(config.n_rbf, config.cutoff, config.gamma)
        cutoff = CosineCutoff if config.envelope == "cosine" else HardCutoff
        self.envelope = cutoff(config.cutoff)
        self.interactions = nn.ModuleList(
            Interaction(config.n_atom_basis, config.n_filters, config.n_rbf)
            for _ in range(config.n_interactions)
        )
        self.readout_in = nn.Linear(config.n_atom_basis, READOUT_WIDTH)
        self.readout_out = nn.Linear(READOUT_WIDTH, 1)

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Glorot weights and zero biases, drawn from `generator` alone (no global seed)."""
        with torch.no_grad():
            self.embedding.weight.normal_(generator=generator)
            for layer in self.modules():
                if isinstance(layer, nn.Linear):
                    nn.init.xavier_uniform_(layer.weight, generator=generator)
                    layer.bias.zero_()

    def forward(self, batch: AtomsBatch) -> Tensor:
        """Atomic energies (N,), in units of the potential's scale."""
        distances = pair_distances(batch)  # (P,)
        rbf = self.rbf(distances)  # (P, K)
        envelope = self.envelope(distances)  # (P,)
        x = self.embedding(batch.Z)  # (N, F)
        for interaction in self.interactions:
            x = x + interaction(x, rbf, envelope, batch)
        return self.readout_out(shifted_softplus(self.readout_in(x)))[:, 0]  # (N, 1) -> (N,)


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)

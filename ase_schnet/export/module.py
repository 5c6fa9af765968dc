"""An ensemble as a module of torch that TorchScript compiles: numbers and pair vectors to atomic energies.

SchNet as in :mod:`ase_schnet.inference.torch_ensemble`, with forces left to autograd, and the repulsion of
:mod:`ase_schnet.inference.repulsion`. Shapes: M members, N atoms, P pairs, each listed once, B features, F
filters, K Gaussians.
"""

from __future__ import annotations

import math

import torch
from ase.units import Bohr, Hartree
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from ase_schnet.inference.loops import SOFTENED_OVER
from ase_schnet.inference.repulsion import (
    COMPLETE_AT,
    SCREENING_B,
    SCREENING_C,
    SCREENING_LENGTH,
    SCREENING_POWER,
    Repulsion,
)
from ase_schnet.modelfile import TrainedModel
from ase_schnet.schnet_config import LOG2, SchNetConfig


class MembersDense(nn.Module):
    """Apply a dense layer of every member: (M, ..., in) or (..., in) to (M, ..., out)."""

    def __init__(self, weight: Tensor, bias: Tensor):
        super().__init__()
        self.register_buffer("weight", weight.mT.contiguous())  # (M, in, out)
        self.register_buffer("bias", bias[:, None])  # (M, 1, out)

    def forward(self, x: Tensor) -> Tensor:
        """Return x Wᵀ + b."""
        return x @ self.weight + self.bias


class MembersActivation(nn.Module):
    """Apply shifted softplus or SiLU."""

    def __init__(self, name: str):
        super().__init__()
        self.is_silu, self.log2 = name == "silu", LOG2

    def forward(self, x: Tensor) -> Tensor:
        """Return the activation at x."""
        if self.is_silu:
            return silu(x)
        return softplus(x) - self.log2


class MembersBlock(nn.Module):
    """Give the increment of the features from the neighbours, with the filters of its own Gaussians."""

    def __init__(self, config: SchNetConfig, weights: dict[str, Tensor], t: int):
        super().__init__()

        def dense(name: str) -> MembersDense:
            before = f"interactions.{t}.{name}"
            return MembersDense(weights[f"{before}.weight"], weights[f"{before}.bias"])

        self.atomwise_in = dense("atomwise_in")
        self.filter_in, self.filter_out = dense("cfconv.filter_in"), dense("cfconv.filter_out")
        self.atomwise_mid, self.atomwise_out = dense("atomwise_mid"), dense("atomwise_out")
        self.activation = MembersActivation(config.activation)
        dtype = weights["embedding.weight"].dtype
        if config.trainable_gaussians:
            centres = weights[f"gaussians.{t}.centres"][:, None]  # (M, 1, K)
            gammas = 0.5 / weights[f"gaussians.{t}.widths"][:, None] ** 2
        else:
            centres, gammas = (torch.tensor(x, dtype=dtype)[None] for x in config.gaussians())
        self.register_buffer("centres", centres)
        self.register_buffer("gammas", gammas)

    def forward(self, x: Tensor, d: Tensor, envelope: Tensor, i: Tensor, j: Tensor) -> Tensor:
        """Return the increment (M, N, B) of features (M, N, B), of pairs i, j at distances d (P,)."""
        offsets = d[:, None] - self.centres
        rbf = torch.exp(-self.gammas * offsets * offsets)  # (P, K), or (M, P, K)
        filters = self.filter_out(self.activation(self.filter_in(rbf))) * envelope[:, None]
        features = self.atomwise_in(x)
        y = torch.zeros_like(features)
        y = y.index_add(1, i, features[:, j] * filters).index_add(1, j, features[:, i] * filters)
        return self.atomwise_out(self.activation(self.atomwise_mid(y)))


class Envelope(nn.Module):
    """Give the cutoff function, 0 from the cutoff on."""

    def __init__(self, config: SchNetConfig):
        super().__init__()
        self.kind, self.cutoff = config.envelope, float(config.cutoff)

    def forward(self, d: Tensor) -> Tensor:
        """Return its values (P,) at distances (P,) in Å."""
        inside = (d < self.cutoff).to(d.dtype)
        if self.kind == "none":
            return inside
        if self.kind == "mollifier":
            rest = (1.0 - (d / self.cutoff) ** 2).clamp(min=1e-3)  # e⁻¹⁰⁰⁰ is 0
            return torch.exp(1.0 - 1.0 / rest) * inside
        return 0.5 * (torch.cos(d * (math.pi / self.cutoff)) + 1.0) * inside


class PairRepulsion(nn.Module):
    """Soften distances below the trained ones, and give the energy of screened nuclei there."""

    def __init__(self, onset: Tensor):
        super().__init__()
        self.register_buffer("onset", onset)  # (100, 100), Å
        self.register_buffer("c", torch.tensor(SCREENING_C, dtype=onset.dtype))
        self.register_buffer("b", torch.tensor(SCREENING_B, dtype=onset.dtype))
        self.softened_over, self.complete_at = float(SOFTENED_OVER), float(COMPLETE_AT)
        self.length, self.power = float(SCREENING_LENGTH), float(SCREENING_POWER)
        self.coulomb = float(Hartree * Bohr)  # e²/4πε₀ in eV Å

    def forward(self, d: Tensor, z_i: Tensor, z_j: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the network sees of distances d (Å), and energies in eV, (P,) both."""
        onset = self.onset[z_i, z_j]
        below = (d < onset) & (onset > 0)
        r0 = torch.where(below, onset, torch.ones_like(onset))
        w = self.softened_over * r0
        u = ((r0 - d) / w).clamp(0.0, 1.0)
        seen = torch.where(below, r0 - w * u * (1.0 - u * u * (1.0 - 0.5 * u)), d)
        a = self.length / (z_i.to(d.dtype) ** self.power + z_j.to(d.dtype) ** self.power)
        screening = (self.c * torch.exp(-(d / a)[:, None] * self.b)).sum(dim=-1)
        bare = self.coulomb * z_i.to(d.dtype) * z_j.to(d.dtype) / d
        u = ((r0 - d) / ((1.0 - self.complete_at) * r0)).clamp(0.0, 1.0)
        on = u * u * u * (10.0 - 15.0 * u + 6.0 * u * u)
        return seen, torch.where(below, on * bare * screening, torch.zeros_like(d))


class EnsembleModule(nn.Module):
    """Give the energies of atoms of all members.

    Parameters
    ----------
    model
        The ensemble.
    dtype
        Precision of the weights and of the vectors that are given, ``torch.float32`` or ``torch.float64``.
        Energies are float64 in any case: those of isolated atoms are thousands of eV, with a grain in float32
        that hides how far members differ.
    repulsion
        "zbl" or None, as for :class:`ase_schnet.inference.ensemble.Ensemble`.
    """

    def __init__(self, model: TrainedModel, dtype: torch.dtype, repulsion: str | None):
        super().__init__()
        config = model.network
        w = {name: torch.tensor(array, dtype=dtype) for name, array in model.weights.items()}
        self.n_members = model.n_members
        self.register_buffer("embedding", w["embedding.weight"])  # (M, 100, B)
        self.envelope = Envelope(config)
        self.blocks = nn.ModuleList(
            MembersBlock(config, w, t) for t in range(config.n_interactions)
        )
        layers = [
            MembersDense(w[f"{name}.weight"], w[f"{name}.bias"]) for name in config.readout_layers
        ]
        self.hidden, self.last = nn.ModuleList(layers[:-1]), layers[-1]
        self.activation = MembersActivation(config.readout_activation)
        scale = torch.tensor(model.scale, dtype=torch.float64)[:, None]  # (M, 1)
        if model.element_scale is not None:
            scale = scale * torch.tensor(model.element_scale)
        else:
            scale = scale.expand(-1, w["embedding.weight"].shape[1])
        self.register_buffer("scale", scale.to(dtype).contiguous())  # (M, 100), eV
        self.register_buffer(
            "shift", torch.tensor(model.energy_shift, dtype=torch.float64)
        )  # (M, 100), eV
        onset = None if repulsion is None else Repulsion(repulsion, model).onset
        self.has_repulsion = onset is not None
        zeros = torch.zeros((1, 1), dtype=dtype)
        self.repulsion = PairRepulsion(zeros if onset is None else torch.tensor(onset, dtype=dtype))

    def forward(self, numbers: Tensor, vectors: Tensor, idx_i: Tensor, idx_j: Tensor) -> Tensor:
        """Return energies of atoms in eV, (M, N), float64.

        Parameters
        ----------
        numbers
            (N,) atomic numbers, int64.
        vectors
            (P, 3), Å, from atom i to atom j of each pair.
        idx_i, idx_j
            (P,) int64; each pair is listed once.
        """
        d = (vectors * vectors).sum(dim=1).sqrt()  # (P,)
        seen, repelled = d, torch.zeros_like(d)
        if self.has_repulsion:
            seen, repelled = self.repulsion(d, numbers[idx_i], numbers[idx_j])
        envelope = self.envelope(seen)
        x = self.embedding[:, numbers]  # (M, N, B)
        for block in self.blocks:
            x = x + block(x, seen, envelope, idx_i, idx_j)
        for layer in self.hidden:
            x = self.activation(layer(x))
        bound = self.last(x)[:, :, 0] * self.scale[:, numbers]
        energies = bound.to(torch.float64) + self.shift[:, numbers]
        if self.has_repulsion:
            half = torch.zeros_like(bound[0])
            half = half.index_add(0, idx_i, 0.5 * repelled).index_add(0, idx_j, 0.5 * repelled)
            energies = energies + half
        return energies

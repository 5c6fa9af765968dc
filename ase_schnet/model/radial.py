"""Functions of one distance or one number: Gaussians, cutoff functions, activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import silu, softplus

from ase_schnet.schnet_config import LOG2, SMALLEST_EXPONENT, SchNetConfig


def shifted_softplus(x: Tensor) -> Tensor:
    """Return ssp(x) = ln(½ eˣ + ½) = softplus(x) − ln 2 (arXiv:1706.08566, eq. 5).

    The first form overflows in float32 above x ≈ 88.7; this one tends to x − ln 2.
    """
    return softplus(x) - LOG2


def silu_slope(x: Tensor) -> Tensor:
    """Return the derivative of silu(x) = x σ(x), with σ the logistic function."""
    gate = torch.sigmoid(x)
    return gate * (1.0 + x * (1.0 - gate))


class Activation(NamedTuple):
    """Hold a function behind a hidden layer and its derivative."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor], Tensor]


# by the names of `schnet_config.ACTIVATIONS`
ACTIVATIONS = {
    "ssp": Activation(shifted_softplus, torch.sigmoid),
    "silu": Activation(silu, silu_slope),
}


class GaussianRBF(nn.Module):
    """Expand distances in fixed Gaussians e_k(d) = exp(−γ_k (d − μ_k)²) (arXiv:1706.08566, section 3)."""

    def __init__(self, config: SchNetConfig):
        super().__init__()
        self._config = config

    def centres(self, like: Tensor) -> Tensor:
        """Return μ_k in Å, (K,), made anew in the dtype of `like`: a rounded buffer would stay rounded."""
        config = self._config
        if config.centres is None:
            k = torch.arange(config.n_rbf, dtype=like.dtype, device=like.device)
            return k * (config.cutoff / config.n_rbf)
        return torch.tensor(config.centres, dtype=like.dtype, device=like.device)

    def forward(self, distances: Tensor) -> Tensor:
        """Return the Gaussians (P, K) at distances (P,) in Å."""
        gammas = torch.from_numpy(self._config.gaussians()[1]).to(distances)
        return _gaussians(distances, self.centres(distances), gammas)


class TrainableGaussians(nn.Module):
    """Expand distances as :class:`GaussianRBF` does, with centres and widths that are trained."""

    def __init__(self, config: SchNetConfig):
        super().__init__()
        self._config = config
        self.centres = nn.Parameter(torch.empty(config.n_rbf))  # μ_k, Å
        self.widths = nn.Parameter(torch.empty(config.n_rbf))  # σ_k, Å
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set centres and widths to those of the configuration."""
        centres, gammas = map(torch.from_numpy, self._config.gaussians())
        with torch.no_grad():
            self.centres.copy_(centres)
            self.widths.copy_((0.5 / gammas).sqrt())

    def forward(self, distances: Tensor) -> Tensor:
        """Return the Gaussians (P, K) at distances (P,) in Å."""
        centres, widths = self.centres.to(distances.dtype), self.widths.to(distances.dtype)
        return _gaussians(distances, centres, 0.5 / widths**2)


def _gaussians(distances: Tensor, centres: Tensor, gammas: Tensor) -> Tensor:
    offsets = distances[:, None] - centres  # (P, K)
    exponent = -gammas * offsets * offsets
    return torch.exp(exponent.masked_fill(exponent < SMALLEST_EXPONENT, -math.inf))


class CosineCutoff(nn.Module):
    """Multiply filters by f(d) = ½ (cos(π d / cutoff) + 1): value and slope vanish at the cutoff.

    Behler, J. Chem. Phys. 134, 074106 (2011), doi:10.1063/1.3553717, eq. 5. Without it the energy jumps
    whenever a pair crosses the cutoff.
    """

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff  # Å

    def forward(self, distances: Tensor) -> Tensor:
        """Return f at distances (P,) in Å; 0 from the cutoff on."""
        return self.smooth(distances) * (distances < self.cutoff)

    def smooth(self, distances: Tensor) -> Tensor:
        """Return f without its end, so that it can be interpolated up to the cutoff."""
        return 0.5 * (torch.cos(distances * (math.pi / self.cutoff)) + 1.0)


class MollifierCutoff(nn.Module):
    """Multiply filters by f(d) = exp(1 − 1/(1 − (d/cutoff)²)): all derivatives vanish at the cutoff."""

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff  # Å

    def forward(self, distances: Tensor) -> Tensor:
        """Return f at distances (P,) in Å; 0 from the cutoff on."""
        rest = 1.0 - (distances / self.cutoff) ** 2
        inside = rest > 0
        # a number in place of what is outside, whose gradient would be NaN
        return torch.exp(1.0 - 1.0 / torch.where(inside, rest, 1.0)) * inside

    smooth = forward  # it is smooth at its end


class HardCutoff(nn.Module):
    """Multiply filters by 1 below the cutoff and by 0 beyond: energy is not conserved at this step.

    Kept to read models that were trained so, and to show that the drift verdict fails them.
    """

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff  # Å

    def forward(self, distances: Tensor) -> Tensor:
        """Return 1 or 0 at distances (P,) in Å."""
        return (distances < self.cutoff).to(distances.dtype)

    def smooth(self, distances: Tensor) -> Tensor:
        """Return 1 everywhere, so that filters can be interpolated up to the cutoff."""
        return torch.ones_like(distances)


# by the names of `schnet_config.ENVELOPES`
ENVELOPES = {"cosine": CosineCutoff, "mollifier": MollifierCutoff, "none": HardCutoff}

"""Functions of one distance or one number: Gaussians, cutoff envelope, shifted softplus."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

LOG2 = math.log(2.0)
# exp(-40) = 4e-18 is below the grain of float64 beside 1. Smaller Gaussians are set to zero: left alone
# they become denormal numbers in float32, on which processors are some hundred times slower.
SMALLEST_EXPONENT = -40.0


def shifted_softplus(x: Tensor) -> Tensor:
    """ssp(x) = ln(½ eˣ + ½) = softplus(x) − ln 2 (SchNet, eq. 5 of arXiv:1706.08566).

    The first form overflows in float32 above x ≈ 88.7; this one tends to x − ln 2.
    """
    return softplus(x) - LOG2


class GaussianRBF(nn.Module):
    """e_k(d) = exp(−γ (d − μ_k)²) with centres μ_k = k·cutoff/n_rbf (SchNet, section 3).

    With n_rbf = 300 and cutoff = 30 Å these are the paper's centres, one every 0.1 Å.
    """

    def __init__(self, n_rbf: int, cutoff: float, gamma: float):
        super().__init__()
        self.n_rbf, self.spacing = n_rbf, cutoff / n_rbf
        self.gamma = gamma  # Å⁻²

    def centres(self, like: Tensor) -> Tensor:
        """μ_k in Å, (K,), made anew in the dtype of `like`: a rounded buffer would stay rounded."""
        return torch.arange(self.n_rbf, dtype=like.dtype, device=like.device) * self.spacing

    def forward(self, distances: Tensor) -> Tensor:
        """(P,) in Å -> (P, K)."""
        offsets = distances[:, None] - self.centres(distances)  # (P, K)
        exponent = -self.gamma * offsets * offsets
        return torch.exp(exponent.masked_fill(exponent < SMALLEST_EXPONENT, -math.inf))


class CosineCutoff(nn.Module):
    """f(d) = ½ (cos(π d / cutoff) + 1) below the cutoff, 0 beyond: value and slope vanish there.

    Behler, J. Chem. Phys. 134, 074106 (2011), eq. 5. Without it the energy jumps whenever a pair
    crosses the cutoff.
    """

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff  # Å

    def forward(self, distances: Tensor) -> Tensor:
        """(P,) in Å -> (P,)."""
        return self.cosine(distances) * (distances < self.cutoff)

    def cosine(self, distances: Tensor) -> Tensor:
        """The same without its end: analytic, so that it may be interpolated up to the cutoff."""
        return 0.5 * (torch.cos(distances * (math.pi / self.cutoff)) + 1.0)


class HardCutoff(nn.Module):
    """1 below the cutoff, 0 beyond: the step that the original SchNet report leaves in.

    Kept so that the drift verdict can be shown a model that deserves to fail.
    """

    def __init__(self, cutoff: float):
        super().__init__()
        self.cutoff = cutoff  # Å

    def forward(self, distances: Tensor) -> Tensor:
        """(P,) in Å -> (P,)."""
        return (distances < self.cutoff).to(distances.dtype)

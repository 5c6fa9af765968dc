"""All weights of a network as one vector, which a step of an optimiser moves in a few large operations.

A network of 35 small tensors spends more time on calling its optimiser, its clipping and its running average
than these take to compute.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ase_schnet.training.orthogonal import Place

ALIGNMENT = 16  # numbers: every parameter begins at a cache line


class ParameterVector:
    """The parameters of a module, moved into one vector.

    The module's parameters become views into `values` (n,), their gradients views into `gradient` (n,), which
    backward() adds to: it is set to zero before. Gaps between parameters are zero in both.

    Parameters
    ----------
    module
        A module all of whose parameters have one dtype and lie on one device.
    is_last
        Name and parameter to whether it belongs to the last part of the vector, which begins at `split`.
    """

    def __init__(self, module: nn.Module, is_last: Callable[[str, Tensor], bool]):
        named = sorted(module.named_parameters(), key=lambda item: is_last(*item))  # stable
        starts, n = [], 0
        self.split: int | None = None
        for name, parameter in named:
            if self.split is None and is_last(name, parameter):
                self.split = n
            starts.append(n)
            n += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        self.split = n if self.split is None else self.split
        self.values = named[0][1].detach().new_zeros(n)
        self.gradient = torch.zeros_like(self.values)
        for start, (_, parameter) in zip(starts, named, strict=True):
            piece = slice(start, start + parameter.numel())
            self.values[piece] = parameter.detach().flatten()
            parameter.data = self.values[piece].view(parameter.shape)
            parameter.grad = self.gradient[piece].view(parameter.shape)
        self.last_places = [
            Place(start - self.split, *parameter.shape)
            for start, (_, parameter) in zip(starts, named, strict=True)
            if start >= self.split
        ]

    def clip(self, norm: float) -> None:
        """Shorten the gradient to `norm` if it is longer."""
        length = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_((norm / (length + 1e-6)).clamp_(max=1.0))

    def part(self, *, last: bool) -> Tensor:
        """The vector's last part or what comes before it, (k,), with its gradient in `.grad`."""
        piece = slice(self.split, None) if last else slice(0, self.split)
        part = self.values[piece]
        part.grad = self.gradient[piece]
        return part

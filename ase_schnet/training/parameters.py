"""All weights of a network as one vector, so that a step of an optimiser is a few large operations.

For a network of many small tensors, the calls of optimiser, clipping and running average take longer than
their arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ase_schnet.training.orthogonal import Place

ALIGNMENT = 16  # numbers: every parameter begins at a cache line


class ParameterVector:
    """Move the parameters of a module into one vector.

    The module's parameters become views into `values` (n,), their gradients views into `gradient` (n,), which
    backward() adds to: it is set to zero before. Gaps between parameters are zero in both.

    Parameters
    ----------
    module
        A module with parameters of one dtype on one device.
    is_last
        Says of a name and a parameter whether it belongs to the last part of the vector, which begins at
        `split`.
    """

    def __init__(self, module: nn.Module, is_last: Callable[[str, Tensor], bool]):
        named = sorted(module.named_parameters(), key=lambda item: is_last(*item))  # stable
        starts, n = [], 0
        self._named, self._pieces = named, {}
        self.split: int | None = None
        for name, parameter in named:
            if self.split is None and is_last(name, parameter):
                self.split = n
            starts.append(n)
            n += -(-parameter.numel() // ALIGNMENT) * ALIGNMENT
        self.split = n if self.split is None else self.split
        self.values = named[0][1].detach().new_zeros(n)
        self.gradient = torch.zeros_like(self.values)
        for start, (name, parameter) in zip(starts, named, strict=True):
            piece = self._pieces[name] = slice(start, start + parameter.numel())
            self.values[piece] = parameter.detach().flatten()
            parameter.data = self.values[piece].view(parameter.shape)
            parameter.grad = self.gradient[piece].view(parameter.shape)
        self.last_places = [
            Place(start - self.split, *parameter.shape)
            for start, (_, parameter) in zip(starts, named, strict=True)
            if start >= self.split
        ]

    def clip(self, norm: float) -> None:
        """Scale the gradient down to the length `norm` if it is longer."""
        length = torch.linalg.vector_norm(self.gradient)
        self.gradient.mul_((norm / (length + 1e-6)).clamp_(max=1.0))

    def copies(self, chosen: Callable[[str], bool]) -> list[tuple[slice, Tensor]]:
        """Return place and present values of the parameters whose names are chosen."""
        pieces = [piece for name, piece in self._pieces.items() if chosen(name)]
        return [(piece, self.values[piece].clone()) for piece in pieces]

    def where(self, chosen: Callable[[str, Tensor], bool]) -> Tensor:
        """Return 1 at the parameters that are chosen by name and value, 0 elsewhere, (n,)."""
        found = torch.zeros_like(self.values)
        for name, parameter in self._named:
            if chosen(name, parameter):
                found[self._pieces[name]] = 1.0
        return found

    def part(self, *, last: bool) -> Tensor:
        """Return the last part of the vector or the first one, (k,), with its gradient in `.grad`."""
        piece = slice(self.split, None) if last else slice(0, self.split)
        part = self.values[piece]
        part.grad = self.gradient[piece]
        return part

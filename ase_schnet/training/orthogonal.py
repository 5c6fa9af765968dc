"""The nearest orthogonal matrix: U Vᵀ of U S Vᵀ, by a Newton–Schulz iteration of five steps.

X ← αX + X(βA + γA²) with A = XᵀX, from X divided by its Frobenius norm; the coefficients are those of Muon's
reference implementation (K. Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024),
which leave singular values between 0.7 and 1.2. In float32 everywhere, so that the bits of a training do not
depend on whether a processor has bfloat16. Fewer steps cost accuracy (benchmarks/accuracy.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ase_schnet.inference import loops
from ase_schnet.inference.compilation import first_use
from ase_schnet.training import orthogonal_loops
from ase_schnet.training.orthogonal_loops import N_WORK, PADDED_TO, SMALLEST_NORM

COEFFICIENTS = ((3.4445, -4.7750, 2.0315),) * 5  # α, β, γ of each step


class Place(NamedTuple):
    """Say where a matrix lies in a vector, row by row."""

    start: int
    rows: int
    cols: int


class Orthogonalizer:
    """Replace the matrices of a vector by their nearest orthogonal ones.

    Parameters
    ----------
    places
        Where the matrices lie. The gaps between them stay zero.
    """

    def __init__(self, places: Sequence[Place]):
        self.places = tuple(places)
        self._places = np.array(self.places, np.int64).reshape(-1, 3)
        self._coefficients = np.array(COEFFICIENTS)
        _, rows, cols = self._places.T
        columns = -(-np.minimum(rows, cols) // PADDED_TO) * PADDED_TO
        self._most = int((np.maximum(np.maximum(rows, cols), columns) * columns).max())
        self._work: NDArray | None = None

    def __call__(self, vector: Tensor) -> Tensor:
        """Return the vector (n,) of the orthogonal matrices for a vector (n,) of matrices."""
        out = torch.zeros_like(vector)
        if vector.device.type == "cpu":
            self._compiled(vector.detach().numpy(), out.numpy())
        else:
            self._by_torch(vector, out)
        return out

    def _compiled(self, vector: NDArray, out: NDArray) -> None:
        rest = self._places, self._coefficients
        if self._work is None or self._work.dtype != vector.dtype:
            self._work = np.zeros((N_WORK, self._most), vector.dtype)  # kept from call to call
            with first_use(orthogonal_loops, loops):
                orthogonal_loops.orthogonalise(vector, *rest, self._work, out)
        orthogonal_loops.orthogonalise(vector, *rest, self._work, out)

    def _by_torch(self, vector: Tensor, out: Tensor) -> None:
        """Iterate the matrices of one shape at a time, as one batch."""
        for rows, cols in {(place.rows, place.cols) for place in self.places}:
            starts = [p.start for p in self.places if (p.rows, p.cols) == (rows, cols)]
            pieces = [slice(start, start + rows * cols) for start in starts]
            batch = torch.stack([vector[piece].view(rows, cols) for piece in pieces])
            for piece, matrix in zip(pieces, _iterated(batch), strict=True):
                out[piece] = matrix.flatten()


def _iterated(x: Tensor) -> Tensor:
    """Return the result of the iteration for matrices (B, m, n), as `orthogonal_loops` does, in torch."""
    wide = x.shape[-2] < x.shape[-1]
    x = x.mT if wide else x
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + SMALLEST_NORM)
    for alpha, beta, gamma in COEFFICIENTS:
        a = x.mT @ x
        x = alpha * x + x @ (beta * a + gamma * (a @ a))
    return x.mT if wide else x

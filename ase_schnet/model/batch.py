"""A batch of structures as one graph without edges between them, and sums over its structures."""

from __future__ import annotations

from typing import NamedTuple

from numpy.typing import NDArray
from torch import Tensor


class AtomsBatch(NamedTuple):
    """Hold S structures with N atoms and P pairs between them; no pair joins two structures.

    ============== ======= ======== ================================================================
    field          shape   dtype    meaning
    ============== ======= ======== ================================================================
    Z              (N,)    int64    atomic numbers
    R              (N, 3)  float    positions in Å
    idx_i, idx_j   (P,)    int64    **half list**: each pair once, its filter serves both ways
    shifts         (P, 3)  float    lattice vector added to R[idx_j], in Å
    idx_m          (N,)    int64    structure of each atom
    n_structures   int              S
    volumes        (S,)    float    Å³, infinite for a molecule; None where no stress is wanted
    structures     (S,)    int      number of each structure in its data set; None where it is from none
    ============== ======= ======== ================================================================
    """

    Z: Tensor
    R: Tensor
    idx_i: Tensor
    idx_j: Tensor
    shifts: Tensor
    idx_m: Tensor
    n_structures: int
    volumes: Tensor | None = None
    structures: NDArray | None = None


def pair_vectors(batch: AtomsBatch) -> Tensor:
    """Return R_j + shift − R_i of the pairs, (P, 3) in Å, differentiable in R."""
    return batch.R[batch.idx_j] - batch.R[batch.idx_i] + batch.shifts


def pair_distances(batch: AtomsBatch) -> Tensor:
    """Return the distances |R_j + shift − R_i| of the pairs, (P,) in Å, differentiable in R."""
    return pair_vectors(batch).norm(dim=1)


def sum_per_structure(values: Tensor, batch: AtomsBatch) -> Tensor:
    """Return atomic values (N, ...) summed over each structure, (S, ...)."""
    out = values.new_zeros((batch.n_structures, *values.shape[1:]))
    return out.index_add(0, batch.idx_m, values)

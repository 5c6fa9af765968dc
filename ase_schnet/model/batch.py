"""A batch of structures as one disconnected graph, and sums over its structures."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class AtomsBatch(NamedTuple):
    """S structures with N atoms and P pairs between them; structures share no pair.

    ============== ======= ======== =====================================================
    field          shape   dtype    meaning
    ============== ======= ======== =====================================================
    Z              (N,)    int64    atomic numbers
    R              (N, 3)  float    positions in Å
    idx_i, idx_j   (P,)    int64    **half list**: each pair once, its filter serves both ways
    shifts         (P, 3)  float    lattice vector added to R[idx_j], in Å
    idx_m          (N,)    int64    structure of each atom
    n_structures   int              S
    volumes        (S,)    float    Å³, infinite for a molecule; None where no stress is wanted
    ============== ======= ======== =====================================================
    """

    Z: Tensor
    R: Tensor
    idx_i: Tensor
    idx_j: Tensor
    shifts: Tensor
    idx_m: Tensor
    n_structures: int
    volumes: Tensor | None = None


def pair_vectors(batch: AtomsBatch) -> Tensor:
    """R_j + shift - R_i of the pairs, (P, 3) in Å, differentiable in R."""
    return batch.R[batch.idx_j] - batch.R[batch.idx_i] + batch.shifts


def pair_distances(batch: AtomsBatch) -> Tensor:
    """Distances |R_j + shift - R_i| of the pairs, (P,) in Å, differentiable in R."""
    return pair_vectors(batch).norm(dim=1)


def sum_per_structure(values: Tensor, batch: AtomsBatch) -> Tensor:
    """Sum atomic values (N, ...) over each structure: (S, ...)."""
    out = values.new_zeros((batch.n_structures, *values.shape[1:]))
    return out.index_add(0, batch.idx_m, values)


def collate(parts: list[AtomsBatch]) -> AtomsBatch:
    """Join batches into one, renumbering atoms and structures."""
    n_atoms = [0, *torch.tensor([len(p.Z) for p in parts]).cumsum(0).tolist()]
    n_structures = [0, *torch.tensor([p.n_structures for p in parts]).cumsum(0).tolist()]
    return AtomsBatch(
        Z=torch.cat([p.Z for p in parts]),
        R=torch.cat([p.R for p in parts]),
        idx_i=torch.cat([p.idx_i + a for p, a in zip(parts, n_atoms, strict=False)]),
        idx_j=torch.cat([p.idx_j + a for p, a in zip(parts, n_atoms, strict=False)]),
        shifts=torch.cat([p.shifts for p in parts]),
        idx_m=torch.cat([p.idx_m + s for p, s in zip(parts, n_structures, strict=False)]),
        n_structures=n_structures[-1],
        volumes=None
        if any(p.volumes is None for p in parts)
        else torch.cat([p.volumes for p in parts]),
    )

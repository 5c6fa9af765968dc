"""Half lists of many structures at once: molecules in blocks of array operations, the rest one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ase_schnet.neighbors import ALL_PAIRS_LIMIT, Pairs, all_pairs, half_list

BLOCK = 100_000
"""Pairs looked at together, about: some 20 MB."""


class PackedPairs(NamedTuple):
    """Half lists of S structures behind each other, each in the order of `half_list`.

    n_pairs (S,) · idx_i, idx_j (P,) counted from the first atom of their structure · shifts (P, 3) Å.
    """

    n_pairs: np.ndarray
    idx_i: np.ndarray
    idx_j: np.ndarray
    shifts: np.ndarray


def packed_pairs(
    R: np.ndarray, ptr: np.ndarray, cells: np.ndarray, pbc: np.ndarray, cutoff: float
) -> PackedPairs:
    """Pairs closer than `cutoff` Å of all structures, which are packed as in a `Dataset`."""
    parts = [pairs for _, pairs in pair_blocks(R, ptr, cells, pbc, cutoff)]
    return PackedPairs(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def distance_range(
    R: np.ndarray, ptr: np.ndarray, cells: np.ndarray, pbc: np.ndarray, cutoff: float
) -> tuple[float, float]:
    """Shortest and longest distance of a pair, in Å; the cutoff twice where there is no pair."""
    extremes = []
    for part, pairs in pair_blocks(R, ptr, cells, pbc, cutoff):
        first_atom = np.repeat(ptr[part], pairs.n_pairs)
        to, start = R[pairs.idx_j + first_atom], R[pairs.idx_i + first_atom]
        distances = np.linalg.norm(to + pairs.shifts - start, axis=1)
        if len(distances):
            extremes += [float(distances.min()), float(distances.max())]
    return (min(extremes), max(extremes)) if extremes else (cutoff, cutoff)


def pair_blocks(
    R: np.ndarray, ptr: np.ndarray, cells: np.ndarray, pbc: np.ndarray, cutoff: float
) -> Iterator[tuple[slice, PackedPairs]]:
    """The same, in blocks of structures: which, and their pairs."""
    n_atoms = np.diff(ptr)
    small = ~pbc.any(axis=1) & (n_atoms <= ALL_PAIRS_LIMIT)
    candidates = np.where(small, n_atoms * (n_atoms - 1) // 2, n_atoms * ALL_PAIRS_LIMIT)
    block = candidates.cumsum() // BLOCK
    edges = np.flatnonzero(np.diff(block, prepend=-1, append=block[-1] + 1))
    for first, last in pairwise(edges.tolist()):
        part = slice(first, last)
        if small[part].all():
            yield part, _of_molecules(R[ptr[first] : ptr[last]], n_atoms[part], cutoff)
        else:
            lists = [
                half_list(R[ptr[s] : ptr[s + 1]], cutoff, cells[s], pbc[s])
                for s in range(first, last)
            ]
            yield part, _joined(lists)


def _of_molecules(R: np.ndarray, n_atoms: np.ndarray, cutoff: float) -> PackedPairs:
    """Small molecules: every pair of each is looked at, all in one go."""
    tables = {n: all_pairs(n) for n in np.unique(n_atoms).tolist()}
    whole = _joined([tables[n] for n in n_atoms.tolist()])
    first = np.repeat(n_atoms.cumsum() - n_atoms, whole.n_pairs)
    vectors = R[first + whole.idx_j] - R[first + whole.idx_i]
    close = (vectors**2).sum(axis=1) < cutoff**2
    structure = np.repeat(np.arange(len(n_atoms)), whole.n_pairs)
    n_pairs = np.bincount(structure[close], minlength=len(n_atoms))
    return PackedPairs(n_pairs, whole.idx_i[close], whole.idx_j[close], whole.shifts[close])


def _joined(lists: list[Pairs]) -> PackedPairs:
    n_pairs = np.array([len(pairs.idx_i) for pairs in lists])
    return PackedPairs(n_pairs, *(np.concatenate(column) for column in zip(*lists, strict=True)))

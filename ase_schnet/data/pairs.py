"""Find the pairs of many structures at once: molecules in blocks of array operations, crystals one by one."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy  # its graphs are loaded when first used
from ase.symbols import Symbols
from numpy.typing import NDArray

from ase_schnet.bonds import pair_name
from ase_schnet.data.dataset import Dataset
from ase_schnet.neighbors import ALL_PAIRS_LIMIT, Pairs, all_pairs, half_list
from ase_schnet.schnet_config import MAX_ELEMENTS

BLOCK = 100_000
"""Number of pairs that are looked at together, about 20 MB."""


class PackedPairs(NamedTuple):
    """Hold the half lists of S structures one after the other, each in the order of `half_list`.

    Attributes
    ----------
    n_pairs
        (S,).
    idx_i, idx_j
        (P,), counted from the first atom of their structure.
    shifts
        (P, 3) Å.
    """

    n_pairs: NDArray
    idx_i: NDArray
    idx_j: NDArray
    shifts: NDArray


def distance_range(
    R: NDArray, ptr: NDArray, cells: NDArray, pbc: NDArray, cutoff: float
) -> tuple[float, float]:
    """Return the shortest and the longest distance of a pair in Å; the cutoff twice if there is no pair."""
    extremes = []
    for part, pairs in pair_blocks(R, ptr, cells, pbc, cutoff):
        first_atom = np.repeat(ptr[part], pairs.n_pairs)
        to, start = R[pairs.idx_j + first_atom], R[pairs.idx_i + first_atom]
        distances = np.linalg.norm(to + pairs.shifts - start, axis=1)
        if len(distances):
            extremes += [float(distances.min()), float(distances.max())]
    return (min(extremes), max(extremes)) if extremes else (cutoff, cutoff)


def pair_blocks(
    R: NDArray, ptr: NDArray, cells: NDArray, pbc: NDArray, cutoff: float
) -> Iterator[tuple[slice, PackedPairs]]:
    """Yield blocks of structures, packed as in a `Dataset`, with their pairs closer than `cutoff` Å."""
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


def sampled_distances(
    dataset: Dataset, cutoff: float, gap: float = 0.2
) -> dict[str, list[list[float]]]:
    """Return the distances below `cutoff` that occur: pair name -> intervals [low, high] in Å.

    Distances more than `gap` Å apart belong to two intervals, such as a bond and the next neighbours.
    """
    # Only the nearest and farthest distance of each bin of width `gap` is kept: all within a bin is one
    # interval, so nothing is lost, and 134 thousand molecules need little more memory than one.
    n_bins = int(cutoff / gap) + 1
    low = np.full((MAX_ELEMENTS, MAX_ELEMENTS, n_bins), np.inf)
    high = np.full_like(low, -np.inf)
    data = (dataset.R, dataset.ptr, dataset.cells, dataset.pbc)
    for part, pairs in pair_blocks(*data, cutoff):
        first = np.repeat(dataset.ptr[part], pairs.n_pairs)
        i, j = first + pairs.idx_i, first + pairs.idx_j
        distances = np.linalg.norm(dataset.R[j] - dataset.R[i] + pairs.shifts, axis=1)
        z_i, z_j = dataset.Z[i], dataset.Z[j]
        bins = (np.minimum(z_i, z_j), np.maximum(z_i, z_j), (distances / gap).astype(np.int64))
        np.minimum.at(low, bins, distances)
        np.maximum.at(high, bins, distances)
    result = {}
    for z_i, z_j in np.argwhere(np.isfinite(low).any(axis=2)):
        filled = np.isfinite(low[z_i, z_j])
        near, far = low[z_i, z_j, filled], high[z_i, z_j, filled]
        begins = np.append(True, near[1:] - far[:-1] > gap)
        ends = np.append(begins[1:], True)
        result[pair_name(z_i, z_j)] = [
            [float(a), float(b)] for a, b in zip(near[begins], far[ends], strict=True)
        ]
    return result


def extent_of(dataset: Dataset, cutoff: float) -> dict:
    """Return what a card says of the structures of one level of theory: how many, their distances and pieces.

    Parameters
    ----------
    dataset
        The structures.
    cutoff
        Of the model, Å.
    """
    return {
        "n_structures": len(dataset),
        "distance_ranges_Ang": sampled_distances(dataset, cutoff),
        "pieces": sampled_pieces(dataset, cutoff),
    }


def sampled_pieces(dataset: Dataset, cutoff: float) -> list[str]:
    """Return the formulas of what structures fall into at a cutoff (Å), sorted; of whole ones nothing.

    These are the pieces of structures in which no pairs nearer than the cutoff connect all atoms, and single
    atoms without a neighbour.
    """
    found: set[bytes] = set()
    data = (dataset.R, dataset.ptr, dataset.cells, dataset.pbc)
    for part, pairs in pair_blocks(*data, cutoff):
        start, stop = dataset.ptr[part.start], dataset.ptr[part.stop]
        first = np.repeat(dataset.ptr[part] - start, pairs.n_pairs)
        i, j, n = first + pairs.idx_i, first + pairs.idx_j, stop - start
        graph = scipy.sparse.coo_array((np.ones(len(i), bool), (i, j)), shape=(n, n))
        piece = scipy.sparse.csgraph.connected_components(graph, directed=False)[1]
        structure = np.repeat(np.arange(part.start, part.stop), dataset.n_atoms[part])
        of_piece = np.zeros(piece.max() + 1, np.int64)
        of_piece[piece] = structure
        several = np.bincount(of_piece - part.start)[structure - part.start] > 1
        alone = np.bincount(np.concatenate([i, j]), minlength=n) == 0
        for one in np.unique(piece[several | alone]):
            found.add(np.sort(dataset.Z[start:stop][piece == one]).tobytes())
    kinds = (np.frombuffer(z, dataset.Z.dtype) for z in found)
    return sorted(Symbols(numbers).get_chemical_formula() for numbers in kinds)


def _of_molecules(R: NDArray, n_atoms: NDArray, cutoff: float) -> PackedPairs:
    """Return the pairs of small molecules: all pairs are looked at in one array operation."""
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

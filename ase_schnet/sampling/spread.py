"""How different structures are: duplicates, and the choice of the most different ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations_with_replacement

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.bonds import pair_name
from ase_schnet.neighbors import half_list

Descriptor = Callable[[list[Atoms]], NDArray]
"""Returns one vector for each structure, (S, D)."""

#: Distances of a cell that count, Å.
CELL_RANGE_ANG = 5.0
#: Numbers for each pair of elements; of more distances, consecutive ones are averaged.
MOST_PER_PAIR = 128
#: Two structures are one if all their distances agree when rounded to this, Å.
SAME_ANG = 1e-3
#: Structures among which the next ones are chosen before all distances are brought up to date.
BATCH = 1024


def sorted_distances(frames: list[Atoms]) -> NDArray:
    """Return the inverse distances (S, D) of each pair of elements, 1/Å, sorted and filled up with zeros.

    They do not depend on position, orientation or order of the atoms. In cells distances up to
    ``CELL_RANGE_ANG`` count.
    """
    each = [_inverse_distances(atoms) for atoms in frames]
    names = sorted({name for found in each for name in found})
    columns = []
    for name in names:
        longest = max(len(found.get(name, ())) for found in each)
        block = np.zeros((len(frames), longest), np.float32)
        for row, found in zip(block, each, strict=True):
            values = found.get(name, ())
            row[: len(values)] = values
        if longest > MOST_PER_PAIR:
            starts = np.linspace(0, longest, MOST_PER_PAIR, endpoint=False).astype(int)
            width = np.diff(starts, append=longest)
            # a mean of w numbers counts like w of them
            block = np.add.reduceat(block, starts, axis=1) / np.sqrt(width, dtype=np.float32)
        columns.append(block)
    return np.hstack(columns) if columns else np.zeros((len(frames), 1), np.float32)


def fingerprint(atoms: Atoms) -> bytes:
    """Return bytes that are the same for structures with the same atoms and distances."""
    found = _distances(atoms)
    digits = [np.round(found[name] / SAME_ANG).astype(np.int32).tobytes() for name in sorted(found)]
    return b"|".join([atoms.get_chemical_formula().encode(), *digits])


def farthest_points(points: NDArray, count: int) -> NDArray:
    """Choose structures, each the farthest from all chosen before.

    Parameters
    ----------
    points
        (S, D), one vector for each structure.
    count
        Structures to choose, at most S.

    Returns
    -------
    array
        (count,) int, in the order of choice. The first is the one nearest to the mean.

    Notes
    -----
    Distances only become smaller as points are chosen. So the next point is among the few farthest ones as
    long as one of these is farther than all others were, and the others may be brought up to date later, by
    one product of matrices for many chosen points.
    """
    points = np.asarray(points, dtype=np.float32)
    points = points - points.mean(axis=0)
    squares = (points**2).sum(axis=1)
    chosen = [int(squares.argmin())]
    distance = _squared(points, squares, chosen)  # (S,) Å or what the points are in, squared
    distance[chosen] = -1
    while len(chosen) < count:
        batch = np.argsort(-distance, kind="stable")[: BATCH + 1]
        limit = distance[batch[-1]] if len(batch) > BATCH else -1.0
        batch = batch[:BATCH]
        inside, new = distance[batch].copy(), []
        while len(chosen) + len(new) < count:
            k = int(inside.argmax())
            if inside[k] < 0 or (new and inside[k] < limit):
                break
            new.append(int(batch[k]))
            inside = np.minimum(inside, _squared(points[batch], squares[batch], [k]))
            inside[k] = -1
        chosen += new
        distance = np.minimum(distance, _squared(points, squares, new, distance))
        distance[new] = -1
    return np.array(chosen)


def _squared(
    points: NDArray, squares: NDArray, to: Sequence[int], at_most: NDArray | None = None
) -> NDArray:
    """Return the smallest squared distance (S,) of every point to some points; -1 stays -1."""
    smallest = np.full(len(points), np.inf, np.float32)
    for k in range(0, len(to), 128):
        part = list(to[k : k + 128])
        square = squares[:, None] + squares[part] - 2 * (points @ points[part].T)
        np.minimum(smallest, square.min(axis=1), out=smallest)
    np.maximum(smallest, 0, out=smallest)
    return smallest if at_most is None else np.where(at_most < 0, -1, smallest)


def _inverse_distances(atoms: Atoms) -> dict[str, NDArray]:
    return {name: 1 / np.maximum(values, 1e-3) for name, values in _distances(atoms).items()}


def _distances(atoms: Atoms) -> dict[str, NDArray]:
    """Return the rising distances of each pair of elements, Å."""
    numbers, positions = atoms.numbers, atoms.positions
    if atoms.pbc.any():
        pairs = half_list(positions, CELL_RANGE_ANG, atoms.cell.array, atoms.pbc)
        first, second = pairs.idx_i, pairs.idx_j
        distances = np.linalg.norm(pairs.vectors(positions), axis=1)
    else:
        first, second = np.triu_indices(len(atoms), k=1)
        distances = np.linalg.norm(positions[second] - positions[first], axis=1)
    low = np.minimum(numbers[first], numbers[second])
    high = np.maximum(numbers[first], numbers[second])
    found = {}
    for a, b in combinations_with_replacement(np.unique(numbers).tolist(), 2):
        of_pair = distances[(low == a) & (high == b)]
        if len(of_pair):
            found[pair_name(a, b)] = np.sort(of_pair)
    return found

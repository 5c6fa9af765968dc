"""Pairs of atoms at distances outside the training data, collisions, and atoms without a neighbour."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from numpy.typing import NDArray

from ase_schnet.bonds import pair_name
from ase_schnet.neighbors import Pairs, VerletList, half_list
from ase_schnet.schnet_config import MAX_ELEMENTS

#: Atoms nearer than this fraction of the sum of their covalent radii collide. The shortest bond relative to
#: its radii, that of N2, is 0.77 long.
COLLISION = 0.6
#: Å, added to the cutoff of the list of pairs, which is kept until an atom has moved half of it.
SKIN_ANG = 1.0


class Finding(NamedTuple):
    """Hold two atoms at a distance outside the training data, or one without a neighbour.

    Attributes
    ----------
    message
        Text for users.
    name
        Pair name of their elements, "H-O"; of a single atom its element.
    collision
        Whether they are nearer than in any molecule.
    """

    message: str
    name: str
    collision: bool


class DistanceWatch:
    """Find pairs of atoms that collide or have a distance outside the training data, and single atoms.

    Outside are, by more than a tolerance: distances below the shortest of the training data; distances
    between two of its intervals (a stretched bond, a narrow angle); and distances above the longest, up to
    the cutoff (a broken bond of elements that were always bonded, or two molecules where the training data
    had one). Distances of bonds that form and break in the training data are inside. An atom farther than
    the cutoff from all others has no distance: it is outside, unless the training had such atoms.

    Parameters
    ----------
    atoms
        A structure with the elements and the periodicity of those that will be looked at.
    ranges_Ang
        Pair name ("H-O", alphabetical) -> [[low, high], ...], distances of the training data in Å. None:
        unknown, only collisions are found.
    cutoff_Ang
        Cutoff of the model, Å.
    tolerance_Ang
        Å.
    known_pieces
        Formulas of what stood alone in the training; those of one atom ("H") may. None: single atoms are not
        looked for.
    """

    def __init__(
        self,
        atoms: Atoms,
        ranges_Ang: dict[str, list[list[float]]] | None,
        cutoff_Ang: float,
        tolerance_Ang: float,
        known_pieces: Iterable[str] | None = None,
    ):
        self._numbers = atoms.numbers.copy()
        self._ranges, self._cutoff = ranges_Ang, cutoff_Ang
        elements, self._species = np.unique(self._numbers, return_inverse=True)
        gaps = {
            (a, b): avoided_intervals(
                int(elements[a]), int(elements[b]), ranges_Ang, cutoff_Ang, tolerance_Ang
            )
            for a in range(len(elements))
            for b in range(a, len(elements))
        }
        self._bounds = np.full((len(elements), len(elements), 2, max(map(len, gaps.values()))), 0.0)
        for (a, b), intervals in gaps.items():
            for k, interval in enumerate(intervals):
                self._bounds[a, b, :, k] = self._bounds[b, a, :, k] = interval
        self._reach = float(self._bounds.max())
        self._list = VerletList(self._reach, SKIN_ANG)
        known = {*chemical_symbols} if known_pieces is None else {*known_pieces}
        self._may_be_alone = np.array([chemical_symbols[z] in known for z in self._numbers])
        self._pairs: Pairs | None = None

    def find(self, atoms: Atoms) -> Finding | None:
        """Return the pair that is farthest outside, a collision before all others, or else a single atom."""
        pairs = self._list.pairs(atoms.positions, atoms.cell.array, atoms.pbc)
        if pairs is not self._pairs:  # lower and upper ends of the intervals outside, (P, K)
            self._pairs = pairs
            self._low, self._high = self._bounds[
                self._species[pairs.idx_i], self._species[pairs.idx_j]
            ].transpose(1, 0, 2)
        vectors = pairs.vectors(atoms.positions)
        distances = np.sqrt(np.einsum("pa,pa->p", vectors, vectors))[:, None]  # (P, 1)
        odd = (distances > self._low) & (distances < self._high)
        if not odd.any():
            return self._single(atoms, pairs, distances[:, 0])
        found = np.flatnonzero(odd.any(axis=1))
        i, j, d = pairs.idx_i[found], pairs.idx_j[found], distances[found, 0]
        radii = covalent_radii[self._numbers[i]] + covalent_radii[self._numbers[j]]
        depth = np.minimum(distances - self._low, self._high - distances)[found].max(axis=1)
        worst = np.argmin(d / radii) if (d < COLLISION * radii).any() else np.argmax(depth)
        return self._describe(int(i[worst]), int(j[worst]), float(d[worst]))

    def _single(self, atoms: Atoms, pairs: Pairs, distances: NDArray) -> Finding | None:
        """Return an atom that has no other within the cutoff, and must not be so."""
        near = distances < self._cutoff
        fine = self._may_be_alone.copy()
        fine[pairs.idx_i[near]] = fine[pairs.idx_j[near]] = True
        if fine.all():
            return None
        if self._reach + SKIN_ANG < self._cutoff:  # this list does not tell
            pairs = half_list(atoms.positions, self._cutoff, atoms.cell.array, atoms.pbc)
            fine[pairs.idx_i] = fine[pairs.idx_j] = True
            if fine.all():
                return None
        k = int(np.flatnonzero(~fine)[0])
        symbol = chemical_symbols[self._numbers[k]]
        message = f"{symbol}{k} has no other atom within {self._cutoff:g} Å"
        return Finding(message, symbol, collision=False)

    def _describe(self, i: int, j: int, d: float) -> Finding:
        z_i, z_j = int(self._numbers[i]), int(self._numbers[j])
        return describe_distance(z_i, z_j, (i, j), d, self._ranges, self._cutoff)


def describe_distance(
    z_i: int,
    z_j: int,
    indices: tuple[int, int],
    d_Ang: float,
    ranges_Ang: dict[str, list[list[float]]] | None,
    cutoff_Ang: float,
) -> Finding:
    """Say in words how a distance is outside the training data.

    Parameters
    ----------
    z_i, z_j
        Atomic numbers.
    indices
        Of the two atoms in their structure.
    d_Ang
        Their distance, Å.
    ranges_Ang, cutoff_Ang
        As in `DistanceWatch`.
    """
    name, (i, j) = pair_name(z_i, z_j), indices
    first, second = chemical_symbols[z_i], chemical_symbols[z_j]
    smallest = COLLISION * float(covalent_radii[z_i] + covalent_radii[z_j])
    seen = None if ranges_Ang is None else ranges_Ang.get(name, [])
    if seen is None or any(low <= d_Ang <= high for low, high in seen):  # a collision all the same
        why = f"{COLLISION:g} of the sum of their covalent radii is {smallest:.2f} Å"
    elif not seen:
        why = f"training had no {first} and {second} within {cutoff_Ang:g} Å"
    elif d_Ang < seen[0][0]:
        why = f"shortest in training {seen[0][0]:.2f} Å"
    elif d_Ang > seen[-1][1]:
        why = f"longest in training {seen[-1][1]:.2f} Å"
    else:
        below = max(high for _, high in seen if high < d_Ang)
        above = min(low for low, _ in seen if low > d_Ang)
        why = f"none in training between {below:.2f} and {above:.2f} Å"
    message = f"{first}{i} and {second}{j} {d_Ang:.2f} Å apart, {why}"
    return Finding(message, name, collision=d_Ang < smallest)


def avoided_intervals(
    z_i: int,
    z_j: int,
    ranges_Ang: dict[str, list[list[float]]] | None,
    cutoff_Ang: float,
    tolerance_Ang: float,
) -> list[tuple[float, float]]:
    """Return the open intervals of distances in Å that are outside the training data of two elements.

    Parameters
    ----------
    z_i, z_j
        Atomic numbers.
    ranges_Ang, cutoff_Ang, tolerance_Ang
        As in `DistanceWatch`.
    """
    collision = (-1.0, COLLISION * float(covalent_radii[z_i] + covalent_radii[z_j]))
    if ranges_Ang is None:
        return [collision]
    seen = ranges_Ang.get(pair_name(z_i, z_j), [])
    ends = [-1.0, *(x for low, high in seen for x in (low - tolerance_Ang, high + tolerance_Ang))]
    ends.append(cutoff_Ang - tolerance_Ang)
    gaps = zip(ends[::2], ends[1::2], strict=True)
    return [collision, *((low, high) for low, high in gaps if low < high)]


def avoided_squares(
    elements: Sequence[int],
    ranges_Ang: dict[str, list[list[float]]] | None,
    cutoff_Ang: float,
    tolerance_Ang: float,
) -> NDArray:
    """Return the same as `avoided_intervals` for all pairs of elements, as compiled code reads it.

    Returns
    -------
    NDArray
        (100, 100, K, 2), squares of the ends in Å² by atomic numbers; those of no interval are 0.
    """
    intervals = {
        (a, b): avoided_intervals(a, b, ranges_Ang, cutoff_Ang, tolerance_Ang)
        for a in elements
        for b in elements
    }
    squares = np.zeros((MAX_ELEMENTS, MAX_ELEMENTS, max(map(len, intervals.values())), 2))
    for pair, ends in intervals.items():
        for k, (low, high) in enumerate(ends):
            squares[*pair, k] = (low * low if low > 0 else -1.0), high * high
    return squares

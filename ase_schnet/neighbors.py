"""Pairs of atoms within a cutoff: all pairs of a small molecule, else those that vesin finds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import vesin

ALL_PAIRS_LIMIT = 64  # atoms; up to here a table of all pairs is faster than a cell list


class Pairs(NamedTuple):
    """Hold a half list of P pairs: each pair of atoms, and each periodic image of it, once.

    Attributes
    ----------
    idx_i, idx_j
        (P,) int64, indices of the two atoms.
    shifts
        (P, 3) float64, lattice vectors in Å that are added to the positions of ``idx_j``.
    """

    idx_i: np.ndarray
    idx_j: np.ndarray
    shifts: np.ndarray

    def vectors(self, positions: np.ndarray) -> np.ndarray:
        """Return R_j + shift − R_i, (P, 3) in Å."""
        return positions[self.idx_j] - positions[self.idx_i] + self.shifts


def all_pairs(n_atoms: int) -> Pairs:
    """Return all pairs of a molecule, at any distance."""
    idx_i, idx_j = np.triu_indices(n_atoms, k=1)
    return Pairs(idx_i, idx_j, np.zeros((len(idx_i), 3)))


def half_list(
    positions: np.ndarray,
    cutoff: float,
    cell: np.ndarray | None = None,
    pbc: bool | Sequence[bool] | np.ndarray = False,
) -> Pairs:
    """Return the pairs closer than the cutoff, in canonical order.

    Atoms may lie outside the cell and far from the origin. The cell may be smaller than the cutoff, skewed or
    left-handed, and periodic in one or two directions only.

    Parameters
    ----------
    positions
        (N, 3), Å.
    cutoff
        Å.
    cell
        (3, 3), rows are lattice vectors in Å; ignored without `pbc`.
    pbc
        Periodic directions, one for all or (3,).
    """
    positions = np.asarray(positions, dtype=np.float64)
    pbc = np.broadcast_to(np.asarray(pbc, dtype=bool), 3)
    if not pbc.any() and len(positions) <= ALL_PAIRS_LIMIT:
        pairs = all_pairs(len(positions))
        close = (pairs.vectors(positions) ** 2).sum(axis=1) < cutoff**2
        return Pairs(*(part[close] for part in pairs))
    box = np.asarray(cell, dtype=np.float64) if pbc.any() else np.zeros((3, 3))
    finder = vesin.NeighborList(cutoff=cutoff, full_list=False)
    idx_i, idx_j, shifts = finder.compute(
        points=positions - positions.mean(axis=0), box=box, periodic=pbc, quantities="ijS"
    )
    idx_i, idx_j, images = _in_order(
        idx_i.view(np.int64), idx_j.view(np.int64), shifts, len(positions)
    )
    return Pairs(idx_i, idx_j, images.astype(np.float64) @ box)


def _in_order(
    idx_i: np.ndarray, idx_j: np.ndarray, images: np.ndarray, n_atoms: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pairs sorted, each with i <= j: then sums over pairs do not depend on the list's age."""
    base = 2 * np.abs(images).max(axis=0, initial=0).astype(np.int64) + 1  # (3,)
    # one number per image; the opposite image has the opposite sign
    code = (images[:, 0] * base[1] + images[:, 1]) * base[2] + images[:, 2]
    turned = np.flatnonzero((idx_i > idx_j) | ((idx_i == idx_j) & (code < 0)))
    idx_i[turned], idx_j[turned] = idx_j[turned], idx_i[turned]
    images[turned] *= -1
    code[turned] *= -1
    key = idx_i * n_atoms  # sorting one integer is much faster than lexsort
    key += idx_j
    key *= base.prod()
    key += code
    order = np.argsort(key)
    return idx_i[order], idx_j[order], images[order]


class VerletList:
    """Hold a half list with a skin until an atom may have crossed the skin.

    The list has the pairs up to cutoff + skin. It is rebuilt when an atom has moved more than skin/2
    (unwrapped positions), or when the cell, its periodicity or the number of atoms has changed. The list of
    a small molecule has all pairs and is never rebuilt. As long as the list is kept, the same object is
    returned.

    Parameters
    ----------
    cutoff
        Å.
    skin
        Å.
    """

    def __init__(self, cutoff: float, skin: float):
        self.cutoff, self.skin = cutoff, skin
        self._made_for = self._all_pairs = None

    def pairs(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> Pairs:
        """Return all pairs closer than the cutoff, and some beyond it.

        Parameters
        ----------
        positions
            (N, 3), Å.
        cell
            (3, 3), Å.
        pbc
            (3,) bool.
        """
        n_atoms = len(positions)
        if n_atoms <= ALL_PAIRS_LIMIT and not (pbc[0] or pbc[1] or pbc[2]):
            if self._all_pairs is None or self._all_pairs[0] != n_atoms:
                self._all_pairs = n_atoms, all_pairs(n_atoms)
            self._made_for = None
            return self._all_pairs[1]
        if self._stale(positions, cell, pbc):
            self._pairs = half_list(positions, self.cutoff + self.skin, cell, pbc)
            self._made_for = (positions.copy(), np.array(cell), np.array(pbc))
        return self._pairs

    def valid_around(self) -> tuple[np.ndarray, float]:
        """Return where the list was found, (N, 3), and how far in Å an atom may move until it is rebuilt.

        A list of all pairs was found nowhere, (0, 3).
        """
        if self._made_for is None:
            return np.empty((0, 3)), math.inf
        return self._made_for[0], 0.5 * self.skin

    def _stale(self, positions: np.ndarray, cell: np.ndarray, pbc: np.ndarray) -> bool:
        if self._made_for is None:
            return True
        old_positions, old_cell, old_pbc = self._made_for
        if len(positions) != len(old_positions) or not np.array_equal(pbc, old_pbc):
            return True
        if np.any(pbc) and not np.array_equal(cell, old_cell):
            return True
        moved = ((positions - old_positions) ** 2).sum(axis=1).max(initial=0.0)
        return moved > (0.5 * self.skin) ** 2

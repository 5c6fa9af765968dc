"""Find the atoms that one process works on: its own, those of others within reach, and their pairs.

LAMMPS gives each process its own atoms and, within the communication cutoff around them, copies ("ghosts")
of all others, their periodic images included. But an atom's features are the same in all its images. So an
image of an own atom is treated as that atom, moved by lattice vectors. Of an atom of another process one copy
is kept, whatever the number of its images. On one process there are no ghosts at all, and the pairs are those
of ``half_list``, however small the box is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.spatial import KDTree

from ase_schnet.lammps.exchange import Exchange
from ase_schnet.neighbors import Pairs


class Domain:
    """Hold the atoms and pairs of one process until atoms migrate to another process.

    Parameters
    ----------
    comm
        mpi4py communicator of all domains.
    positions
        (n_all, 3) Å, the own atoms first, then all ghosts.
    tags, numbers
        (n_all,) LAMMPS's ids and atomic numbers.
    n_own
        Number of own atoms.
    cell
        (3, 3) Å, rows are lattice vectors.
    reach
        Cutoff and skin, Å.

    Attributes
    ----------
    slots
        (N,) indices of the kept ones among LAMMPS's atoms: the own atoms, then the ghosts.
    numbers
        (N,) their atomic numbers.
    exchange
        Fills the rows of the ghosts.
    """

    def __init__(self, comm: Any, positions, tags, numbers, n_own: int, cell, reach: float):
        self.n_own = n_own
        self._made_at, self._tags = positions.copy(), tags.copy()
        positions, tags, numbers = self._made_at, self._tags, np.asarray(numbers)
        (own_i, own_j), (i, slot) = _close_pairs(positions[:n_own], positions[n_own:], reach)

        is_seen = np.zeros(len(positions), bool)
        is_seen[slot] = True
        seen = np.flatnonzero(is_seen)
        home = _index_of(tags[seen], tags[:n_own])  # of an image of an own atom, else -1
        foreign, first, row = np.unique(
            tags[seen[home < 0]], return_index=True, return_inverse=True
        )
        self.exchange = Exchange(comm, tags[:n_own], foreign)
        kept = seen[home < 0][first][self.exchange.order]  # slots
        self.slots = np.concatenate([np.arange(n_own), kept])
        self.numbers = numbers[self.slots].astype(np.int64)
        atom = np.arange(len(positions))  # slot -> atom
        atom[seen[home >= 0]] = home[home >= 0]
        place = np.empty(len(foreign), np.int64)
        place[self.exchange.order] = np.arange(n_own, n_own + len(foreign))
        atom[seen[home < 0]] = place[row]
        self._images = np.zeros((len(positions), 3))  # slot -> cells from its atom
        away = positions[seen] - positions[self.slots[atom[seen]]]
        self._images[seen] = np.rint(away @ np.linalg.inv(cell))

        j = atom[slot]
        # an image of an own atom is met again from there
        once = (j >= n_own) | (i < j) | ((i == j) & _forward(self._images[slot]))
        i, slot = np.concatenate([own_i, i[once]]), np.concatenate([own_j, slot[once]])
        order = np.argsort(i * len(positions) + atom[slot], kind="stable")
        self._i, self._slot = i[order], slot[order]
        self._j = atom[self._slot]
        self._pairs_of(cell)

    def is_stale(self, positions: np.ndarray, tags: np.ndarray, n_own: int, skin: float) -> bool:
        """Return whether atoms have migrated, or one has moved more than half of the skin.

        The second also notices an atom that was wrapped into the cell.
        """
        if n_own != self.n_own or not np.array_equal(tags, self._tags):
            return True
        moved = positions - self._made_at
        return np.einsum("ia,ia->i", moved, moved).max(initial=0.0) > (0.5 * skin) ** 2

    def pairs(self, cell: np.ndarray) -> Pairs:
        """Return the half list of pairs; the same object until the cell changes."""
        if not np.array_equal(cell, self._cell):
            self._pairs_of(cell)
        return self._pairs

    def _pairs_of(self, cell: np.ndarray) -> None:
        self._cell = np.array(cell)
        self._pairs = Pairs(self._i, self._j, (self._images @ self._cell)[self._slot])


def _close_pairs(own: np.ndarray, ghosts: np.ndarray, reach: float) -> tuple:
    """Return close pairs: indices (P,), (P,) of own atoms, and of own atoms and slots of ghosts.

    Periodicity plays no role, since images are among the ghosts. Pairs of two ghosts belong to other
    processes.
    """
    if not len(own):
        nothing = np.empty(0, np.int64)
        return (nothing, nothing), (nothing, nothing)
    tree = KDTree(own)
    i, j = tree.query_pairs(reach, output_type="ndarray").astype(np.int64).T
    if not len(ghosts):
        return (i, j), (i[:0], i[:0])
    outside = tree.sparse_distance_matrix(KDTree(ghosts), reach, output_type="ndarray")
    return (i, j), (outside["i"].astype(np.int64), outside["j"].astype(np.int64) + len(own))


def _index_of(names: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Return the index of each name in ``among``, -1 where it is not."""
    if not len(among):
        return np.full(len(names), -1)
    order = np.argsort(among)
    k = np.minimum(np.searchsorted(among, names, sorter=order), len(among) - 1)
    return np.where(among[order[k]] == names, order[k], -1)


def _forward(images: np.ndarray) -> np.ndarray:
    """Return whether the first component of each lattice vector (n, 3) that is not 0 is positive.

    So of each vector and its opposite one is forward.
    """
    x, y, z = images.T
    return (x > 0) | ((x == 0) & ((y > 0) | ((y == 0) & (z > 0))))

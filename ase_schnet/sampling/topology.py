"""Bonds of a structure, and which atoms go along when one is stretched or turned."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.bonds import bonds_of


class Side(NamedTuple):
    """Hold a bond and the lighter part of the structure on one end of it.

    Attributes
    ----------
    fixed, moving
        The two atoms of the bond. The first stays.
    piece
        Indices of the atoms that move, with ``moving`` among them.
    in_ring
        Whether the bond is in a ring. The piece is then ``moving`` and what hangs on it alone.
    """

    fixed: int
    moving: int
    piece: list[int]
    in_ring: bool


class Topology:
    """Find the bonds, rings and molecules of a structure near rest.

    Parameters
    ----------
    atoms
        The structure. Its bonds are found from covalent radii.
    """

    def __init__(self, atoms: Atoms):
        self.bonds = bonds_of(atoms)
        self._masses = atoms.get_masses()
        self._neighbours: list[set[int]] = [set() for _ in range(len(atoms))]
        for i, j in self.bonds:
            self._neighbours[i].add(j)
            self._neighbours[j].add(i)

    def molecules(self) -> list[list[int]]:
        """Return the atoms of each molecule."""
        left, found = set(range(len(self._neighbours))), []
        while left:
            whole = self._reached(min(left), ())
            found.append(sorted(whole))
            left -= whole
        return found

    def side(self, i: int, j: int) -> Side:
        """Return the lighter side of the bond i-j."""
        return min((self._beyond(i, j), self._beyond(j, i)), key=self._mass)

    @cached_property
    def rotatable(self) -> list[tuple[int, int]]:
        """Return the bonds outside rings that have neighbours at both ends."""
        return [
            (i, j)
            for i, j in self.bonds
            if min(len(self._neighbours[i]), len(self._neighbours[j])) > 1
            and not self._beyond(i, j).in_ring
        ]

    def bonds_between(self, atom: int) -> NDArray:
        """Return the number of bonds (N,) from ``atom`` to each atom; -1 in another molecule."""
        steps = np.full(len(self._neighbours), -1)
        front, count = {atom}, 0
        while front:
            steps[list(front)] = count
            front = {n for k in front for n in self._neighbours[k] if steps[n] < 0}
            count += 1
        return steps

    def _beyond(self, i: int, j: int) -> Side:
        piece = self._reached(j, ((i, j),))
        in_ring = i in piece
        if in_ring:  # cut every bond of j that is in a ring
            rings = [k for k in self._neighbours[j] if k in self._reached(j, ((j, k),))]
            piece = self._reached(j, tuple((j, k) for k in rings))
        return Side(i, j, sorted(piece), in_ring)

    def _reached(self, start: int, cut: tuple[tuple[int, int], ...]) -> set[int]:
        """Return the atoms connected to ``start`` when some bonds are cut."""
        closed = {frozenset(bond) for bond in cut}
        seen, front = {start}, [start]
        while front:
            k = front.pop()
            for n in self._neighbours[k] - seen:
                if frozenset((k, n)) not in closed:
                    seen.add(n)
                    front.append(n)
        return seen

    def _mass(self, side: Side) -> float:
        return float(self._masses[side.piece].sum())

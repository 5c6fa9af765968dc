"""One structure as plain arrays: what 134 thousand molecules are held as until they are packed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms

from ase_schnet.data._fixed import FORCE_MASK, fixed, mask
from ase_schnet.structures.electrons import CHARGES, MULTIPLICITIES, Electrons, stated


class Frame(NamedTuple):
    """One structure: what an `Atoms` knows, in a sixth of its memory.

    numbers (N,) · positions (N, 3) · cell (3, 3), rows are lattice vectors, None without one ·
    pbc (3,) bool, None where nothing is periodic · info: what else the file says of the structure ·
    fixed (N, 3) bool: components that a constraint holds, None without one · force_mask (N, 3) bool:
    components of the forces that the file says are labels, None where it does not say · electrons: charge
    and multiplicity where arrays of an `Atoms` tell them; else `info` may.
    """

    numbers: np.ndarray
    positions: np.ndarray
    cell: np.ndarray | None = None
    pbc: np.ndarray | None = None
    info: dict | None = None
    fixed: np.ndarray | None = None
    force_mask: np.ndarray | None = None
    electrons: Electrons | None = None

    @classmethod
    def of(cls, atoms: Atoms) -> Frame:
        """Structure, cell, info and what is fixed of an `Atoms`; arrays are shared, not copied."""
        cell = atoms.cell.array if atoms.cell.array.any() else None
        pbc = atoms.pbc if atoms.pbc.any() else None
        held, labels = fixed(atoms), mask(atoms, FORCE_MASK)
        info = atoms.info or None
        said = stated(atoms.info, atoms.arrays)
        electrons = None if said == stated(atoms.info, {}) else said
        return cls(atoms.numbers, atoms.positions, cell, pbc, info, held, labels, electrons)

    def atoms(self) -> Atoms:
        """An `Atoms` of its own: structure, cell, info, and an array ``force_mask`` where there is one."""
        atoms = Atoms(
            numbers=self.numbers,
            positions=self.positions,
            cell=self.cell,
            pbc=self.pbc,
            info=self.info,
        )
        if self.electrons is not None:
            charge, multiplicity = self.electrons
            atoms.info |= {} if charge is None else {CHARGES[0]: charge}
            atoms.info |= {} if multiplicity is None else {MULTIPLICITIES[0]: multiplicity}
        if self.force_mask is not None:
            atoms.set_array(FORCE_MASK, self.force_mask)
        return atoms


class AtomsOf(Sequence):
    """Frames as a sequence of `Atoms` that are made when they are asked for, and not kept."""

    def __init__(self, frames: Sequence[Frame]):
        self._frames = frames

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> Atoms:
        return self._frames[index].atoms()

    def __iter__(self) -> Iterator[Atoms]:
        return (frame.atoms() for frame in self._frames)

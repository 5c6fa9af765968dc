"""Hold one structure as plain arrays, until many of them are packed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.degrees_of_freedom import held_components
from ase_schnet.structures.electrons import CHARGES, MULTIPLICITIES, Electrons, stated

MOVE_MASK, FORCE_MASK = "move_mask", "force_mask"
"""Arrays of an `Atoms`, and columns of extxyz: True where an atom (or component) moves; True where its force
is a label. ASE turns the first into a constraint when it reads a file."""


class Frame(NamedTuple):
    """Hold one structure: what an `Atoms` knows, in a sixth of its memory.

    Attributes
    ----------
    numbers
        (N,) atomic numbers.
    positions
        (N, 3).
    cell
        (3, 3), rows are lattice vectors. None without a cell.
    pbc
        (3,) bool. None where nothing is periodic.
    info
        Everything else that the file says about the structure.
    fixed
        (N, 3) bool, True for components that a constraint holds. None without constraints.
    force_mask
        (N, 3) bool, True for force components that the file calls labels. None where it does not say.
    electrons
        Charge and multiplicity where the arrays of an `Atoms` state them. They may be in `info` instead.
    """

    numbers: NDArray
    positions: NDArray
    cell: NDArray | None = None
    pbc: NDArray | None = None
    info: dict | None = None
    fixed: NDArray | None = None
    force_mask: NDArray | None = None
    electrons: Electrons | None = None

    @classmethod
    def of(cls, atoms: Atoms) -> Frame:
        """Take structure, cell, info and constraints from an `Atoms`. Arrays are shared, not copied."""
        cell = atoms.cell.array if atoms.cell.array.any() else None
        pbc = atoms.pbc if atoms.pbc.any() else None
        said = stated(atoms.info, atoms.arrays)
        return cls(
            atoms.numbers,
            atoms.positions,
            cell,
            pbc,
            info=atoms.info or None,
            fixed=fixed_components(atoms),
            force_mask=mask_of(atoms, FORCE_MASK),
            electrons=None if said == stated(atoms.info, {}) else said,
        )

    def atoms(self) -> Atoms:
        """Return a new `Atoms`: structure, cell, info, and the array ``force_mask`` if there is one."""
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


def fixed_components(atoms: Atoms) -> NDArray | None:
    """Return the components (N, 3) that a constraint or ``move_mask`` holds; None if nothing is held.

    The constraints are FixAtoms and FixCartesian. A code often writes zeros as the forces on such atoms.
    """
    moves = mask_of(atoms, MOVE_MASK)
    held = held_components(atoms)
    if moves is not None:
        held |= ~moves
    return held if held.any() else None


def mask_of(atoms: Atoms, name: str) -> NDArray | None:
    """Return the array `name` of an `Atoms`, (N,) or (N, 3), as (N, 3) bool; None without one.

    Raises
    ------
    ValueError
        If the array has another shape, or values other than true and false (1 and 0).
    """
    if not atoms.has(name):
        return None
    values = atoms.get_array(name)
    if values.shape not in ((len(atoms),), (len(atoms), 3)) or not np.isin(values, (0, 1)).all():
        raise ValueError(
            f"the array {name!r} must hold true or false for each atom or component, "
            f"not {values.dtype} of shape {values.shape}"
        )
    values = values.astype(bool)
    return np.repeat(values[:, None], 3, axis=1) if values.ndim == 1 else values.copy()

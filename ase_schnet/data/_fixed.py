"""Which components of the forces are labels: those of frozen atoms often are zeros that a code wrote."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian

MOVE_MASK, FORCE_MASK = "move_mask", "force_mask"
"""Arrays of an `Atoms`, and columns of extxyz: True where an atom (or component) moves; where its force is a
label. ASE makes a constraint of the first when it reads a file."""


def fixed(atoms: Atoms) -> np.ndarray | None:
    """Components (N, 3) that FixAtoms, FixCartesian or an array ``move_mask`` hold; None if none is held."""
    moves = mask(atoms, MOVE_MASK)
    held = np.zeros((len(atoms), 3), dtype=bool) if moves is None else ~moves
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            held[constraint.index] = True
        elif isinstance(constraint, FixCartesian):
            held[constraint.index] |= np.asarray(constraint.mask, dtype=bool)
    return held if held.any() else None


def mask(atoms: Atoms, name: str) -> np.ndarray | None:
    """The array `name` of an `Atoms`, (N,) or (N, 3), as (N, 3) bool; None without one.

    Raises ValueError for an array of another shape, or of anything but true and false (1 and 0).
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

"""A structure as bytes: as cheap to compare as to copy.

ASE's calculators compare and copy the Atoms, which takes longer than the network of a small molecule. A state
is a plain tuple, since it is made twice for every evaluation.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

#: Bytes of positions (N, 3) float64, Å; numbers (N,) int64; cell (3, 3) float64, Å; pbc (3,) bool. The energy
#: of a structure depends on nothing else.
AtomsState = tuple[bytes, bytes, bytes, bytes]
PARTS = ("positions", "numbers", "cell", "pbc")


def state_of(atoms: Atoms) -> AtomsState:
    """Return the state of a structure."""
    return (
        atoms.arrays["positions"].astype(np.float64, copy=False).tobytes(),
        atoms.arrays["numbers"].astype(np.int64, copy=False).tobytes(),
        atoms.cell.array.tobytes(),
        atoms.pbc.tobytes(),
    )


def atoms_of(state: AtomsState) -> Atoms:
    """Return a structure of a state."""
    positions, numbers, cell, pbc = state
    return Atoms(
        np.frombuffer(numbers, np.int64),
        np.frombuffer(positions, np.float64).reshape(-1, 3),
        cell=np.frombuffer(cell, np.float64).reshape(3, 3),
        pbc=np.frombuffer(pbc, np.bool_),
    )


def differing_parts(state: AtomsState, other: AtomsState) -> list[str]:
    """Return the names of the parts that are not equal to the last bit."""
    return [name for name, a, b in zip(PARTS, state, other, strict=True) if a != b]

"""A structure as bytes: as cheap to compare as to copy.

ASE's calculators compare and copy the Atoms, which takes longer than the network of a small molecule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms


class AtomsState(NamedTuple):
    """Hold everything that the energy of a structure depends on, as bytes.

    Attributes
    ----------
    positions
        (N, 3) float64, Å.
    numbers
        (N,) int64.
    cell
        (3, 3) float64, Å.
    pbc
        (3,) bool.
    """

    positions: bytes
    numbers: bytes
    cell: bytes
    pbc: bytes

    @classmethod
    def of(cls, atoms: Atoms) -> AtomsState:
        """Return the state of `atoms`."""
        return cls(
            atoms.arrays["positions"].astype(np.float64, copy=False).tobytes(),
            atoms.arrays["numbers"].astype(np.int64, copy=False).tobytes(),
            atoms.cell.array.tobytes(),
            atoms.pbc.tobytes(),
        )

    def to_atoms(self) -> Atoms:
        """Return a structure of this state."""
        return Atoms(
            np.frombuffer(self.numbers, np.int64),
            np.frombuffer(self.positions, np.float64).reshape(-1, 3),
            cell=np.frombuffer(self.cell, np.float64).reshape(3, 3),
            pbc=np.frombuffer(self.pbc, np.bool_),
        )

    def differences(self, other: AtomsState) -> list[str]:
        """Return the names of the fields that are not equal to the last bit."""
        if self == other:
            return []
        return [name for name, a, b in zip(self._fields, self, other, strict=True) if a != b]

"""What makes two structures in the same places different ones to dynamics: masses and constraints."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.jsonio import encode

#: Relative. Tables of atomic masses are revised by less; isotopes differ by more.
MASS_TOLERANCE = 1e-4


def require_same_masses(path: Path, then: Atoms, now: Atoms) -> None:
    """Raise ValueError naming atoms that have other masses than those of the run in ``path``."""
    before, after = then.get_masses(), now.get_masses()
    other = np.flatnonzero(~np.isclose(before, after, rtol=MASS_TOLERANCE, atol=0))
    if len(other):
        first = other[0]
        raise ValueError(
            f"{path} holds a run with other masses (atoms {other[:5].tolist()}): atom {first} had "
            f"{before[first]:.4f} amu, now it has {after[first]:.4f} amu. Give it the masses of the run, or "
            "begin a new run in another directory"
        )


def require_same_constraints(path: Path, then: Atoms, now: Atoms) -> None:
    """Raise ValueError where the run in ``path`` was made under other constraints than ``now`` has."""
    before, after = _described(then), _described(now)
    if before != after:
        raise ValueError(
            f"{path} holds a run with other constraints: it had {_told(before)}, now there are "
            f"{_told(after)}. Give the structure the constraints of the run, or begin a new run in another "
            "directory"
        )


def _described(atoms: Atoms) -> list[str]:
    """One line for each constraint, in an order that does not depend on that of the list."""
    return sorted(encode(constraint.todict()) for constraint in atoms.constraints)


def _told(constraints: list[str]) -> str:
    return "; ".join(f"{one[:100]} ..." if len(one) > 100 else one for one in constraints) or "none"

"""Energy and gradient of one structure in atomic units, as quantum-chemistry programs want them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from ase_schnet.calculator import SchNetCalculator


class Answer(NamedTuple):
    """Hold energy in Hartree, gradient (N, 3) in Hartree/Bohr, and dipole (3,) in e·Bohr or None."""

    energy: float
    gradient: np.ndarray
    dipole: np.ndarray | None


def answer_of(model: str, atoms: Atoms, charge: int, multiplicity: int) -> Answer:
    """Evaluate a model.

    Raises
    ------
    InputError
        If the model does not support the structure, or is of another charge or multiplicity.
    ModelFileError
        If there is no such model.
    """
    atoms.info.update(charge=charge, multiplicity=multiplicity)  # the calculator compares them
    atoms.calc = calculator = SchNetCalculator(model)
    has_dipole = "dipole" in calculator.implemented_properties
    return Answer(
        atoms.get_potential_energy() / Hartree,
        -atoms.get_forces() / (Hartree / Bohr),
        atoms.get_dipole_moment() / Bohr if has_dipole else None,
    )


def lines_of(path: str | Path) -> list[str]:
    """Return the lines of a request; ValueError if it cannot be read, such as when it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"the request {path} cannot be read: {reason}") from None

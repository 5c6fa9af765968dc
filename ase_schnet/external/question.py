"""What programs ask for and what they get, without numpy: a client of a server has to start at once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Question(NamedTuple):
    """Hold a structure, its electrons, and what is wanted besides the energy.

    Attributes
    ----------
    elements
        Atomic numbers, or chemical symbols.
    positions
        x, y and z of each atom, in `length`.
    length
        Unit of the positions, "Ang" or "Bohr".
    charge
        In elementary charges.
    multiplicity
        2S + 1.
    gradient
        Whether the gradient is wanted.
    dipole
        Whether the dipole moment is wanted, if the model has one.
    """

    elements: list
    positions: list[list[float]]
    length: str
    charge: int
    multiplicity: int
    gradient: bool
    dipole: bool


class Answer(NamedTuple):
    """Hold energy in Hartree, gradient in Hartree/Bohr, dipole in e·Bohr, warnings, and what it took.

    Attributes
    ----------
    energy
        In Hartree.
    gradient
        x, y and z of each atom in Hartree/Bohr; None if it was not asked for.
    dipole
        x, y and z in e·Bohr; None if it was not asked for, or the model has none of this structure.
    warnings
        For the user.
    seconds
        That the evaluation took.
    """

    energy: float
    gradient: list[list[float]] | None
    dipole: list[float] | None
    warnings: list[str]
    seconds: float


def lines_of(path: str | Path) -> list[str]:
    """Return the lines of a request; ValueError if it cannot be read, such as when it is not there."""
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"the request {path} cannot be read: {reason}") from None

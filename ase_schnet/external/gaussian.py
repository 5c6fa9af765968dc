"""Gaussian's ``External`` keyword, files as gaussian.com/external describes them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.units import Bohr

from ase_schnet.external.answer import Answer, lines_of
from ase_schnet.files import write_whole


class GaussianRequest(NamedTuple):
    """Hold what Gaussian asks for: a structure, its electrons, and how many derivatives (0 or 1)."""

    atoms: Atoms
    derivatives: int
    charge: int
    multiplicity: int


def read_request(path: str | Path) -> GaussianRequest:
    """Read the input file: a line of atoms, derivatives, charge, spin; then Z and coordinates in Bohr.

    Raises
    ------
    ValueError
        If it is no such file, has charges of other layers, or asks for second derivatives.
    """
    lines = lines_of(path)
    try:
        n, derivatives, charge, multiplicity = (int(lines[0][k : k + 10]) for k in (0, 10, 20, 30))
        rows = [line.split() for line in lines[1 : n + 1]]
        numbers = [int(row[0]) for row in rows]
        positions = np.array([[float(x) for x in row[1:4]] for row in rows]).reshape(n, 3)
        charges = np.array([float(row[4]) for row in rows])
    except (ValueError, IndexError):
        raise ValueError(f"{path} is not what Gaussian writes for External") from None
    if derivatives > 1:
        raise ValueError(
            f"{path} asks for second derivatives: let Gaussian take them from gradients (Freq=Numer, "
            "Opt=NoFreeze, GEDIIS), or compute them with ase-schnet spectrum --harmonic"
        )
    if charges.any():
        raise ValueError(f"{path} has charges of other layers, which a network does not see")
    return GaussianRequest(Atoms(numbers, positions * Bohr), derivatives, charge, multiplicity)


def write_answer(path: str | Path, request: GaussianRequest, answer: Answer) -> None:
    """Write energy and dipole (4D20.12), then the gradient (3D20.12); a dipole that is not known as zeros."""
    dipole = np.zeros(3) if answer.dipole is None else answer.dipole
    rows = [[answer.energy, *dipole]]
    if request.derivatives:
        rows += answer.gradient.tolist()
    text = "\n".join("".join(f"{x:20.12E}".replace("E", "D") for x in row) for row in rows)
    write_whole(Path(path), (text + "\n").encode())

"""Gaussian's ``External`` keyword, files as gaussian.com/external describes them."""

from __future__ import annotations

from pathlib import Path

from ase_schnet.external.question import Answer, Question, lines_of
from ase_schnet.runtime.files import write_whole


def read_request(path: str | Path) -> Question:
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
        positions = [[float(x) for x in (row[1], row[2], row[3])] for row in rows]
        charges = [float(row[4]) for row in rows]
        if len(rows) != n:
            raise IndexError(n)
    except (ValueError, IndexError):
        raise ValueError(f"{path} is not what Gaussian writes for External") from None
    if derivatives > 1:
        raise ValueError(
            f"{path} asks for second derivatives: let Gaussian take them from gradients (Freq=Numer; Opt "
            "without CalcFC), or compute them with ase-schnet spectrum --harmonic"
        )
    if any(charges):
        raise ValueError(f"{path} has charges of other layers, which a network does not see")
    return Question(
        *(numbers, positions, "Bohr", charge, multiplicity), gradient=derivatives == 1, dipole=True
    )


def write_answer(path: str | Path, answer: Answer) -> None:
    """Write energy and dipole (4D20.12), then the gradient (3D20.12); a dipole that is not known as zeros."""
    rows = [[answer.energy, *(answer.dipole or (0.0, 0.0, 0.0))], *(answer.gradient or [])]
    text = "\n".join("".join(f"{x:20.12E}".replace("E", "D") for x in row) for row in rows)
    write_whole(Path(path), (text + "\n").encode())

"""ORCA's external optimiser (``! ExtOpt``), files as the manual of ORCA 6 describes them.

The same description with examples: https://github.com/faccts/orca-external-tools
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ase_schnet.external.question import Answer, Question, lines_of
from ase_schnet.runtime.files import write_whole

SUFFIX = ".extinp.tmp"


class OrcaRequest(NamedTuple):
    """Hold what ORCA asks for, and the file for the answer."""

    question: Question
    answer: Path


def read_request(path: str | Path) -> OrcaRequest:
    """Read ``BASENAME_EXT.extinp.tmp`` and the xyz file that it names.

    The answer goes to ``BASENAME_EXT.engrad`` beside it.

    Raises
    ------
    ValueError
        If it is no such file, or asks for point charges, which a network does not see.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise ValueError(f"{path} is not a request of ORCA: those end in {SUFFIX}")
    said = [line.partition("#")[0].strip() for line in lines_of(path)]
    said = [line for line in said if line]
    try:
        charge, multiplicity, _, gradient = map(int, said[1:5])
    except ValueError:
        raise ValueError(
            f"{path} is damaged: behind the name of the structure ORCA writes charge, multiplicity, number "
            "of cores and 0 or 1 for the gradient"
        ) from None
    if len(said) > 5:
        raise ValueError(f"{path} asks for point charges ({said[5]}), which a network does not see")
    symbols, positions = _read_xyz(path.parent / said[0])
    question = Question(
        *(symbols, positions, "Ang", charge, multiplicity), gradient=bool(gradient), dipole=False
    )
    return OrcaRequest(question, path.with_name(path.name.removesuffix(SUFFIX) + ".engrad"))


def _read_xyz(path: Path) -> tuple[list[str], list[list[float]]]:
    """Return symbols and positions in Å. ASE's reader takes longer to import than all of a client."""
    lines = lines_of(path)
    try:
        rows = [line.split() for line in lines[2 : 2 + int(lines[0])]]
        symbols = [row[0].capitalize() for row in rows]
        positions = [[float(x) for x in (row[1], row[2], row[3])] for row in rows]
    except (ValueError, IndexError):
        raise ValueError(f"{path} is not an xyz file") from None
    if len(rows) != int(lines[0]):
        raise ValueError(f"{path} has {len(rows)} atoms, where its first line says {lines[0]}")
    return symbols, positions


def write_answer(request: OrcaRequest, answer: Answer) -> Path:
    """Write what ORCA reads: number of atoms, energy in Eh, gradient in Eh/Bohr. Return the file."""
    lines = [
        *("#", "# Number of atoms", "#", str(len(request.question.elements))),
        *("#", "# Total energy [Eh]", "#", f"{answer.energy:.12f}"),
    ]
    if answer.gradient is not None:
        lines += ["#", "# Gradient [Eh/Bohr] A1X, A1Y, A1Z, A2X, ...", "#"]
        lines += [f"{g:.12f}" for row in answer.gradient for g in row]
    write_whole(request.answer, ("\n".join(lines) + "\n").encode())
    return request.answer

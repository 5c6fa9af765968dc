"""ORCA's external optimiser (``! ExtOpt``), files as the manual of ORCA 6 describes them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from ase import Atoms
from ase.io import read

from ase_schnet.external.answer import Answer, lines_of
from ase_schnet.files import write_whole

SUFFIX = ".extinp.tmp"


class OrcaRequest(NamedTuple):
    """Hold what ORCA asks for: a structure, its electrons, and whether the gradient is wanted."""

    atoms: Atoms
    charge: int
    multiplicity: int
    wants_gradient: bool
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
    atoms = read(path.parent / said[0], format="xyz")
    answer = path.with_name(path.name.removesuffix(SUFFIX) + ".engrad")
    return OrcaRequest(atoms, charge, multiplicity, bool(gradient), answer)


def write_answer(request: OrcaRequest, answer: Answer) -> Path:
    """Write what ORCA reads: number of atoms, energy in Eh, gradient in Eh/Bohr. Return the file."""
    lines = [
        *("#", "# Number of atoms", "#", str(len(request.atoms))),
        *("#", "# Total energy [Eh]", "#", f"{answer.energy:.12f}"),
    ]
    if request.wants_gradient:
        lines += ["#", "# Gradient [Eh/Bohr] A1X, A1Y, A1Z, A2X, ...", "#"]
        lines += [f"{g:.12f}" for g in answer.gradient.ravel()]
    write_whole(request.answer, ("\n".join(lines) + "\n").encode())
    return request.answer

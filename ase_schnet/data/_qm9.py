"""Read QM9 as it was published: an archive of 133,885 small xyz files in a layout of its own.

``dsgdb9nsd.xyz.tar.bz2`` of Ramakrishnan et al., Sci. Data 1, 140022 (2014), doi:10.1038/sdata.2014.22,
Table 2. Each file:

    5                                            atoms
    gdb 1   157.7118  157.70997 ... -40.47893    "gdb", index, the fifteen `COLUMNS`
    C  -0.0126981359   1.0858041578  0.0080009958  -0.535689
    ...                                          symbol, position in Å, Mulliken charge; n such lines
    1341.307   ...                               frequencies, SMILES, InChI: not read

Numbers may be Fortran's or Mathematica's, ``6.2*^-6`` for 6.2e-6, which no other reader takes.
"""

import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers

from ase_schnet.data._file import FileContents
from ase_schnet.data.frame import Frame
from ase_schnet.units import FileUnits

COLUMNS = [
    *("A", "B", "C", "mu", "alpha", "homo", "lumo", "gap", "r2", "zpve"),
    *("U0", "U", "H", "G", "Cv"),
]
UNITS = FileUnits("Hartree", "Ang")
ENERGIES = ("U0", "U", "H", "G")


def is_tar(path: Path) -> bool:
    """Tell by its name whether a file is a tar archive, possibly compressed."""
    return ".tar" in [s.lower() for s in path.suffixes[-2:]] or path.suffix.lower() == ".tgz"


def is_qm9_xyz(path: Path) -> bool:
    """Tell by its second line whether an xyz file is one of QM9's."""
    with path.open("rb") as file:
        return len(file.readline(100)) < 100 and file.readline(100).startswith(b"gdb ")


def read_qm9(path: Path, energy_key: str | None, forces_key: str | None) -> FileContents:
    """Read QM9's archive, or one file out of it. The archive is never unpacked.

    The energy is ``U0``, the internal energy at 0 K. It includes the zero-point energy, so it is not a point
    of a potential energy surface. QM9 has minima only and no forces. The index of each structure in QM9 is in
    ``info["gdb"]``: with it the 3,054 structures of uncharacterized.txt can be left out.

    Parameters
    ----------
    path
        Existing file.
    energy_key
        ``"U0"`` (default) at 0 K; ``"U"``, ``"H"`` or ``"G"`` at 298.15 K.
    forces_key
        Refused: there are none.

    Raises
    ------
    ValueError
        If the archive is damaged or holds no such file, or a key is asked for that is not there.
    """
    energy_key = energy_key or "U0"
    if forces_key or energy_key not in ENERGIES:
        raise ValueError(
            f"has no {forces_key or energy_key!r}; of energies and forces, QM9 holds "
            f"{', '.join(ENERGIES)}"
        )
    column = 2 + COLUMNS.index(energy_key)  # after "gdb" and the index
    frames, energies = [], []
    for name, text in _texts(path):
        try:
            frame, energy = _parse(text, column)
        except (ValueError, IndexError, KeyError) as error:
            raise ValueError(f"{name} is not in the layout of QM9 ({error})") from error
        frames.append(frame)
        energies.append(energy)
    if not frames:
        raise ValueError("is an archive without xyz files")
    return FileContents(frames, {"energy": energies}, usual_units=UNITS)


def _texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the content of every xyz file."""
    if not is_tar(path):
        yield path.name, path.read_text()
        return
    try:
        with tarfile.open(path, "r|*") as archive:  # as a stream: bz2 cannot go back
            for member in archive:
                if member.isfile() and member.name.endswith(".xyz"):
                    yield member.name, archive.extractfile(member).read().decode()
                archive.members.clear()  # otherwise 134 thousand headers stay in memory
    except (tarfile.TarError, EOFError, OSError, UnicodeDecodeError) as error:
        raise ValueError(
            f"is not a readable tar archive of xyz files ({error}); a .pth.tar is a pickle of torch, which "
            "can run code and is never loaded: write the data as extxyz"
        ) from error


def _parse(text: str, column: int) -> tuple[Frame, float]:
    """Return the structure of one file, and its energy: word number `column` of the second line."""
    lines = text.replace("*^", "e").split("\n")
    n_atoms, header = int(lines[0]), lines[1].split()
    if header[0] != "gdb" or len(lines) < n_atoms + 2:
        raise ValueError("no 'gdb' line, or fewer atoms than announced")
    atoms = [line.split() for line in lines[2 : n_atoms + 2]]
    numbers = np.array([atomic_numbers[words[0]] for words in atoms])
    positions = np.array([words[1:4] for words in atoms], dtype=float)
    return Frame(numbers, positions, info={"gdb": int(header[1])}), float(header[column])

"""Files in, labelled `ase.Atoms` in eV and Å out.

Read are npz files (rMD17, MD17/sGDML, PhysNet, QM7-X, NFF, plain names), HDF5 (ANI-1, ANI-1x, ANI-2x, SPICE,
QM7-X), QM9's archive, directories of DeePMD, ASE databases (plain, ISO17, schnetpack old and new) and what
`ase.io` reads, extxyz and trajectories above all. A file whose units are unknown is refused, because nothing
later can tell; labels that cannot be what they claim are refused too.
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet.data._ase_db import read_db
from ase_schnet.data._ase_files import ASE_UNITS, read_ase
from ase_schnet.data._checks import check_plausible
from ase_schnet.data._conversion import convert, settle_units
from ase_schnet.data._deepmd import files_of, read_deepmd
from ase_schnet.data._fixed import FORCE_MASK
from ase_schnet.data._hdf5 import read_hdf5
from ase_schnet.data._npz import read_npz
from ase_schnet.data._qm9 import is_qm9_xyz, is_tar, read_qm9
from ase_schnet.data._raw import RawFile
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.found import FoundLabels
from ase_schnet.data.frame import Frame
from ase_schnet.data.packing import counted, packed
from ase_schnet.structures.reading import is_xyz_name, no_such_file
from ase_schnet.units import FileUnits, parse_units

READERS = {
    ".npz": read_npz,
    ".db": read_db,
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), read_hdf5),
}
"""By suffix; every other file that is not QM9's goes to `read_ase`."""
_BEGINNINGS = {
    b"PK\x03\x04": read_npz,
    b"\x89HDF\r\n\x1a\n": read_hdf5,
    b"SQLite format 3\0": read_db,
}
"""By the first bytes, for names without a suffix that says anything."""


def read_labelled(
    path: str | Path,
    units: str | FileUnits | None = None,
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    mask_key: str | None = None,
    columns: str | None = None,
    trust_units: bool = False,
) -> tuple[list[Atoms], FoundLabels]:
    """Read structures with their labels, in eV, Å, eV/Å, eV/Å³ and e·Å.

    Labels are looked for under the user's key, then in what ASE recognised as results, then under
    common names (``REF_energy``, ``dft_forces``, ...), from one place for the whole file. Each
    structure comes with a `SinglePointCalculator` of the labels it has, its cell, pbc (not along
    zero cell vectors) and ``info``; ``info["units"]`` says what it is in now, so that it survives
    being written and read again. Constraints are dropped: ASE would zero forces with them. What they
    leave of the labels is in the array ``force_mask`` (see `Dataset.from_atoms`).

    Parameters
    ----------
    path : str or Path
        rMD17, MD17/sGDML or PhysNet ``.npz``; ASE ``.db``; HDF5; a directory of DeePMD; or anything `ase.io`
        reads.
    units : str or FileUnits, optional
        Units of the file, such as ``"kcal/mol"``, ``"Hartree, Bohr"`` or ``"eV, Ang, Debye"``.
        Needed unless the file says them (``info["units"]``, ``e_unit``, schnetpack's metadata)
        or its format defines them (rMD17: kcal/mol; comment lines of ORCA, xtb and others: Hartree;
        trajectories and outputs of codes: eV). The format is what ASE recognises, whatever the name.
    energy_key, forces_key : str, optional
        Names of the labels in the file: ``energy_key="energy_U0"`` for QM9,
        ``energy_key="old_energies", forces_key="old_forces"`` for the MD17 labels in rMD17. A minus before
        the name of a gradient, ``forces_key="-gradient"``, takes its negative.
    mask_key : str, optional
        Name of an extxyz column that is false for atoms, or components, whose force is no label;
        ``force_mask`` without it, and zero forces of atoms that ``move_mask`` holds.
    columns : str, optional
        Names of the columns behind x y z of an xyz file that does not name them: ``"forces"``,
        ``"gradient"`` (its negative is taken) or ``"charge, forces"``. Comment lines that are numbers are
        then energies.
    trust_units : bool
        Read energies whose size looks like that of another unit as what they are said to be.

    Returns
    -------
    structures : list of Atoms
    found : FoundLabels

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        In one line that names file, frame and cure: if units are missing, unknown, contradicted
        by the file or by the size of the energies; if no label is found; if the file is empty or
        damaged, of an unknown layout, needs unpickling, or holds NaN or arrays that do not fit.

    Warns
    -----
    UserWarning
        If forces or bond lengths have an unusual size.
    """
    frames, labels, found = _read(
        Path(path), units, _Reading(energy_key, forces_key, mask_key, columns, trust_units)
    )
    structures = []
    for i, frame in enumerate(frames):
        atoms = frame.atoms()
        atoms.info["units"] = str(ASE_UNITS)
        results = {name: values[i] for name, values in labels.items() if values[i] is not None}
        counts = counted([frame], results["forces"]) if "forces" in results else None
        if counts is not None:  # survives being written and read again; constraints are dropped
            atoms.set_array(FORCE_MASK, counts)
        atoms.calc = SinglePointCalculator(atoms, **results)
        structures.append(atoms)
    return structures, found


def read_dataset(
    paths: str | Path | Sequence[str | Path],
    units: str | FileUnits | None = None,
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    mask_key: str | None = None,
    columns: str | None = None,
    trust_units: bool = False,
) -> tuple[Dataset, list[FoundLabels]]:
    """Read files into one packed data set, without an `Atoms` for each of its structures.

    For large data: the 134 thousand molecules of QM9 take 0.4 GiB this way. Arguments and errors as of
    `read_labelled`, which reads one file; several files are of the same level of theory.

    Returns
    -------
    dataset : Dataset
        Structures in the order of the files.
    found : list of FoundLabels
        One for each file.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_labelled`; and if energies or forces are there in some structures only.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    frames: list[Frame] = []
    labels: dict[str, list] = {}
    found = []
    how = _Reading(energy_key, forces_key, mask_key, columns, trust_units)
    for path in map(Path, paths):
        new, of_new, found_here = _read(path, units, how)
        for name in {*labels, *of_new}:
            before = labels.setdefault(name, [None] * len(frames))
            before.extend(of_new.get(name, [None] * len(new)))
        frames += new
        found.append(found_here)
    source = ", ".join(part.path.name for part in found)
    return Dataset(**packed(frames, labels), source=source, units=str(found[0].units)), found


class _Reading(NamedTuple):
    """How to read a file: what the arguments of `read_labelled` of these names say."""

    energy_key: str | None
    forces_key: str | None
    mask_key: str | None
    columns: str | None
    trust_units: bool


def _read(
    path: Path, units: str | FileUnits | None, how: _Reading
) -> tuple[list[Frame], dict[str, list], FoundLabels]:
    """Frames in Å with labels in eV, eV/Å, eV/Å³ and e·Å, checked."""
    if not path.exists():
        raise FileNotFoundError(no_such_file(path))
    given = parse_units(units) if isinstance(units, str) else units
    try:
        raw = _read_raw(path, how)
        raw.check()
        file_units = settle_units(raw, given)
        frames, labels, counts = convert(raw, file_units)
        check_plausible(path, frames, labels, file_units, raw.stated_units, how.trust_units)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    found = FoundLabels(
        path,
        len(frames),
        units=file_units,
        sha256=_sha256(path),
        notes=tuple(raw.notes),
        **counts,
    )
    return frames, labels, found


def _read_raw(path: Path, how: _Reading) -> RawFile:
    """Let the reader of the layout read, and turn gradients that were asked for into forces."""
    reader, options = _reader(path), {}
    for name in ("mask_key", "columns"):
        if getattr(how, name) is not None:
            if reader is not read_ase:
                raise ValueError(f"has no columns of atoms: {name}= is for xyz files")
            options[name] = getattr(how, name)
    key = how.forces_key
    negative = key is not None and key.startswith("-")
    if negative:
        key = key[1:]
    elif key and "grad" in key.lower():
        raise ValueError(
            f"{key!r} is by its name a gradient, minus the forces: forces_key='-{key}' takes its negative"
        )
    raw = partial(reader, **options)(path, how.energy_key, key)
    if negative and "forces" in raw.labels:
        raw.labels["forces"] = [None if f is None else -f for f in raw.labels["forces"]]
    return raw


def _reader(path: Path) -> Callable[..., RawFile]:
    """What reads a file, by its name and, where that is not enough, its beginning."""
    if path.is_dir():
        return read_deepmd
    if path.stat().st_size == 0:
        raise ValueError("is empty")
    if is_tar(path) or (is_xyz_name(path) and is_qm9_xyz(path)):
        return read_qm9
    if path.suffix.lower() in READERS:
        return READERS[path.suffix.lower()]
    with path.open("rb") as file:
        start = file.read(16)
    return next(
        (reader for begin, reader in _BEGINNINGS.items() if start.startswith(begin)), read_ase
    )


def _sha256(path: Path) -> str:
    """Of the bytes of a file, or of all files of a directory in the order of their names, in hexadecimal."""
    digest = hashlib.sha256()
    for part in files_of(path) if path.is_dir() else [path]:
        with part.open("rb") as file:
            while block := file.read(1 << 16):
                digest.update(block)
    return digest.hexdigest()

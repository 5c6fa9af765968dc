"""Read files of labelled structures, in eV and Å.

These are npz files (rMD17, MD17/sGDML, PhysNet, QM7-X, NFF, plain names), HDF5 (ANI-1, ANI-1x, ANI-2x, SPICE,
QM7-X), QM9's archive, directories of DeePMD, ASE databases (plain, ISO17, schnetpack old and new) and what
`ase.io` reads, above all extxyz and trajectories. A file whose units are unknown is refused, because nothing
later can tell. Labels that cannot be what they claim are refused too.

Labels are looked for under the user's key, then in what ASE recognised as results, then under common names
(``REF_energy``, ``dft_forces``, ...), from one place for the whole file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet.data._ase_db import read_db
from ase_schnet.data._ase_files import read_ase
from ase_schnet.data._conversion import convert, settle_units
from ase_schnet.data._deepmd import files_of, read_deepmd
from ase_schnet.data._file import FileContents, FileSummary, extend_labels
from ase_schnet.data._hdf5 import read_hdf5
from ase_schnet.data._npz import read_npz
from ase_schnet.data._qm9 import is_qm9_xyz, is_tar, read_qm9
from ase_schnet.data._sanity_checks import check_plausible
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.frame import FORCE_MASK, Frame
from ase_schnet.data.packing import label_mask, packed
from ase_schnet.structures.reading import is_xyz_name, no_such_file
from ase_schnet.units import PACKAGE_UNITS, FileUnits, parse_units

READERS = {
    ".npz": read_npz,
    ".db": read_db,
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), read_hdf5),
}
"""Reader by suffix. Every other file that is not QM9's is read by `read_ase`."""
_BEGINNINGS = {
    b"PK\x03\x04": read_npz,
    b"\x89HDF\r\n\x1a\n": read_hdf5,
    b"SQLite format 3\0": read_db,
}
"""Reader by the first bytes, for names without a suffix that says anything."""


def read_labelled(
    path: str | Path,
    units: str | FileUnits | None = None,
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    mask_key: str | None = None,
    columns: str | None = None,
    trust_units: bool = False,
) -> tuple[list[Atoms], FileSummary]:
    """Read structures with their labels, in eV, Å, eV/Å, eV/Å³ and e·Å.

    Parameters
    ----------
    path
        A file or directory in one of the formats of :mod:`ase_schnet.data.formats`.
    units
        Units of the file, such as ``"kcal/mol"``, ``"Hartree, Bohr"`` or ``"eV, Ang, Debye"``.
        Needed unless the file names them (``info["units"]``, ``e_unit``, schnetpack's metadata)
        or its format defines them (rMD17: kcal/mol; comment lines of ORCA, xtb and others: Hartree;
        trajectories and outputs of codes: eV).
    energy_key, forces_key
        Names of the labels in the file: ``energy_key="energy_U0"`` for QM9,
        ``energy_key="old_energies", forces_key="old_forces"`` for the MD17 labels in rMD17. A minus before
        the name of a gradient, ``forces_key="-gradient"``, takes its negative.
    mask_key
        Name of an extxyz column that is false for atoms, or components, whose force is not a label. Without
        it ``force_mask`` is used, and zero forces on atoms that ``move_mask`` holds do not count.
    columns
        Names of the columns behind x y z of an xyz file that does not name them: ``"forces"``, ``"gradient"``
        (its negative is taken) or ``"charge, forces"``. Comment lines that are numbers are then energies.
    trust_units
        Accept the units as stated, even if the size of the energies looks like another unit.

    Returns
    -------
    structures
        Atoms with cell, pbc (not along zero cell vectors), ``info`` and a `SinglePointCalculator` of the
        labels. ``info["units"]`` names the units that they are in now. Constraints are dropped: ASE would
        zero forces with them. The array ``force_mask`` says which forces are labels (`Dataset.from_atoms`).
    summary
        What was found in the file, in one line when printed.

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
    how = _Reading(energy_key, forces_key, mask_key, columns, trust_units)
    frames, labels, summary = _read(Path(path), units, how)
    return [_atoms(frame, labels, i) for i, frame in enumerate(frames)], summary


def read_dataset(
    paths: str | Path | Sequence[str | Path],
    units: str | FileUnits | None = None,
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    mask_key: str | None = None,
    columns: str | None = None,
    trust_units: bool = False,
) -> tuple[Dataset, list[FileSummary]]:
    """Read files into one packed data set, without an `Atoms` for each structure.

    For large data: reading the 134 thousand molecules of QM9 takes 0.5 GiB of memory
    (benchmarks/qm9_memory.md). Arguments and errors are those of `read_labelled`, which reads one file. All
    files must be of the same level of theory.

    Parameters
    ----------
    paths
        One file or several.
    units, energy_key, forces_key, mask_key, columns, trust_units
        As for `read_labelled`; the same for all files.

    Returns
    -------
    dataset
        Structures in the order of the files.
    summaries
        One for each file.

    Raises
    ------
    FileNotFoundError, ValueError
        As `read_labelled`; and if only some structures have energies or forces.
    """
    paths = [paths] if isinstance(paths, (str, Path)) else list(paths)
    how = _Reading(energy_key, forces_key, mask_key, columns, trust_units)
    frames: list[Frame] = []
    labels: dict[str, list] = {}
    summaries = []
    for path in map(Path, paths):
        new, new_labels, summary = _read(path, units, how)
        extend_labels(labels, len(frames), new_labels, len(new))
        frames += new
        summaries.append(summary)
    source = ", ".join(summary.path.name for summary in summaries)
    arrays = packed(frames, labels)
    return Dataset(**arrays, source=source, units=str(summaries[0].units)), summaries


class _Reading(NamedTuple):
    """Hold the arguments of `read_labelled` that say how a file is read."""

    energy_key: str | None
    forces_key: str | None
    mask_key: str | None
    columns: str | None
    trust_units: bool


def _read(
    path: Path, units: str | FileUnits | None, how: _Reading
) -> tuple[list[Frame], dict[str, list], FileSummary]:
    """Return frames in Å, checked labels in eV, eV/Å, eV/Å³ and e·Å, and a summary."""
    if not path.exists():
        raise FileNotFoundError(no_such_file(path))
    given = parse_units(units) if isinstance(units, str) else units
    try:
        contents = _contents(path, how)
        contents.check()
        file_units = settle_units(contents, given)
        frames, labels, counts = convert(contents, file_units)
        stated = contents.stated_units
        check_plausible(path, frames, labels, file_units, stated, how.trust_units)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    notes = tuple(contents.notes)
    digest = _sha256(path)
    summary = FileSummary(path, len(frames), units=file_units, sha256=digest, notes=notes, **counts)
    return frames, labels, summary


def _contents(path: Path, how: _Reading) -> FileContents:
    """Read with the reader of the layout, and turn gradients that were asked for into forces."""
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
            f"{key!r} is the name of a gradient, which is minus the forces: pass forces_key='-{key}'"
        )
    contents = partial(reader, **options)(path, how.energy_key, key)
    if negative and "forces" in contents.labels:
        contents.labels["forces"] = [None if f is None else -f for f in contents.labels["forces"]]
    return contents


def _reader(path: Path) -> Callable[..., FileContents]:
    """Choose the reader of a file by its name or, where that is not enough, its first bytes."""
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


def _atoms(frame: Frame, labels: dict[str, list], i: int) -> Atoms:
    """Return structure number `i` as Atoms, with its labels in a calculator."""
    atoms = frame.atoms()
    atoms.info["units"] = str(PACKAGE_UNITS)
    results = {name: values[i] for name, values in labels.items() if values[i] is not None}
    mask = label_mask([frame], results["forces"]) if "forces" in results else None
    if mask is not None:  # survives being written and read again; constraints are dropped
        atoms.set_array(FORCE_MASK, mask)
    atoms.calc = SinglePointCalculator(atoms, **results)
    return atoms


def _sha256(path: Path) -> str:
    """Return the digest of a file, or of all files of a directory in the order of their names."""
    digest = hashlib.sha256()
    for part in files_of(path) if path.is_dir() else [path]:
        with part.open("rb") as file:
            while block := file.read(1 << 16):
                digest.update(block)
    return digest.hexdigest()

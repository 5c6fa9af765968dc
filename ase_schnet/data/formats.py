"""Files in, labelled `ase.Atoms` in eV and Å out: the one place where units are converted.

Read are npz files (rMD17, MD17/sGDML, PhysNet, QM7-X, NFF), HDF5 (ANI-1, ANI-1x, SPICE, QM7-X), QM9's
archive, ASE databases (plain, ISO17, schnetpack old and new) and whatever `ase.io` reads, extxyz and
trajectories above all. A file whose units are unknown is refused, because nothing later can tell; labels
that cannot be what they claim are refused too.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet.data._ase_db import read_db
from ase_schnet.data._ase_files import ASE_UNITS, read_ase
from ase_schnet.data._checks import check_plausible
from ase_schnet.data._fixed import FORCE_MASK
from ase_schnet.data._hdf5 import read_hdf5
from ase_schnet.data._npz import read_npz
from ase_schnet.data._qm9 import is_qm9_xyz, is_tar, read_qm9
from ase_schnet.data._raw import RawFile
from ase_schnet.data._vacuum import out_of_the_box
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.found import FoundLabels
from ase_schnet.data.frame import Frame
from ase_schnet.data.packing import counted, packed, stress_of_virials
from ase_schnet.structures.reading import is_xyz_name, no_such_file
from ase_schnet.units import FileUnits, dipole_to_eAng, parse_units

READERS = {
    ".npz": read_npz,
    ".db": read_db,
    **dict.fromkeys((".h5", ".hdf5", ".hdf", ".he5"), read_hdf5),
}
"""By suffix; every other file that is not QM9's goes to `read_ase`."""


def read_labelled(
    path: str | Path,
    units: str | FileUnits | None = None,
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
    mask_key: str | None = None,
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
        rMD17, MD17/sGDML or PhysNet ``.npz``; ASE ``.db``; or anything `ase.io` reads.
    units : str or FileUnits, optional
        Units of the file, such as ``"kcal/mol"``, ``"Hartree, Bohr"`` or ``"eV, Ang, Debye"``.
        Needed unless the file says them (``info["units"]``, ``e_unit``, schnetpack's metadata)
        or its format defines them (rMD17: kcal/mol; ``.traj`` and other non-xyz: eV).
    energy_key, forces_key : str, optional
        Names of the labels in the file: ``energy_key="energy_U0"`` for QM9,
        ``energy_key="old_energies", forces_key="old_forces"`` for the MD17 labels in rMD17.
    mask_key : str, optional
        Name of an extxyz column that is false for atoms, or components, whose force is no label;
        ``force_mask`` without it, and zero forces of atoms that ``move_mask`` holds.

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
    frames, labels, found = _read(Path(path), units, energy_key, forces_key, mask_key)
    structures = []
    for i, frame in enumerate(frames):
        atoms = frame.atoms()
        atoms.info["units"] = str(ASE_UNITS)
        results = {name: values[i] for name, values in labels.items() if values[i] is not None}
        counts = counted([frame], results["forces"]) if "forces" in results else None
        if (
            counts is not None
        ):  # an array survives being written and read again; constraints are dropped
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
    for path in map(Path, paths):
        new, of_new, found_here = _read(path, units, energy_key, forces_key, mask_key)
        for name in {*labels, *of_new}:
            before = labels.setdefault(name, [None] * len(frames))
            before.extend(of_new.get(name, [None] * len(new)))
        frames += new
        found.append(found_here)
    source = ", ".join(part.path.name for part in found)
    return Dataset(**packed(frames, labels), source=source, units=str(found[0].units)), found


def _read(
    path: Path,
    units: str | FileUnits | None,
    energy_key: str | None,
    forces_key: str | None,
    mask_key: str | None,
) -> tuple[list[Frame], dict[str, list], FoundLabels]:
    """Frames in Å with labels in eV, eV/Å, eV/Å³ and e·Å, checked."""
    if not path.is_file():
        raise FileNotFoundError(no_such_file(path))
    given = parse_units(units) if isinstance(units, str) else units
    try:
        if path.stat().st_size == 0:
            raise ValueError("is empty")
        if forces_key and "grad" in forces_key.lower():
            raise ValueError(f"{forces_key!r} is by its name a gradient, minus the forces")
        reader = _reader(path)
        if mask_key is not None:
            if reader is not read_ase:
                raise ValueError(f"has no columns of atoms, so none is the mask {mask_key!r}")
            reader = partial(read_ase, mask_key=mask_key)
        raw = reader(path, energy_key, forces_key)
        raw.check()
        file_units = _settle_units(raw, given)
        frames, labels, counts = _convert(raw, file_units)
        check_plausible(path, frames, labels, file_units, raw.stated_units)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return frames, labels, FoundLabels(path, len(frames), units=file_units, sha256=sha256, **counts)


def _reader(path: Path) -> Callable[[Path, str | None, str | None], RawFile]:
    """What reads a file, by its name and, where that is not enough, its beginning."""
    if is_tar(path) or (is_xyz_name(path) and is_qm9_xyz(path)):
        return read_qm9
    return READERS.get(path.suffix.lower(), read_ase)


def _settle_units(raw: RawFile, given: FileUnits | None) -> FileUnits:
    """Units from the user, the file or its format, in this order; two that differ are an error."""
    stated = None
    if raw.stated_units is not None:
        try:
            stated = parse_units(raw.stated_units)
        except ValueError:
            if given is None:
                raise
    if given and stated and (given.energy, given.length) != (stated.energy, stated.length):
        raise ValueError(
            f"says its units are {stated}, but units='{given}' was passed: leave units out, "
            "or correct the file"
        )
    units = given or stated or raw.usual_units
    if units is None:
        raise ValueError(
            "does not say its units: pass units='kcal/mol' (command line: --units kcal/mol), "
            "or what else they are"
        )
    known = [u for u in (units, stated, raw.usual_units) if u]
    dipole = next((u.dipole for u in known if u.dipole), raw.usual_dipole)
    return replace(units, dipole=dipole, stress=next((u.stress for u in known if u.stress), None))


def _convert(raw: RawFile, units: FileUnits) -> tuple[list[Frame], dict[str, list], dict[str, int]]:
    """Frames and labels in package units, and how many there are of each."""
    factors = {
        "energy": units.energy_to_eV,
        "forces": units.forces_to_eV_per_Ang,
        "stress": units.stress_to_eV_per_Ang3,
    }
    if "virial" in raw.labels:
        raw.labels["stress"] = stress_of_virials(raw.labels.pop("virial"), raw.structures)
        factors["stress"] = (
            units.energy_to_eV / units.length_to_Ang**3
        )  # whatever unit stresses have
    counts = {f"n_{name}": 0 for name in (*factors, "dipole", "dipole_skipped", "unboxed")}
    if units.dipole:
        factors["dipole"] = dipole_to_eAng(units.dipole)
    elif "dipole" in raw.labels:
        counts["n_dipole_skipped"] = sum(value is not None for value in raw.labels["dipole"])
        if len(raw.labels) == 1:
            raise ValueError("holds dipoles but not their unit: pass units='eV, Ang, Debye'")
    labels = {}
    for name, factor in factors.items():
        values = raw.labels.get(name, [])
        scaled = [None if v is None else v * factor for v in values]
        counts[f"n_{name}"] = sum(v is not None for v in scaled)
        if counts[f"n_{name}"]:
            as_float = name == "energy"
            labels[name] = [float(v) if as_float and v is not None else v for v in scaled]
    frames = [_in_angstrom(frame, units.length_to_Ang) for frame in raw.structures]
    if not counts["n_stress"]:
        boxed, frames = frames, [out_of_the_box(frame) for frame in frames]
        counts["n_unboxed"] = sum(a is not b for a, b in zip(boxed, frames, strict=True))
    return frames, labels, counts


def _in_angstrom(frame: Frame, factor: float) -> Frame:
    cell = None if frame.cell is None else frame.cell * factor
    pbc = frame.pbc
    if pbc is not None:  # some files have a zero cell and pbc="T T T"
        pbc = pbc & cell.any(axis=1) if cell is not None else None
    return frame._replace(positions=frame.positions * factor, cell=cell, pbc=pbc)

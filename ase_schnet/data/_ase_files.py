"""Files that ASE reads: extxyz, trajectories, outputs of codes, and ASE databases.

ASE moves ``energy``, ``forces``, ``stress`` and ``dipole`` of an extxyz file into a
`SinglePointCalculator`, and leaves every other spelling in ``atoms.info`` and ``atoms.arrays``;
databases add columns and a data dictionary. Both are searched, in this order: the key the user
names, what ASE recognised, the common names below.
"""

import math
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import ase.db
from ase import Atoms
from ase.io import iread
from ase.io.formats import open_with_compression

from ase_schnet.data._raw import PROPERTIES, RawFile
from ase_schnet.units import FileUnits

ASE_UNITS = FileUnits("eV", "Ang", "e*Ang")

# "gradient" and its kin are absent on purpose: they are minus the forces.
COMMON_NAMES = {
    "energy": ("energy", "REF_energy", "dft_energy", "Energy", "E", "total_energy"),
    "forces": ("forces", "force", "REF_forces", "dft_forces", "F", "atomic_forces"),
    "stress": ("stress", "REF_stress", "dft_stress"),
    "dipole": ("dipole", "REF_dipole", "dft_dipole", "mu"),
}


class _Frame(NamedTuple):
    atoms: Atoms
    results: dict[str, Any]  # what ASE recognised as results of a calculator
    extras: dict[str, Any]  # info and per-atom arrays; columns and data of a database row


def is_xyz(path: Path) -> bool:
    """Tell whether a file is (extended) xyz, possibly compressed."""
    suffixes = [s.lower() for s in path.suffixes if s.lower() not in (".gz", ".bz2", ".xz")]
    return suffixes[-1:] in ([".xyz"], [".extxyz"])


def read_ase(path: Path, energy_key: str | None, forces_key: str | None) -> RawFile:
    """Read any structure file that `ase.io` knows.

    Labels that ASE recognised are eV, Å and e·Å, except in xyz files, which carry whatever was
    written into them: those must say their units in ``info["units"]``, or the user must.

    Parameters
    ----------
    path : Path
        Existing file.
    energy_key, forces_key : str, optional
        Names under which the file keeps its labels.

    Returns
    -------
    RawFile
        In the units of the file.

    Raises
    ------
    ValueError
        If ASE cannot read a frame, no label is found, or frames disagree about units.
    """
    frames: list[_Frame] = []
    try:
        # ASE tells plain from extended xyz by a guess; extxyz reads both.
        known = {"format": "extxyz"} if is_xyz(path) else {}
        for atoms in iread(str(path), index=":", do_not_split_by_at_sign=True, **known):
            results = dict(atoms.calc.results) if atoms.calc else {}
            frames.append(_Frame(atoms, results, {**atoms.arrays, **atoms.info}))
    except Exception as error:  # ASE's readers raise nearly everything on a damaged file
        reason = str(error) or type(error).__name__
        raise ValueError(f"frame {len(frames)} cannot be read by ASE ({reason})") from error
    if is_xyz(path):
        _check_all_read(path, frames)
    labels, recognised = _gather(frames, energy_key, forces_key)
    for atoms in (frame.atoms for frame in frames):
        for key in {energy_key, forces_key, *chain(*COMMON_NAMES.values())} & atoms.info.keys():
            del atoms.info[key]  # a copy of a label would stay in the units of the file
    stated = _stated([frame.atoms.info.get("units") for frame in frames])
    usual = ASE_UNITS if recognised and not is_xyz(path) else None
    return RawFile([frame.atoms for frame in frames], labels, stated, usual)


def read_db(path: Path, energy_key: str | None, forces_key: str | None) -> RawFile:
    """Read an ASE database: plain, ISO17, or in the layout of schnetpack 2.

    schnetpack 2 keeps labels in ``row.data`` and says their units in the metadata; results that
    ASE itself stored are eV, Å and e·Å.

    Parameters
    ----------
    path : Path
        Existing file.
    energy_key, forces_key : str, optional
        Names under which the rows keep their labels, such as QM9's ``energy_U0``.

    Returns
    -------
    RawFile
        In the units of the file.

    Raises
    ------
    ValueError
        If the file is no readable database or one of schnetpack 0.2, no label is found, or its
        units of energies and forces contradict each other.
    """
    frames: list[_Frame] = []
    try:
        database = ase.db.connect(str(path), use_lock_file=False)
        metadata = dict(database.metadata)
        for row in database.select():
            atoms = row.toatoms()
            results = dict(atoms.calc.results) if atoms.calc else {}
            frames.append(_Frame(atoms, results, {**row.key_value_pairs, **row.data}))
    except Exception as error:  # sqlite, JSON and ASE errors alike mean a damaged file
        reason = str(error) or type(error).__name__
        raise ValueError(f"row {len(frames) + 1} cannot be read by ASE ({reason})") from error
    if frames and any(key.startswith("_dtype_") for key in frames[0].extras):
        raise ValueError(
            "stores its arrays as base64 text, the layout of schnetpack 0.2, which is not read: "
            "write it as extxyz first"
        )
    labels, recognised = _gather(frames, energy_key, forces_key)
    units = metadata.get("_property_unit_dict")
    stated = _schnetpack_units(units, metadata, energy_key, forces_key) if units else None
    usual = ASE_UNITS if recognised else None
    return RawFile([frame.atoms for frame in frames], labels, stated, usual)


def _check_all_read(path: Path, frames: list[_Frame]) -> None:
    """ASE stops, without a word, at a blank line where a frame should begin."""
    expected = sum(len(frame.atoms) + 2 for frame in frames)
    with open_with_compression(str(path)) as file:
        rest = [line.strip() for line in islice(file, expected, None)]
    if any(rest) and not rest[0]:
        raise ValueError(
            f"frame {len(frames)} comes after a blank line (line {expected + 1} of the file), "
            "where ASE stops reading: remove such lines"
        )


def _gather(
    frames: list[_Frame], energy_key: str | None, forces_key: str | None
) -> tuple[dict[str, list], bool]:
    """Find the labels of all frames, and whether ASE recognised them itself."""
    user_keys = {"energy": energy_key, "forces": forces_key}
    labels, recognised = {}, True
    for name in PROPERTIES:
        found = _find(frames, name, user_keys.get(name))
        if found:
            labels[name], from_results = found
            recognised &= from_results
    if frames and not labels:
        raise ValueError(
            f"has no labels under a familiar name; it holds {_keys_present(frames)}: name them "
            "with energy_key= and forces_key= (command line: --energy-key, --forces-key)"
        )
    return labels, recognised


def _find(frames: list[_Frame], name: str, user_key: str | None) -> tuple[list, bool] | None:
    """Values of one property, all from the same place, and whether that was ``calc.results``.

    One place for the whole file: two names in one file are often two levels of theory.
    """
    for key in (user_key,) if user_key else COMMON_NAMES[name]:
        for source in ("results", "extras"):
            values = [getattr(frame, source).get(key) for frame in frames]
            if any(value is not None for value in values):
                return values, source == "results"
    if user_key:
        raise ValueError(f"has no {user_key!r}; it holds {_keys_present(frames)}")
    return None


def _keys_present(frames: list[_Frame]) -> str:
    keys = {key for frame in frames for key in (*frame.results, *frame.extras)}
    return ", ".join(sorted(keys - {"numbers", "positions"})) or "structures only"


def _stated(statements: list[str | None]) -> str | None:
    """The units that all frames agree on."""
    for i, statement in enumerate(statements):
        if statement != statements[0]:
            raise ValueError(
                f"frame {i} says its units are {statement}, frame 0 {statements[0]}: "
                "split the file, one unit each"
            )
    return str(statements[0]) if statements and statements[0] is not None else None


def _schnetpack_units(
    units: dict[str, str], metadata: dict, energy_key: str | None, forces_key: str | None
) -> str | None:
    """Text such as "Ha, Ang, D" from the metadata of a schnetpack 2 database."""
    length = metadata.get("_distance_unit", "Ang")
    energy = _first(units, (energy_key,) if energy_key else COMMON_NAMES["energy"])
    forces = _first(units, (forces_key,) if forces_key else COMMON_NAMES["forces"])
    dipole = _first(units, COMMON_NAMES["dipole"])
    if forces:
        per_length = FileUnits(*forces.rsplit("/", 1))  # "kcal/mol/Ang"
        energy = energy or per_length.energy
        expected = FileUnits(energy, length).forces_to_eV_per_Ang
        if not math.isclose(per_length.forces_to_eV_per_Ang, expected, rel_tol=1e-6):
            raise ValueError(
                f"has forces in {forces} but energies in {energy}, lengths in {length}"
            )
    return ", ".join(unit for unit in (energy, length, dipole) if unit) if energy else None


def _first(units: dict[str, str], names: tuple[str, ...]) -> str | None:
    return next((units[name] for name in names if name in units), None)

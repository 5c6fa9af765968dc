"""Files in, labelled `ase.Atoms` in eV and Å out: the one place where units are converted.

Read are the npz files of rMD17, MD17/sGDML and PhysNet, ASE databases (plain, ISO17, schnetpack 2)
and whatever `ase.io` reads, extxyz and trajectories above all. A file whose units are unknown is
refused, because nothing later can tell; labels that cannot be what they claim are refused too.
"""

import hashlib
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet.data._ase_files import ASE_UNITS, read_ase, read_db
from ase_schnet.data._npz import read_npz
from ase_schnet.data._plausible import (
    forces_suspicion,
    lengths_suspicion,
    suspected_energy_unit,
)
from ase_schnet.data._raw import RawFile
from ase_schnet.units import FileUnits, dipole_to_eAng, parse_units

READERS = {".npz": read_npz, ".db": read_db}
"""By suffix; every other file goes to `read_ase`."""


@dataclass(frozen=True)
class FoundLabels:
    """What a file held, in one line when printed.

    Attributes
    ----------
    path : Path
    n_frames : int
    n_energy, n_forces, n_stress, n_dipole : int
        Frames that carry the label.
    units : FileUnits
        Units of the file, before conversion.
    sha256 : str
        Of the bytes of the file, in hexadecimal.
    n_dipole_skipped : int
        Frames whose dipole was left out because its unit is not known.
    """

    path: Path
    n_frames: int
    n_energy: int
    n_forces: int
    n_stress: int
    n_dipole: int
    units: FileUnits
    sha256: str
    n_dipole_skipped: int = 0

    def __str__(self) -> str:
        n = self.n_frames
        counts = f"energy {self.n_energy}/{n}, forces {self.n_forces}/{n}"
        if self.n_stress:
            counts += f", stress {self.n_stress}/{n}"
        counts += f", dipole {self.n_dipole}/{n}"
        if self.n_dipole_skipped:
            counts += (
                f" ({self.n_dipole_skipped} skipped, unit unknown: "
                f"units='{self.units.energy}, {self.units.length}, Debye' would say it)"
            )
        return f"{self.path.name}: {n} frames; {counts}; {self.units} -> {self._converted()}"

    def _converted(self) -> str:
        return str(replace(ASE_UNITS, dipole="e*Ang" if self.units.dipole else None))


def read_labelled(
    path: str | Path,
    units: str | FileUnits | None = None,
    *,
    energy_key: str | None = None,
    forces_key: str | None = None,
) -> tuple[list[Atoms], FoundLabels]:
    """Read structures with their labels, in eV, Å, eV/Å, eV/Å³ and e·Å.

    Labels are looked for under the user's key, then in what ASE recognised as results, then under
    common names (``REF_energy``, ``dft_forces``, ...), from one place for the whole file. Each
    structure comes with a `SinglePointCalculator` of the labels it has, its cell, pbc (not along
    zero cell vectors) and ``info``; ``info["units"]`` says what it is in now, so that it survives
    being written and read again. Constraints are dropped: ASE would zero forces with them.

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
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    given = parse_units(units) if isinstance(units, str) else units
    try:
        if path.stat().st_size == 0:
            raise ValueError("is empty")
        if forces_key and "grad" in forces_key.lower():
            raise ValueError(f"{forces_key!r} is by its name a gradient, minus the forces")
        raw = READERS.get(path.suffix.lower(), read_ase)(path, energy_key, forces_key)
        raw.check()
        file_units = _settle_units(raw, given)
        structures, counts = _convert(raw, file_units)
        _check_plausible(path, structures, file_units, raw.stated_units)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return structures, FoundLabels(path, len(structures), units=file_units, sha256=sha256, **counts)


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
    known_dipole = (u.dipole for u in (units, stated, raw.usual_units) if u and u.dipole)
    return replace(units, dipole=next(known_dipole, raw.usual_dipole))


def _convert(raw: RawFile, units: FileUnits) -> tuple[list[Atoms], dict[str, int]]:
    """Build fresh structures in package units, and count their labels."""
    factors = {
        "energy": units.energy_to_eV,
        "forces": units.forces_to_eV_per_Ang,
        "stress": units.stress_to_eV_per_Ang3,
    }
    counts = {f"n_{name}": 0 for name in (*factors, "dipole", "dipole_skipped")}
    if units.dipole:
        factors["dipole"] = dipole_to_eAng(units.dipole)
    elif "dipole" in raw.labels:
        counts["n_dipole_skipped"] = sum(value is not None for value in raw.labels["dipole"])
        if len(raw.labels) == 1:
            raise ValueError("holds dipoles but not their unit: pass units='eV, Ang, Debye'")
    structures = []
    for i, source in enumerate(raw.structures):
        results = {}
        for name, factor in factors.items():
            value = raw.labels[name][i] if name in raw.labels else None
            if value is not None:
                results[name] = float(value * factor) if name == "energy" else value * factor
                counts[f"n_{name}"] += 1
        atoms = _in_angstrom(source, units)
        atoms.calc = SinglePointCalculator(atoms, **results)
        structures.append(atoms)
    return structures, counts


def _in_angstrom(source: Atoms, units: FileUnits) -> Atoms:
    cell = source.cell.array * units.length_to_Ang
    return Atoms(
        numbers=source.numbers,
        positions=source.positions * units.length_to_Ang,
        cell=cell,
        pbc=source.pbc & cell.any(axis=1),  # some files have a zero cell and pbc="T T T"
        info={**source.info, "units": str(ASE_UNITS)},
    )


def _check_plausible(
    path: Path, structures: list[Atoms], units: FileUnits, stated: str | None
) -> None:
    """Refuse energies in another unit; warn of odd forces and lengths."""
    results = [atoms.calc.results for atoms in structures]
    forces = [r["forces"] for r in results if "forces" in r]
    rms_force = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else None
    suspected = suspected_energy_unit(
        structures, [r.get("energy") for r in results], rms_force, units.energy
    )
    if suspected:
        right = suspected if units.length == "Ang" else f"{suspected}, {units.length}"
        cure = f"correct what the file says ({stated})" if stated else f"pass units='{right}'"
        raise ValueError(f"energies look like {suspected}, not {units.energy}: {cure}")
    suspicions = [lengths_suspicion(structures)]
    if rms_force is not None:
        suspicions.append(forces_suspicion(rms_force))
    for suspicion in filter(None, suspicions):
        warnings.warn(f"{path}: {suspicion}; read as {units}", stacklevel=3)

"""Units of a file, settled once, and everything in it converted: the one place where labels are scaled."""

from __future__ import annotations

from dataclasses import replace

from ase_schnet.data._raw import RawFile
from ase_schnet.data._vacuum import out_of_the_box
from ase_schnet.data.frame import Frame
from ase_schnet.data.packing import stress_of_virials
from ase_schnet.units import FileUnits, dipole_to_eAng, parse_units


def settle_units(raw: RawFile, given: FileUnits | None) -> FileUnits:
    """Take units from the user, the file or its format, in this order; two that differ are a ValueError."""
    stated = None
    if raw.stated_units is not None:
        try:
            stated = parse_units(raw.stated_units)
        except ValueError:
            if given is None:
                raise
    if given and stated and (given.energy, given.length) != (stated.energy, stated.length):
        raise ValueError(
            f"says its units are {stated}, but units='{given}' was passed: leave units= out, "
            "or correct the file"
        )
    units = given or stated or raw.usual_units
    if units is None:
        raise ValueError("does not say its units: pass units='kcal/mol', or what else they are")
    known = [u for u in (units, stated, raw.usual_units) if u]
    dipole = next((u.dipole for u in known if u.dipole), raw.usual_dipole)
    return replace(units, dipole=dipole, stress=next((u.stress for u in known if u.stress), None))


def convert(raw: RawFile, units: FileUnits) -> tuple[list[Frame], dict[str, list], dict[str, int]]:
    """Give frames and labels in package units (eV, Å, eV/Å, eV/Å³, e·Å), and how many there are of each."""
    factors = {
        "energy": units.energy_to_eV,
        "forces": units.forces_to_eV_per_Ang,
        "stress": units.stress_to_eV_per_Ang3,
    }
    if "virial" in raw.labels:
        raw.labels["stress"] = stress_of_virials(raw.labels.pop("virial"), raw.structures)
        factors["stress"] = units.energy_to_eV / units.length_to_Ang**3  # not a unit of stress
    counts = {f"n_{name}": 0 for name in (*factors, "dipole", "dipole_skipped", "unboxed")}
    if units.dipole:
        factors["dipole"] = dipole_to_eAng(units.dipole)
    elif "dipole" in raw.labels:
        counts["n_dipole_skipped"] = sum(value is not None for value in raw.labels["dipole"])
        if len(raw.labels) == 1:
            hint = "; ".join(["pass units='eV, Ang, Debye'", *raw.notes])
            raise ValueError(f"holds dipoles but not their unit: {hint}")
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

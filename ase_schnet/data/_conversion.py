"""Settle the units of a file once, and convert everything in it. Labels are scaled nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ase_schnet.data._file import FileContents
from ase_schnet.data.frame import Frame
from ase_schnet.data.packing import stress_of_virials
from ase_schnet.units import FileUnits, dipole_to_eAng, parse_units

VACUUM = 30.0
"""Å. A crystal with this much vacuum along all three axes is a molecule: networks do not look as far."""


def settle_units(contents: FileContents, given: FileUnits | None) -> FileUnits:
    """Take the units from the user, the file or its format, in this order.

    Raises
    ------
    ValueError
        If the user and the file name different units, or nobody names any.
    """
    stated = None
    if contents.stated_units is not None:
        try:
            stated = parse_units(contents.stated_units)
        except ValueError:
            if given is None:
                raise
    if given and stated and (given.energy, given.length) != (stated.energy, stated.length):
        raise ValueError(
            f"says its units are {stated}, but units='{given}' was passed: leave units= out, "
            "or correct the file"
        )
    usual = contents.usual_units
    units = given or stated or usual
    if units is None:
        raise ValueError("does not say its units: pass units='kcal/mol', or what else they are")
    known = [u for u in (units, stated, usual) if u]
    dipole = next((u.dipole for u in known if u.dipole), contents.usual_dipole)
    return replace(units, dipole=dipole, stress=next((u.stress for u in known if u.stress), None))


def convert(
    contents: FileContents, units: FileUnits
) -> tuple[list[Frame], dict[str, list], dict[str, int]]:
    """Return frames and labels in eV, Å, eV/Å, eV/Å³ and e·Å, and how many there are of each label."""
    factors = {
        "energy": units.energy_to_eV,
        "forces": units.forces_to_eV_per_Ang,
        "stress": units.stress_to_eV_per_Ang3,
    }
    given = dict(contents.labels)
    if "virial" in given:
        given["stress"] = stress_of_virials(given.pop("virial"), contents.frames)
        factors["stress"] = units.energy_to_eV / units.length_to_Ang**3  # not a unit of stress
    counts = {f"n_{name}": 0 for name in (*factors, "dipole", "dipole_skipped", "unboxed")}
    if units.dipole:
        factors["dipole"] = dipole_to_eAng(units.dipole)
    elif "dipole" in given:
        counts["n_dipole_skipped"] = sum(value is not None for value in given["dipole"])
        if len(given) == 1:
            hint = "; ".join(["pass units='eV, Ang, Debye'", *contents.notes])
            raise ValueError(f"holds dipoles but not their unit: {hint}")
    labels = {}
    for name, factor in factors.items():
        values = given.get(name, [])
        scaled = [None if v is None else v * factor for v in values]
        counts[f"n_{name}"] = sum(v is not None for v in scaled)
        if counts[f"n_{name}"]:
            as_float = name == "energy"
            labels[name] = [float(v) if as_float and v is not None else v for v in scaled]
    frames = [_in_angstrom(frame, units.length_to_Ang) for frame in contents.frames]
    if not counts["n_stress"]:
        boxed, frames = frames, [unbox_molecule(frame) for frame in frames]
        counts["n_unboxed"] = sum(a is not b for a, b in zip(boxed, frames, strict=True))
    return frames, labels, counts


def _in_angstrom(frame: Frame, factor: float) -> Frame:
    cell = None if frame.cell is None else frame.cell * factor
    pbc = frame.pbc
    if pbc is not None:  # some files have a zero cell and pbc="T T T"
        pbc = pbc & cell.any(axis=1) if cell is not None else None
    return frame._replace(positions=frame.positions * factor, cell=cell, pbc=pbc)


def unbox_molecule(frame: Frame) -> Frame:
    """Remove the periodic box around a molecule in vacuum; return the frame itself if the box is needed.

    Plane-wave codes and some writers put molecules into such boxes. A molecule that was wrapped around a face
    of the box is made whole. Its first atom stays in place.
    """
    if frame.pbc is None or not frame.pbc.all() or frame.cell is None:
        return frame
    inverse = np.linalg.pinv(frame.cell)
    thickness = 1.0 / np.linalg.norm(inverse, axis=0)  # (3,) Å between opposite faces
    if thickness.min() < VACUUM:
        return frame
    fractional = frame.positions @ inverse  # (N, 3)
    inside = fractional % 1.0
    edges = np.sort(inside, axis=0)
    gaps = np.diff(edges, axis=0, append=edges[:1] + 1.0)  # (N, 3) above each atom, cyclic
    widest = gaps.argmax(axis=0)
    if (gaps.max(axis=0) * thickness).min() < VACUUM:
        return frame
    axes = np.arange(3)
    start = edges[(widest + 1) % len(edges), axes]  # (3,) the first atom above the vacuum
    images = np.rint((inside - start) % 1.0 + start - fractional)
    moved = (images - images[0]) @ frame.cell
    return frame._replace(positions=frame.positions + moved, cell=None, pbc=None)

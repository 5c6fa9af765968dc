"""Read the files that `ase.io` reads: extxyz, trajectories, outputs of codes.

ASE moves ``energy``, ``forces``, ``stress`` and ``dipole`` of an extxyz file into a
`SinglePointCalculator`, and leaves every other spelling in ``atoms.info`` and ``atoms.arrays``.
"""

from pathlib import Path

from ase_schnet.data._file import FileContents
from ase_schnet.data._labels import LabelSearch
from ase_schnet.data.frame import Frame, mask_of
from ase_schnet.structures.comments import CODE_ENERGY
from ase_schnet.structures.reading import XYZ_FORMATS, read_frames, recognised_format
from ase_schnet.units import PACKAGE_UNITS

OF_ANY_UNIT = (*XYZ_FORMATS, "lammps-dump-text", "lammps-dump-binary", "cfg", "csv")
"""ASE's names of formats that carry whatever was written into them, in units that they do not say."""


def read_ase(
    path: Path,
    energy_key: str | None,
    forces_key: str | None,
    mask_key: str | None = None,
    columns: str | None = None,
) -> FileContents:
    """Read any structure file that `ase.io` knows.

    Labels that ASE recognised are eV, Å and e·Å, except in xyz files and others that carry
    whatever was written into them: those must say their units in ``info["units"]``, or the user must.

    Parameters
    ----------
    path
        Existing file.
    energy_key, forces_key
        Names under which the file keeps its labels.
    mask_key
        Name of a column that is false where a force is no label.
    columns
        Names of the columns behind x y z of an xyz file that does not name them.

    Raises
    ------
    ValueError
        If ASE cannot read a frame, no label is found, or frames disagree about units.
    """
    frames: list[Frame] = []
    search = LabelSearch(energy_key, forces_key, comment_numbers=columns is not None)
    for atoms in read_frames(path, columns):
        search.add(atoms.calc.results if atoms.calc else {}, {**atoms.arrays, **atoms.info})
        for key in search.wanted & atoms.info.keys():
            del atoms.info[key]  # a copy of a label would stay in the units of the file
        frame = Frame.of(atoms)
        if mask_key is not None:
            if not atoms.has(mask_key):
                raise ValueError(f"frame {len(frames)} has no column {mask_key!r}")
            frame = frame._replace(force_mask=mask_of(atoms, mask_key))
        frames.append(frame)
    labels, recognised = search.labels()
    stated = _stated([(frame.info or {}).get("units") for frame in frames])
    if stated is None and search.used.get("energy") == CODE_ENERGY and "forces" not in labels:
        stated = "Hartree"
    says_nothing = recognised_format(path) in OF_ANY_UNIT
    usual = None if says_nothing or not recognised else PACKAGE_UNITS
    return FileContents(frames, labels, stated, usual, notes=search.notes() + _weights(frames))


def _weights(frames: list[Frame]) -> list[str]:
    """Say that the file gives weights in the loss to structures that are not augmented by this package."""
    infos = [frame.info for frame in frames if frame.info and "augmented" not in frame.info]
    weights = [info["loss_weight"] for info in infos if "loss_weight" in info]
    if not weights:
        return []
    return [f"the file gives weights in the loss to {len(weights)} frames (loss_weight)"]


def _stated(statements: list[str | None]) -> str | None:
    """Return the units that all frames state; ValueError if they differ."""
    for i, statement in enumerate(statements):
        if statement != statements[0]:
            raise ValueError(
                f"frame {i} says its units are {statement}, frame 0 {statements[0]}: "
                "split the file, one unit each"
            )
    return str(statements[0]) if statements and statements[0] is not None else None

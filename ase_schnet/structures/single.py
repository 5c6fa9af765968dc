"""Read the structure that a command starts from."""

from __future__ import annotations

import sys
from collections import deque
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from ase import Atoms
from ase.io.trajectory import TrajectoryReader

from ase_schnet.structures.columns import XYZError
from ase_schnet.structures.elements import DEUTERON_MASS, ISOTOPE_MASSES
from ase_schnet.structures.reading import (
    XYZ_FORMATS,
    no_such_file,
    not_read,
    read_blocks,
    read_frames,
    recognised_format,
    require_angstrom,
)
from ase_schnet.structures.xyz import atoms_of

_RUN, _MODEL, _DEEPMD = "trajectory.traj", "model.json", "type.raw"
_BUNDLE = "metadata.json"  # of ASE's BundleTrajectory, which is a directory


class ReadStructure(NamedTuple):
    """Hold a structure, and a line that says which frame of its file it is (empty if it is the only one)."""

    atoms: Atoms
    remark: str


def read_structure(path: str | Path) -> ReadStructure:
    """Read the structure that a calculation starts from: the last one of its file.

    D and T are hydrogen with their masses, and a column ``mass`` or ``masses`` (u) of an xyz file is kept.
    Another frame is chosen as in ASE, ``file.xyz@0``, unless a file has exactly this name.

    Raises
    ------
    FileNotFoundError
        If there is no such file; the message gives a similar name if there is one.
    ValueError
        In one line that names the file, what is wrong and how to correct it: a directory, an empty or damaged
        file, an unknown format, no atoms, unknown elements, impossible positions or masses.
    """
    path, index = split_frame(Path(path))
    if path.is_dir() and not (path / _BUNDLE).exists():
        raise ValueError(f"{path} is a directory, not a file of structures{_hint(path)}")
    if not path.exists():
        raise FileNotFoundError(no_such_file(path))
    try:
        atoms, taken, count = _pick(path, index)
        _require_sound(atoms)
        require_angstrom(atoms)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    _correct_deuterium(atoms)
    remark = ""
    if count > 1 and index is None:
        remark = f"{path}: the last of {count} frames is taken (the first would be {path}@0)"
    elif count > 1:
        remark = f"{path}: frame {taken} of {count} is taken, counted from 0"
    return ReadStructure(atoms, remark)


def split_frame(path: Path) -> tuple[Path, int | None]:
    """Separate the file from the frame, where the name ends in @ and a number; None takes the last frame."""
    stem, at, number = path.name.rpartition("@")
    if not at or path.exists() or not path.with_name(stem or "@").exists():
        return path, None
    try:
        return path.with_name(stem), int(number)
    except ValueError:
        return path, None


def _hint(path: Path) -> str:
    for name, what in ((_RUN, f": take {path / _RUN}"), (_MODEL, " (it is a model)")):
        if (path / name).exists():
            return what
    if (path / _DEEPMD).exists():
        return " (it is a set of labelled data of DeePMD)"
    return ": name a file in it"


def _pick(path: Path, index: int | None) -> tuple[Atoms, int, int]:
    """Return a frame, its number, and how many there are. Of a long file only that frame is read."""
    name = recognised_format(path)
    if name in XYZ_FORMATS:
        return _pick_of_xyz(path, index)
    if name == "traj" and not path.is_dir():
        return _pick_of_trajectory(path, index)
    frames = list(read_frames(path))
    taken = _number(index, len(frames))
    return frames[taken], taken, len(frames)


def _pick_of_trajectory(path: Path, index: int | None) -> tuple[Atoms, int, int]:
    atoms = None
    try:
        with TrajectoryReader(path) as frames:
            count = len(frames)
            if -count <= (-1 if index is None else index) < count:
                atoms = frames[-1 if index is None else index]
    except Exception as error:  # ASE's reader raises nearly everything on a damaged file
        raise ValueError(not_read("traj", 0, error)) from error
    return cast(Atoms, atoms), _number(index, count), count


def _pick_of_xyz(path: Path, index: int | None) -> tuple[Atoms, int, int]:
    count = 0
    kept: deque = deque(maxlen=1 if index is None or index >= 0 else min(-index, sys.maxsize))
    for block in read_blocks(path):
        if index is None or index < 0 or count == index:
            kept.append(block)
        count += 1
    taken = _number(index, count)
    try:
        return atoms_of(kept[0]), taken, count
    except XYZError as error:
        raise ValueError(f"frame {taken} cannot be read: {error}") from None


def _number(index: int | None, count: int) -> int:
    if count == 0:
        raise ValueError("holds no structures")
    taken = -1 if index is None else index
    if not -count <= taken < count:
        raise ValueError(f"has no frame {taken}: it holds {count}, counted from 0")
    return taken % count


def _require_sound(atoms: Atoms) -> None:
    if len(atoms) == 0:
        raise ValueError("the structure has no atoms")
    unknown = np.flatnonzero((atoms.numbers < 1) | (atoms.numbers > 118))
    if len(unknown):
        raise ValueError(
            f"atom {unknown[0]} is not an element (atomic number {atoms.numbers[unknown[0]]}): remove dummy "
            "and ghost atoms"
        )
    for name, values in (("positions", atoms.positions), ("cell", atoms.cell.array)):
        if not np.isfinite(values).all():
            raise ValueError(f"the {name} hold NaN or infinity")
    masses = atoms.get_masses()
    if not (np.isfinite(masses) & (masses > 0)).all():
        k = int(np.argmin(np.isfinite(masses) & (masses > 0)))
        raise ValueError(f"atom {k} has a mass of {masses[k]:g} u, which must be above 0")


def _correct_deuterium(atoms: Atoms) -> None:
    """Give D the mass of the atom: ASE's reader of cif files gives it that of the bare nucleus."""
    masses = atoms.get_masses()
    bare = (atoms.numbers == 1) & (masses == DEUTERON_MASS)
    if bare.any():
        atoms.set_masses(np.where(bare, ISOTOPE_MASSES["D"], masses))

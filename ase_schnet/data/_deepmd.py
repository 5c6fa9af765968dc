"""Read directories of DeePMD-kit: one system each, frames in numpy files ``set.*`` or text files ``*.raw``.

    type.raw, type_map.raw      type of each atom; element of each type, one a line
    nopbc                       there where nothing is periodic
    set.000/coord.npy, box.npy, energy.npy, force.npy, virial.npy, real_atom_types.npy

Lengths are Å, energies and virials eV, forces eV/Å (https://docs.deepmodeling.com, "Data: system"). A virial
is positive for a compressed structure. Frames of several systems of one size ("mixed") have their types in
``real_atom_types``, −1 where an atom is none.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase.data import atomic_numbers
from numpy.typing import NDArray

from ase_schnet.data._candidates import not_used
from ase_schnet.data._file import FileContents
from ase_schnet.data.frame import Frame
from ase_schnet.runtime.files import unreadable
from ase_schnet.units import PACKAGE_UNITS

_TYPES, _ELEMENTS, _MIXED = "type.raw", "type_map.raw", "real_atom_types"
_LABELS = {"energy": "energy", "forces": "force", "virial": "virial"}


def files_of(path: Path) -> list[Path]:
    """Return the files of a system in the order of their names."""
    return sorted(p for p in (*path.glob("*"), *path.glob("set.*/*")) if p.is_file())


def read_deepmd(path: Path, energy_key: str | None, forces_key: str | None) -> FileContents:
    """Read the frames of one system.

    Parameters
    ----------
    path
        Existing directory.
    energy_key, forces_key
        Names of other files than ``energy`` and ``force``.

    Raises
    ------
    ValueError
        If the directory is no system of DeePMD, its elements are not said, or arrays are missing, damaged
        or do not fit together.
    """
    if not (path / _TYPES).is_file():
        inside = sorted(p.parent.name for p in path.glob(f"*/{_TYPES}"))
        hint = f"name the systems in it: {', '.join(inside[:4])}" if inside else "name a file in it"
        raise ValueError(f"is a directory without {_TYPES}, so it is not a DeePMD system: {hint}")
    types = _text(path / _TYPES).ravel().astype(int)
    elements = _elements(path, int(types.max(initial=-1)))
    names = _LABELS | {k: v for k, v in (("energy", energy_key), ("forces", forces_key)) if v}
    frames, labels, held = [], {name: [] for name in names}, {}
    for part in sorted(path.glob("set.*")) or [path]:
        arrays = {p.stem: p for p in sorted(part.glob("*.npy" if part != path else "*.raw"))}
        new = _frames(path, part, arrays, types, elements)
        for name, key in names.items():
            labels[name] += _label(name, arrays.get(key), new, types)
        frames += [frame for frame, _ in new]
        held |= arrays
    for key in (energy_key, forces_key):
        if key and all(v is None for k, v in names.items() if v == key for v in labels[k]):
            raise ValueError(f"has no files {key}.npy; it holds {', '.join(arrays)}")
    labels = {k: v for k, v in labels.items() if any(x is not None for x in v)}
    if not labels:
        raise ValueError(
            f"has no labels under {' or '.join(names.values())}; it holds {', '.join(arrays)}"
        )
    notes = not_used(held, set(names.values()))
    return FileContents(frames, labels, usual_units=PACKAGE_UNITS, notes=notes)


def _elements(path: Path, highest: int) -> NDArray:
    """Return the atomic number of each type."""
    if not (path / _ELEMENTS).is_file():
        raise ValueError(
            f"does not say its elements: write {_ELEMENTS} with the element of each type, one per line"
        )
    symbols = (path / _ELEMENTS).read_text().split()
    unknown = [s for s in symbols if s not in atomic_numbers]
    if unknown or len(symbols) <= highest:
        what = (
            f"{unknown[0]!r} is not an element"
            if unknown
            else f"{len(symbols)} elements for {highest + 1} types"
        )
        raise ValueError(f"{_ELEMENTS} does not fit: {what}")
    return np.array([atomic_numbers[s] for s in symbols])


def _frames(path: Path, part: Path, arrays: dict, types: NDArray, elements: NDArray) -> list:
    """Return the frames of one set, each with a mask of its real atoms."""
    if "coord" not in arrays:
        raise ValueError(f"{part.name} has no coord")
    positions = _array(arrays["coord"], 3 * len(types)).reshape(-1, len(types), 3)
    boxes = [None] * len(positions)
    if not (path / "nopbc").exists():
        if "box" not in arrays:
            raise ValueError(
                f"{part.name} has no box; if the system is not periodic, add an empty file nopbc"
            )
        boxes = _array(arrays["box"], 9, len(positions)).reshape(-1, 3, 3)
    of_frames = np.broadcast_to(types, positions.shape[:2])
    if _MIXED in arrays:
        of_frames = _array(arrays[_MIXED], len(types), len(positions)).astype(int)
        if of_frames.max(initial=0) >= len(elements):
            raise ValueError(f"{_MIXED} has types beyond the {len(elements)} of {_ELEMENTS}")
    frames = []
    for kinds, r, box in zip(of_frames, positions, boxes, strict=True):
        real = kinds >= 0
        pbc = None if box is None else np.ones(3, dtype=bool)
        frames.append((Frame(elements[kinds[real]], r[real], box, pbc), real))
    return frames


def _label(name: str, file: Path | None, frames: list, types: NDArray) -> list:
    if file is None:
        return [None] * len(frames)
    width = {"energy": 1, "forces": 3 * len(types), "virial": 9}[name]
    values = _array(file, width, len(frames))
    if name == "energy":
        return list(values[:, 0])
    if name == "virial":
        return list(values.reshape(-1, 3, 3))
    return [f[real] for f, (_, real) in zip(values.reshape(-1, len(types), 3), frames, strict=True)]


def _array(file: Path, width: int, length: int | None = None) -> NDArray:
    """Return the rows of a file, (frames, width) float64."""
    try:
        array = np.load(file, allow_pickle=False) if file.suffix == ".npy" else _text(file)
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(
            f"{file.name} cannot be read ({unreadable(error)}): is it complete?"
        ) from error
    if array.dtype.kind not in "iuf" or array.size % width:
        raise ValueError(f"{file.name} holds {array.size} numbers, not a multiple of {width}")
    array = array.reshape(-1, width).astype(np.float64)
    if length is not None and len(array) != length:
        raise ValueError(
            f"{file.parent.name}/{file.name} has {len(array)} frames, coord has {length}"
        )
    return array


def _text(file: Path) -> NDArray:
    try:
        return np.loadtxt(file, ndmin=2)
    except ValueError as error:
        raise ValueError(f"{file.name} is not rows of numbers ({error})") from error

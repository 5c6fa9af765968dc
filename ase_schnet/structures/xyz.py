"""Plain and extended xyz files, frame after frame.

Labels and arrays come out as from `ase.io`, which this replaces for two reasons: symbols that ASE does not
know (D, T, atomic numbers, numbered atoms), and columns and comment lines that it drops or takes for
something else without a word. It also reads each line once, where ASE goes over the file twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.io.extxyz import set_calc_and_arrays

from ase_schnet.structures.comments import parse_comment
from ase_schnet.structures.elements import elements_of

UNNAMED = "unnamed_columns"
"""Name of the array, (N, k), of the numbers behind x y z in a file that does not name its columns."""

_PLAIN = "species:S:1:pos:R:3"
_ASE_NAMES = {
    **{"pos": "positions", "Z": "numbers", "species": "symbols", "mass": "masses"},
    **{"charge": "charges"},
}
_UNWANTED = "unwanted_column_"
_TRUTH = {"T": True, "F": False, "True": True, "False": False, "1": True, "0": False}


class Block(NamedTuple):
    """The lines of one frame: number (from 1) of the first, the comment line, and a line for each atom."""

    line: int
    comment: str
    rows: list[str]


class XYZError(ValueError):
    """A frame that cannot be read; the message names the line."""


def blocks(lines: Iterable[str]) -> Iterator[Block]:
    """Cut a file into frames, without looking at what they hold.

    Raises XYZError where the number of atoms or atoms are missing, and where a frame follows a blank line:
    other readers stop there, without a word.
    """
    lines = iter(lines)
    at = 1
    for first in lines:
        if not first.strip():
            if any(line.strip() for line in lines):
                raise XYZError(
                    f"comes after a blank line (line {at} of the file), where ASE and others stop reading: "
                    "remove such lines"
                )
            return
        try:
            count = int(first)
            if count < 0:
                raise ValueError(count)
        except ValueError:
            raise XYZError(
                f"line {at} should be the number of atoms, but is {first.strip()!r:.60}"
            ) from None
        comment = next(lines, "").strip()
        rows = list(islice(lines, count))
        if len(rows) < count:
            raise XYZError(f"has {len(rows)} atoms, expected {count}: the file ends before")
        yield Block(at, comment, rows)
        at += count + 2


def atoms_of(block: Block, columns: str | None = None) -> Atoms:
    """Make the structure of a frame, with its labels, arrays, masses and constraints.

    Parameters
    ----------
    block : Block
    columns : str, optional
        Names of the columns behind x y z where the frame does not name them, as of `named`.

    Returns
    -------
    Atoms

    Raises
    ------
    XYZError
        Naming the line at fault.
    """
    try:
        info = parse_comment(block.comment)
    except ValueError as error:
        raise XYZError(f"line {block.line + 1}: {error}") from None
    lattice, pbc = info.pop("Lattice", None), info.pop("pbc", None)
    properties = info.pop("Properties", None)
    rows = [row.split() for row in block.rows]
    if not rows:
        return Atoms(info=info)
    if properties is not None:
        if columns is not None:
            raise XYZError(
                f"line {block.line + 1}: the file names its columns itself ({properties})"
            )
        arrays = _arrays(rows, properties, block.line + 2)
    elif columns is not None:
        arrays = _arrays(rows, f"{_PLAIN}:{named(columns)}", block.line + 2)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(_UNWANTED)}
        if "gradient" in arrays:
            arrays["forces"] = -arrays.pop("gradient")
    else:
        arrays = _arrays(rows, _PLAIN, block.line + 2)
        if len(rows[0]) > 4:
            arrays |= _unnamed(rows)
    return _atoms(arrays, lattice, pbc, info, block.line)


def named(columns: str) -> str:
    """Write names of further columns, such as ``"charge, forces"``, as extended xyz does.

    ``forces`` and ``gradient`` (minus the forces) are three columns, every other name is one; ``-`` is a
    column that is not wanted.

    Raises ValueError for a name that no column can have.
    """
    parts = []
    for k, name in enumerate(columns.replace(",", " ").split()):
        name = {"gradients": "gradient", "force": "forces"}.get(name, name)
        if name == "-":
            name = f"{_UNWANTED}{k}"
        if not name.isidentifier() or name in ("species", "pos", "symbols", "positions"):
            raise ValueError(
                f"columns={columns!r} are not names of what stands behind x y z, such as 'forces', "
                "'gradient' or 'charge, forces'"
            )
        parts.append(f"{name}:R:{3 if name in ('forces', 'gradient') else 1}")
    if not parts:
        raise ValueError("columns are empty: name what stands behind x y z, such as 'forces'")
    return ":".join(parts)


def _atoms(arrays: dict, lattice, pbc, info: dict, line: int) -> Atoms:
    symbols, numbers = arrays.pop("symbols", None), arrays.pop("numbers", None)
    masses = None
    if numbers is None:
        if symbols is None or "positions" not in arrays:
            raise XYZError(f"line {line + 1}: Properties name no species, or no pos")
        try:
            numbers, masses = elements_of(symbols)
        except ValueError as error:
            raise XYZError(str(error)) from None
    if lattice is not None and np.shape(lattice) != (3, 3):
        raise XYZError(f"line {line + 1}: Lattice is not nine numbers")
    atoms = Atoms(
        numbers=numbers,
        positions=arrays.pop("positions"),
        cell=None if lattice is None else lattice.T,
        pbc=_pbc(pbc, lattice is not None, line),
        info=info,
    )
    masses = arrays.pop("masses", masses)
    if masses is not None:
        atoms.set_masses(masses)
    if "initial_charges" in arrays:
        atoms.set_initial_charges(arrays.pop("initial_charges"))
    if "move_mask" in arrays:
        atoms.set_constraint(_constraints(arrays.pop("move_mask").astype(bool)))
    set_calc_and_arrays(atoms, arrays)
    return atoms


def _pbc(pbc, has_lattice: bool, line: int) -> list[bool]:
    """Periodic axes: as stated in words or numbers, else all where there is a lattice."""
    if pbc is None:
        return [has_lattice] * 3
    if isinstance(pbc, list) and len(pbc) == 3:  # what "T T F" is read as
        return pbc
    values = np.ravel(pbc)
    if values.size == 1:
        values = np.repeat(values, 3)
    if values.size != 3 or values.dtype.kind not in "bi" or not np.isin(values, (0, 1)).all():
        raise XYZError(f"line {line + 1}: pbc is {pbc!r:.40}, not three of T or F")
    return [bool(v) for v in values]


def _constraints(movable: np.ndarray) -> list:
    if movable.ndim == 1:
        return [FixAtoms(mask=~movable)]
    return [FixCartesian(k, mask=~mask) for k, mask in enumerate(movable)]


@lru_cache(maxsize=64)
def _layout(properties: str) -> tuple[tuple[tuple[str, str, int, int], ...], int]:
    """Name, type, first and last column of each array, and the number of columns."""
    fields = properties.split(":")
    found, start = [], 0
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        if kind not in ("R", "I", "S", "L"):
            raise ValueError(kind)
        found.append((_ASE_NAMES.get(name, name), kind, start, start + int(width)))
        start += int(width)
    return tuple(found), start


def _arrays(rows: list[list[str]], properties: str, line: int) -> dict[str, np.ndarray]:
    """Every array of a frame whose atoms begin at a line."""
    try:
        layout, width = _layout(properties)
    except (ValueError, AttributeError):
        raise XYZError(
            f"line {line - 1}: Properties={properties!r:.60} is not name:type:columns"
        ) from None
    columns = list(zip(*rows, strict=False))
    if len(columns) < width:
        short = next(k for k, row in enumerate(rows) if len(row) < width)
        raise XYZError(
            f"line {line + short} has {len(rows[short])} columns, {width} are needed ({properties})"
        )
    arrays = {}
    for name, kind, start, stop in layout:
        if kind == "S" or name == "symbols":
            values = [np.array(columns[k], dtype=object) for k in range(start, stop)]
        else:
            try:
                convert = {"R": float, "I": int, "L": _TRUTH.__getitem__}[kind]
                values = [list(map(convert, columns[k])) for k in range(start, stop)]
            except (ValueError, KeyError):
                values = [_slowly(columns[k], kind, line, k) for k in range(start, stop)]
        arrays[name] = np.array(values[0]) if len(values) == 1 else np.array(values).T.copy()
    return arrays


def _slowly(column: tuple[str, ...], kind: str, line: int, number: int) -> list:
    """One column of numbers in odd spellings (Fortran's 1.0D-3), or the line of what is none."""
    values = []
    for k, text in enumerate(column):
        try:
            value = _TRUTH[text] if kind == "L" else float(text.translate(_FORTRAN))
        except (ValueError, KeyError):
            comma = ": write numbers with a decimal point" if "," in text else ""
            what = "T or F" if kind == "L" else "a number"
            raise XYZError(
                f"line {line + k}, column {number + 1}: {text!r:.40} is not {what}{comma}"
            ) from None
        values.append(value if kind != "I" else int(value))
    return values


_FORTRAN = str.maketrans("Dd", "ee")


def _unnamed(rows: list[list[str]]) -> dict[str, np.ndarray]:
    """What stands behind x y z where nothing says what it is: kept if it is numbers."""
    try:
        return {UNNAMED: np.array([list(map(float, row[4:])) for row in rows])}
    except ValueError:  # words, or rows of different length
        return {}

"""Read plain and extended xyz files, frame by frame.

Labels and arrays are the same as from `ase.io`, which this replaces for two reasons: symbols that ASE does
not know (D, T, atomic numbers, numbered atoms), and columns and comment lines that it drops or misreads
without a warning. It also reads each line once; ASE reads the file twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.constraints import FixAtoms, FixCartesian
from ase.io.extxyz import set_calc_and_arrays

from ase_schnet.structures.columns import PLAIN, UNWANTED, XYZError, arrays_of, named, unnamed
from ase_schnet.structures.comments import parse_comment
from ase_schnet.structures.elements import elements_of

MOST_ATOMS = 10**9
"""Of a frame; a larger number on its first line is damage."""


class Block(NamedTuple):
    """Hold the lines of one frame: number (from 1) of the first line, the comment, a line for each atom."""

    line: int
    comment: str
    rows: list[str]


def blocks(lines: Iterable[str]) -> Iterator[Block]:
    """Divide a file into frames, without reading what they hold.

    Raises
    ------
    XYZError
        If the number of atoms or atoms are missing, or a frame follows a blank line: other readers stop
        there without a warning.
    """
    lines = iter(lines)
    at = 1
    for first in lines:
        if not first.strip():
            if any(line.strip() for line in lines):
                raise XYZError(
                    f"comes after a blank line (line {at} of the file), where ASE and others stop reading: "
                    "remove blank lines"
                )
            return
        try:
            count = int(first)
            if not 0 <= count <= MOST_ATOMS:
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
    """Return the structure of a frame, with its labels, arrays, masses and constraints.

    Parameters
    ----------
    block
        Lines of the frame.
    columns
        Names of the columns behind x y z where the frame does not name them, as for `named`.

    Raises
    ------
    XYZError
        If the frame cannot be read. The message names the line.
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
        arrays = arrays_of(rows, properties, block.line + 2)
    elif columns is not None:
        arrays = arrays_of(rows, f"{PLAIN}:{named(columns)}", block.line + 2)
        arrays = {name: array for name, array in arrays.items() if not name.startswith(UNWANTED)}
        if "gradient" in arrays:
            arrays["forces"] = -arrays.pop("gradient")
    else:
        arrays = arrays_of(rows, PLAIN, block.line + 2)
        if len(rows[0]) > 4:
            arrays |= unnamed(rows)
    try:
        return _atoms(arrays, lattice, pbc, info, block.line)
    except XYZError:
        raise
    except (TypeError, ValueError) as error:  # of ASE: columns too many, too few or of another kind
        raise XYZError(
            f"line {block.line + 1}: a column is not what its name says ({error})"
        ) from None


def _atoms(arrays: dict, lattice: object, pbc: object, info: dict, line: int) -> Atoms:
    symbols, numbers = arrays.pop("symbols", None), arrays.pop("numbers", None)
    masses = None
    if (symbols is None and numbers is None) or "positions" not in arrays:
        raise XYZError(f"line {line + 1}: Properties name no species, or no pos")
    if numbers is None:
        if symbols.ndim > 1:
            raise XYZError(f"line {line + 1}: species is one column, not {symbols.shape[1]}")
        try:
            numbers, masses = elements_of(symbols)
        except ValueError as error:
            raise XYZError(str(error)) from None
    elif not np.array_equal(numbers, numbers.astype(int)):
        raise XYZError(f"line {line + 1}: atomic numbers (Z) are not whole")
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


def _pbc(pbc: object, has_lattice: bool, line: int) -> list[bool]:
    """Return the periodic axes: as stated in words or numbers, else all if there is a lattice."""
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
    if movable.all():  # a constraint that holds nothing would still count as one
        return []
    if movable.ndim == 1:
        return [FixAtoms(mask=~movable)]
    return [FixCartesian(k, mask=~mask) for k, mask in enumerate(movable)]

"""Read the columns of an xyz file, with names and types from its header or from the user."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PLAIN = "species:S:1:pos:R:3"
"""Columns of a frame without a header."""
UNNAMED = "unnamed_columns"
"""Name of the array (N, k) of the numbers behind x y z in a file that does not name its columns."""
UNWANTED = "unwanted_column_"
"""Prefix of the names of columns that are skipped."""
_ASE_NAMES = {
    **{"pos": "positions", "Z": "numbers", "species": "symbols", "mass": "masses"},
    **{"charge": "charges"},
}
_TRUTH = {"T": True, "F": False, "True": True, "False": False, "1": True, "0": False}
_FORTRAN = str.maketrans("Dd", "ee")


class XYZError(ValueError):
    """Report a frame that cannot be read; the message names the line."""


def named(columns: str) -> str:
    """Return names of further columns, such as ``"charge, forces"``, in the form of extended xyz.

    ``forces`` and ``gradient`` (minus the forces) are three columns, every other name is one. ``-`` is a
    column that is skipped.

    Raises
    ------
    ValueError
        For a name that no column can have.
    """
    parts = []
    for k, name in enumerate(columns.replace(",", " ").split()):
        name = {"gradients": "gradient", "force": "forces"}.get(name, name)
        if name == "-":
            name = f"{UNWANTED}{k}"
        if not name.isidentifier() or name in ("species", "pos", "symbols", "positions"):
            raise ValueError(
                f"columns={columns!r} are not names of columns behind x y z, such as 'forces', "
                "'gradient' or 'charge, forces'"
            )
        parts.append(f"{name}:R:{3 if name in ('forces', 'gradient') else 1}")
    if not parts:
        raise ValueError("columns= is empty: name the columns behind x y z, such as 'forces'")
    return ":".join(parts)


@lru_cache(maxsize=64)
def _layout(properties: str) -> tuple[tuple[tuple[str, str, int, int], ...], int]:
    """Return name, type, first and last column of each array, and the number of columns."""
    fields = properties.split(":")
    found, start = [], 0
    for name, kind, width in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        if kind not in ("R", "I", "S", "L"):
            raise ValueError(kind)
        found.append((_ASE_NAMES.get(name, name), kind, start, start + int(width)))
        start += int(width)
    return tuple(found), start


def arrays_of(rows: list[list[str]], properties: str, line: int) -> dict[str, NDArray]:
    """Return every array of a frame by name; `line` is the line of the first atom in the file."""
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
    """Read one column of numbers in unusual spellings, such as 1.0D-3; XYZError names a bad line."""
    values = []
    for k, text in enumerate(column):
        try:
            value = (
                _TRUTH[text] if kind == "L" else float(text.translate(_FORTRAN).replace("*^", "e"))
            )
        except (ValueError, KeyError):
            comma = ": write numbers with a decimal point" if "," in text else ""
            what = "T or F" if kind == "L" else "a number"
            raise XYZError(
                f"line {line + k}, column {number + 1}: {text!r:.40} is not {what}{comma}"
            ) from None
        values.append(value if kind != "I" else int(value))
    return values


def unnamed(rows: list[list[str]]) -> dict[str, NDArray]:
    """Return the columns behind x y z that have no name, if they are numbers; else an empty mapping."""
    try:
        return {UNNAMED: np.array([list(map(float, row[4:])) for row in rows])}
    except ValueError:  # words, or rows of different length
        return {}

"""Read measured band positions from a small table."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class MeasuredBands:
    """Hold the positions of B measured bands.

    Attributes
    ----------
    wavenumber_cm
        Wavenumbers (B,), cm⁻¹.
    source
        Name of the source; "" if the table has none.
    """

    wavenumber_cm: NDArray
    source: str

    @classmethod
    def read(cls, path: str | Path) -> "MeasuredBands":
        """Read a csv file: wavenumbers (cm⁻¹) in the first column, and a line ``# source: NAME``.

        Other columns, other lines that begin with # and a line of column names are ignored.

        Parameters
        ----------
        path
            Text file, UTF-8.

        Raises
        ------
        ValueError
            If a line has no wavenumber, or the file is not UTF-8 text or holds none at all.
        """
        source, values, first = "", [], True
        try:
            # as spreadsheets write it
            lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        except UnicodeDecodeError:
            raise ValueError(f"{path} is not a text file in UTF-8") from None
        for number, line in enumerate(lines, start=1):
            if line.startswith("#"):
                key, _, value = line.lstrip("# ").partition(":")
                source = value.strip() if key.strip().lower() == "source" else source
                continue
            cells = next(csv.reader([line]), None)
            if not cells:
                continue
            value = _number(cells[0])
            if value is not None:
                values.append(value)
            elif not first:
                raise ValueError(f"line {number} of {path} has no wavenumber: {line!r}")
            first = False
        if not values:
            raise ValueError(f"{path} has no wavenumbers in its first column")
        return cls(np.array(values), source)


def _number(cell: str) -> float | None:
    """Return a positive number, or None for any other text."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None

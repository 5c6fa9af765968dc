"""Measured band positions, from a small table."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class MeasuredBands:
    """B positions from an experiment.

    Attributes
    ----------
    wavenumber_cm : (B,) array
        cm⁻¹.
    source
        Where they are from; "" if the table does not say.
    """

    wavenumber_cm: NDArray
    source: str

    @classmethod
    def read(cls, path: str | Path) -> "MeasuredBands":
        """Read a csv file: wavenumbers in the first column, and a line ``# source: ...``.

        Further columns, other lines beginning with # and a line of column names are skipped.

        Raises
        ------
        ValueError
            If a line has no wavenumber, or none has.
        """
        source, values, first = "", [], True
        lines = Path(path).read_text(encoding="utf-8").splitlines()
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
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None

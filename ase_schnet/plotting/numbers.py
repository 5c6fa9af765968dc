"""The numbers behind a figure: kept as its panels are drawn, written as one table."""

from __future__ import annotations

from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ase_schnet.runtime.files import write_csv

#: By axes, what they show: (its name, columns by name).
_KEPT: WeakKeyDictionary[Axes, list[tuple[str, dict[str, NDArray]]]] = WeakKeyDictionary()


def keep_numbers(ax: Axes, shown: str, **columns: ArrayLike | None) -> None:
    """Keep the numbers that axes show.

    Parameters
    ----------
    ax
        The axes.
    shown
        What they are, such as "parity of forces" or "fold 1".
    **columns
        Numbers or words by name, with the unit in the name, in arrays of one shape; one value stands for
        equal ones. None is left out.
    """
    given = {name: np.asarray(column) for name, column in columns.items() if column is not None}
    flat = (np.ravel(column) for column in np.broadcast_arrays(*given.values()))
    table = dict(zip(given, flat, strict=True))
    _KEPT.setdefault(ax, []).append((shown, table))


def save_numbers(figure: Figure, path: str | Path) -> Path:
    """Write the numbers behind a figure of this package as a csv file, complete or not at all.

    Parameters
    ----------
    figure
        The figure, or one of your own in whose axes functions of this package drew.
    path
        File name.

    Returns
    -------
    Path
        The file. Its first column, "shown", names what a line belongs to, such as "parity of forces"; cells
        of columns that others have stay empty. Every number reads back to the same bits, and none is left out
        where a curve is drawn with fewer points.

    Raises
    ------
    ValueError
        If nothing of this package was drawn in the figure.
    """
    tables = [table for ax in figure.axes for table in _KEPT.get(ax, ())]
    if not tables:
        raise ValueError("the figure has no numbers to write: no function plot_* drew in it")
    lengths = [len(next(iter(columns.values()))) for _, columns in tables]
    names = ["shown", *dict.fromkeys(name for _, columns in tables for name in columns)]
    joined = {name: np.full(sum(lengths), "", dtype=object) for name in names}
    ends = np.cumsum(lengths)
    for (shown, columns), start, end in zip(tables, ends - lengths, ends, strict=True):
        joined["shown"][start:end] = shown
        for name, column in columns.items():
            joined[name][start:end] = column.tolist()
    write_csv(path, joined)
    return Path(path)


def numbers_file(picture: str | Path) -> Path:
    """Return the file for the numbers behind a picture: NAME-data.csv for NAME.png."""
    picture = Path(picture)
    return picture.with_name(f"{picture.stem}-data.csv")

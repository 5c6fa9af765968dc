"""Results on disk: a table that reads back to the same bits, and structures to be labelled."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ase import Atoms
from ase.io import write
from numpy.typing import NDArray


def write_csv(path: str | Path, columns: Mapping[str, NDArray | None]) -> None:
    """Write columns (P,) that are not None, whole or not at all.

    Every float reads back to the same bits; True and False are 1 and 0.
    """
    known = {name: column for name, column in columns.items() if column is not None}
    numbers = (c.astype(int) if c.dtype == bool else c for c in known.values())
    rows = zip(*(column.tolist() for column in numbers), strict=True)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(known)
            writer.writerows(rows)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_frames(
    path: str | Path, frames: Sequence[Atoms], columns: Mapping[str, NDArray | None]
) -> None:
    """Write structures as extended xyz, each with its value of every column in ``info``."""
    tagged = []
    for k, frame in enumerate(frames):
        atoms = frame.copy()
        atoms.info |= {
            name: column[k].item() for name, column in columns.items() if column is not None
        }
        tagged.append(atoms)
    path = Path(path)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        write(temporary, tagged, format="extxyz")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)

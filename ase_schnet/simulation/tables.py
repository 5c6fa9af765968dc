"""Results on disk: a table that reads back to the same bits, and structures to be labelled."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from ase import Atoms
from ase.io import write
from numpy.typing import NDArray

from ase_schnet.files import replaced


def write_csv(path: str | Path, columns: Mapping[str, NDArray | None]) -> None:
    """Write columns (P,) that are not None, whole or not at all.

    Every float reads back to the same bits; True and False are 1 and 0.
    """
    known = {name: column for name, column in columns.items() if column is not None}
    numbers = (c.astype(int) if c.dtype == bool else c for c in known.values())
    rows = zip(*(column.tolist() for column in numbers), strict=True)
    with replaced(path) as there, there.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(known)
        writer.writerows(rows)


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
    with replaced(path) as there:
        write(there, tagged, format="extxyz")

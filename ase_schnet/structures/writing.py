"""Write structures, to be labelled or looked at elsewhere."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ase import Atoms
from ase.io import write
from numpy.typing import NDArray

from ase_schnet.runtime.files import replaced
from ase_schnet.structures.old_results import info_of_moved


def write_frames(
    path: str | Path, frames: Sequence[Atoms], columns: Mapping[str, NDArray | None]
) -> None:
    """Write structures as extended xyz, each with its value of every column in ``info``."""
    tagged = []
    for k, frame in enumerate(frames):
        atoms = frame.copy()
        atoms.info = info_of_moved(atoms.info) | {
            name: column[k].item() for name, column in columns.items() if column is not None
        }
        tagged.append(atoms)
    with replaced(path) as there:
        write(there, tagged, format="extxyz")

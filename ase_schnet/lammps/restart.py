"""Pack LAMMPS's own restart file, which knows thermostat and barostat, into that of the run directory.

So all that a run needs to go on is replaced in one stroke.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ase_schnet.lammps.box import Frame
from ase_schnet.runs.identity import LAMMPS_STATE
from ase_schnet.runs.restart import State


def file_in(directory: Path) -> Path:
    """Return where LAMMPS's restart file lies in a run directory while it is not packed."""
    return directory / "lammps.restart.tmp"


def unpack(state: State, directory: Path) -> Path:
    """Write LAMMPS's restart file for all processes to read, and return its path."""
    path = file_in(directory)
    for left in directory.glob(f"{path.name}*"):  # by a kill
        left.unlink()
    path.write_bytes(state.driver[LAMMPS_STATE].tobytes())
    return path


def pack(written: Path, frame: Frame, step: int) -> State:
    """Return the state of a step from its frame and the file that LAMMPS has written; remove the file."""
    state = {LAMMPS_STATE: np.frombuffer(written.read_bytes(), np.uint8)}
    written.unlink()
    return State(step, frame.positions, frame.momenta, frame.cell, state)

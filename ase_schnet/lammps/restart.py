"""Go on with a run of LAMMPS: refuse what is not that run, and keep LAMMPS's own restart file.

That file, which knows thermostat and barostat, is packed into the one of the run directory. So all that a run
needs to go on is replaced at once.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.dynamics.integrators import NVE
from ase_schnet.dynamics.start import set_momenta
from ase_schnet.dynamics.thermostats import BussiNVT
from ase_schnet.lammps.box import Box, Frame
from ase_schnet.modelfile import TrainedModel
from ase_schnet.runs.identity import (
    LAMMPS_STATE,
    another_structure,
    require_not_longer,
    require_same_elements,
    require_same_masses,
    require_same_repulsion,
)
from ase_schnet.runs.restart import State
from ase_schnet.runs.rundir import RunDirectory

#: Å by which the first frame of a run may differ from the structure: it was rotated to LAMMPS and back.
SAME_PLACE_ANG = 1e-6


class Begin(NamedTuple):
    """Hold what a run begins with, or goes on from; the same in all processes.

    Attributes
    ----------
    step
        The last that is complete.
    momentum
        (3,), of the whole at step 0, as `Box.total_momentum`.
    state
        LAMMPS's restart file of that step, for all processes to read; None at step 0.
    """

    step: int
    momentum: NDArray
    state: Path | None

    @classmethod
    def at_step_0(cls, box: Box, settings: dict) -> Begin:
        """Give the atoms their first momenta, as :mod:`~ase_schnet.dynamics` does."""
        set_momenta(box.atoms, NVE if settings["ensemble"] == "nve" else BussiNVT, settings)
        return cls(0, box.total_momentum(), None)


def checksums(model: TrainedModel) -> dict[str, str | list[str]]:
    """Return the sha256 of a model, and those that it had before its card was written anew."""
    first, *earlier = model.checksums
    return {"sha256": first, "earlier_sha256": earlier}


def require_same_run(directory: RunDirectory, atoms: Atoms, info: dict, n_steps: int) -> None:
    """Refuse to go on with another structure, another model, or beyond the end.

    Parameters
    ----------
    directory
        With a state to go on from.
    atoms
        Where the run began.
    info
        ``model_info`` of the model at hand.
    n_steps
        Of the whole run.

    Raises
    ------
    ValueError
        If they are others.
    """
    path, first = directory.path, directory.first_frame()
    require_same_elements(path, first, atoms)
    require_same_masses(path, first, atoms)  # LAMMPS goes on with those of the run
    for before, now in ((first.positions, atoms.positions), (first.cell.array, atoms.cell.array)):
        if not np.allclose(before, now, rtol=0, atol=SAME_PLACE_ANG):
            raise another_structure(path)
    then = (directory.about.get("calculator") or {}).get("model_info") or {}
    if then.get("sha256") not in (info["sha256"], *info["earlier_sha256"]):
        raise ValueError(f"{path} holds a run with another model, {then.get('model')}")
    require_same_repulsion(path, then, info)
    n_done = max(directory.begin.step, directory.n_logged)
    require_not_longer(path, n_done, n_steps, directory.settings["timestep_fs"])


def require_nameable(directory: str | Path) -> None:
    """Refuse a run directory whose path means something else to LAMMPS, even in quotes."""
    odd = next((c for c in '%*"' if c in str(directory)), None)
    if odd:
        raise ValueError(f"LAMMPS writes no files into {directory}: give a path without {odd}")


def quoted(path: str | Path) -> str:
    """Return a path as a word of a command of LAMMPS, which else ends it at a space and reads # and $."""
    return f'"{path}"'


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

"""The run directory of a LAMMPS run: that of `runs.rundir`, written from frames that were gathered.

LAMMPS's own restart file, which knows thermostat and barostat, is kept inside ``restart.npz``, so that all a
run needs to go on is replaced in one stroke.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet.lammps.box import Frame
from ase_schnet.lammps.reduce import Answer
from ase_schnet.runs.provenance import require_same_repulsion
from ase_schnet.runs.record import csv_line
from ase_schnet.runs.restart import Restart
from ase_schnet.runs.rundir import LAMMPS_STATE, RESTART_SECONDS, RunDirectory


class Provider:
    """Stands in for a calculator in frames and in run.json: holds what LAMMPS's processes have computed."""

    name = "schnet under LAMMPS"

    def __init__(self, model_info: dict):
        self.model_info = model_info
        self.results: dict = {}


class LammpsRunDirectory(RunDirectory):
    """Of the first process alone."""

    def check_same_run(self, atoms: Atoms, model_info: dict, n_steps: int) -> None:
        """Refuse to go on with another structure, another model, or beyond the end; ValueError."""
        begin, then = self.first_frame(), (self.about.get("calculator") or {}).get("model_info")
        if LAMMPS_STATE not in self.restart.integrator:
            raise ValueError(
                f"{self.path} holds a run of ase-schnet md, which LAMMPS cannot continue: go on with "
                "ase-schnet md, or begin another from its last frame"
            )
        if not (
            np.array_equal(begin.numbers, atoms.numbers)
            and np.array_equal(begin.pbc, atoms.pbc)
            and np.allclose(begin.positions, atoms.positions, rtol=0, atol=1e-6)
        ):
            raise ValueError(f"{self.path} holds a run of another structure")
        if then["sha256"] != model_info["sha256"]:
            raise ValueError(f"{self.path} holds a run with another model, {then['model']}")
        require_same_repulsion(self.path, then, model_info)
        if n_steps < self.restart.step:
            done_ps = self.restart.step * self.settings["timestep_fs"] / 1000
            raise ValueError(f"the run in {self.path} is already {done_ps:g} ps long")

    def unpack_state(self) -> Path:
        """LAMMPS's restart as a file of its own, for all processes to read."""
        path = self.state_file
        for left in self.path.glob(f"{path.name}*"):  # by a kill
            left.unlink()
        path.write_bytes(self.restart.integrator[LAMMPS_STATE].tobytes())
        return path

    @property
    def state_file(self) -> Path:
        """Where LAMMPS's restart lies while it is not packed."""
        return self.path / "lammps.restart.tmp"

    def is_due(self) -> bool:
        """Whether a kill now would cost much."""
        return self.state is None or time.monotonic() - self._saved_at > RESTART_SECONDS

    def write_sample(self, row: Sequence[float], step: int) -> None:
        """Append a line to the log."""
        self._write(step, self._log.write, csv_line(row))

    def add_frame(self, atoms: Atoms, frame: Frame, answer: Answer, stress, step: int) -> None:
        """Append a frame to the trajectory; `atoms` get its positions, momenta and cell.

        stress : (3, 3) eV/Å³ in the frame's orientation.
        """
        place(atoms, frame)
        results = {
            "energy": answer.energy,
            "free_energy": answer.energy,
            "energies": frame.energies,
        }
        results |= {"forces": frame.forces, "stress": stress}
        if answer.energy_std > 0:
            results |= {"energy_std": answer.energy_std, "forces_std": frame.forces_std}
        atoms.calc.results = results
        self._write(step, self.write_frame, atoms, step)

    def note(self, why: str) -> None:
        """Keep the reason why the run could not go on."""
        self.about["failure"] = why
        self._write_about()

    def save(self, frame: Frame, step: int, written: Path) -> None:
        """Make the file that LAMMPS has `written`, and this frame, the point to go on from."""
        state = {LAMMPS_STATE: np.frombuffer(written.read_bytes(), np.uint8)}
        self.state = Restart(step, frame.positions, frame.momenta, frame.cell, state)
        self._write(step, self._save)
        written.unlink()

    def _write(self, step: int, function, *args) -> None:
        try:
            function(*args)
        except OSError as error:
            raise self._cannot_write(error, step) from error


def place(atoms: Atoms, frame: Frame) -> None:
    """Put `atoms` into the state of a frame."""
    atoms.set_cell(frame.cell)
    atoms.positions = frame.positions
    atoms.set_momenta(frame.momenta)

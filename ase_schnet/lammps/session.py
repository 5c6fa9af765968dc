"""Move the atoms from the start, or from a restart, to the end of one run under LAMMPS."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.dynamics.integrators import NVE
from ase_schnet.dynamics.start import set_momenta
from ase_schnet.dynamics.thermostats import BussiNVT
from ase_schnet.inference.options import EngineOptions
from ase_schnet.lammps import fixes, mpi, restart
from ase_schnet.lammps.box import Box, Frame
from ase_schnet.lammps.monitor import RunMonitor
from ase_schnet.lammps.mpi import Refusal, by_the_first
from ase_schnet.lammps.options import LammpsOptions
from ase_schnet.lammps.potential import SKIN, attach, cell_of
from ase_schnet.lammps.recorder import Recorder
from ase_schnet.modelfile import TrainedModel
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.provenance import provenance
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.rundir import FrameData, RunDirectory
from ase_schnet.runtime.progress import is_hidden

#: Atoms are handed over so that no process has this much more than the mean, looked at every so many steps.
IMBALANCE, STEPS_BETWEEN_BALANCES = 1.05, 1000

NEVER = 10**9  # a step that no run comes to


class Session:
    """Do one run in all processes together, and let the first of them write it down."""

    def __init__(self, comm: Any, box: Box, settings: dict, info: dict, asked: LammpsOptions):
        self.comm, self.box, self.settings, self.info = comm, box, settings, info
        self.asked, self.n_steps = asked, asked.n_steps
        self.atoms, self.n_dof = box.atoms, degrees_of_freedom(box.atoms)
        self.directory: RunDirectory | None = None  # of the first process
        self.step, self._state, self._begin = 0, None, None
        self._due = self._stops = False

    def look(self, run_dir: str | Path, last: contextlib.ExitStack) -> None:
        """Look at the run directory, which ``last`` closes, and at what there is to go on from."""

        def look() -> tuple[int, str | None, np.ndarray | None]:
            asked = self.asked
            restart.require_nameable(run_dir)
            directory = last.enter_context(
                RunDirectory(
                    run_dir,
                    self.settings,
                    "lammps",
                    resume=asked.resume,
                    take_over=asked.take_over,
                )
            )
            self.directory = directory
            if directory.begin is None:
                return 0, None, None
            restart.require_same_run(directory, self.atoms, self.info, self.n_steps)
            self.atoms.set_momenta(directory.first_frame().get_momenta())
            begin = self.box.total_momentum()
            directory.begin.apply(self.atoms)
            state = restart.unpack(directory.begin, directory.path)
            return directory.begin.step, str(state), begin

        self.step, self._state, self._begin = by_the_first(self.comm, look)

    def start(self, lmp: Any, trained: TrainedModel, engine: EngineOptions, balance: bool) -> None:
        """Fill LAMMPS with atoms, forces and an integrator, evaluate once, open the files."""
        self.lmp = lmp
        if self._state is None:
            kind = NVE if self.settings["ensemble"] == "nve" else BussiNVT
            set_momenta(self.atoms, kind, self.settings)
            self._begin = self.box.total_momentum()
            self.box.create(lmp)
        else:
            lmp.command(f"read_restart {restart.quoted(self._state)}")
            by_the_first(self.comm, Path(self._state).unlink)
        self.potential = attach(
            lmp,
            trained,
            self.box.elements,
            dtype=engine.dtype,
            threads=engine.threads,
            skin=SKIN if engine.skin is None else engine.skin,
            repulsion=engine.repulsion,
        )
        self.potential.axes = self.box.axes
        lmp.commands_list(fixes.commands(self.settings, self.settings["seed"]))
        if balance:
            shift = f"{IMBALANCE} shift xyz 20 {IMBALANCE}"
            lmp.command(f"balance {shift}")
            lmp.command(f"fix balance all balance {STEPS_BETWEEN_BALANCES} {shift}")
        timestep_ps = self.settings["timestep_fs"] / 1000
        lmp.commands_list([f"timestep {timestep_ps:.17g}", "thermo_style custom step"])
        # a restart that is due while LAMMPS is set up makes it renew box and domains before any is written;
        # without that, atoms that have left the box in a direction that is not periodic could not be read
        lmp.command(f"restart {NEVER} never.*")
        self.potential.command("run 0 post no")
        lmp.command("restart 0")
        self.recorder = Recorder(self.potential, self.box, self.settings, self.n_dof, self._begin)
        self.recorder.rows = by_the_first(self.comm, self._open_files)

    def _open_files(self) -> list[list[float]]:
        calculator = {"name": "schnet under LAMMPS", "model_info": self.info}
        about = provenance(self.atoms, calculator) | {
            "time_ps": self.n_steps * self.settings["timestep_fs"] / 1000,
            "n_degrees_of_freedom": self.n_dof,
        }
        return self.directory.open(self.recorder.names, about).tolist()

    def go(self, monitor: RunMonitor) -> MDRecord:
        """Run from here to the end."""
        stride = math.gcd(self.settings["record_every"], self.settings["trajectory_every"])
        hidden = self.comm.rank > 0 or is_hidden(self.asked.progress)
        bar = tqdm(total=self.n_steps, initial=self.step, unit="step", disable=hidden)
        try:
            with mpi.stopping() as signals:
                if self.step == 0:
                    self._advance(monitor, None, signals)
                while self.step < self.n_steps:
                    steps = min(stride - self.step % stride, self.n_steps - self.step)
                    state = self._run(steps)
                    self._advance(monitor, state, signals)
                    bar.update(steps)
                    if self._stops and state is not None:  # with a point to go on from
                        raise KeyboardInterrupt
        except SimulationFailed as failure:
            failure.record = self._record(str(failure))
            self._note(failure)
            raise
        finally:
            bar.close()
        return self._record()

    def close(self) -> None:
        """Close the files, while LAMMPS still lives."""
        if self.directory is not None:
            self.directory.close()

    def _run(self, steps: int) -> Path | None:
        """So many steps, and LAMMPS's restart file of the last of them where one is due.

        It is LAMMPS's `restart` that writes it, within the run: its `write_restart`, between two
        runs, hands atoms over without their forces, and the next step would be wrong.
        """
        end, state = self.step + steps, None
        if self._due or self._stops or end == self.n_steps:
            path = self.directory.path if self.directory else None
            state = restart.file_in(self.comm.bcast(path))
            self.lmp.command(f"restart {end} {restart.quoted(f'{state}.*')}")
        try:
            self.potential.command(f"run {steps} pre no post no")
        except Refusal as error:
            raise SimulationFailed(str(error)) from error
        self.step = end
        if state is None:
            return None
        self.lmp.command("restart 0")
        return state.with_name(f"{state.name}.{end}")

    def _advance(self, monitor: RunMonitor, state: Path | None, signals: list[float]) -> None:
        """Sample, look and write after a complete step; what may raise comes before anything is written."""
        row, step = None, self.step
        if step % self.settings["record_every"] == 0:
            row = self.recorder.sample(step)
            monitor.check(self.potential, step, self.settings["timestep_fs"])
        draws = step % self.settings["trajectory_every"] == 0
        frame = self._gather() if draws or state is not None else None

        def write() -> bool:
            if row is not None:
                self.directory.write_samples([row])
            if draws:
                self.directory.write_frame(self._frame_data(frame), step)
            if state is not None:
                self.directory.checkpoint(restart.pack(state, frame, step))
                frame.place(self.atoms)
            return self.directory.is_due

        self._due = by_the_first(self.comm, write)
        self._stops = self.comm.allreduce(len(signals)) > 0

    def _gather(self) -> Frame | None:
        cell = cell_of(self.lmp)[0]
        return self.box.gather(self.lmp, self.comm, self.potential.answer, cell)

    def _frame_data(self, frame: Frame) -> FrameData:
        """Put the atoms where the frame is, and return it with what was predicted of it."""
        frame.place(self.atoms)
        answer = self.potential.answer
        stress = -self.box.tensor_to_ase(answer.virial) / abs(np.linalg.det(frame.cell))
        results = {
            "energy": answer.energy,
            "free_energy": answer.energy,
            "energies": frame.energies,
            "forces": frame.forces,
            "stress": stress,
        }
        if answer.energy_std > 0:
            results |= {"energy_std": answer.energy_std, "forces_std": frame.forces_std}
        return FrameData(self.atoms, results)

    def _note(self, failure: SimulationFailed) -> None:
        """Keep why it ended and, where LAMMPS has completed the step, its frame."""
        frame = self._gather() if self.potential.failure is None else None

        def note() -> None:
            data = None if frame is None else self._frame_data(frame)
            self.directory.fail(str(failure), data, self.step)

        by_the_first(self.comm, note)

    def _record(self, failure: str | None = None) -> MDRecord:
        known = {"n_atoms": len(self.atoms), "n_degrees_of_freedom": self.n_dof, "failure": failure}
        rows = np.array(self.recorder.rows).reshape(-1, len(self.recorder.names))
        return MDRecord.from_rows(self.recorder.names, rows, self.settings, **known)

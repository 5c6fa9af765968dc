"""Run molecular dynamics by LAMMPS, on many processes, recorded as :mod:`~ase_schnet.dynamics` records it.

``ase-schnet drift``, the plots and the spectra do not notice the difference.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from ase import Atoms
from tqdm import tqdm

from ase_schnet.applicability.model import limits, require_finite, require_supported
from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.dynamics.arguments import (
    START_TEMPERATURE_K,
    require_motion,
    warn_of_coarse_steps,
)
from ase_schnet.dynamics.integrators import NVE
from ase_schnet.dynamics.start import set_momenta
from ase_schnet.dynamics.thermostats import BussiNVT
from ase_schnet.inference.options import EngineOptions
from ase_schnet.lammps import fixes, mpi, restart
from ase_schnet.lammps.box import Box, Frame
from ase_schnet.lammps.monitor import MONITORS, UncertaintyMonitor
from ase_schnet.lammps.mpi import Refusal, by_the_first
from ase_schnet.lammps.options import LammpsKeywords, LammpsOptions
from ase_schnet.lammps.potential import SKIN, attach, cell_of, new_lammps
from ase_schnet.lammps.recorder import Recorder
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.options import refuse_unknown, takes
from ase_schnet.runs.provenance import provenance
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.rundir import FrameData, RunDirectory

#: Atoms are handed over so that no process has this much more than the mean, looked at every so many steps.
IMBALANCE, STEPS_BETWEEN_BALANCES = 1.05, 1000


@takes(LammpsOptions)
def run_lammps(
    atoms: Atoms,
    model: str | Path,
    run_dir: str | Path,
    *,
    ensemble: Literal["nve", "nvt", "npt"] = "nve",
    temperature_K: float | None = START_TEMPERATURE_K,
    monitor: Literal["stop", "warn", "off"] = "stop",
    balance: bool = False,
    engine: EngineOptions | dict | None = None,
    **options: Unpack[LammpsKeywords],
) -> MDRecord:
    """Run dynamics under LAMMPS in all processes of ``mpiexec``, and return the record in each of them.

    Parameters
    ----------
    atoms
        Periodic structure; moved in place, to the last frame, in the first process.
    model
        Name of a shipped model or path of a model directory.
    run_dir
        As in :func:`~ase_schnet.dynamics.md.run_nve`. A kill costs at most some seconds. What follows a
        resume is what would have been, up to rounding, since LAMMPS sums in another order; "bussi" goes on
        with other random numbers.
    ensemble
        "nve"; "nvt" with thermostat ("bussi" or "nose-hoover") and time_constant_fs; "npt" with these of
        "nose-hoover", pressure_GPa, pressure_time_constant_fs and full_cell.
    temperature_K
        Of the start velocities, those that ``run_nve`` draws of the same seed, and of the thermostat.
    monitor
        What to do where the standard deviation of a force leaves its limit: "stop", "warn" once, or "off".
    balance
        Move the borders between processes so that all have about as many atoms; for slabs and pores.
    engine
        ``dtype``, ``threads``, ``repulsion`` and ``skin``: an
        :class:`~ase_schnet.inference.options.EngineOptions`, or by name in a dictionary.
    **options
        Fields of :class:`~ase_schnet.lammps.options.LammpsOptions`.

    Raises
    ------
    ValueError, InputError
        For arguments, structures and directories that make no run.
    LammpsUnavailable
        If LAMMPS or MPI is missing.
    SimulationFailed
        If the run explodes, or (SimulationStopped) the monitor stops it.
    ProcessFailed
        If another process failed alone.
    """
    comm = mpi.load().MPI.COMM_WORLD
    with mpi.together(comm):
        if monitor not in MONITORS:
            raise ValueError(f"monitor is one of {', '.join(MONITORS)}, not {monitor!r}")
        refuse_unknown("run_lammps", options, LammpsOptions)
        asked = LammpsOptions(**options)
        settings = fixes.physics_of(ensemble, temperature_K, asked) | asked.settings()
        trained = load_model(model)
        require_supported(trained, atoms)
        require_finite(atoms)
        box = Box(atoms, triclinic=settings.get("full_cell", False))
        if ensemble != "nve":
            require_motion(degrees_of_freedom(atoms), "take a larger cell")
        if comm.rank == 0:
            warn_of_coarse_steps(atoms, asked.timestep_fs, stacklevel=3)
        info = {"model": str(model), "processes": comm.size} | restart.checksums(trained)
        engine = EngineOptions.of(engine)
        info |= {name: value for name, value in asdict(engine).items() if name != "device"}
        run = _Run(comm, box, settings, info, asked)
        with contextlib.ExitStack() as last:
            run.look(run_dir, last)
            lmp = new_lammps()
            last.callback(lmp.close)
            last.callback(run.close)
            run.start(lmp, trained, engine, balance)
            action = monitor if comm.rank == 0 or monitor == "stop" else "off"  # warned of once
            return run.go(UncertaintyMonitor(action, limits(trained)))


class _Run:
    """Do what all processes do together, and let the first of them write it down."""

    def __init__(self, comm: Any, box: Box, settings: dict, info: dict, asked: LammpsOptions):
        self.comm, self.box, self.settings, self.info = comm, box, settings, info
        self.asked, self.n_steps = asked, asked.n_steps
        self.atoms, self.n_dof = box.atoms, degrees_of_freedom(box.atoms)
        self.directory: RunDirectory | None = None  # of the first process
        self.step, self._state, self._due = 0, None, False

    def look(self, run_dir: str | Path, last: contextlib.ExitStack) -> None:
        """Look at the run directory, which ``last`` closes, and at what there is to go on from."""

        def look() -> tuple[int, str | None]:
            asked = self.asked
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
                return 0, None
            restart.require_same_run(directory, self.atoms, self.info, self.n_steps)
            directory.begin.apply(self.atoms)
            return directory.begin.step, str(restart.unpack(directory.begin, directory.path))

        self.step, self._state = by_the_first(self.comm, look)

    def start(self, lmp: Any, trained: TrainedModel, engine: EngineOptions, balance: bool) -> None:
        """Fill LAMMPS with atoms, forces and an integrator, evaluate once, open the files."""
        self.lmp = lmp
        if self._state is None:
            kind = NVE if self.settings["ensemble"] == "nve" else BussiNVT
            set_momenta(self.atoms, kind, self.settings)
            self.box.create(lmp)
        else:
            lmp.command(f"read_restart {self._state}")
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
        self.potential.command("run 0 post no")
        self.recorder = Recorder(self.potential, self.settings, self.n_dof)
        self.recorder.rows = by_the_first(self.comm, self._open_files)

    def _open_files(self) -> list[list[float]]:
        calculator = {"name": "schnet under LAMMPS", "model_info": self.info}
        about = provenance(self.atoms, calculator) | {
            "time_ps": self.n_steps * self.settings["timestep_fs"] / 1000,
            "n_degrees_of_freedom": self.n_dof,
        }
        return self.directory.open(self.recorder.names, about).tolist()

    def go(self, monitor: UncertaintyMonitor) -> MDRecord:
        """Run from here to the end."""
        stride = math.gcd(self.settings["record_every"], self.settings["trajectory_every"])
        progress = self.asked.progress
        hidden = self.comm.rank > 0 or (None if progress is None else not progress)
        bar = tqdm(total=self.n_steps, initial=self.step, unit="step", disable=hidden)
        try:
            if self.step == 0:
                self._advance(monitor, None)
            while self.step < self.n_steps:
                steps = min(stride - self.step % stride, self.n_steps - self.step)
                self._advance(monitor, self._run(steps))
                bar.update(steps)
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
        if self._due or end == self.n_steps:
            path = self.directory.path if self.directory else None
            state = restart.file_in(self.comm.bcast(path))
            self.lmp.command(f"restart {end} {state}.*")
        try:
            self.potential.command(f"run {steps} pre no post no")
        except Refusal as error:
            raise SimulationFailed(str(error)) from error
        self.step = end
        if state is None:
            return None
        self.lmp.command("restart 0")
        return state.with_name(f"{state.name}.{end}")

    def _advance(self, monitor: UncertaintyMonitor, state: Path | None) -> None:
        """Sample, look and write after a complete step; what may raise comes before anything is written."""
        row, step = None, self.step
        if step % self.settings["record_every"] == 0:
            row = self.recorder.sample(step)
            monitor.check(self.potential.answer, step, self.settings["timestep_fs"])
        draws = step % self.settings["trajectory_every"] == 0
        frame = self._gather() if draws or state is not None else None

        def write() -> bool:
            if row is not None:
                self.directory.write_sample(row)
            if draws:
                self.directory.write_frame(self._frame_data(frame), step)
            if state is not None:
                self.directory.checkpoint(restart.pack(state, frame, step))
                frame.place(self.atoms)
            return self.directory.is_due

        self._due = by_the_first(self.comm, write)

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

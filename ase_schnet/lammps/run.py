"""Molecular dynamics by LAMMPS, on many processes, recorded as `dynamics.md` records it.

`ase-schnet drift`, the plots and the spectra do not notice the difference.
"""

from __future__ import annotations

import contextlib
import math
from pathlib import Path

import numpy as np
from ase import Atoms
from tqdm import tqdm

from ase_schnet.applicability.model import limits, require_finite, require_supported
from ase_schnet.arguments import whole
from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.dynamics.arguments import (
    START_TEMPERATURE_K,
    number_of_steps,
    require_motion,
    warn_of_coarse_steps,
)
from ase_schnet.dynamics.integrators import NVE
from ase_schnet.dynamics.start import set_momenta
from ase_schnet.dynamics.thermostats import BussiNVT
from ase_schnet.inference.repulsion import DEFAULT_REPULSION
from ase_schnet.lammps import fixes, mpi
from ase_schnet.lammps.box import Box, Frame
from ase_schnet.lammps.monitor import MONITORS, Watch
from ase_schnet.lammps.mpi import Refusal, by_the_first
from ase_schnet.lammps.potential import attach, cell_of, new_lammps
from ase_schnet.lammps.recorder import Sampler
from ase_schnet.lammps.run_files import LammpsRunDirectory, Provider, place
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.record import MDRecord

#: Atoms are handed over so that no process has this much more than the mean, looked at every so many steps.
IMBALANCE, STEPS_BETWEEN_BALANCES = 1.05, 1000


def run_lammps(
    atoms: Atoms,
    model: str | Path,
    run_dir: str | Path,
    *,
    ensemble: str = "nve",
    temperature_K: float | None = START_TEMPERATURE_K,
    keep_momenta: bool = False,
    time_ps: float = 10.0,
    timestep_fs: float = 0.5,
    record_every: int = 1,
    trajectory_every: int = 100,
    seed: int = 0,
    resume: bool = False,
    take_over: bool = False,
    progress: bool | None = None,
    monitor: str = "stop",
    balance: bool = False,
    engine: dict | None = None,
    **coupling,
) -> MDRecord:
    """Run dynamics under LAMMPS in all processes of `mpiexec`, and return the record in each of them.

    Parameters
    ----------
    atoms : periodic structure; moved in place, to the last frame, in the first process.
    model : name of a shipped model or path of a model directory.
    run_dir, time_ps, timestep_fs, record_every, trajectory_every, seed, resume, take_over, progress
        As in `run_nve`. A kill costs at most some seconds. What follows a resume is what would have been,
        up to rounding, since LAMMPS sums in another order; "bussi" goes on with other random numbers.
    ensemble, **coupling : "nve"; "nvt" with thermostat ("bussi" or "nose-hoover") and time_constant_fs; "npt"
        with these of "nose-hoover", pressure_GPa, pressure_time_constant_fs and full_cell.
    temperature_K : of the start velocities, those that `run_nve` draws of the same seed, and of the
        thermostat.
    keep_momenta : start with those that `atoms` have, less the momentum of the whole under a thermostat. At
        constant energy temperature_K is then to be left out.
    monitor : where the members disagree beyond what still is a prediction "stop", "warn" once, or "off".
    balance : move the borders between processes so that each has as many atoms; for slabs and pores.
    engine : `dtype`, `threads`, `repulsion` and `skin` of `attach`.

    Raises
    ------
    ValueError, InputError : arguments, structures and directories that make no run.
    LammpsUnavailable : LAMMPS or MPI is missing.
    SimulationFailed : the run explodes, or (SimulationStopped) the monitor stops it.
    """
    comm = mpi.load().MPI.COMM_WORLD
    if monitor not in MONITORS:
        raise ValueError(f"monitor is one of {', '.join(MONITORS)}, not {monitor!r}")
    n_steps = number_of_steps(time_ps, timestep_fs)
    settings = fixes.physics_of(ensemble, temperature_K, keep_momenta=keep_momenta, **coupling) | {
        "timestep_fs": float(timestep_fs),
        "seed": whole("seed", seed, 0),
        "record_every": whole("record_every", record_every, 1),
        "trajectory_every": whole("trajectory_every", trajectory_every, 1),
    }
    trained = load_model(model)
    require_supported(trained, atoms)
    require_finite(atoms)
    box = Box(atoms, triclinic=settings.get("full_cell", False))
    if ensemble != "nve":
        require_motion(degrees_of_freedom(atoms), "take a larger cell")
    if comm.rank == 0:
        warn_of_coarse_steps(atoms, timestep_fs, stacklevel=3)
    info = {
        "model": str(model),
        "sha256": trained.checksum,
        "processes": comm.size,
        "repulsion": DEFAULT_REPULSION,
        **(engine or {}),
    }
    run = _Run(comm, box, settings, Provider(info), n_steps)
    with contextlib.ExitStack() as last:
        last.callback(run.release)
        run.look(run_dir, resume, take_over)
        lmp = new_lammps()
        last.callback(lmp.close)
        last.callback(run.close)
        run.start(lmp, trained, engine or {}, balance)
        action = monitor if comm.rank == 0 or monitor == "stop" else "off"  # warned of once
        return run.go(progress, Watch(action, limits(trained)))


class _Run:
    """One run: what all processes do together, and the first of them writes down."""

    def __init__(self, comm, box: Box, settings: dict, provider: Provider, n_steps: int):
        self.comm, self.box, self.settings, self.n_steps = comm, box, settings, n_steps
        self.atoms, self.n_dof = box.atoms, degrees_of_freedom(box.atoms)
        self.atoms.calc = provider
        self.directory: LammpsRunDirectory | None = None  # of the first process
        self.step, self._state, self._opened, self._due = 0, None, False, False

    def look(self, run_dir: str | Path, resume: bool, take_over: bool) -> None:
        """Look at the run directory, and what there is to go on from."""

        def look() -> tuple[int, str | None]:
            self.directory = LammpsRunDirectory(
                run_dir, self.settings, resume=resume, take_over=take_over
            )
            if self.directory.restart is None:
                return 0, None
            self.directory.check_same_run(self.atoms, self.atoms.calc.model_info, self.n_steps)
            self.directory.restart.apply(self.atoms)
            return self.directory.restart.step, str(self.directory.unpack_state())

        self.step, self._state = by_the_first(self.comm, look)

    def start(self, lmp, trained: TrainedModel, engine: dict, balance: bool) -> None:
        """Fill LAMMPS with atoms, forces and an integrator, evaluate once, open the files."""
        self.lmp = lmp
        if self._state is None:
            kind = NVE if self.settings["ensemble"] == "nve" else BussiNVT
            set_momenta(self.atoms, kind, self.settings)
            self.box.create(lmp)
        else:
            lmp.command(f"read_restart {self._state}")
            by_the_first(self.comm, Path(self._state).unlink)
        self.potential = attach(lmp, trained, self.box.elements, **engine)
        self.potential.axes = self.box.axes
        lmp.commands_list(fixes.commands(self.settings, self.settings["seed"]))
        if balance:
            shift = f"{IMBALANCE} shift xyz 20 {IMBALANCE}"
            lmp.command(f"balance {shift}")
            lmp.command(f"fix balance all balance {STEPS_BETWEEN_BALANCES} {shift}")
        timestep_ps = self.settings["timestep_fs"] / 1000
        lmp.commands_list([f"timestep {timestep_ps:.17g}", "thermo_style custom step"])
        self.potential.command("run 0 post no")
        self.sampler = Sampler(self.potential, self.settings, self.n_dof)
        self.sampler.rows = by_the_first(self.comm, self._open_files)

    def _open_files(self) -> list[list[float]]:
        about = {"time_ps": self.n_steps * self.settings["timestep_fs"] / 1000}
        about["n_degrees_of_freedom"] = self.n_dof
        rows = self.directory.open(self.atoms, self.sampler.names, about).tolist()
        self._opened = True
        return rows

    def go(self, progress: bool | None, watch: Watch) -> MDRecord:
        """Run from here to the end."""
        stride = math.gcd(self.settings["record_every"], self.settings["trajectory_every"])
        hidden = self.comm.rank > 0 or (None if progress is None else not progress)
        bar = tqdm(total=self.n_steps, initial=self.step, unit="step", disable=hidden)
        try:
            if self.step == 0:
                self._advance(watch, None)
            while self.step < self.n_steps:
                steps = min(stride - self.step % stride, self.n_steps - self.step)
                self._advance(watch, self._run(steps))
                bar.update(steps)
        except SimulationFailed as failure:
            failure.record = self._record(str(failure))
            self._note(failure)
            raise
        finally:
            bar.close()
        return self._record()

    def close(self) -> None:
        """Close the files, if they are open."""
        if self._opened:
            self.directory.close()

    def release(self) -> None:
        """Let other processes into the directory."""
        if self.directory is not None:
            self.directory.release()

    def _run(self, steps: int) -> Path | None:
        """So many steps, and LAMMPS's restart file of the last of them where one is due.

        It is LAMMPS's `restart` that writes it, within the run: its `write_restart`, between two
        runs, hands atoms over without their forces, and the next step would be wrong.
        """
        end, state = self.step + steps, None
        if self._due or end == self.n_steps:
            state = self.comm.bcast(self.directory.state_file if self.directory else None)
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

    def _advance(self, watch: Watch, state: Path | None) -> None:
        """After a complete step; what may raise comes before anything is written."""
        row, step = None, self.step
        if step % self.settings["record_every"] == 0:
            row = self.sampler.sample(step)
            watch.check(self.potential.answer, step, self.settings["timestep_fs"])
        draws = step % self.settings["trajectory_every"] == 0
        frame = self._gather() if draws or state is not None else None

        def write() -> bool:
            if row is not None:
                self.directory.write_sample(row, step)
            if draws:
                self._draw(frame)
            if state is not None:
                self.directory.save(frame, step, state)
                place(self.atoms, frame)
            return self.directory.is_due()

        self._due = by_the_first(self.comm, write)

    def _gather(self) -> Frame | None:
        cell = cell_of(self.lmp)[0]
        return self.box.gather(self.lmp, self.comm, self.potential.answer, cell)

    def _draw(self, frame: Frame) -> None:
        answer = self.potential.answer
        stress = -self.box.tensor_to_ase(answer.virial) / abs(np.linalg.det(frame.cell))
        self.directory.add_frame(self.atoms, frame, answer, stress, self.step)

    def _note(self, failure: SimulationFailed) -> None:
        """Keep why it ended and, where LAMMPS has completed the step, its frame."""
        frame = self._gather() if self.potential.failure is None else None

        def note() -> None:
            if frame is not None:
                self._draw(frame)
            self.directory.note(str(failure))

        by_the_first(self.comm, note)

    def _record(self, failure: str | None = None) -> MDRecord:
        known = {"n_atoms": len(self.atoms), "n_degrees_of_freedom": self.n_dof, "failure": failure}
        rows = np.array(self.sampler.rows).reshape(-1, len(self.sampler.names))
        return MDRecord.from_rows(self.sampler.names, rows, self.settings, **known)

"""The directory of a run: what was asked, the log, the trajectory, and where to go on from.

===================  ==========================================================================
``run.json``         settings, structure, calculator and versions; while it runs, the process
``log.csv``          one line per sample; the names of its columns carry their units, and
                     :class:`~ase_schnet.runs.record.MDRecord` says what they are
``trajectory.traj``  ASE trajectory with momenta; ``info`` holds ``step``, ``time_fs`` and, of an
                     ensemble, ``energy_std`` (eV) and ``forces_std`` (N, 3) (eV/Å)
``restart.npz``      positions, momenta, cell, thermostat, barostat and random numbers after the last
                     step that is complete in all files; replaced atomically
===================  ==========================================================================

A run that was killed is cut back to ``restart.npz`` and goes on as if it had never stopped, bit
for bit where the calculator is a function of the atoms alone. (One with a memory, such as an SCF
guess or a neighbour list with a skin, goes on to within its own reproducibility.)
"""

import contextlib
import json
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.io.trajectory import TrajectoryReader, TrajectoryWriter
from ase.io.ulm import InvalidULMFileError
from numpy.typing import NDArray

from ase_schnet.files import flush_to_disk, replaced
from ase_schnet.runs.identity import require_same_constraints, require_same_masses
from ase_schnet.runs.lock import DirectoryLock, this_process
from ase_schnet.runs.provenance import describe_calculator, provenance, require_same_repulsion
from ase_schnet.runs.record import LOG_FILE, RUN_FILE, csv_line, read_log
from ase_schnet.runs.restart import Restart, cut_trajectory

TRAJECTORY_FILE, RESTART_FILE = "trajectory.traj", "restart.npz"

#: Name of LAMMPS's own restart file inside ours.
LAMMPS_STATE = "lammps"

#: Results that ASE's trajectories have no place for.
IN_INFO = ("energy_std", "forces_std", "dipole_std", "polarizability", "polarizability_std")

#: What settings mean that a run does not have, such as one of an earlier version.
UNSAID = {"keep_momenta": False, "temperature_end_K": None}

#: A kill costs at most this much wall time.
RESTART_SECONDS = 5.0
#: An interrupt costs at most so many steps.
STEPS_BETWEEN_STATES = 10
#: A resumed run whose first energy now differs by more has got another calculator.
RESUME_TOLERANCE_EV_PER_ATOM = 1e-3


class RunDirectory:
    """Writes, and on resuming cuts back, the files of one run.

    Parameters
    ----------
    path
        Made if missing.
    settings
        What must not change when the run is resumed.
    resume
        Continue the run in ``path``; where there is none yet, start it.
    take_over
        As in :class:`~ase_schnet.runs.lock.DirectoryLock`, which it holds until `release` or the end of
        a ``with``.

    Raises
    ------
    ValueError
        If another process is at work in ``path``, if a run is there and ``resume`` is false, if it had
        other settings, or if its files are damaged.
    """

    def __init__(self, path: str | Path, settings: dict, *, resume: bool, take_over: bool = False):
        self.path = Path(path)
        self.settings = settings
        self.about: dict = {}
        self.restart: Restart | None = None  # where to go on from
        self.state: Restart | None = None  # a recent complete step
        self._broken = False  # the disk took no more
        self._is_new = not self.path.is_dir()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = DirectoryLock(self.path, take_over=take_over)
        try:
            self._look(resume)
        except BaseException:
            self.release()
            raise

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_) -> None:
        self.release()

    def release(self) -> None:
        """Let other processes in; a directory in which nothing came to be is gone."""
        if self._is_new:
            with contextlib.suppress(OSError):  # not empty
                self.path.rmdir()
        self._lock.release()

    def _look(self, resume: bool) -> None:
        """What run is there, and where it stopped."""
        if not any(self.path.iterdir()):
            return
        if not resume:
            raise ValueError(
                f"{self.path} exists: pass resume=True (--resume) to continue it, or choose another "
                "directory"
            )
        self.about = _read_json(self.path / RUN_FILE)
        _check_same(self.about.get("settings", {}), self.settings)
        if (self.path / RESTART_FILE).exists():
            self.restart = Restart.read(self.path / RESTART_FILE)
        elif self._has_samples():  # else killed before its first step: begin anew
            raise ValueError(
                f"{self.path} is damaged: {RESTART_FILE}, from which it would go on, is missing; choose "
                "another directory, or begin from the last frame of its trajectory"
            )

    def _has_samples(self) -> bool:
        """Whether the log has more than its first sample."""
        try:
            with (self.path / LOG_FILE).open("rb") as log:
                return sum(1 for _ in islice(log, 3)) > 2
        except FileNotFoundError:
            return False

    def check_start(self, atoms: Atoms, n_steps: int, kept_momenta: NDArray | None) -> None:
        """Refuse to resume what is not this run, or is longer than asked for already.

        The structure must be where the run began or where it stopped, with the masses and constraints
        of then, and the calculator must still give the energy it gave at the beginning. ``kept_momenta``
        (N, 3) are those that it would begin with; None where it draws its own.
        """
        if self.restart.integrator.keys() == {LAMMPS_STATE}:
            raise ValueError(
                f"{self.path} holds a run of ase-schnet lammps, which ASE cannot continue: go on with "
                "ase-schnet lammps, or begin another from its last frame"
            )
        if n_steps < self.restart.step:
            done_ps = self.restart.step * self.settings["timestep_fs"] / 1000
            raise ValueError(f"the run in {self.path} is already {done_ps:g} ps long")
        begin = self.first_frame()
        same_kind = all(
            np.array_equal(getattr(atoms, name), getattr(begin, name))
            for name in ("numbers", "pbc")
        )
        known = [
            (begin.positions, begin.cell.array, begin.get_momenta(), kept_momenta),
            (self.restart.positions, self.restart.cell, self.restart.momenta, atoms.get_momenta()),
        ]
        if not same_kind or not any(
            np.array_equal(atoms.positions, positions)
            and np.array_equal(atoms.cell.array, cell)
            and (kept_momenta is None or np.array_equal(now, then))
            for positions, cell, then, now in known
        ):
            raise ValueError(f"{self.path} holds a run of another structure")
        require_same_masses(self.path, begin, atoms)
        require_same_constraints(self.path, begin, atoms)
        then_info = (self.about.get("calculator") or {}).get("model_info")
        now_info = describe_calculator(atoms.calc)["model_info"]
        require_same_repulsion(self.path, then_info, now_info)
        then_eV = begin.get_potential_energy()
        begin.calc = atoms.calc
        now_eV = begin.get_potential_energy()
        if not abs(now_eV - then_eV) <= RESUME_TOLERANCE_EV_PER_ATOM * len(begin):
            raise ValueError(
                f"{self.path} holds a run with another calculator: its first energy was "
                f"{then_eV:.6f} eV, now it is {now_eV:.6f} eV"
            )

    def first_frame(self) -> Atoms:
        """The atoms at step 0, with the results of then."""
        path = self.path / TRAJECTORY_FILE
        try:
            with TrajectoryReader(path) as frames:
                return frames[0]
        except (InvalidULMFileError, FileNotFoundError, IndexError) as error:
            raise ValueError(f"{path} is damaged or missing: {error}") from None

    def open(self, atoms: Atoms, names: Sequence[str], about: dict) -> NDArray:
        """Open the files for writing and return the rows (T, C) already in the log."""
        self.about = self.about | about | {"settings": self.settings} | provenance(atoms)
        self.about["process"] = this_process()
        self.about.pop("failure", None)  # it goes on
        self._write_about()
        rows = np.empty((0, len(names)))
        if self.restart is not None:
            rows = self._cut_back()
        mode = "w" if self.restart is None else "a"
        self._log = (self.path / LOG_FILE).open(mode)
        self._trajectory = TrajectoryWriter(self.path / TRAJECTORY_FILE, mode)
        self.state = self.restart
        self._saved_at = time.monotonic()
        if self.restart is None:
            self._log.write(",".join(names) + "\n")
        return rows

    def advance(
        self,
        atoms: Atoms,
        driver_state: Callable[[], dict],
        step: int,
        row: Sequence[float] | None,
        *,
        last: bool,
    ) -> None:
        """Write what is due after a complete step, and from time to time a restart point.

        Raises
        ------
        OSError
            If the disk is full or gone. The directory can be resumed from its last restart point.
        """
        try:
            if row is not None:
                self._log.write(csv_line(row))
            if step % self.settings["trajectory_every"] == 0:
                self.write_frame(atoms, step)
            if step % STEPS_BETWEEN_STATES == 0 or last:
                first = self.state is None
                self.state = Restart.of(atoms, step, driver_state())
                if first or time.monotonic() - self._saved_at > RESTART_SECONDS:
                    self._save()
        except OSError as error:
            raise self._cannot_write(error, step) from error

    def write_frame(self, atoms: Atoms, step: int) -> None:
        """Append a frame with momenta, results and uncertainties to the trajectory."""
        for name in getattr(atoms.calc, "on_request", ()):  # what only frames are worth
            atoms.calc.get_property(name, atoms)
        self._append(atoms, step)

    def _append(self, atoms: Atoms, step: int) -> None:
        results = getattr(atoms.calc, "results", {})
        frame = atoms.copy()  # without calculator: it would be asked for each property, slowly
        frame.info |= {"step": step, "time_fs": step * self.settings["timestep_fs"]}
        # Trajectories keep only ASE's own property names; these survive in info.
        frame.info |= {k: results[k] for k in IN_INFO if k in results}
        known = {k: results[k] for k in all_properties if results.get(k) is not None}
        self._trajectory.write(frame, **known)
        self._log.flush()

    def note_failure(self, atoms: Atoms, step: int, why: str) -> None:
        """Keep the frame at which the run could not go on, and the reason."""
        self._append(atoms, step)  # its calculator may not be able to say more of it
        self.about["failure"] = why
        self._write_about()

    def close(self) -> None:
        """Close all files, with ``state`` as restart point."""
        try:
            if self.state is not None and not self._broken:
                self._save()
        except OSError as error:
            raise self._cannot_write(error, self.state.step) from error
        finally:
            if self._broken:  # what the disk no longer takes lies beyond the restart point
                for file in (self._trajectory.backend.fd, self._log):
                    with contextlib.suppress(OSError):
                        file.close()
            else:
                self._trajectory.close()
                self._log.close()
                del self.about["process"]
                self._write_about()

    def _cannot_write(self, error: OSError, step: int) -> OSError:
        self._broken = True
        return OSError(
            error.errno,
            f"{error.strerror}: {self.path} could not be written at step {step}; when it can, "
            "resume=True (--resume) goes on from its last restart point",
        )

    def _write_about(self) -> None:
        with replaced(self.path / RUN_FILE) as there:
            there.write_text(json.dumps(self.about, indent=1, default=str) + "\n")

    def _save(self) -> None:
        # The restart point may only name what is on the disk already.
        self._log.flush()
        for name in (LOG_FILE, TRAJECTORY_FILE):
            flush_to_disk(self.path / name)
        self.state.write(self.path / RESTART_FILE)
        self._saved_at = time.monotonic()

    def _cut_back(self) -> NDArray:
        """Drop what log and trajectory hold beyond the restart point; return the log's rows."""
        n_rows = self.restart.step // self.settings["record_every"] + 1
        if not (self.path / LOG_FILE).exists():
            raise ValueError(f"{self.path} is damaged: {LOG_FILE} is missing")
        with (self.path / LOG_FILE).open("rb+") as log:
            lines = sum(log.readline().endswith(b"\n") for _ in range(n_rows + 1))
            log.truncate(log.tell())
        if lines < n_rows + 1:
            raise ValueError(f"{self.path / LOG_FILE} is shorter than {RESTART_FILE} says")
        n_frames = self.restart.step // self.settings["trajectory_every"] + 1
        cut_trajectory(self.path / TRAJECTORY_FILE, n_frames)
        return read_log(self.path / LOG_FILE)[1]


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{path.parent} holds no run to resume: it has no {path.name}") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _check_same(old: dict, new: dict) -> None:
    old = UNSAID | {"keep_momenta": not old.get("new_momenta", True)} | old
    new = UNSAID | new
    changed = [key for key in new if old.get(key) != new[key]]
    if changed:
        what = ", ".join(f"{key} was {old.get(key)}, now {new[key]}" for key in changed)
        raise ValueError(f"a run can only be resumed with its own settings: {what}")

"""Write the directory of a run: what was asked, the log, the trajectory, and where to go on from.

===================  ==========================================================================
``run.json``         settings, driver, structure, calculator and versions; while it runs, the process
``log.csv``          one line per sample; the names of its columns carry their units, and
                     :class:`~ase_schnet.runs.record.MDRecord` says what they are
``trajectory.traj``  ASE trajectory with momenta; ``info`` holds ``step``, ``time_fs`` and, of an
                     ensemble, ``energy_std`` (eV) and ``forces_std`` (N, 3) (eV/Å)
``restart.npz``      positions, momenta, cell and the driver's own state after the last step that is
                     complete in all files; replaced atomically
===================  ==========================================================================

Who moves the atoms it does not know. A driver (:mod:`ase_schnet.dynamics`, :mod:`ase_schnet.lammps`) makes a
:class:`RunDirectory`, goes on from its ``begin``, and then writes samples, frames and checkpoints.

A run that was killed is cut back to ``restart.npz`` and goes on as if it had never stopped, bit
for bit where the calculator is a function of the atoms alone. (One with a memory, such as an SCF
guess or a neighbour list with a skin, goes on to within its own reproducibility.)
"""

import contextlib
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.io.trajectory import TrajectoryWriter
from numpy.typing import NDArray

from ase_schnet.runs.identity import require_same_driver, require_same_settings, require_same_size
from ase_schnet.runs.provenance import process_of_run
from ase_schnet.runs.record import LOG_FILE, RUN_FILE, csv_line
from ase_schnet.runs.restart import (
    RESTART_FILE,
    TRAJECTORY_FILE,
    State,
    cut_back,
    open_trajectory,
    steps_in_log,
)
from ase_schnet.runtime.files import flush_to_disk, replaced
from ase_schnet.runtime.locks import Lock, this_process
from ase_schnet.structures.old_results import info_for_results, info_of_moved
from ase_schnet.units import PACKAGE_UNITS

#: Results that ASE's trajectories have no place for but ``info``.
IN_INFO = ("energy_std", "forces_std", "dipole_std", "polarizability", "polarizability_std")

#: A kill costs at most this much wall time.
RESTART_SECONDS = 5.0


class FrameData(NamedTuple):
    """Hold one frame of a trajectory.

    Attributes
    ----------
    atoms
        With the positions, momenta and cell of the frame; their calculator is not asked.
    results
        Energy, forces, ... under the names of ASE and of this package, eV and Å.
    """

    atoms: Atoms
    results: dict


class RunDirectory:
    """Write, and on resuming cut back, the files of one run; hold its lock until the end of a ``with``.

    Parameters
    ----------
    path
        Made if it is missing.
    settings
        What must not change when the run is resumed.
    driver
        Who moves the atoms, a key of :data:`~ase_schnet.runs.identity.DRIVERS`. No other can go on.
    resume
        Continue the run in ``path``; start it, if there is none yet.
    take_over
        As in :class:`~ase_schnet.runtime.locks.Lock`.

    Attributes
    ----------
    begin
        The state from which the run goes on; None for a run that starts.
    n_logged
        The last step in the log of the run that goes on, which may be beyond ``begin``.
    kept
        The last checkpoint; what a run that is interrupted goes back to.
    about
        The content of ``run.json``.
    restart_seconds
        A kill costs at most this much wall time.

    Raises
    ------
    ValueError
        If another process is at work in ``path``, if a run is there and ``resume`` is false, if that run has
        other settings or another driver, or if its files are damaged.
    """

    def __init__(
        self,
        path: str | Path,
        settings: dict,
        driver: str,
        *,
        resume: bool,
        take_over: bool = False,
    ):
        self.path = Path(path)
        self.settings, self.driver = settings, driver
        self.about: dict = {}
        self.begin: State | None = None
        self.kept: State | None = None
        self.n_logged = 0
        self._open = self._broken = False
        self._saved_at = 0.0  # s, of a monotonic clock
        self.restart_seconds = RESTART_SECONDS
        self._is_new = not self.path.is_dir()
        self.path.mkdir(parents=True, exist_ok=True)
        self._lock = Lock(
            self.path, partial(process_of_run, self.path), str(self.path), take_over=take_over
        )
        try:
            self._look(resume)
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> "RunDirectory":
        return self

    def __exit__(self, *_) -> None:
        with contextlib.ExitStack() as last:
            last.callback(self._release)
            self.close()

    def _release(self) -> None:
        """Let other processes in; remove a directory in which nothing was written."""
        if self._is_new:
            with contextlib.suppress(OSError):  # not empty
                self.path.rmdir()
        self._lock.release()

    def _look(self, resume: bool) -> None:
        """Read which run is there and where it stopped."""
        if not any(self.path.iterdir()):
            return
        if not resume:
            raise ValueError(
                f"{self.path} exists: pass resume=True (--resume) to continue it, or choose another "
                "directory"
            )
        self.about = _read_json(self.path / RUN_FILE)
        if (self.path / RESTART_FILE).exists():
            self.begin = State.read(self.path / RESTART_FILE)
            require_same_size(self.path, self.about, self.begin)
        require_same_driver(self.path, self.about, self.begin, self.driver)
        require_same_settings(self.about.get("settings", {}), self.settings)
        self.n_logged = steps_in_log(self.path, self.settings["record_every"])
        if self.begin is None and self.n_logged:  # else killed before its first step: begin anew
            raise ValueError(
                f"{self.path} is damaged: {RESTART_FILE}, from which it would go on, is missing; choose "
                "another directory, or begin from the last frame of its trajectory"
            )

    def first_frame(self) -> Atoms:
        """Read the atoms at step 0, with the results of then; ValueError if they are lost."""
        with open_trajectory(self.path / TRAJECTORY_FILE) as frames:
            return cast(Atoms, frames[0])

    def open(self, columns: Sequence[str], about: dict) -> NDArray:
        """Open the files for writing and return the rows (T, C) that the log has already.

        Parameters
        ----------
        columns
            C names.
        about
            What else ``run.json`` is to say; JSON types.
        """
        self.about = self.about | about | {"settings": self.settings, "driver": self.driver}
        self.about["process"] = this_process()
        self.about.pop("failure", None)  # it goes on
        self._write_about()
        rows = np.empty((0, len(columns)))
        if self.begin is not None:
            rows = cut_back(self.path, self.begin, self.settings)
        mode = "w" if self.begin is None else "a"
        self._log = (self.path / LOG_FILE).open(mode)
        self._trajectory = TrajectoryWriter(self.path / TRAJECTORY_FILE, mode)
        self._open = True
        self.kept = self.begin
        self._saved_at = time.monotonic()
        if self.begin is None:
            self._log.write(",".join(columns) + "\n")
        return rows

    def write_samples(self, rows: Sequence[Sequence[float]]) -> None:
        """Append lines to the log; OSError if the disk is full or gone, after which it can be resumed."""
        try:
            self._log.write("".join(map(csv_line, rows)))
        except OSError as error:
            raise self._cannot_write(error) from error

    def write_frame(self, frame: FrameData, step: int) -> None:
        """Append a frame with momenta, results and uncertainties to the trajectory."""
        atoms = frame.atoms.copy()  # its calculator would be asked for each property, slowly
        of_then = {"step": step, "time_fs": step * self.settings["timestep_fs"]}
        moved = info_of_moved(atoms.info)
        atoms.info = info_for_results(moved, str(PACKAGE_UNITS)) | of_then
        atoms.info |= {k: frame.results[k] for k in IN_INFO if k in frame.results}
        known = {k: frame.results[k] for k in all_properties if frame.results.get(k) is not None}
        try:
            self._trajectory.write(atoms, **known)
            self._log.flush()
        except OSError as error:
            raise self._cannot_write(error) from error

    @property
    def is_due(self) -> bool:
        """Whether a kill now would cost more than ``restart_seconds``."""
        return self.kept is None or time.monotonic() - self._saved_at > self.restart_seconds

    def checkpoint(self, state: State) -> None:
        """Keep the state after a complete step, and write it to the disk if that is due."""
        is_due, self.kept = self.is_due, state
        if is_due:
            self._save()

    def flush(self) -> None:
        """Bring log and trajectory to the disk."""
        self._log.flush()
        for name in (LOG_FILE, TRAJECTORY_FILE):
            flush_to_disk(self.path / name)

    def fail(self, reason: str, frame: FrameData | None, step: int) -> None:
        """Keep the reason why the run could not go on and, where there is one, the frame of then."""
        if frame is not None:
            self.write_frame(frame, step)
        self.about["failure"] = reason
        self._write_about()

    def close(self) -> None:
        """Close all files, with the last checkpoint as restart point; may be called again."""
        if not self._open:
            return
        self._open = False
        try:
            if self.kept is not None and not self._broken:
                self._save()
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

    def _cannot_write(self, error: OSError) -> OSError:
        self._broken = True
        step = 0 if self.kept is None else self.kept.step
        return OSError(
            error.errno,
            f"{error.strerror}: {self.path} could not be written after step {step}; when it can, "
            "resume=True (--resume) goes on from its last restart point",
        )

    def _write_about(self) -> None:
        with replaced(self.path / RUN_FILE) as there:
            there.write_text(json.dumps(self.about, indent=1, default=str) + "\n")

    def _save(self) -> None:
        try:
            # The restart point may only name what is on the disk already.
            self.flush()
            self.kept.write(self.path / RESTART_FILE)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._saved_at = time.monotonic()


def _read_json(path: Path) -> dict:
    try:
        return dict(json.loads(path.read_text()))
    except FileNotFoundError:
        raise ValueError(f"{path.parent} holds no run to resume: it has no {path.name}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None

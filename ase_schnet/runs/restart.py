"""Keep the state from which a run goes on, in a file that is always whole, whatever kills the process."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.io.trajectory import TrajectoryReader, TrajectoryWriter
from ase.io.ulm import InvalidULMFileError
from numpy.typing import NDArray

from ase_schnet.runs.record import LOG_FILE, read_log
from ase_schnet.runtime.files import replaced, unreadable

TRAJECTORY_FILE, RESTART_FILE = "trajectory.traj", "restart.npz"

#: Before the names of the driver's own state in the file.
PREFIX = "integrator."


class State(NamedTuple):
    """Hold the state after a complete step: all that the run needs to go on.

    Attributes
    ----------
    driver
        What the driver needs beyond the atoms: arrays by name, and ``"rng"``, the state of a numpy bit
        generator.
    """

    step: int
    positions: NDArray  # (N, 3) Å
    momenta: NDArray  # (N, 3) ASE units
    cell: NDArray  # (3, 3) Å
    driver: dict

    @classmethod
    def of(cls, atoms: Atoms, step: int, driver: dict) -> "State":
        """Copy the state of ``atoms`` beside that of the driver."""
        positions, momenta = atoms.arrays["positions"].copy(), atoms.arrays["momenta"].copy()
        return cls(step, positions, momenta, atoms.cell.array.copy(), driver)

    def apply(self, atoms: Atoms) -> None:
        """Put ``atoms`` into this state."""
        atoms.set_cell(self.cell)
        atoms.set_positions(self.positions, apply_constraint=False)
        atoms.set_momenta(self.momenta, apply_constraint=False)

    def write(self, path: Path) -> None:
        """Write the state as a whole or not at all."""
        with replaced(path) as there, there.open("wb") as file:
            np.savez(file, **self.arrays())

    def arrays(self) -> dict:
        """Return the state as arrays by name."""
        arrays = {k: v for k, v in self._asdict().items() if k != "driver"}
        arrays |= {PREFIX + name: value for name, value in self.driver.items()}
        if "rng" in self.driver:  # its integers have 128 bits
            arrays[PREFIX + "rng"] = np.array(json.dumps(self.driver["rng"]))
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray]) -> "State":
        """Return what :meth:`arrays` made arrays of."""
        driver = {k.removeprefix(PREFIX): arrays[k] for k in arrays if k.startswith(PREFIX)}
        if "rng" in driver:
            driver["rng"] = json.loads(driver["rng"].item())
        atoms = (arrays[name] for name in ("positions", "momenta", "cell"))
        return cls(int(arrays["step"]), *atoms, driver)

    @classmethod
    def read(cls, path: Path) -> "State":
        """Read what :meth:`write` wrote; ValueError if the file is damaged."""
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as saved:
                return cls.from_arrays(saved)
        except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path} is damaged: {unreadable(error)}") from None


def steps_in_log(directory: Path, record_every: int) -> int:
    """Return the last step of which the log in ``directory`` has a complete line; 0 without a log."""
    try:
        with (directory / LOG_FILE).open("rb") as log:
            lines = sum(line.endswith(b"\n") for line in log)
    except FileNotFoundError:
        return 0
    return max(lines - 2, 0) * record_every  # names of the columns, step 0


def cut_back(directory: Path, state: State, settings: dict) -> NDArray:
    """Drop what log and trajectory hold beyond ``state``; return the rows (T, C) of the log.

    ``settings`` are those of the run. Raises ValueError where a file holds less.
    """
    n_rows = state.step // settings["record_every"] + 1
    log_file = directory / LOG_FILE
    if not log_file.exists():
        raise ValueError(f"{directory} is damaged: {LOG_FILE} is missing")
    with log_file.open("rb+") as log:
        lines = sum(log.readline().endswith(b"\n") for _ in range(n_rows + 1))
        log.truncate(log.tell())
    if lines < n_rows + 1:
        raise ValueError(f"{log_file} is shorter than {RESTART_FILE} says")
    _cut_trajectory(directory / TRAJECTORY_FILE, state.step // settings["trajectory_every"] + 1)
    return read_log(log_file)[1]


def _cut_trajectory(path: Path, n_frames: int) -> None:
    """Keep the first frames; ValueError if there are fewer."""
    with open_trajectory(path) as frames:
        if len(frames) < n_frames:
            raise ValueError(f"{path} is shorter than the restart point says")
        _ = frames[n_frames - 1]  # of a file that was cut off the head still counts all of them
        if len(frames) == n_frames:
            return
        with replaced(path) as there, TrajectoryWriter(there) as writer:
            for frame in frames[:n_frames]:
                writer.write(frame)


@contextmanager
def open_trajectory(path: Path) -> Iterator[TrajectoryReader]:
    """Open a trajectory for a block that reads it; ValueError where ASE cannot."""
    try:
        with TrajectoryReader(path) as frames:
            yield frames
    # of what is cut off or overwritten ASE's reader says whatever its parts run into
    except (
        InvalidULMFileError,
        FileNotFoundError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        if isinstance(error, ValueError) and str(path) in str(error):
            raise  # our own
        raise ValueError(f"{path} is damaged or missing: {error}") from None

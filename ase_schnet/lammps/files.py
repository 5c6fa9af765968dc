"""Keep the files of a run in its first process; what it reads, and its errors, are told to all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ase_schnet.lammps import restart
from ase_schnet.lammps.box import Box, Frame
from ase_schnet.lammps.mpi import by_the_first
from ase_schnet.lammps.options import LammpsOptions
from ase_schnet.lammps.recorder import Recorder
from ase_schnet.lammps.restart import Begin
from ase_schnet.runs.provenance import provenance
from ase_schnet.runs.rundir import FrameData, RunDirectory


class RunFiles:
    """Hold the directory of one run, until the end of a ``with``; all processes call its methods together.

    Parameters
    ----------
    comm
        mpi4py communicator.
    box
        Of the structure, whose atoms in the first process are moved to where a frame is written.
    run_dir, settings, asked
        Of the run.

    Attributes
    ----------
    is_due
        Whether a kill now would cost too much.
    state_file
        Beside which LAMMPS writes its restart files.
    """

    def __init__(
        self, comm: Any, box: Box, run_dir: str | Path, settings: dict, asked: LammpsOptions
    ):
        self._comm, self._atoms, self._box = comm, box.atoms, box
        self._directory: RunDirectory | None = None  # of the first process
        self._trajectory_every: int = settings["trajectory_every"]
        self.is_due = False

        def look() -> Path:
            restart.require_nameable(run_dir)
            self._directory = RunDirectory(
                run_dir, settings, "lammps", resume=asked.resume, take_over=asked.take_over
            )
            return restart.file_in(self._directory.path)

        self.state_file = by_the_first(comm, look)

    def __enter__(self) -> RunFiles:
        return self

    def __exit__(self, *error) -> None:
        if self._directory is not None:
            self._directory.__exit__(*error)

    def begin(self, info: dict, n_steps: int) -> Begin | None:
        """Return what the run goes on from, with the atoms of the first process there; None at its start.

        Parameters
        ----------
        info
            ``model_info`` of the model at hand.
        n_steps
            Of the whole run.
        """

        def read() -> Begin | None:
            directory, atoms = self._directory, self._atoms
            if directory.begin is None:
                return None
            restart.require_same_run(directory, atoms, info, n_steps)
            atoms.set_momenta(directory.first_frame().get_momenta())
            momentum = self._box.total_momentum()
            directory.begin.apply(atoms)
            state = restart.unpack(directory.begin, directory.path)
            return Begin(directory.begin.step, momentum, state)

        return by_the_first(self._comm, read)

    def open(self, recorder: Recorder, info: dict, time_ps: float) -> None:
        """Open the files for writing, and hand the recorder the samples that are there already."""
        about = provenance(self._atoms, {"name": "schnet under LAMMPS", "model_info": info})
        about |= {"time_ps": time_ps, "n_degrees_of_freedom": recorder.n_dof}

        def rows() -> list[list[float]]:
            return self._directory.open(recorder.names, about).tolist()

        recorder.rows = by_the_first(self._comm, rows)

    def draws(self, step: int) -> bool:
        """Return whether the trajectory has a frame of a step."""
        return step % self._trajectory_every == 0

    def write(
        self, step: int, row: list[float] | None, frame: Frame | None, state: Path | None
    ) -> None:
        """Write what is due after a complete step.

        Parameters
        ----------
        step
            Its number.
        row
            Its sample, where one was due.
        frame
            As `Steps.frame` has it, where the trajectory has one of the step or there is a ``state``.
        state
            LAMMPS's restart file, to be kept as what the run can go on from.
        """

        def write() -> bool:
            directory = self._directory
            if row is not None:
                directory.write_samples([row])
            if frame is not None:
                frame.place(self._atoms)
            if self.draws(step):
                directory.write_frame(FrameData(self._atoms, frame.results), step)
            if state is not None:
                directory.checkpoint(restart.pack(state, frame, step))
            return directory.is_due

        self.is_due = by_the_first(self._comm, write)

    def fail(self, reason: str, frame: Frame | None, step: int) -> None:
        """Keep why the run ended and, where there is one, the frame of then."""

        def fail() -> None:
            data = None
            if frame is not None:
                frame.place(self._atoms)
                data = FrameData(self._atoms, frame.results)
            self._directory.fail(reason, data, step)

        by_the_first(self._comm, fail)

    def close(self) -> None:
        """Close the files, while LAMMPS still lives."""
        if self._directory is not None:
            self._directory.close()

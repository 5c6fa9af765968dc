"""Tell what a user can mend, which is said in one line, from a fault of ours, which needs a traceback."""

from __future__ import annotations

import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
#: Environment variable: where it is set and not empty, bad input shows its traceback too.
DEBUG = "ASE_SCHNET_DEBUG"
FAULT = "this is a fault of ase_schnet, not of your input. Please report it with the lines above"


def is_bad_input(error: Exception) -> bool:
    """Return whether the user can mend what an error says."""
    from concurrent.futures.process import BrokenProcessPool

    if isinstance(error, (OSError, BrokenProcessPool)):  # a file, a disk; a worker was killed
        return True
    if isinstance(error, ValueError):
        return _raised_by_us(error)
    return isinstance(error, _own_failures())


def _own_failures() -> tuple[type[Exception], ...]:
    """Return the classes of errors whose text is written for the user, whoever raises them."""
    from ase.calculators.calculator import CalculatorSetupError  # InputError is one
    from ase.io.formats import UnknownFileTypeError

    from ase_schnet.lammps.mpi import LammpsUnavailable
    from ase_schnet.runs.failures import SimulationFailed
    from ase_schnet.training.trainer import TrainingDiverged

    return (
        CalculatorSetupError,
        UnknownFileTypeError,
        LammpsUnavailable,
        SimulationFailed,
        TrainingDiverged,
    )


def _raised_by_us(error: ValueError) -> bool:
    """Return whether a ``raise`` of this package made the error: then its text is for the user.

    ValueErrors of numpy, ASE and the interpreter come from frames of theirs, or from a line of ours that is
    no ``raise``, where one of their compiled functions was called.
    """
    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return False
    file, line = frames[-1].filename, frames[-1].line or ""
    remote = getattr(error.__cause__, "tb", None)  # of an error in a worker process: a text
    if isinstance(remote, str):
        *_, where = remote.split('  File "')
        file, line = where.partition('"')[0], where.partition("\n")[2]
    return Path(file).is_relative_to(PACKAGE) and line.split()[:1] == ["raise"]

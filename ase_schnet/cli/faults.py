"""Separate errors that the user can correct (one line) from faults of ours (a traceback)."""

from __future__ import annotations

import traceback
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
#: Environment variable; if it is set and not empty, errors in the input show their traceback too.
DEBUG = "ASE_SCHNET_DEBUG"
FAULT = "this is a fault of ase_schnet, not of your input. Please report it with the lines above"


def is_bad_input(error: Exception) -> bool:
    """Return whether an error is about the input, so that the user can correct it."""
    from concurrent.futures.process import BrokenProcessPool

    if isinstance(error, (OSError, BrokenProcessPool)):  # a file or disk; a killed worker
        return True
    if isinstance(error, ValueError):
        return _raised_by_us(error)
    return isinstance(error, _own_failures())


def _own_failures() -> tuple[type[Exception], ...]:
    """Return the classes of errors that are written for the user, no matter who raises them."""
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

    ValueErrors of numpy, ASE and the interpreter come from their own frames, or, if the function is compiled,
    from a line of ours that calls it and is no ``raise``.
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

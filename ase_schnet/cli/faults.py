"""How a command ends early: errors that the user can correct (one line), faults of ours, Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ase_schnet.runtime.refusals import is_refusal

#: Environment variable; if it is set and not empty, errors in the input show their traceback too.
DEBUG = "ASE_SCHNET_DEBUG"
#: What is said of commands that go on by themselves, behind what is kept.
GOES_ON = "To go on, give the same command again"
FAULT = "this is a fault of ase_schnet, not of your input. Please report it with the lines above"


@contextmanager
def when_stopped(words: str) -> Iterator[None]:
    """Let Ctrl-C or SIGTERM in the block end the command with these words: what is kept, what goes on."""
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(words) from None


def is_bad_input(error: Exception) -> bool:
    """Return whether an error is about the input, so that the user can correct it."""
    from concurrent.futures.process import BrokenProcessPool

    # a file or disk; a killed worker; more than fits
    if isinstance(error, (OSError, BrokenProcessPool, MemoryError)):
        return True
    if isinstance(error, ValueError):
        return is_refusal(error)
    return isinstance(error, _own_failures())


def in_words(error: Exception) -> str:
    """Return what an error says; of one of the system the file and the reason, without its number."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    if isinstance(error, MemoryError):
        return (
            f"there is not enough memory for this ({error})"
            if str(error)
            else "there is not enough memory"
        )
    return str(error)


def _own_failures() -> tuple[type[Exception], ...]:
    """Return the classes of errors that are written for the user, no matter who raises them."""
    from ase.calculators.calculator import CalculatorSetupError  # InputError is one
    from ase.io.formats import UnknownFileTypeError

    from ase_schnet.lammps.mpi import LammpsUnavailable
    from ase_schnet.runs.failures import SimulationFailed
    from ase_schnet.training.result import TrainingDiverged

    return (
        CalculatorSetupError,
        UnknownFileTypeError,
        LammpsUnavailable,
        SimulationFailed,
        TrainingDiverged,
    )

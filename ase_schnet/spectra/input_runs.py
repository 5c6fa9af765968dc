"""The runs that a spectrum averages: read them, and check that they can be averaged."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import numpy as np

from ase_schnet.spectra.trajectory_signals import TrajectorySignals

#: One run or several, each as its directory or as TrajectorySignals.
Runs = TrajectorySignals | str | Path | Iterable[TrajectorySignals | str | Path]
P = ParamSpec("P")
R = TypeVar("R")

_WANTED = (
    "a spectrum is made of run directories or of TrajectorySignals, one or several "
    "(TrajectorySignals.from_frames takes frames)"
)


def read_runs(
    runs: Runs,
) -> list[TrajectorySignals]:
    """Return the signals of one run or several.

    Parameters
    ----------
    runs
        One or several, each as TrajectorySignals or as the path of its directory.

    Raises
    ------
    ValueError
        For anything else, and for directories that :meth:`TrajectorySignals.read` refuses.
    """
    if isinstance(runs, (TrajectorySignals, str, Path)):
        runs = [runs]
    if not isinstance(runs, Iterable):
        raise ValueError(f"{_WANTED}, not of {type(runs).__name__}")
    return [_read_run(run) for run in runs]


def _read_run(run: TrajectorySignals | str | Path) -> TrajectorySignals:
    """Read one run, unless it is read already."""
    if isinstance(run, TrajectorySignals):
        return run
    if isinstance(run, (str, Path)):
        return TrajectorySignals.read(run)
    raise ValueError(f"{_WANTED}, not of {type(run).__name__}")


def check_alike(runs: Sequence[TrajectorySignals]) -> None:
    """Refuse runs that cannot be averaged; ValueError."""
    if not runs:
        raise ValueError("there are no runs: a spectrum needs at least one")
    first = runs[0]
    for run in runs[1:]:
        if not np.array_equal(run.masses, first.masses):
            raise ValueError("the runs have different atoms, so their spectra cannot be averaged")
        for name in ("interval_fs", "timestep_fs", "n_degrees_of_freedom"):
            mine, its = getattr(first, name), getattr(run, name)
            if mine != its:
                raise ValueError(
                    f"the runs cannot be averaged: {name} is {mine} in one and {its} in another"
                )


def check_different(runs: Sequence[TrajectorySignals]) -> None:
    """Refuse the same run twice, because it would make the error zero; ValueError."""
    seen: dict[bytes, int] = {}
    for k, run in enumerate(runs):
        first = seen.setdefault(run.momenta[-1].tobytes(), k)
        if first != k:
            raise ValueError(
                f"runs {first + 1} and {k + 1} are the same: run again with another seed= (--seed)"
            )


def accept_old_name(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function take ``motions=``, the name of its argument ``runs`` before 0.2, with a warning."""

    @wraps(function)
    def wrapper(*args: P.args, **options: P.kwargs) -> R:
        if "motions" in options:
            text = "the argument motions= is now runs=; the old name will be removed in 0.3"
            warnings.warn(text, DeprecationWarning, stacklevel=2)
            options["runs"] = options.pop("motions")
        return function(*args, **options)

    return wrapper

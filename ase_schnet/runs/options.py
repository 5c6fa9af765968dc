"""State once what every run can be told, whoever moves the atoms: length, records, directory, monitor."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import TypedDict, TypeVar

from ase_schnet.arguments import whole
from ase_schnet.runs.monitor import StepMonitor

#: Longest time step accepted, fs; heavy atoms at room temperature allow about this.
MAX_TIMESTEP_FS = 10.0

Function = TypeVar("Function", bound=Callable)


@dataclass(frozen=True)
class RunSettings:
    """Hold the length of a run and what is written of it.

    Attributes
    ----------
    time_ps, timestep_fs
        Length of the run (ps) and of one step (fs).
    record_every, trajectory_every
        Steps between samples and between frames.
    seed
        Of the velocities and of a stochastic thermostat.
    resume
        Continue the run in its directory after an interrupt or a kill as if it had never stopped; start
        it, if there is none yet. A larger ``time_ps`` than before extends it.
    take_over
        Go on although the directory is in use by a process of another host, which has died there. (On
        this host the system knows.)
    progress
        Show a progress bar; None shows it on a terminal only.

    Raises
    ------
    ValueError
        For a length, a time step, an interval or a seed that makes no run.
    """

    time_ps: float = 10.0
    timestep_fs: float = 0.5
    record_every: int = 1
    trajectory_every: int = 100
    seed: int = 0
    resume: bool = False
    take_over: bool = False
    progress: bool | None = None

    def __post_init__(self) -> None:
        number_of_steps(self.time_ps, self.timestep_fs)
        whole("seed", self.seed, 0)
        whole("record_every", self.record_every, 1)
        whole("trajectory_every", self.trajectory_every, 1)

    @property
    def n_steps(self) -> int:
        """Return the number of steps."""
        return number_of_steps(self.time_ps, self.timestep_fs)

    def settings(self) -> dict:
        """Return what must not change when the run is resumed, in JSON types."""
        return {
            "timestep_fs": float(self.timestep_fs),
            "seed": int(self.seed),
            "record_every": int(self.record_every),
            "trajectory_every": int(self.trajectory_every),
        }


@dataclass(frozen=True)
class RunOptions(RunSettings):
    """Hold the options that all runs by ASE have in common.

    Attributes
    ----------
    time_ps, timestep_fs, record_every, trajectory_every, seed, resume, take_over, progress
        As in :class:`RunSettings`.
    run_dir
        Directory for the log, the trajectory and the restart point (see
        :mod:`~ase_schnet.runs.rundir`). None keeps only the returned record.
    monitor
        May stop the run, see :mod:`~ase_schnet.runs.monitor`.
    """

    run_dir: str | Path | None = None
    monitor: StepMonitor | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.monitor is not None and not hasattr(self.monitor, "check"):
            raise ValueError(
                f"monitor must be a Monitor, such as Monitor('stop'), not {self.monitor!r}"
            )


class RunKeywords(TypedDict, total=False):
    """Name the fields of :class:`RunOptions` for type checkers, which ``Unpack`` wants so."""

    time_ps: float
    timestep_fs: float
    run_dir: str | Path | None
    record_every: int
    trajectory_every: int
    seed: int
    resume: bool
    take_over: bool
    progress: bool | None
    monitor: StepMonitor | None


def number_of_steps(time_ps: float, timestep_fs: float) -> int:
    """Return the number of steps; ValueError if there is none or if they are too long."""
    if not 0 < timestep_fs <= MAX_TIMESTEP_FS:
        raise ValueError(f"timestep_fs must be above 0 and at most 10 fs, not {timestep_fs}")
    n_steps = round(1000 * time_ps / timestep_fs) if math.isfinite(time_ps) else 0
    if n_steps < 1:
        raise ValueError(f"time_ps must be at least one step of {timestep_fs} fs, not {time_ps} ps")
    return n_steps


def takes(*kinds: type) -> Callable[[Function], Function]:
    """Show the fields of dataclasses in the signature of a function that takes them as ``**options``.

    ``help`` and notebooks read the signature; type checkers read ``Unpack`` of the matching TypedDict.
    """

    def show(function: Function) -> Function:
        signature = inspect.signature(function)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        names = {p.name for p in own}
        options = [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=field.type,
            )
            for kind in kinds
            for field in fields(kind)
            if field.name not in names
        ]
        function.__signature__ = signature.replace(parameters=[*own, *options])
        return function

    return show


def refuse_unknown(function: str, given: dict, *kinds: type) -> None:
    """Raise TypeError, as Python does, that names an option which no dataclass of ``kinds`` has."""
    known = {field.name for kind in kinds for field in fields(kind)}
    for name in given:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.4)
            hint = f": did you mean {near[0]}?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{hint}")

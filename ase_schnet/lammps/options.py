"""State once what a run under LAMMPS can be told beyond its structure, model and ensemble."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from ase_schnet.inference.options import EngineOptions
from ase_schnet.runs.options import RunSettings


@dataclass(frozen=True)
class LammpsOptions(RunSettings):
    """Hold the options of :func:`~ase_schnet.lammps.run.run_lammps` that have defaults of their own.

    Attributes
    ----------
    time_ps, timestep_fs, record_every, trajectory_every, seed, resume, take_over, progress
        As in :class:`~ase_schnet.runs.options.RunOptions`.
    keep_momenta
        Start with those that the atoms have, less the momentum of the whole under a thermostat. At
        constant energy ``temperature_K`` is then to be left out.
    thermostat
        Of "nvt": "bussi" (the default) or "nose-hoover".
    time_constant_fs, pressure_time_constant_fs
        Of the thermostat and of the barostat, fs; by default 100 and 1000.
    pressure_GPa
        Of "npt"; by default 0.
    full_cell
        Let "npt" change the shape of the cell too.
    """

    keep_momenta: bool = False
    thermostat: Literal["bussi", "nose-hoover"] | None = None
    time_constant_fs: float | None = None
    pressure_GPa: float | None = None
    pressure_time_constant_fs: float | None = None
    full_cell: bool = False


class LammpsKeywords(TypedDict, total=False):
    """Name the fields of :class:`LammpsOptions` for type checkers."""

    time_ps: float
    timestep_fs: float
    record_every: int
    trajectory_every: int
    seed: int
    resume: bool
    take_over: bool
    progress: bool | None
    keep_momenta: bool
    thermostat: Literal["bussi", "nose-hoover"] | None
    time_constant_fs: float | None
    pressure_GPa: float | None
    pressure_time_constant_fs: float | None
    full_cell: bool


@dataclass(frozen=True)
class Execution:
    """Hold how a run is carried out, whatever its physics.

    Attributes
    ----------
    engine
        What evaluates the model.
    monitor
        What is done where a force or a distance leaves its limits: "stop", "warn" or "off".
    balance
        Move the borders between processes so that all have about as many atoms.
    """

    engine: EngineOptions
    monitor: str
    balance: bool

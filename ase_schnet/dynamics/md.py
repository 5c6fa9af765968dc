"""Run molecular dynamics that is recorded in full precision, resumes exactly and says when it fails.

``run_nve``, ``run_nvt`` and ``run_npt`` differ in the integrator alone: the run directory, the
recorder and the loop are the same for all.
"""

from typing import Unpack

from ase import Atoms

from ase_schnet.dynamics.arguments import START_TEMPERATURE_K
from ase_schnet.dynamics.plans import (
    NO_RAMP,
    PRESSURE_TIME_CONSTANT_FS,
    TIME_CONSTANT_FS,
    plan_npt,
    plan_nve,
    plan_nvt,
)
from ase_schnet.dynamics.start import run
from ase_schnet.runs.failures import SimulationExploded, SimulationFailed, SimulationStopped
from ase_schnet.runs.options import RunKeywords, RunOptions, refuse_unknown, takes
from ase_schnet.runs.record import MDRecord

__all__ = [
    "MDRecord",
    "SimulationExploded",
    "SimulationFailed",
    "SimulationStopped",
    "run_npt",
    "run_nve",
    "run_nvt",
]


@takes(RunOptions)
def run_nve(
    atoms: Atoms,
    *,
    temperature_K: float | None = START_TEMPERATURE_K,
    keep_momenta: bool = False,
    **options: Unpack[RunKeywords],
) -> MDRecord:
    """Run constant-energy dynamics (velocity Verlet) and return its record.

    ``atoms`` move in place, as with all of ASE's dynamics, and end as the last frame.

    Parameters
    ----------
    atoms
        Any structure with any calculator.
    temperature_K
        Temperature of the drawn start velocities, exact over the degrees of freedom counted by
        :func:`~ase_schnet.degrees_of_freedom.degrees_of_freedom`. From a relaxed structure
        about half of it flows into potential energy within some 0.1 ps.
    keep_momenta
        Start with the momenta that ``atoms`` have instead of drawing them. ``temperature_K`` is then to be
        left out, or None.
    **options
        Fields of :class:`~ase_schnet.runs.options.RunOptions`: time_ps, timestep_fs, run_dir,
        record_every, trajectory_every, seed, resume, take_over, progress, monitor.

    Raises
    ------
    ValueError
        For arguments that make no run, a ``run_dir`` in use, or a resume with other settings.
    SimulationFailed
        If the run explodes, a calculation fails or (SimulationStopped) the monitor stops it.
    OSError
        If ``run_dir`` cannot be written; what is there can be resumed.
    """
    refuse_unknown("run_nve", options, RunOptions)
    return run(atoms, plan_nve(temperature_K, keep_momenta), RunOptions(**options))


@takes(RunOptions)
def run_nvt(
    atoms: Atoms,
    *,
    temperature_K: float,
    temperature_end_K: float | None = None,
    thermostat: str = "bussi",
    time_constant_fs: float | None = None,
    keep_momenta: bool = False,
    **options: Unpack[RunKeywords],
) -> MDRecord:
    """Run dynamics at constant temperature and return its record.

    Parameters
    ----------
    atoms
        As in :func:`run_nve`.
    temperature_K
        Above 0. The mean kinetic energy per degree of freedom will be half kB times this.
    temperature_end_K
        Change the temperature from ``temperature_K`` to this, linearly in time over the whole run, which
        can then not be extended. Not with "nose-hoover", whose conserved energy is of one temperature.
    thermostat
        "bussi" (stochastic rescaling): samples the canonical ensemble and hardly disturbs the dynamics.
        "langevin" (BAOAB): friction and noise on every atom, overall motion included; the safe choice for
        what equilibrates slowly, but time correlations are those of a damped system.
        "nose-hoover": a chain of three, deterministic. Periodic or anchored structures only: it is
        not ergodic for a single molecule, which is refused.
    time_constant_fs
        Of the coupling; for "langevin" the inverse of the friction. By default 100 fs, and
        1000 fs for "langevin".
    keep_momenta
        Start with the momenta that ``atoms`` have, less their overall motion unless the thermostat is
        "langevin", instead of drawing them at ``temperature_K``.
    **options
        As in :func:`run_nve`.

    Raises
    ------
    ValueError, SimulationFailed, OSError
        As in :func:`run_nve`.
    """
    refuse_unknown("run_nvt", options, RunOptions)
    plan = plan_nvt(temperature_K, temperature_end_K, thermostat, time_constant_fs, keep_momenta)
    return run(atoms, plan, RunOptions(**options))


@takes(RunOptions)
def run_npt(
    atoms: Atoms,
    *,
    temperature_K: float,
    pressure_GPa: float = 0.0,
    full_cell: bool = False,
    time_constant_fs: float = TIME_CONSTANT_FS,
    pressure_time_constant_fs: float = PRESSURE_TIME_CONSTANT_FS,
    keep_momenta: bool = False,
    **options: Unpack[RunKeywords],
) -> MDRecord:
    """Run dynamics at constant temperature and pressure (Martyna, Tobias & Klein); return its record.

    Parameters
    ----------
    atoms
        Periodic in three directions, with a calculator that has a stress. They move and
        their cell changes, in place.
    temperature_K
        Of a Nosé-Hoover chain of three.
    pressure_GPa
        Of the barostat; a negative pressure pulls.
    full_cell
        Let the shape of the cell change too, not only the volume: for solids; a liquid would flow.
    time_constant_fs, pressure_time_constant_fs
        Of the chain and of the barostat.
    keep_momenta, **options
        As in :func:`run_nvt`.

    Raises
    ------
    ValueError, SimulationFailed, OSError
        As in :func:`run_nve`.
    """
    if "temperature_end_K" in options:
        raise ValueError(f"the barostat {NO_RAMP}")
    refuse_unknown("run_npt", options, RunOptions)
    plan = plan_npt(
        temperature_K,
        pressure_GPa,
        full_cell,
        time_constant_fs,
        pressure_time_constant_fs,
        keep_momenta,
    )
    return run(atoms, plan, RunOptions(**options))

"""Molecular dynamics that is recorded in full precision, resumes exactly and says when it fails."""

import math
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.verlet import VelocityVerlet

from ase_schnet.simulation.propagate import Recorder, SimulationFailed, propagate
from ase_schnet.simulation.record import MDRecord
from ase_schnet.simulation.rundir import RunDirectory
from ase_schnet.simulation.velocities import degrees_of_freedom, thermalise

__all__ = ["MDRecord", "SimulationFailed", "run_nve"]

#: Longest time step accepted; heavy atoms at room temperature allow about this.
MAX_TIMESTEP_FS = 10.0
#: A bond to hydrogen vibrates in 9 to 11 fs; more than a tenth of that is coarse.
MAX_HYDROGEN_TIMESTEP_FS = 1.0


def run_nve(
    atoms: Atoms,
    *,
    time_ps: float = 10.0,
    timestep_fs: float = 0.5,
    temperature_K: float | None = 300.0,
    run_dir: str | Path | None = None,
    record_every: int = 1,
    trajectory_every: int = 20,
    seed: int = 0,
    resume: bool = False,
    progress: bool | None = None,
) -> MDRecord:
    """Run constant-energy dynamics (velocity Verlet) and return its record.

    ``atoms`` move in place, as with all of ASE's dynamics, and end as the last frame.

    Parameters
    ----------
    atoms
        Any structure with any calculator.
    time_ps, timestep_fs
        Length of the run (ps) and of one step (fs).
    temperature_K
        Temperature of the drawn start velocities, exact over the degrees of freedom counted by
        :func:`~ase_schnet.simulation.velocities.degrees_of_freedom`. From a relaxed structure
        about half of it flows into potential energy within some 0.1 ps. None keeps the
        momenta that ``atoms`` have.
    run_dir
        Directory for the log, the trajectory and the restart point (see
        :mod:`~ase_schnet.simulation.rundir`). None keeps only the returned record.
    record_every, trajectory_every
        Steps between samples and between frames.
    seed
        Of the velocities.
    resume
        Continue the run in ``run_dir`` after an interrupt or a kill as if it had never stopped
        (start it, where there is none yet); a larger ``time_ps`` than before extends it.
    progress
        Show a progress bar; None shows it on a terminal only.

    Raises
    ------
    ValueError
        For arguments that make no run, a ``run_dir`` in use, or a resume with other settings.
    SimulationFailed
        If the run explodes or a calculation fails.
    """
    n_steps = _check_arguments(atoms, time_ps, timestep_fs, temperature_K)
    settings = {
        "ensemble": "nve",
        "timestep_fs": float(timestep_fs),
        "temperature_K": None if temperature_K is None else float(temperature_K),
        "seed": _whole("seed", seed, 0),
        "record_every": _whole("record_every", record_every, 1),
        "trajectory_every": _whole("trajectory_every", trajectory_every, 1),
    }
    directory = None if run_dir is None else RunDirectory(run_dir, settings, resume=resume)
    restart = None if directory is None else directory.restart
    if restart is None:
        n_dof = degrees_of_freedom(atoms)
        if temperature_K is not None:
            thermalise(atoms, temperature_K, seed)
    else:
        directory.check_start(atoms, n_steps, own_momenta=temperature_K is None)
        n_dof = directory.about["n_degrees_of_freedom"]
        restart.apply(atoms)
    recorder = Recorder(atoms, settings, n_dof)
    if directory is not None:
        about = {"time_ps": n_steps * timestep_fs / 1000, "n_degrees_of_freedom": n_dof}
        recorder.values.extend(directory.open(atoms, recorder.names, about).ravel())
    with VelocityVerlet(atoms, timestep_fs * units.fs) as dynamics:
        return propagate(dynamics, recorder, n_steps, directory, progress)


def _check_arguments(
    atoms: Atoms, time_ps: float, timestep_fs: float, temperature_K: float | None
) -> int:
    """Refuse what makes no run; return its number of steps."""
    if len(atoms) == 0:
        raise ValueError("there are no atoms to move")
    if atoms.calc is None:
        raise ValueError("the atoms have no calculator: set atoms.calc first")
    if not np.isfinite(atoms.positions).all():
        raise ValueError("the atoms have positions that are not finite")
    if len(atoms) > 1 and degrees_of_freedom(atoms) <= 0:
        raise ValueError("all atoms are held by constraints: nothing can move")
    if not 0 < timestep_fs <= MAX_TIMESTEP_FS:
        raise ValueError(f"timestep_fs must be above 0 and at most 10 fs, not {timestep_fs}")
    if temperature_K is not None and not 0 <= temperature_K < math.inf:
        raise ValueError(f"temperature_K must be 0 or more, not {temperature_K}")
    n_steps = round(1000 * time_ps / timestep_fs) if math.isfinite(time_ps) else 0
    if n_steps < 1:
        raise ValueError(f"time_ps must be at least one step of {timestep_fs} fs, not {time_ps} ps")
    light = (atoms.numbers == 1) & (atoms.get_masses() < 1.5)
    if timestep_fs > MAX_HYDROGEN_TIMESTEP_FS and light.any():
        warnings.warn(
            f"a step of {timestep_fs} fs is coarse for hydrogen, whose bonds vibrate in about "
            "10 fs; 0.5 fs is usual",
            stacklevel=3,
        )
    return n_steps


def _whole(name: str, value: int, smallest: int) -> int:
    if isinstance(value, (int, np.integer)) and value >= smallest:
        return int(value)
    raise ValueError(f"{name} must be a whole number of at least {smallest}, not {value!r}")

"""What the run of every ensemble has in common."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.arguments import whole
from ase_schnet.degrees_of_freedom import anchored, check_atoms
from ase_schnet.dynamics.arguments import (
    draws_momenta,
    number_of_steps,
    require_motion,
    warn_of_coarse_steps,
)
from ase_schnet.dynamics.integrators import NVE, Integrator
from ase_schnet.dynamics.loop import propagate
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.dynamics.velocities import remove_overall_motion
from ase_schnet.runs.monitor import StepMonitor
from ase_schnet.runs.record import MDRecord, target_temperature_K
from ase_schnet.runs.rundir import RunDirectory

#: eV; what is left when overall motion is removed from atoms that have no other.
AT_REST_EV = 1e-12


def run(
    atoms: Atoms,
    kind: type[Integrator],
    build: Callable[..., Integrator],
    physics: dict,
    *,
    time_ps: float = 10.0,
    timestep_fs: float = 0.5,
    run_dir: str | Path | None = None,
    record_every: int = 1,
    trajectory_every: int = 100,
    seed: int = 0,
    resume: bool = False,
    take_over: bool = False,
    progress: bool | None = None,
    monitor: StepMonitor | None = None,
) -> MDRecord:
    """Check, open the directory, start or go on, propagate.

    Parameters
    ----------
    kind, build
        Class of the integrator, and what makes one of it from atoms, timestep_fs, n_dof, rng.
    physics
        Settings of the ensemble: ``ensemble``, ``temperature_K`` and those of its integrator.

    The others are those of :func:`~ase_schnet.dynamics.md.run_nve`.
    """
    n_steps = number_of_steps(time_ps, timestep_fs)
    check_atoms(atoms)
    kind.check(atoms)
    warn_of_coarse_steps(atoms, timestep_fs, stacklevel=4)
    settings = physics | {
        "timestep_fs": float(timestep_fs),
        "seed": whole("seed", seed, 0),
        "record_every": whole("record_every", record_every, 1),
        "trajectory_every": whole("trajectory_every", trajectory_every, 1),
    }
    if "temperature_end_K" in settings:
        settings["ramp_time_ps"] = n_steps * settings["timestep_fs"] / 1000
    go = partial(_go, atoms, kind, build, settings, n_steps, monitor, progress)
    if run_dir is None:
        return go(None)
    with RunDirectory(run_dir, settings, resume=resume, take_over=take_over) as directory:
        return go(directory)


def _go(
    atoms: Atoms,
    kind: type[Integrator],
    build: Callable[..., Integrator],
    settings: dict,
    n_steps: int,
    monitor: StepMonitor | None,
    progress: bool | None,
    directory: RunDirectory | None,
) -> MDRecord:
    """From the start, or from where the run in the directory stopped, to the end."""
    restart = None if directory is None else directory.restart
    if restart is None:
        n_dof = kind.count_degrees_of_freedom(atoms)
        if settings["ensemble"] != "nve":
            require_motion(n_dof, "thermostat='langevin' moves it, or take a larger cell")
        set_momenta(atoms, kind, settings)
        begin = atoms
    else:
        directory.check_start(
            atoms, n_steps, None if draws_momenta(settings) else kept_momenta(atoms, kind)
        )
        n_dof = directory.about["n_degrees_of_freedom"]
        restart.apply(atoms)
        begin = directory.first_frame()
    rng = np.random.default_rng([settings["seed"], 1])  # not the stream of the velocities
    integrator = build(atoms, settings["timestep_fs"], n_dof, rng)
    if "temperature_end_K" in settings:
        integrator.ramp_K = partial(target_temperature_K, settings)
    if restart is not None:
        integrator.restore(restart.integrator)
    recorder = Recorder(integrator, settings, begin)
    if directory is not None:
        time_ps = n_steps * settings["timestep_fs"] / 1000
        about = {"time_ps": time_ps, "n_degrees_of_freedom": n_dof}
        recorder.values.extend(directory.open(atoms, recorder.names, about).ravel())
    with integrator.dynamics:
        return propagate(integrator, recorder, n_steps, directory, monitor, progress)


def set_momenta(atoms: Atoms, kind: type[Integrator], settings: dict) -> None:
    """Give ``atoms`` the momenta to begin with; ValueError where a thermostat would find none."""
    if draws_momenta(settings):
        kind.draw(atoms, settings["temperature_K"], settings["seed"])
        return
    atoms.set_momenta(kept_momenta(atoms, kind))
    if settings["ensemble"] != "nve" and atoms.get_kinetic_energy() < AT_REST_EV:
        raise ValueError(
            "nothing moves: the atoms have no momenta to keep, or only those of the whole; without "
            "keep_momenta=True they are drawn"
        )


def kept_momenta(atoms: Atoms, kind: type[Integrator]) -> NDArray:
    """The momenta (N, 3) with which a run that draws none begins."""
    start = atoms.copy()
    start.set_momenta(start.get_momenta())  # as far as constraints allow
    if kind is not NVE and kind.conserves_momentum and not anchored(start):
        remove_overall_motion(start)  # the thermostat does not count it
    return start.get_momenta()

"""Check what a run is asked for, open its directory, and bring the atoms into their first state."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.degrees_of_freedom import anchored, check_atoms
from ase_schnet.dynamics.arguments import draws_momenta, require_motion, warn_of_coarse_steps
from ase_schnet.dynamics.integrators import NVE, Integrator
from ase_schnet.dynamics.loop import Run, propagate
from ase_schnet.dynamics.plans import Plan
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.dynamics.velocities import remove_overall_motion
from ase_schnet.runs.identity import (
    another_structure,
    require_no_replicas,
    require_not_longer,
    require_same_constraints,
    require_same_elements,
    require_same_masses,
    require_same_repulsion,
)
from ase_schnet.runs.options import RunOptions
from ase_schnet.runs.provenance import describe_calculator, provenance
from ase_schnet.runs.record import MDRecord, target_temperature_K
from ase_schnet.runs.restart import State
from ase_schnet.runs.rundir import RunDirectory

#: eV; what is left when overall motion is removed from atoms that have no other.
AT_REST_EV = 1e-12
#: A resumed run whose first energy now differs by more has got another calculator.
RESUME_TOLERANCE_EV_PER_ATOM = 1e-3


def run(atoms: Atoms, plan: Plan, options: RunOptions) -> MDRecord:
    """Run one ensemble from the start, or from where the run in the directory stopped, to the end.

    Parameters
    ----------
    atoms
        With their calculator; they move.
    plan
        The ensemble.
    options
        Length, records, directory, monitor.

    Raises
    ------
    ValueError
        For atoms and settings that make no run, and a directory that holds another.
    """
    check(atoms, plan)
    warn_of_coarse_steps(atoms, options.timestep_fs, stacklevel=4)
    with begun(atoms, plan, options) as ready:
        return propagate(ready, options.progress)


def check(atoms: Atoms, plan: Plan) -> None:
    """Refuse atoms that an ensemble cannot move; ValueError."""
    check_atoms(atoms)
    plan.kind.check(atoms)


@contextmanager
def begun(
    atoms: Atoms, plan: Plan, options: RunOptions, state: State | None = None
) -> Iterator[Run]:
    """Bring the atoms into their first state, and hold the directory open.

    Parameters
    ----------
    atoms, plan, options
        As in `run`; they have been checked.
    state
        To go on from, in place of the restart point of the directory.
    """
    settings = plan.physics | options.settings()
    if "temperature_end_K" in settings:
        settings["ramp_time_ps"] = options.n_steps * settings["timestep_fs"] / 1000
    with ExitStack() as opened:
        directory = None
        if options.run_dir is not None:
            require_no_replicas(Path(options.run_dir))
            directory = RunDirectory(
                options.run_dir, settings, "ase", resume=options.resume, take_over=options.take_over
            )
            opened.enter_context(directory)
            directory.begin = directory.begin if state is None else state
        integrator, recorder = _begin(atoms, plan, settings, options, directory)
        opened.enter_context(integrator.dynamics)
        yield Run(integrator, recorder, options.n_steps, directory, options.monitor)


def _begin(
    atoms: Atoms, plan: Plan, settings: dict, options: RunOptions, directory: RunDirectory | None
) -> tuple[Integrator, Recorder]:
    kind, n_steps = plan.kind, options.n_steps
    state = None if directory is None else directory.begin
    if state is None:
        n_dof = kind.count_degrees_of_freedom(atoms)
        if settings["ensemble"] != "nve":
            require_motion(n_dof, "thermostat='langevin' moves it, or take a larger cell")
        set_momenta(atoms, kind, settings)
        first = atoms
    else:
        first = directory.first_frame()
        kept = None if draws_momenta(settings) else kept_momenta(atoms, kind)
        require_same_run(directory, first, atoms, kept)
        n_done = max(state.step, directory.n_logged)
        require_not_longer(directory.path, n_done, n_steps, settings["timestep_fs"])
        n_dof = directory.about["n_degrees_of_freedom"]
        state.apply(atoms)
    rng = np.random.default_rng([settings["seed"], 1])  # not the stream of the velocities
    integrator = kind(atoms, settings["timestep_fs"], n_dof, rng, **plan.parameters)
    if "temperature_end_K" in settings:
        integrator.ramp_K = partial(target_temperature_K, settings)
    if state is not None:
        integrator.restore(state.driver)
    recorder = Recorder(integrator, settings, first)
    if directory is not None:
        about = provenance(atoms, describe_calculator(atoms.calc)) | {
            "time_ps": n_steps * settings["timestep_fs"] / 1000,
            "n_degrees_of_freedom": n_dof,
        }
        recorder.values.extend(directory.open(recorder.names, about).ravel())
    return integrator, recorder


def require_same_run(
    directory: RunDirectory, first: Atoms, atoms: Atoms, kept_momenta: NDArray | None
) -> None:
    """Refuse atoms and calculators that are not those of the run in ``directory``.

    The structure must be where the run began or where it stopped, with the masses and constraints of
    then, and the calculator must still give the energy that it gave at the beginning.

    Parameters
    ----------
    directory
        With a state to go on from.
    first
        The atoms at step 0, with the energy of then.
    atoms
        Those at hand, with their calculator.
    kept_momenta
        (N, 3), with which the run would begin; None where it draws its own.

    Raises
    ------
    ValueError
        If they are others.
    """
    path, state = directory.path, directory.begin
    require_same_elements(path, first, atoms)
    known = [
        (first.positions, first.cell.array, first.get_momenta(), kept_momenta),
        (state.positions, state.cell, state.momenta, atoms.get_momenta()),
    ]
    if not any(
        np.array_equal(atoms.positions, positions)
        and np.array_equal(atoms.cell.array, cell)
        and (kept_momenta is None or np.array_equal(now, then))
        for positions, cell, then, now in known
    ):
        raise another_structure(path)
    require_same_masses(path, first, atoms)
    require_same_constraints(path, first, atoms)
    then_info = (directory.about.get("calculator") or {}).get("model_info")
    require_same_repulsion(path, then_info, describe_calculator(atoms.calc)["model_info"])
    then_eV, again = first.get_potential_energy(), first.copy()
    again.calc = atoms.calc
    now_eV = again.get_potential_energy()
    if not abs(now_eV - then_eV) <= RESUME_TOLERANCE_EV_PER_ATOM * len(first):
        raise ValueError(
            f"{path} holds a run with another calculator: its first energy was "
            f"{then_eV:.6f} eV, now it is {now_eV:.6f} eV"
        )


def set_momenta(atoms: Atoms, kind: type[Integrator], settings: dict) -> None:
    """Give ``atoms`` the momenta to begin with; ValueError where a thermostat has none to act on."""
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
    """Return the momenta (N, 3) with which a run begins that draws none."""
    start = atoms.copy()
    start.set_momenta(start.get_momenta())  # as far as constraints allow
    if kind is not NVE and kind.conserves_momentum and not anchored(start):
        remove_overall_motion(start)  # the thermostat does not count it
    return start.get_momenta()

"""Refuse to go on with a run with another driver, other settings, other atoms or another model."""

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io.jsonio import encode

from ase_schnet.runs.record import RUN_FILE, replicas_in
from ase_schnet.runs.restart import State

#: Who moves the atoms of a run -> the command that does.
DRIVERS = {"ase": "ase-schnet md", "lammps": "ase-schnet lammps"}

#: Name of LAMMPS's own restart file inside ours.
LAMMPS_STATE = "lammps"

#: What it means that a run's settings do not name one of these, such as those of an earlier version.
UNSAID = {"keep_momenta": False, "temperature_end_K": None, "exchange_every": None}

#: Relative. Tables of atomic masses are revised by less; isotopes differ by more.
MASS_TOLERANCE = 1e-4


def require_same_driver(path: Path, about: dict, begin: State | None, driver: str) -> None:
    """Raise ValueError where the run in ``path`` was made by another driver.

    ``about`` is its ``run.json``. A run of an earlier version does not name its driver; its state tells.
    """
    then = about.get("driver")
    if then is None and begin is not None:
        then = "lammps" if LAMMPS_STATE in begin.driver else "ase"
    if then is not None and then != driver:
        theirs = DRIVERS.get(then, then)
        raise ValueError(
            f"{path} holds a run of {theirs}, which {DRIVERS[driver]} cannot continue: go on with "
            f"{theirs}, or begin another from its last frame"
        )


def require_same_size(path: Path, about: dict, begin: State) -> None:
    """Raise ValueError where the files of the run in ``path`` are of different numbers of atoms."""
    n_atoms = about.get("n_atoms")
    if n_atoms != len(begin.positions):
        raise ValueError(
            f"{path} is damaged: its run.json is of {n_atoms} atoms, its restart.npz of "
            f"{len(begin.positions)}"
        )


def require_same_settings(then: dict, now: dict) -> None:
    """Raise ValueError that names the settings in which a run ``then`` and one ``now`` differ."""
    then = UNSAID | {"keep_momenta": not then.get("new_momenta", True)} | then
    now = UNSAID | now
    changed = [key for key in now if then.get(key) != now[key]]
    if changed:
        what = ", ".join(f"{key} was {then.get(key)!r}, now {now[key]!r}" for key in changed)
        if then["exchange_every"] and not now["exchange_every"]:
            what += " (it is part of a replica exchange, which only goes on as a whole)"
        raise ValueError(f"a run can only be resumed with its own settings: {what}")


def require_no_run(path: Path) -> None:
    """Raise ValueError where ``path``, in which replicas are to have directories, is itself that of a run."""
    if (path / RUN_FILE).exists():
        raise ValueError(f"{path} holds a run of its own: give the replicas another directory")


def require_no_replicas(path: Path) -> None:
    """Raise ValueError where ``path``, in which a run is to be, holds replicas."""
    if found := replicas_in(path):
        raise ValueError(
            f"{path} holds replicas, such as {found[0]}: those are gone on with by run_replicas "
            "(--replicas); give a single run another directory"
        )


def require_not_longer(path: Path, n_done: int, n_steps: int, timestep_fs: float) -> None:
    """Raise ValueError where the run in ``path`` has more steps than are asked for now."""
    if n_steps < n_done:
        done_ps = n_done * timestep_fs / 1000
        raise ValueError(
            f"the run in {path} is already {done_ps:g} ps long: ask for time_ps={done_ps:g} or more"
        )


def require_same_elements(path: Path, then: Atoms, now: Atoms) -> None:
    """Raise ValueError where the run in ``path`` has other elements or another periodicity."""
    if not (np.array_equal(then.numbers, now.numbers) and np.array_equal(then.pbc, now.pbc)):
        raise another_structure(path)


def another_structure(path: Path) -> ValueError:
    """Return the refusal of atoms that are not those of the run in ``path``."""
    return ValueError(f"{path} holds a run of another structure")


def require_same_masses(path: Path, then: Atoms, now: Atoms) -> None:
    """Raise ValueError that names the atoms with other masses than those of the run in ``path``."""
    before, after = then.get_masses(), now.get_masses()
    other = np.flatnonzero(~np.isclose(before, after, rtol=MASS_TOLERANCE, atol=0))
    if len(other):
        first = other[0]
        raise ValueError(
            f"{path} holds a run with other masses (atoms {other[:5].tolist()}): atom {first} had "
            f"{before[first]:.4f} amu, now it has {after[first]:.4f} amu. Give it the masses of the run, or "
            "begin a new run in another directory"
        )


def require_same_constraints(path: Path, then: Atoms, now: Atoms) -> None:
    """Raise ValueError where the run in ``path`` was made under other constraints than ``now`` has."""
    before, after = constraints_of(then), constraints_of(now)
    if before != after:
        raise ValueError(
            f"{path} holds a run with other constraints: it had {_told(before)}, now there are "
            f"{_told(after)}. Give the structure the constraints of the run, or begin a new run in another "
            "directory"
        )


def require_same_repulsion(path: Path, then: dict | None, now: dict | None) -> None:
    """Raise ValueError where the run in ``path`` was made with another repulsion.

    The repulsion changes nothing within the distances of training, so that the first energy, by which
    another calculator is noticed, does not tell.

    Parameters
    ----------
    path
        Run directory.
    then, now
        ``model_info`` of the run and of the calculator at hand; None where it tells nothing. A run that
        says nothing of a repulsion had none.
    """
    if then is None or now is None or "repulsion" not in now:
        return
    before = then.get("repulsion")
    if before != now["repulsion"]:
        raise ValueError(
            f"{path} holds a run with repulsion={before!r}, now it is {now['repulsion'] or 'none'}: give it "
            f"repulsion={before!r}, or begin a new run in another directory"
        )


def constraints_of(atoms: Atoms) -> list[str]:
    """Encode each constraint in one line, in an order that does not depend on that of the list."""
    return sorted(encode(constraint.todict()) for constraint in atoms.constraints)


def _told(constraints: list[str]) -> str:
    return "; ".join(f"{one[:100]} ..." if len(one) > 100 else one for one in constraints) or "none"

"""Predictions with their standard deviations as files: extended xyz, ASE's trajectories and databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import DatabaseError

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from ase.io.trajectory import TrajectoryWriter

from ase_schnet.files import replaced

#: What a model says beside ASE's own properties, one value or array for each structure or atom.
EXTRA = (
    *("energy_std", "forces_std", "stress_std", "dipole_std"),
    *("polarizability", "polarizability_std"),
)
SUFFIXES = (".extxyz", ".xyz", ".traj", ".db")
#: Of what a structure's `info` holds, what a database can store.
PLAIN = (str, bool, int, float, np.generic, np.ndarray)


def write_predictions(path: str | Path, frames: Atoms | Iterable[Atoms]) -> int:
    """Evaluate structures with their calculators and write energies, forces (stress) and standard deviations.

    ====================  ===========================================================================
    `.extxyz`, `.xyz`     `info["energy_std"]`, `arrays["forces_std"]`, `info["stress_std"]`
    `.traj`               `info["energy_std"]`, `info["forces_std"]`, `info["stress_std"]`
    `.db`                 `row.energy_std` to select by, `row.data.forces_std`, `row.data.stress_std`
    ====================  ===========================================================================

    Of a model with such parts also `dipole` (e·Å), under ASE's name, and as the others `dipole_std`,
    `polarizability` (3, 3) (e²Å²/eV) and `polarizability_std`. Energies and forces stand under ASE's names:
    whoever trains on such a file takes them for labels.

    One structure is held at a time. The file is written whole or, where something fails or Ctrl-C comes,
    left as it was.

    Parameters
    ----------
    path
        A file that exists is written over; structures are added to a database that exists.
    frames
        Structures with a calculator, such as `SchNetCalculator`; they stay as they are.

    Returns
    -------
    int
        The number of structures written.

    Raises
    ------
    ValueError
        For another kind of file, and a structure without calculator.
    """
    path, count = require_suffix(path), 0
    with _opened(path) as add:
        for atoms in [frames] if isinstance(frames, Atoms) else frames:
            add(*_predicted(atoms, count))
            count += 1
    return count


def require_suffix(path: str | Path) -> Path:
    """Refuse a file of a kind that predictions are not written to; ValueError."""
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: predictions are written to .extxyz, .xyz, .traj or .db")
    return path


@contextmanager
def _opened(path: Path) -> Iterator[Callable[[Atoms, dict], None]]:
    """What adds a structure with its results, and what ASE has no name for, to the file."""
    if path.suffix == ".db":
        try:
            with connect(path) as database:  # in one transaction
                yield lambda atoms, extra: _add_to_database(database, atoms, extra)
        except DatabaseError as error:
            raise ValueError(f"{path} is not a database that can be added to: {error}") from None
        return
    with replaced(path) as there:
        if path.suffix == ".traj":
            with TrajectoryWriter(there) as trajectory:
                yield lambda atoms, extra: trajectory.write(_with_info(atoms, extra))
        else:
            with there.open("w", encoding="utf-8") as file:
                yield lambda atoms, extra: write(file, _for_xyz(atoms, extra), format="extxyz")


def _add_to_database(database, atoms: Atoms, extra: dict) -> None:
    numbers = {k: v for k, v in extra.items() if np.ndim(v) == 0}
    info = {k: v for k, v in atoms.info.items() if isinstance(v, PLAIN)}
    database.write(atoms, key_value_pairs=numbers, data=info | extra)


def _for_xyz(atoms: Atoms, extra: dict) -> Atoms:
    atoms.arrays |= {k: v for k, v in extra.items() if k == "forces_std"}
    return _with_info(atoms, {k: v for k, v in extra.items() if k != "forces_std"})


def _with_info(atoms: Atoms, extra: dict) -> Atoms:
    atoms.info |= extra
    return atoms


def _predicted(atoms: Atoms, k: int) -> tuple[Atoms, dict]:
    """A copy that keeps its results, and what ASE has no name for."""
    if atoms.calc is None:
        raise ValueError(f"structure {k} has no calculator: set atoms.calc first")
    atoms.get_potential_energy()
    atoms.get_forces()
    for name in getattr(atoms.calc, "on_request", ()):  # a dipole, where there is one
        atoms.calc.get_property(name, atoms)
    results, copy = atoms.calc.results, atoms.copy()
    known = {name: results[name] for name in all_properties if name in results}
    copy.calc = SinglePointCalculator(copy, **known)
    return copy, {name: np.copy(results[name])[()] for name in EXTRA if name in results}

"""Files of predictions with standard deviations: extended xyz, ASE's trajectories and databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from sqlite3 import DatabaseError
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from ase.io.trajectory import TrajectoryWriter

from ase_schnet.applicability.calculator_parts import limits_of
from ase_schnet.files import replaced
from ase_schnet.results import EXTRA_RESULTS

#: Results beside ASE's own properties that are written: one value or array for each structure or atom.
WRITTEN = tuple(name for name in EXTRA_RESULTS if not name.endswith("_committee"))
PER_ATOM = ("forces_std", "forces_error")
SUFFIXES = (".extxyz", ".xyz", ".traj", ".db")
#: Types of values in a structure's ``info`` that a database can store.
PLAIN = (str, bool, int, float, np.generic, np.ndarray)


def write_predictions(path: str | Path, frames: Atoms | Iterable[Atoms]) -> int:
    """Evaluate structures with their calculators, write the results and return the number of structures.

    Energies, forces, stress and dipole are written under ASE's names. Training on such a file takes them for
    labels. The standard deviations, and the polarizability in e²Å²/eV, are written under these names:

    ======================  =========================================================================
    ``.extxyz``, ``.xyz``   ``info["energy_std"]``, ``arrays["forces_std"]``, ``info["stress_std"]``
    ``.traj``               ``info["energy_std"]``, ``info["forces_std"]``, ``info["stress_std"]``
    ``.db``                 ``row.energy_std``, ``row.data.forces_std``, ``row.data.stress_std``
    ======================  =========================================================================

    The error bars, ``energy_error``, ``forces_error`` and ``stress_error``, are written beside them if the
    model has them, and their level, ``error_level``, where ``energy_std`` is. ``dipole_std``,
    ``polarizability`` and ``polarizability_std`` of a model that has these property heads are in the same
    place as ``stress_std``.

    One structure is held in memory at a time. If an error or Ctrl-C ends the writing, the file remains as it
    was.

    Parameters
    ----------
    path
        An existing file is replaced; structures are added to an existing database.
    frames
        Structures with a calculator, such as `SchNetCalculator`. They are not changed.

    Raises
    ------
    ValueError
        The file has another suffix, or a structure has no calculator.
    """
    path, count = require_suffix(path), 0
    with _opened(path) as add:
        for atoms in [frames] if isinstance(frames, Atoms) else frames:
            add(*_predicted(atoms, count))
            count += 1
    return count


def require_suffix(path: str | Path) -> Path:
    """Return the path of a file of predictions.

    Raises
    ------
    ValueError
        The suffix is none of `SUFFIXES`.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: predictions are written to .extxyz, .xyz, .traj or .db")
    return path


@contextmanager
def _opened(path: Path) -> Iterator[Callable[[Atoms, dict], None]]:
    """Open the file, and give a function that adds a structure and its results beyond ASE's names."""
    if path.suffix == ".db":
        try:
            database: Any = connect(path)  # the base class that ASE declares is no context manager
            with database:  # in one transaction
                yield lambda atoms, extra: _add_to_database(database, atoms, extra)
        except DatabaseError as error:
            raise ValueError(f"cannot add structures to the database {path}: {error}") from None
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
    info = {k: v.item() if isinstance(v, np.generic) else v for k, v in info.items()}
    database.write(atoms, key_value_pairs=numbers, data=info | extra)


def _for_xyz(atoms: Atoms, extra: dict) -> Atoms:
    atoms.arrays |= {k: v for k, v in extra.items() if k in PER_ATOM}
    return _with_info(atoms, {k: v for k, v in extra.items() if k not in PER_ATOM})


def _with_info(atoms: Atoms, extra: dict) -> Atoms:
    atoms.info |= extra
    return atoms


def _predicted(atoms: Atoms, k: int) -> tuple[Atoms, dict]:
    """Return a copy of an evaluated structure with ASE's results, and the results beyond ASE's names."""
    if atoms.calc is None:
        raise ValueError(f"structure {k} has no calculator: set atoms.calc first")
    atoms.get_potential_energy()
    atoms.get_forces()
    for name in getattr(atoms.calc, "on_request", ()):  # the property heads
        atoms.calc.get_property(name, atoms)
    results, copy = atoms.calc.results, atoms.copy()
    known = {name: results[name] for name in all_properties if name in results}
    copy.calc = SinglePointCalculator(copy, **known)
    extra = {name: np.copy(results[name])[()] for name in WRITTEN if name in results}
    level = (limits_of(atoms.calc) or {}).get("error_level")
    if level is not None and any(name.endswith("_error") for name in extra):
        extra["error_level"] = level
    return copy, extra

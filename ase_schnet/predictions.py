"""Files of predictions with standard deviations: extended xyz, npz, ASE's trajectories and databases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from sqlite3 import DatabaseError
from types import SimpleNamespace
from typing import Any

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io.extxyz import write_extxyz
from ase.io.trajectory import TrajectoryWriter

from ase_schnet.applicability.calculator_parts import limits_of
from ase_schnet.data.npz_frames import NpzFrames
from ase_schnet.results import ERRORS, EXTRA_RESULTS, STRESS_ERRORS, Results
from ase_schnet.runtime.files import replaced, where_written
from ase_schnet.structures.old_results import info_for_results, without_results
from ase_schnet.units import PACKAGE_UNITS

#: Results beside ASE's own properties that are written: one value or array for each structure or atom.
WRITTEN = tuple(name for name in EXTRA_RESULTS if not name.endswith("_committee"))
ERROR_BARS = frozenset((*ERRORS, *STRESS_ERRORS))
PER_ATOM = ("forces_std", "forces_error")
SUFFIXES = (".extxyz", ".xyz", ".npz", ".traj", ".db")
#: Receives a structure, its results by name, and those of `WRITTEN`.
Add = Callable[[Atoms, Mapping, dict], None]
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
    ``.npz``                ``E_std``, ``F_std``; only molecules of the same atoms, see below
    ======================  =========================================================================

    The error bars, ``energy_error``, ``forces_error`` and ``stress_error``, are written beside them if the
    model has them, and their level, ``error_level``, where ``energy_std`` is. ``dipole_std``,
    ``polarizability`` and ``polarizability_std`` of a model that has these property heads are in the same
    place as ``stress_std``.

    An ``.npz`` file has the arrays of MD17: ``z`` (N,), ``R`` (S, N, 3) in Å, ``E`` (S,) in eV and ``F``
    (S, N, 3) in eV/Å; besides ``E_std``, ``F_std``, ``E_error``, ``F_error`` and ``error_level`` as far as
    the model has them, and ``frame_in_file`` if ``info`` has it.

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
        The file has another suffix, there are no structures, or one has no calculator.
    """
    given = [frames] if isinstance(frames, Atoms) else frames
    return write_results(path, (_predicted(atoms, k) for k, atoms in enumerate(given)))


def write_results(
    path: str | Path, predicted: Iterable[tuple[Atoms, Mapping, float | None]]
) -> int:
    """Write structures with results that are already known; see `write_predictions`.

    Parameters
    ----------
    path
        File to write.
    predicted
        Structures, their results by name, and the level of the error bars, if there are any.
    """
    path, count = require_suffix(path), 0
    with _opened(path) as add:
        for atoms, results, level in predicted:
            known = results.all_names() if isinstance(results, Results) else results
            extra = {name: np.copy(results[name])[()] for name in WRITTEN if name in known}
            if level is not None and not ERROR_BARS.isdisjoint(extra):
                extra["error_level"] = level
            add(atoms, results, extra)
            count += 1
        if not count:  # what lies there already remains
            raise ValueError(f"{path}: there are no structures to write")
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
        raise ValueError(f"{path}: predictions are written to .extxyz, .xyz, .npz, .traj or .db")
    return path


@contextmanager
def _opened(path: Path) -> Iterator[Add]:
    """Open the file, and give a function that adds a structure and its results."""
    if path.suffix == ".db":
        with _database(path) as add:
            yield add
        return
    with replaced(path) as there:
        if path.suffix == ".npz":
            with NpzFrames(there, path) as arrays:
                yield lambda atoms, results, extra: arrays.add(atoms, _as_md17(results, extra))
        elif path.suffix == ".traj":
            with TrajectoryWriter(there) as trajectory:
                yield lambda atoms, results, extra: trajectory.write(
                    _with_info(_with_results(atoms, results), extra)
                )
        else:
            with there.open("w", encoding="utf-8") as file:
                yield lambda atoms, results, extra: write_extxyz(
                    file, [_for_xyz(atoms, results, extra)]
                )


@contextmanager
def _database(path: Path) -> Iterator[Add]:
    """Open a database for one transaction; a new one is removed if that fails."""
    path = where_written(path)
    new = not path.exists()
    try:
        database: Any = connect(path)  # the base class that ASE declares is no context manager
        with database:
            yield lambda atoms, results, extra: _add_to_database(
                database, _with_results(atoms, results), extra
            )
    except BaseException as error:
        if new:
            path.unlink(missing_ok=True)
        if isinstance(error, DatabaseError):
            text = f"cannot add structures to the database {path}: {error}"
            raise ValueError(text) from None
        raise


def _add_to_database(database, atoms: Atoms, extra: dict) -> None:
    numbers = {k: v for k, v in extra.items() if np.ndim(v) == 0}
    info = {k: v for k, v in atoms.info.items() if isinstance(v, PLAIN)}
    info = {k: v.item() if isinstance(v, np.generic) else v for k, v in info.items()}
    database.write(atoms, key_value_pairs=numbers, data=info | extra)


def _for_xyz(atoms: Atoms, results: Mapping, extra: dict) -> Atoms:
    """Return a structure with its results for ASE's writer, which copies it; arrays are shared."""
    view = copy(atoms)
    view.arrays = without_results(atoms.arrays)
    view.arrays |= {k: v for k, v in extra.items() if k in PER_ATOM}
    view.info = info_for_results(atoms.info, str(PACKAGE_UNITS))
    view.info |= {k: v for k, v in extra.items() if k not in PER_ATOM}
    view.calc = SimpleNamespace(results=_known_to_ase(results))
    return view


def _with_info(atoms: Atoms, extra: dict) -> Atoms:
    atoms.info |= extra
    return atoms


def _with_results(atoms: Atoms, results: Mapping) -> Atoms:
    """Return a copy of a structure with those results that have a name in ASE."""
    mine = atoms.copy()
    mine.info = info_for_results(mine.info, str(PACKAGE_UNITS))
    mine.calc = SinglePointCalculator(mine, **_known_to_ase(results))
    return mine


def _known_to_ase(results: Mapping) -> dict:
    known = results.keys()
    return {name: results[name] for name in all_properties if name in known}


def _as_md17(results: Mapping, extra: dict) -> dict:
    """Return the values of a structure under the names of an npz file."""
    names = {"E": "energy", "F": "forces", "E_std": "energy_std", "F_std": "forces_std"}
    names |= {"E_error": "energy_error", "F_error": "forces_error"}
    known = {**extra, "energy": results["energy"], "forces": results["forces"]}
    return {key: known[name] for key, name in names.items() if name in known} | {
        name: extra[name] for name in ("error_level",) if name in extra
    }


def _predicted(atoms: Atoms, k: int) -> tuple[Atoms, Mapping, float | None]:
    """Return an evaluated structure, its results, and the level of its error bars."""
    if atoms.calc is None:
        raise ValueError(f"structure {k} has no calculator: set atoms.calc first")
    atoms.get_potential_energy()
    atoms.get_forces()
    for name in getattr(atoms.calc, "on_request", ()):  # the property heads
        atoms.calc.get_property(name, atoms)
    return atoms, atoms.calc.results, (limits_of(atoms.calc) or {}).get("error_level")

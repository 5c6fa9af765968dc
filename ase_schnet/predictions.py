"""Predictions with their standard deviations as files: extended xyz, ASE's trajectories and databases."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import write
from ase.io.trajectory import TrajectoryWriter

#: What a model says beside ASE's own properties, one value or array for each structure or atom.
STDS = ("energy_std", "forces_std", "stress_std", "dipole_std")


def write_predictions(path: str | Path, frames: Atoms | Iterable[Atoms]) -> int:
    """Evaluate structures with their calculators and write energies, forces (stress) and standard deviations.

    ====================  ===========================================================================
    `.extxyz`, `.xyz`     `info["energy_std"]`, `arrays["forces_std"]`, `info["stress_std"]`
    `.traj`               `info["energy_std"]`, `info["forces_std"]`, `info["stress_std"]`
    `.db`                 `row.energy_std` to select by, `row.data.forces_std`, `row.data.stress_std`
    ====================  ===========================================================================

    Energies and forces stand under ASE's names: whoever trains on such a file takes them for labels.

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
    path = Path(path)
    if path.suffix not in (".xyz", ".extxyz", ".traj", ".db"):
        raise ValueError(f"{path}: predictions are written to .extxyz, .xyz, .traj or .db")
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    predicted = [_predicted(atoms, k) for k, atoms in enumerate(frames)]
    if path.suffix == ".db":
        with connect(path) as database:
            for atoms, stds in predicted:
                energy_std = {k: v for k, v in stds.items() if np.ndim(v) == 0}
                database.write(atoms, key_value_pairs=energy_std, data=stds)
    elif path.suffix == ".traj":
        with TrajectoryWriter(path) as trajectory:
            for atoms, stds in predicted:
                atoms.info |= stds
                trajectory.write(atoms)
    else:
        for atoms, stds in predicted:
            per_atom = {k: stds.pop(k) for k in list(stds) if k == "forces_std"}
            atoms.arrays |= per_atom
            atoms.info |= stds
        write(path, [atoms for atoms, _ in predicted], format="extxyz")
    return len(predicted)


def _predicted(atoms: Atoms, k: int) -> tuple[Atoms, dict]:
    """A copy that keeps its results, and their standard deviations."""
    if atoms.calc is None:
        raise ValueError(f"structure {k} has no calculator: set atoms.calc first")
    atoms.get_potential_energy()
    atoms.get_forces()
    results, copy = atoms.calc.results, atoms.copy()
    known = {name: results[name] for name in all_properties if name in results}
    copy.calc = SinglePointCalculator(copy, **known)
    return copy, {name: np.copy(results[name])[()] for name in STDS if name in results}

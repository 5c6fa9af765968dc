"""Find labels that contradict each other, and say what they look like, before a model is trained on them.

A model trained on such labels reports small errors, because the labels that test it have the same fault.
"""

from __future__ import annotations

import math

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ase_schnet.data._stress_checks import stress_contradictions
from ase_schnet.data.agreement import Agreement, agreement, groups_of_frames
from ase_schnet.data.dataset import Dataset
from ase_schnet.units import ENERGY_UNITS, LENGTH_UNITS, parse_units

FACTOR = math.sqrt(1.0 / LENGTH_UNITS["Bohr"])
"""1.37. The two units of force nearest to each other differ by 1.89 (Å and Bohr). A ratio beyond the square
root of that is nearer to a wrong unit than to 1."""
NAMED_WITHIN = 1.2  # times a ratio of two units: wider than the error of the estimate
RESULTANT = 0.05  # of the sum of absolute forces in one direction: more than rounding leaves
SHOWN = 5

_NM = 10.0  # Å; OpenMM and GROMACS write kJ/mol/nm


def label_contradictions(dataset: Dataset, forces: bool = True) -> list[str]:
    """Return a sentence for each kind of labels of `dataset` that cannot be true together.

    Three things are checked: energies against forces where there are near pairs of structures (see
    `agreement`), forces that are exactly zero in every frame, and the size and sign of stresses.

    Parameters
    ----------
    dataset
        Labels to check.
    forces
        False leaves out the checks of forces, for a training without them.
    """
    return _checked(dataset, forces)[0]


def refuse_contradictions(dataset: Dataset, forces: bool = True, name: str = "") -> str | None:
    """Raise ValueError if labels of `dataset` contradict each other; the message names them and the cure.

    Parameters
    ----------
    dataset
        Labels to check.
    forces
        False leaves out the checks of forces.
    name
        Name of the file, for the message.

    Returns
    -------
    str or None
        A line that says how well energies and forces agree; None where one of them is missing.
    """
    found, together = _checked(dataset, forces)
    if found:
        raise ValueError(
            f"{name}{': ' * bool(name)}{'; '.join(found)}. To train nevertheless, "
            "allow_contradictions=True (--allow-contradictions)"
        )
    if not forces or dataset.E is None or dataset.F is None:
        return None
    if together is None:
        return (
            "energies against forces: could not be checked (too few structures near each other, too far from "
            "a straight path, or energies and forces that do not belong together)"
        )
    return (
        f"energies against forces: dE is {together.ratio:.2f} of the work of the forces "
        f"({together.low:.2f} to {together.high:.2f}, {together.n_pairs} pairs of structures; 1 is right)"
    )


def _checked(dataset: Dataset, forces: bool) -> tuple[list[str], Agreement | None]:
    found = stress_contradictions(dataset)
    if not forces or dataset.F is None:
        return found, None
    frozen = _zeroed_atoms(dataset)
    if frozen:
        return [frozen, *found], None  # the work of the missing forces is missing
    if not dataset.F.any():
        nothing = _nothing_does_work(dataset)
        return (found if nothing is None else [nothing, *found]), None
    together = agreement(dataset)
    said = None if together is None else _disagreement(together, dataset.units)
    return (found if said is None else [said, *found]), together


def _disagreement(together: Agreement, units: str) -> str | None:
    """Say what is wrong if the whole interval of the ratio lies outside 1/FACTOR to FACTOR; else None."""
    low, high = sorted((together.low, together.high))
    if high >= 1.0 / FACTOR and low <= FACTOR:
        return None
    looks = _looks_like(together.ratio, units)
    return (
        f"energies and forces contradict each other: over {together.n_pairs} pairs of structures near each "
        f"other the energies differ by {together.ratio:.3g} ({low:.3g} to {high:.3g}) times the work of "
        f"the forces, where 1 is right; {looks}"
    )


def _looks_like(ratio: float, units: str) -> str:
    """Name the units or the sign that explain the ratio, and the cure."""
    size = abs(ratio)
    minus = "gradients in " if ratio < 0 else ""
    if 1.0 / FACTOR < size < FACTOR:
        return "the forces look like gradients: change their sign"
    try:
        stated = parse_units(units)
    except ValueError:  # of a `Rescaling`, or of a user's own data set
        return f"were energies, forces and positions all converted ({units})?"
    found = []  # logarithm of the remaining ratio, text
    for name, value in _force_units().items():
        off = abs(math.log(size * stated.forces_to_eV_per_Ang / value))
        found.append((off, f"the forces look like {minus}{name}"))
    if ratio > 0:
        for name, value in ENERGY_UNITS.items():
            off = abs(math.log(stated.energy_to_eV / size / value))
            found.append((off, f"the energies look like {name}"))
        for name, value in LENGTH_UNITS.items():
            off = abs(math.log(stated.length_to_Ang * size / value))
            found.append((off, f"the positions look like {name}"))
    near = [words for off, words in sorted(found) if off < math.log(NAMED_WITHIN)][:2]
    if not near:
        return (
            f"no unit explains this ratio (the file was read as {stated}): are energies and forces from the "
            "same calculation?"
        )
    cure = "convert them in the file"
    if ratio > 0 and near[0].endswith("/Bohr"):  # the ratio tells the length, not the energy
        unit = near[0].removeprefix("the forces look like ")
        cure = (
            f"units='{stated.energy}, {stated.length}, {unit}', or for codes that write Hartree "
            "units='Hartree, Ang, Hartree/Bohr'"
        )
    return f"{' or '.join(near)} (the file was read as {stated}): {cure}"


def units_of_force(size: float) -> list[str]:
    """Return the names of units of force that are about `size` eV/Å large, the nearest first."""
    off = {name: abs(math.log(size / value)) for name, value in _force_units().items()}
    return sorted((name for name in off if off[name] < math.log(NAMED_WITHIN)), key=off.get)


def _force_units() -> dict[str, float]:
    """Return the eV/Å per unit of force, by name."""
    lengths = {**LENGTH_UNITS, "nm": _NM}
    return {
        f"{energy}/{length}": of_energy / of_length
        for energy, of_energy in ENERGY_UNITS.items()
        for length, of_length in lengths.items()
        if length != "nm" or energy == "kJ/mol"
    }


def _zeroed_atoms(dataset: Dataset) -> str | None:
    """Name atoms with force components that are zero in every frame, if the other forces do not cancel.

    A force may be zero by symmetry too, but then the forces on the other atoms cancel.
    """
    for members in groups_of_frames(dataset).values():
        n = int(dataset.n_atoms[members[0]])
        atoms = dataset.ptr[members][:, None] + np.arange(n)
        forces = dataset.F[atoms]  # (K, N, 3)
        counts = np.ones(forces.shape, dtype=bool)
        if dataset.force_mask is not None:
            counts = dataset.force_mask[atoms]
        if len(members) < 2 or not counts.any():
            continue
        zero = (forces == 0.0).all(axis=0) & counts.any(axis=0)  # (N, 3)
        resultant = np.abs(forces.sum(axis=1)).mean(axis=0)  # (3,)
        sizes = np.abs(forces).sum(axis=(0, 1)) / np.maximum((forces != 0.0).sum(axis=(0, 1)), 1)
        missed = resultant > RESULTANT * sizes
        odd = np.flatnonzero((zero & missed).any(axis=1))
        if len(odd):
            numbers = dataset.Z[atoms[0]]
            return _named(odd, numbers, len(members))
    return None


def _named(odd: NDArray, numbers: NDArray, n_frames: int) -> str:
    shown = ", ".join(f"{k} ({chemical_symbols[numbers[k]]})" for k in odd[:SHOWN])
    more = f" and {len(odd) - SHOWN} more" if len(odd) > SHOWN else ""
    return (
        f"the forces on atoms {shown}{more} are exactly zero in all {n_frames} structures of these "
        f"{len(numbers)} atoms, and those on the others do not cancel: forces on frozen atoms were removed. "
        "Mark these atoms by a column move_mask or force_mask in the file, a FixAtoms constraint, or "
        "--mask-key NAME; or add the forces on them"
    )


def _nothing_does_work(dataset: Dataset) -> str | None:
    """Say that all forces are zero, if the energies of the same atoms differ; else None."""
    if dataset.E is None:
        return None
    for members in groups_of_frames(dataset).values():
        spread = float(np.ptp(dataset.E[members]))
        if len(members) > 1 and spread > 1e-6 * np.abs(dataset.E[members]).max():
            return (
                f"all forces are zero, while the energies of {len(members)} structures of the same atoms "
                f"differ by up to {spread:.3g} eV: train without them (--forces-weight 0) or add the forces"
            )
    return None

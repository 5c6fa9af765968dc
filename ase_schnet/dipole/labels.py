"""Labels of dipoles and polarizabilities, with checks of all that can be wrong with them."""

from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np
from ase import units
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.dipole.basis import VOIGT
from ase_schnet.dipole.rpr import RANKS
from ase_schnet.units import DIPOLE_UNITS

ORIGINS = ("centre of mass", "coordinate origin")
UNITS_OF_LABELS = {
    "dipole": DIPOLE_UNITS,
    "polarizability": {  # as volumes, times 4πε0 = e²/(14.4 eV Å)
        "e^2*Ang^2/eV": 1.0,
        "Bohr^3": units.Bohr**2 / units.Hartree,
        "Ang^3": 1 / (units.Hartree * units.Bohr),
    },
}
"""e·Å, or e²Å²/eV, per unit."""
# Largest deviation of a ratio from that of two units; smallest correlation of values of one molecule.
SAME_UNIT, ALIKE = 0.03, 0.95
# |dipole| of a neutral molecule over its length, e: below 0.5 for molecules such as HF, 1 for an ion pair
SUSPECT, TOO_LARGE = 0.5, 1.0


def one_molecule(dataset: Dataset, quantity: str) -> tuple[NDArray, NDArray]:
    """Return atomic numbers (N,) and positions (S, N, 3). Raises ValueError for several molecules."""
    if quantity not in RANKS:
        raise ValueError(f"no model of {quantity!r}: known are {', '.join(RANKS)}")
    if dataset.pbc.any():
        raise ValueError(
            f"structure {dataset.pbc.any(axis=1).argmax()} is periodic; its {quantity} depends on the "
            "choice of the cell: set pbc to False if it is a molecule in a box"
        )
    n = dataset.n_atoms[0]
    different = np.flatnonzero(dataset.n_atoms != n)
    if not len(different):
        table = dataset.Z.reshape(len(dataset), n)
        different = np.flatnonzero((table != table[0]).any(axis=1))
    if len(different):
        first, other = (
            "".join(chemical_symbols[z] for z in dataset.atoms(k).numbers)
            for k in (0, different[0])
        )
        raise ValueError(
            f"structure {different[0]} has atoms {other}, structure 0 {first}: a model is for one "
            "molecule with its atoms in one order; divide the data or reorder the atoms"
        )
    return dataset.Z[:n].copy(), dataset.R.reshape(len(dataset), n, 3)


def labels_of(
    dataset: Dataset,
    positions: NDArray,
    numbers: NDArray,
    quantity: str,
    charge: int,
    labels_about: str | None,
) -> NDArray:
    """Return dipoles about the centre of mass (S, 3), e·Å, or polarizabilities (S, 6), e²Å²/eV.

    Raises
    ------
    ValueError
        If labels are missing, or for an ion without the origin of its dipoles.
    """
    values = getattr(dataset, quantity)
    missing = (
        len(dataset)
        if values is None
        else int(np.isnan(values.reshape(len(values), -1)[:, 0]).sum())
    )
    if values is None or missing:
        raise ValueError(
            f"{quantity} found in {len(dataset) - missing}/{len(dataset)} structures: "
            "label every structure or drop those without"
        )
    if quantity == "polarizability":
        return values[:, VOIGT[0], VOIGT[1]]
    if charge == 0:
        return values
    if labels_about not in ORIGINS:
        raise ValueError(
            f"the dipole of an ion (charge {charge:+d}) depends on the origin: give the origin of "
            f"those in the data, labels_about={' or '.join(map(repr, ORIGINS))}"
        )
    if labels_about == "centre of mass":
        return values
    masses = atomic_masses[numbers]
    return values - charge * (masses @ positions / masses.sum())


def check_charge(dataset: Dataset, charge: int) -> None:
    """Raise ValueError for a structure with another charge."""
    if dataset.charge is None:
        return
    other = np.flatnonzero(~np.isnan(dataset.charge) & (dataset.charge != charge))
    if len(other):
        its = dataset.charge[other[0]]
        raise ValueError(
            f"structure {other[0]} has charge {its:+g}, not {charge:+d}: give charge={its:g}, or "
            "correct the file"
        )


def misread_ratios(quantity: str) -> dict[tuple[str, str], float]:
    """Return by which factor labels in the first unit are too large when they are read in the second."""
    known = UNITS_OF_LABELS[quantity]
    return {(true, read): known[read] / known[true] for true, read in permutations(known, 2)}


def misread(values: NDArray, known: NDArray, quantity: str) -> tuple[str, str, float] | None:
    """Return the true unit of `values`, the unit that they were read in, and the ratio; None if they agree.

    Parameters
    ----------
    values
        Labels or predictions.
    known
        Correct values of the same shape, up to differences of method.
    quantity
        "dipole" or "polarizability".
    """
    product, own, its = np.vdot(values, known), np.vdot(known, known), np.vdot(values, values)
    if product > ALIKE * np.sqrt(own * its) > 0:
        for units, ratio in misread_ratios(quantity).items():
            if abs(product / own / ratio - 1) < SAME_UNIT:
                return *units, product / own
    return None


def check_size(dipoles: NDArray, positions: NDArray, charge: int) -> None:
    """Raise ValueError for dipoles that are larger than a whole charge times the length of the molecule.

    Parameters
    ----------
    dipoles
        About the centre of mass, (S, 3) e·Å.
    positions
        (S, N, 3) Å.
    charge
        Total charge, e.

    Warns
    -----
    UserWarning
        Above half a charge: a neutral molecule is an ion pair then, or its labels are in another unit.
    """
    distances = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    length = np.median(distances.max(axis=(1, 2)))
    size = np.median(np.linalg.norm(dipoles, axis=1))
    seen = f"dipoles of {size:.3g} e·Å (median) in a molecule {length:.3g} Å long are"
    cure = "if they are in Debye, give units='eV, Ang, Debye', if in atomic units, units='eV, Ang, e*Bohr'"
    if charge:
        cure += ", if about the coordinate origin, labels_about='coordinate origin'"
    if size > (TOO_LARGE + abs(charge)) * length:
        raise ValueError(
            f"{seen} larger than a whole charge moved from end to end: {cure}; trust_labels=True "
            "accepts them as they are"
        )
    if charge == 0 and size > SUSPECT * length:
        warnings.warn(
            f"{seen} larger than half a charge moved from end to end, as in ion pairs and zwitterions: "
            f"{cure}",
            stacklevel=4,
        )

"""What a dipole or polarizability is fitted to, after all that can be wrong with structures and labels."""

from __future__ import annotations

import warnings
from itertools import permutations

import numpy as np
from ase import units
from ase.data import atomic_masses, chemical_symbols

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
# By so much may a ratio differ from that of two units; values of one molecule correlate at least so well.
SAME_UNIT, ALIKE = 0.03, 0.95
# |dipole| of a neutral molecule over its length, e: HF 0.41, HCN 0.28, water 0.26; NaCl 0.8, full ions 1
SUSPECT, TOO_LARGE = 0.5, 1.0


def one_molecule(dataset: Dataset, quantity: str) -> tuple[np.ndarray, np.ndarray]:
    """Atomic numbers (N,) and positions (S, N, 3), after all that can be wrong with the structures."""
    if quantity not in RANKS:
        raise ValueError(f"no model of {quantity!r}: it is one of {', '.join(RANKS)}")
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
            f"structure {different[0]} has atoms {other}, structure 0 {first}: a model is of one "
            "molecule with its atoms in one order; divide the data or reorder the atoms"
        )
    return dataset.Z[:n].copy(), dataset.R.reshape(len(dataset), n, 3)


def labels_of(
    dataset: Dataset,
    positions: np.ndarray,
    numbers: np.ndarray,
    quantity: str,
    charge: int,
    labels_about: str | None,
) -> np.ndarray:
    """(S, 3) about the centre of mass, or (S, 6)."""
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
            f"the dipole of an ion (charge {charge:+d}) depends on the origin: say what those of the data "
            f"are about, labels_about={' or '.join(map(repr, ORIGINS))}"
        )
    if labels_about == "centre of mass":
        return values
    masses = atomic_masses[numbers]
    return values - charge * (masses @ positions / masses.sum())


def check_charge(dataset: Dataset, charge: int) -> None:
    """Raise ValueError for a structure that says another charge of itself."""
    if dataset.charge is None:
        return
    other = np.flatnonzero(~np.isnan(dataset.charge) & (dataset.charge != charge))
    if len(other):
        its = dataset.charge[other[0]]
        raise ValueError(
            f"structure {other[0]} says that its charge is {its:+g}, not {charge:+d}: say charge={its:g}, or "
            "correct the file"
        )


def misread_ratios(quantity: str) -> dict[tuple[str, str], float]:
    """How many times too large labels are that are in the first unit and were read as in the second."""
    known = UNITS_OF_LABELS[quantity]
    return {(true, read): known[read] / known[true] for true, read in permutations(known, 2)}


def misread(values: np.ndarray, known: np.ndarray, quantity: str) -> tuple[str, str, float] | None:
    """The unit that `values` are in, that which they were read in, and the ratio; None where all is well.

    known : what they should be, of the same shape, up to differences of method.
    """
    product, own, its = np.vdot(values, known), np.vdot(known, known), np.vdot(values, values)
    if product > ALIKE * np.sqrt(own * its) > 0:
        for units, ratio in misread_ratios(quantity).items():
            if abs(product / own / ratio - 1) < SAME_UNIT:
                return *units, product / own
    return None


def check_size(dipoles: np.ndarray, positions: np.ndarray, charge: int) -> None:
    """Refuse dipoles (S, 3) e·Å about the centre of mass beyond a whole charge across the molecule.

    Beyond half a charge a neutral molecule is an ion pair, or its labels are in another unit: a warning.
    positions : (S, N, 3) Å.
    """
    distances = np.linalg.norm(positions[:, :, None] - positions[:, None], axis=-1)
    length = np.median(distances.max(axis=(1, 2)))
    size = np.median(np.linalg.norm(dipoles, axis=1))
    seen = f"dipoles of {size:.3g} e·Å (median) in a molecule {length:.3g} Å long are"
    cure = "if they are in Debye, say units='eV, Ang, Debye', if in atomic units, units='eV, Ang, e*Bohr'"
    if charge:
        cure += ", if about the coordinate origin, labels_about='coordinate origin'"
    if size > (TOO_LARGE + abs(charge)) * length:
        raise ValueError(
            f"{seen} more than a whole charge moved across it: {cure}; trust_labels=True takes "
            "them as they are"
        )
    if charge == 0 and size > SUSPECT * length:
        warnings.warn(
            f"{seen} more than half a charge moved across it, as of ion pairs and zwitterions: {cure}",
            stacklevel=4,
        )

"""Observables of a structure, to be averaged over the frames of a run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms, units
from ase.geometry.rdf import get_rdf
from numpy.typing import NDArray

from ase_schnet.arguments import positive, whole

#: g/cm³ of one amu/Å³.
GRAM_PER_CM3 = units._amu * 1e3 / 1e-24


def volume(atoms: Atoms) -> float:
    """Return the volume of the cell, Å³; ValueError without a cell."""
    if atoms.cell.rank < 3 or not atoms.pbc.all():
        raise ValueError("the structure has no periodic cell, so there is no volume and no density")
    return float(atoms.cell.volume)


def density(atoms: Atoms) -> float:
    """Return the mass density, g/cm³; ValueError without a cell."""
    return float(atoms.get_masses().sum()) / volume(atoms) * GRAM_PER_CM3


def rdf(r_max: float, n_bins: int = 100) -> Callable[[Atoms], NDArray]:
    """Return the function of a structure that is its radial distribution function, (n_bins,).

    Parameters
    ----------
    r_max
        Largest distance, Å; at most half of the shortest height of the cell.
    n_bins
        Number of bins; their centres are `bin_centres`.
    """
    r_max, n_bins = positive("r_max", r_max), whole("n_bins", n_bins, 1)

    def of(atoms: Atoms) -> NDArray:
        height = _shortest_height(atoms)
        if not r_max <= height / 2:
            raise ValueError(
                f"r_max={r_max:g} Å is more than half of the cell's shortest height, {height / 2:.4g} Å"
            )
        return np.asarray(get_rdf(atoms, r_max, n_bins)[0])

    return of


def largest_r(atoms: Atoms) -> float:
    """Return half of the shortest height of the cell, Å: how far an rdf can reach."""
    return 0.5 * _shortest_height(atoms)


def bin_centres(r_max: float, n_bins: int = 100) -> NDArray:
    """Return the distances (n_bins,) of an rdf, Å."""
    return (np.arange(n_bins) + 0.5) * r_max / n_bins


def _shortest_height(atoms: Atoms) -> float:
    return volume(atoms) / float(_areas(atoms).max())


def _areas(atoms: Atoms) -> NDArray:
    cell = atoms.cell.array
    return np.linalg.norm(np.cross(cell[[1, 2, 0]], cell[[2, 0, 1]]), axis=1)

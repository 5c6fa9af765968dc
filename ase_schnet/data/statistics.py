"""Estimate shift and scale of energies, forces and virials (docs/sources.md, standardised loss)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from numpy.typing import NDArray
from scipy.optimize import nnls

from ase_schnet.data.dataset import Dataset
from ase_schnet.schnet_config import MAX_ELEMENTS

RIDGE = 1e-9  # times the trace: decides only what the compositions leave undetermined
REWEIGHTINGS = 10
ROUNDING = 1e-9  # of the energies: residuals below it are rounding of the fit
#: eV/Å, and of virials eV: labels that are all smaller are zero by symmetry and what rounding, be it of
#: float32, leaves of it.
SMALLEST_LABEL = 1e-6


@dataclass(frozen=True, eq=False)
class LabelStatistics:
    """Hold shifts and scales per species, and how well they are determined.

    Attributes
    ----------
    energy_shift
        (100,) eV: μ_z, mean atomic energy per species.
    energy_std
        (100,) eV: σ_z, spread of the atomic energies per species.
    forces_std
        (100,) eV/Å: η_z, root mean square force component per species.
    virial_std
        (100,) eV: ω_z, root mean square component of an atom's share of the virial V·σ, per species. Zero
        where the data have no stress.
    undetermined
        Number of shifts that the compositions leave free. Only their sum over each structure is then fixed:
        a single composition fixes one sum and nothing else.
    """

    energy_shift: NDArray
    energy_std: NDArray
    forces_std: NDArray
    virial_std: NDArray
    undetermined: int

    def scale(self, present: NDArray) -> float:
        """Return one scale in eV for energy and forces (× 1/Å): the rms force or the atomic spread.

        It is the larger one: the force of nearly all data, and the spread of those of minima and of strained
        crystals, whose energies a network of the scale of their forces could not reach.
        """
        scales = (np.sqrt(np.mean(x[present] ** 2)) for x in (self.forces_std, self.energy_std))
        return float(max(scales)) or 1.0


def label_statistics(dataset: Dataset) -> LabelStatistics:
    """Estimate μ_z, σ_z, η_z and ω_z. Pass the training set alone: otherwise test labels leak into the model.

    Structures count by their weights in the loss: one that hardly counts there should not set its scale.

    Where the compositions leave shifts free, the solution nearest to "the same for every species" is
    taken (ridge regression towards the mean per atom).

    Virials are used, not stresses: the virial V·σ is a sum over atoms like the energy, so its variance is
    Σ_z n_z ω_z² for any size and composition. A stress is that sum divided by a volume, which in a slab is
    mostly vacuum: its error would count less if there is more vacuum.
    """
    species = np.array(dataset.elements)
    counts = dataset.compositions()[:, species]  # (S, E)
    shift, spread, eta, omega = np.zeros((4, MAX_ELEMENTS))
    rank = int(np.linalg.matrix_rank(counts))
    weight = dataset.weight  # (S,)
    per_atom = counts / dataset.n_atoms[:, None]  # (S, E), rows sum to 1
    if dataset.E is not None:
        shift[species] = ridge_to_mean(per_atom, dataset.E / dataset.n_atoms, weight)
        residual = dataset.E - counts @ shift[species]  # (S,)
        if np.abs(residual).max() <= ROUNDING * np.abs(dataset.E).max():
            residual[:] = 0.0  # equal energies: their rounding is not a spread to divide by
        spread[species] = _spread_per_atom(per_atom, residual**2 / dataset.n_atoms, weight)
    if dataset.F is not None:
        counts_in = (
            np.ones(dataset.F.shape, bool) if dataset.force_mask is None else dataset.force_mask
        )
        of_components = None
        if weight is not None:
            of_components = np.repeat(weight, dataset.n_atoms)[:, None] * np.ones(3)  # (N, 3)
        everywhere = _rms_of_forces(dataset.F, counts_in, of_components)
        for z in species:
            here = counts_in & (z == dataset.Z)[:, None]
            eta[z] = _rms_of_forces(dataset.F, here, of_components) or everywhere
    if dataset.stress is not None:
        known = ~np.isnan(dataset.stress[:, 0])
        virials = voigt_6_to_full_3x3_stress(dataset.stress[known])  # (K, 3, 3) eV/Å³
        virials *= dataset.volumes[known, None, None]
        squares = (virials**2).mean(axis=(1, 2)) / dataset.n_atoms[known]
        if squares.max() <= SMALLEST_LABEL**2:
            squares[:] = 0.0
        of_known = None if weight is None else weight[known]
        omega[species] = _spread_per_atom(per_atom[known], squares, of_known)
    return LabelStatistics(shift, spread, eta, omega, undetermined=len(species) - rank)


def _spread_per_atom(per_atom: NDArray, squares: NDArray, weight: NDArray | None = None) -> NDArray:
    """Return the standard deviation per species from squares (S,) of sums over atoms, per atom.

    Variances add over atoms: <r²>/N = Σ_z (n_z/N) σ_z². The scatter of a square is proportional to its
    expected value, so this is a Gamma regression, solved by reweighted least squares. The large scatter of
    oxygen then does not hide that of hydrogen, and the standardised labels have variance 1 even where
    the law holds only roughly. No variance is less than a hundredth of their mean.
    """
    mean = np.average(squares, weights=weight)
    if mean == 0.0:
        return np.zeros(per_atom.shape[1])
    root = np.ones(len(squares)) if weight is None else np.sqrt(weight / weight.mean())
    least, variance = 0.01 * mean, np.full(per_atom.shape[1], mean)
    for _ in range(REWEIGHTINGS):
        expected = per_atom @ variance  # (S,)
        rows = per_atom * (root / expected)[:, None]
        tie = np.sqrt(RIDGE * (rows**2).sum()) * np.eye(len(variance))
        left = np.concatenate([rows, tie])
        right = np.concatenate([squares * root / expected, tie @ np.full(len(variance), mean)])
        variance = least + nnls(left, right - left.sum(axis=1) * least, maxiter=1000)[0]
    return np.sqrt(variance)


def _rms_of_forces(forces: NDArray, counts: NDArray, weight: NDArray | None) -> float:
    """Return the root mean square, eV/Å, of components (N, 3) that count; zero where they are rounding."""
    squares = forces[counts] ** 2
    if not len(squares):
        return 0.0
    rms = float(np.sqrt(np.average(squares, weights=None if weight is None else weight[counts])))
    return rms if rms > SMALLEST_LABEL else 0.0


def ridge_to_mean(per_atom: NDArray, values: NDArray, weight: NDArray | None = None) -> NDArray:
    """Fit values per species to composition averages (S,), by ridge regression towards their mean."""
    mean = np.average(values, weights=weight)
    rows = per_atom if weight is None else per_atom * (weight / weight.mean())[:, None]
    gram = rows.T @ per_atom
    ridge = RIDGE * np.trace(gram) * np.eye(len(gram))
    return mean + np.linalg.solve(gram + ridge, rows.T @ (values - mean))


def energies_about_their_composition(dataset: Dataset) -> NDArray:
    """Return E minus the mean of the others of its composition, or minus a fit if it is alone, (S,) eV."""
    compositions = dataset.compositions()[:, dataset.elements]
    kinds, kind, count = np.unique(compositions, axis=0, return_inverse=True, return_counts=True)
    kind = kind.ravel()
    mean = np.bincount(kind, dataset.E) / count
    n = count[kind]
    about_others = (dataset.E - mean[kind]) * n / np.maximum(n - 1, 1)
    per_atom = kinds / kinds.sum(axis=1, keepdims=True)
    fitted = np.linalg.lstsq(per_atom, mean / kinds.sum(axis=1), rcond=None)[0]
    return np.where(n > 1, about_others, dataset.E - compositions @ fitted)

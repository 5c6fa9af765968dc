"""What training labels say about shift and scale (docs/sources.md, standardised loss)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.stress import voigt_6_to_full_3x3_stress
from scipy.optimize import nnls

from ase_schnet.data.dataset import Dataset
from ase_schnet.modelfile import MAX_ELEMENTS

RIDGE = 1e-9  # times the trace: decides only what the compositions leave open
REWEIGHTINGS = 10
ROUNDING = 1e-9  # of the energies: what the fit and float64 leave


@dataclass(frozen=True)
class LabelStatistics:
    """Shifts and scales per species, and how well they are determined.

    energy_shift (100,) eV: μ_z, mean atomic energy per species.
    energy_std (100,) eV: σ_z, spread of the atomic energies per species.
    forces_std (100,) eV/Å: η_z, rms force component per species.
    virial_std (100,) eV: ω_z, rms component of an atom's share of the virial V·σ, per species; zero
    where the data have no stress.
    undetermined : how many of the species' shifts the compositions leave free; only their sum over
    each structure is fixed then (one single composition fixes one sum and nothing else).
    """

    energy_shift: np.ndarray
    energy_std: np.ndarray
    forces_std: np.ndarray
    virial_std: np.ndarray
    undetermined: int

    def scale(self, present: np.ndarray) -> float:
        """One scale in eV for energy and forces (× 1/Å): the rms force, else the atomic spread."""
        values = self.forces_std[present]
        values = values if np.any(values > 0) else self.energy_std[present]
        scale = float(np.sqrt(np.mean(values**2)))
        return scale if scale > 0 else 1.0


def label_statistics(dataset: Dataset) -> LabelStatistics:
    """Estimate μ_z, σ_z, η_z and ω_z. Use the training set alone: anything else leaks the test labels.

    Where compositions leave directions free, the solution nearest to "the same for every species" is
    taken (ridge towards the mean per atom).

    Why virials and not stresses: the virial V·σ is a sum over atoms as the energy is, so its variance is
    Σ_z n_z ω_z² whatever the size and composition. A stress is that sum divided by a volume, which in a
    slab is mostly vacuum: its error would count less the more vacuum one leaves.
    """
    species = np.array(dataset.elements)
    counts = dataset.compositions()[:, species]  # (S, E)
    shift, spread, eta, omega = np.zeros((4, MAX_ELEMENTS))
    rank = int(np.linalg.matrix_rank(counts))
    per_atom = counts / dataset.n_atoms[:, None]  # (S, E), rows sum to 1
    if dataset.E is not None:
        shift[species] = _ridge_to_mean(per_atom, dataset.E / dataset.n_atoms)
        residual = dataset.E - counts @ shift[species]  # (S,)
        if np.abs(residual).max() <= ROUNDING * np.abs(dataset.E).max():
            residual[:] = 0.0  # energies all alike: their last digits are no spread to divide by
        spread[species] = _spread_per_atom(per_atom, residual**2 / dataset.n_atoms)
    if dataset.F is not None:
        counts_in = (
            np.ones(dataset.F.shape, bool) if dataset.force_mask is None else dataset.force_mask
        )
        everywhere = _mean(dataset.F[counts_in] ** 2)
        for z in species:
            here = z == dataset.Z
            eta[z] = np.sqrt(_mean(dataset.F[here][counts_in[here]] ** 2) or everywhere)
    if dataset.stress is not None:
        known = ~np.isnan(dataset.stress[:, 0])
        virials = voigt_6_to_full_3x3_stress(dataset.stress[known])  # (K, 3, 3) eV/Å³
        virials *= dataset.volumes[known, None, None]
        squares = (virials**2).mean(axis=(1, 2)) / dataset.n_atoms[known]
        omega[species] = _spread_per_atom(per_atom[known], squares)
    return LabelStatistics(shift, spread, eta, omega, undetermined=len(species) - rank)


def _spread_per_atom(per_atom: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """Std per species from squares (S,) of sums over atoms, divided by the number of atoms.

    Variances add over atoms, <r²>/N = Σ_z (n_z/N) σ_z², and a square scatters in proportion to what is
    expected of it: a Gamma regression, by least squares reweighted until it stands. The scatter of oxygen
    does not drown hydrogen then, and the standardised labels have variance 1, also where the law holds
    but roughly. No variance is less than a hundredth of their mean.
    """
    mean = squares.mean()
    if mean == 0.0:
        return np.zeros(per_atom.shape[1])
    least, variance = 0.01 * mean, np.full(per_atom.shape[1], mean)
    for _ in range(REWEIGHTINGS):
        expected = per_atom @ variance  # (S,)
        rows = per_atom / expected[:, None]
        tie = np.sqrt(RIDGE * (rows**2).sum()) * np.eye(len(variance))
        left = np.concatenate([rows, tie])
        right = np.concatenate([squares / expected, tie @ np.full(len(variance), mean)])
        variance = least + nnls(left, right - left.sum(axis=1) * least, maxiter=1000)[0]
    return np.sqrt(variance)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0


def _ridge_to_mean(per_atom: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Per-species values whose composition average fits `values` (S,), drawn to their mean."""
    mean = values.mean()
    gram = per_atom.T @ per_atom
    ridge = RIDGE * np.trace(gram) * np.eye(len(gram))
    return mean + np.linalg.solve(gram + ridge, per_atom.T @ (values - mean))

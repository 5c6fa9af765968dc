"""Place a basis on training structures before the fit: reference, stiffness of the axes, centres."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from ase.data import atomic_masses

from ase_schnet.dipole.basis import Basis
from ase_schnet.dipole.frame import centred, moments_and_axes, overlap_gap
from ase_schnet.dipole.settings import RPRSettings
from ase_schnet.dipole.symmetry import bonds, equivalent_orders

# β times the usual gap: the second-best axes have a weight of e⁻². Stiffer axes are not better, and worse for
# floppy molecules (benchmarks/defaults.md).
STIFFNESS = 2.0
LEAST_GAP = 0.01  # of Σ m r² of the reference, so that the stiffness of linear molecules is finite


def place_basis(
    positions: np.ndarray, numbers: np.ndarray, rank: int, settings: RPRSettings
) -> Basis:
    """Return a basis with equivalent atoms, reference, stiffness and centres, and a first width.

    Parameters
    ----------
    positions
        (S, N, 3), Å, in random order.
    numbers
        (N,), atomic numbers.
    rank
        Of the quantity: 1 for dipoles, 2 for polarizabilities.
    settings
        Frame, number of centres and largest group of exchanges.
    """
    masses = atomic_masses[numbers]
    r = centred(positions, masses)
    sample = r[:200]
    distances = np.median(np.linalg.norm(sample[:, :, None] - sample[:, None], axis=-1), axis=0)
    orders = equivalent_orders(numbers, bonds(numbers, distances), settings.max_exchanges)
    typical = distances[np.triu_indices(len(numbers), 1)]
    basis = Basis(masses, orders, sample[0], 0.0, typical, np.zeros((0, 0)), 1.0, rank)
    basis, gap = _with_reference(basis, sample)
    least = LEAST_GAP * (masses @ basis.reference**2).sum()
    stiffness = STIFFNESS / max(gap, least, 1e-6) if settings.frame == "followed" else 0.0
    basis = replace(basis, stiffness=stiffness, frame=settings.frame)
    r = r[: settings.n_centres]
    centres = basis.copies(r)[1][np.arange(len(r)), basis.nearest_copy(r)]
    spread = np.sqrt(np.mean(((centres - centres.mean(axis=0)) ** 2).sum(axis=1)))
    return replace(basis, centres=centres, width=float(max(spread, 1e-3)))


def _with_reference(
    basis: Basis, sample: np.ndarray, n_candidates: int = 40
) -> tuple[Basis, float]:
    """Return the basis with a reference that determines the axes of the other structures best; the usual gap.

    A typical minimum is no good reference: that of HCN is linear and determines no axes at all.
    """
    candidates = sample[:n_candidates]
    _, axes = moments_and_axes(candidates, basis.masses)
    found = []
    for reference in candidates @ axes.swapaxes(1, 2):
        trial = replace(basis, reference=reference)
        found.append((trial, overlap_gap(trial.cross_moments(sample)).max(axis=1)))
    best, gaps = max(found, key=lambda pair: np.quantile(pair[1], 0.05))
    return best, float(np.median(gaps))

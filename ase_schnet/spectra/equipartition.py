"""Measure how runs distribute their energy over the vibrations, and what that does to intensities.

In equilibrium every vibration has the energy k_B T, and the intensity of its band is proportional to that.
In a run of a few picoseconds each vibration keeps about the energy that it started with. In axes that turn
with the molecule the mass-weighted velocities have the covariance

    <w wᵀ> = Σ_k E_k e_k e_kᵀ

with the normal modes e_k and their mean energies E_k (twice the kinetic ones; for a torsion of large
amplitude the error is a few percent). So its eigenvectors are the modes and its eigenvalues their energies,
without a Hessian. It may mix modes of nearly the same energy, which does no harm. With the power spectrum
P_k of mode k, the spectrum at each wavenumber is Σ P_k; with equal energies it would be Σ P_k k_B T / E_k.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import units
from numpy.typing import NDArray

from ase_schnet.spectra.trajectory_signals import TrajectorySignals
from ase_schnet.spectra.welch import power_spectrum

#: Smallest number of frames for each vibration; with fewer, modes are lost in noise.
FRAMES_PER_MODE = 20
#: Smallest energy of a vibration, in units of k_B T; it is divided by.
NOTHING = 1e-12


class ModeEnergies(NamedTuple):
    """Hold the energies of M vibrations, and the factor by which equal energies would change a spectrum."""

    energies: NDArray  # (M,) in units of k_B T, rising
    gain: NDArray  # (K,) intensity with equal energies over the intensity that there is


def mode_energies(
    runs: Sequence[TrajectorySignals], interval_fs: float, resolution_cm: float
) -> ModeEnergies | None:
    """Measure the energies of the modes of all runs together, and what they do to a spectrum.

    Parameters
    ----------
    runs
        Signals of the same molecule.
    interval_fs
        Time between frames, fs.
    resolution_cm
        Full width at half maximum of a sharp line, cm⁻¹.

    Returns
    -------
    ModeEnergies or None
        The gain is on the wavenumbers of :func:`~ase_schnet.spectra.welch.power_spectrum`. None if the frames
        are too few, not of a molecule, or of a linear one that does not rotate: it bends in one plane, and
        has no energy in the other.
    """
    n_modes, n_atoms = runs[0].n_degrees_of_freedom, len(runs[0].masses)
    if n_atoms > 2 and n_modes == 3 * n_atoms - 5:
        return None
    n_frames = sum(map(len, runs))
    if any(m.positions is None for m in runs) or n_frames < FRAMES_PER_MODE * n_modes:
        return None
    reference = _centred(runs[0].positions[:1], runs[0].masses)[0]
    velocities = [_in_turning_axes(run, reference) for run in runs]  # (T, 3N) each
    covariance = sum(v.T @ v for v in velocities) / n_frames
    energies, modes = np.linalg.eigh(covariance)
    energies, modes = np.maximum(energies[-n_modes:], NOTHING), modes[:, -n_modes:]
    present, equal = 0.0, 0.0
    for energy, mode in zip(energies, modes.T, strict=True):
        signals = [(v @ mode)[:, None] for v in velocities]
        estimate = power_spectrum(signals, interval_fs, resolution_cm)
        power = estimate.weights @ estimate.samples
        present, equal = present + power, equal + power / energy
    gain = np.divide(equal, present, out=np.ones_like(present), where=present > 0)
    return ModeEnergies(energies, gain)


def _in_turning_axes(run: TrajectorySignals, reference: NDArray) -> NDArray:
    """Compute mass-weighted velocities over sqrt(k_B T), (T, 3N), in axes fitted to the reference (N, 3)."""
    r = _centred(run.positions, run.masses)
    overlap = np.einsum("n,tni,nj->tij", run.masses, r, reference)
    left, _, right = np.linalg.svd(overlap)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]  # a rotation, no mirror image
    weighted = run.momenta / np.sqrt(run.masses)[:, None]
    turned = weighted @ (left @ right) / np.sqrt(units.kB * run.temperature_K)
    return turned.reshape(len(run), -1)


def _centred(positions: NDArray, masses: NDArray) -> NDArray:
    """Move the centre of mass of each frame to the origin; positions (T, N, 3) in Å."""
    return positions - (masses @ positions / masses.sum())[:, None]

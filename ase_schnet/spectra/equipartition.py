"""Whether runs have shared their energy among the vibrations, and what intensities owe to it.

In equilibrium every vibration has the energy k_B T, and the intensity of its band is proportional to that.
A run of a few picoseconds keeps in each about what it began with. In axes that turn with the molecule the
mass-weighted velocities have the covariance

    <w wᵀ> = Σ_k E_k e_k e_kᵀ

with the normal modes e_k and their mean energies E_k (twice the kinetic ones; where a torsion turns far this
is off by a few percent): its eigenvectors are the modes and its eigenvalues their energies, with no Hessian.
Modes that it mixes have nearly the same energy, so that it does no harm. With the power spectrum P_k of mode
k the spectrum has at each wavenumber Σ P_k of what equal energies would make Σ P_k k_B T / E_k.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import units
from numpy.typing import NDArray

from ase_schnet.spectra.trajectory_signals import Motion
from ase_schnet.spectra.welch import power_spectrum

#: Fewer frames than this for each vibration do not tell modes from noise.
FRAMES_PER_MODE = 20
#: Energy over k_B T of a vibration that has none.
NOTHING = 1e-12


class Sharing(NamedTuple):
    """How runs have shared their energy among M vibrations."""

    energies: NDArray  # (M,) over k_B T, rising
    gain: NDArray  # (K,) times it the intensity would be that of equal energies


def sharing(motions: Sequence[Motion], interval_fs: float, resolution_cm: float) -> Sharing | None:
    """Energies of the modes of all runs together, and what their inequality does to a spectrum.

    None where the frames hold no positions of a molecule, or are too few. The gain is on the wavenumbers of
    :func:`~ase_schnet.spectra.welch.power_spectrum`.
    """
    n_modes = motions[0].n_degrees_of_freedom
    n_frames = sum(map(len, motions))
    if any(m.positions is None for m in motions) or n_frames < FRAMES_PER_MODE * n_modes:
        return None
    reference = _centred(motions[0].positions[:1], motions[0].masses)[0]
    velocities = [_in_turning_axes(motion, reference) for motion in motions]  # (T, 3N) each
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
    return Sharing(energies, gain)


def _in_turning_axes(motion: Motion, reference: NDArray) -> NDArray:
    """Mass-weighted velocities over sqrt(k_B T), (T, 3N), in the axes that fit the reference (N, 3) best."""
    r = _centred(motion.positions, motion.masses)
    overlap = np.einsum("n,tni,nj->tij", motion.masses, r, reference)
    left, _, right = np.linalg.svd(overlap)
    left[:, :, 2] *= np.linalg.det(left @ right)[:, None]  # turned, not mirrored
    weighted = motion.momenta / np.sqrt(motion.masses)[:, None]
    turned = weighted @ (left @ right) / np.sqrt(units.kB * motion.temperature_K)
    return turned.reshape(len(motion), -1)


def _centred(positions: NDArray, masses: NDArray) -> NDArray:
    return positions - (masses @ positions / masses.sum())[:, None]

"""Power spectra by averaging periodograms of overlapping blocks, one of each run.

The power spectrum is the Fourier transform of the autocorrelation (Wiener & Khinchin). Blocks under a
Hann window, half of each shared with the next, give it with the least noise for a given resolution
(Welch, IEEE Trans. Audio Electroacoust. 15, 70 (1967)).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import periodogram

from ase_schnet.spectra.trajectory_signals import SPEED_OF_LIGHT

#: Full width at half maximum of a sharp line under a Hann window, over 1/(length of the block).
HANN_WIDTH = 1.44
#: Blocks are padded with zeros to this many times their length, so that lines look smooth.
ZERO_PADDING = 4
#: Signals transformed at a time, to bound the memory.
CHUNK = 64


class Estimate(NamedTuple):
    """One-sided power spectra: their sum over wavenumber is the mean square of the signal."""

    wavenumber_cm: NDArray  # (K,)
    samples: NDArray  # (S, K) per cm⁻¹, of S runs
    weights: NDArray  # (S,), by their length


def power_spectrum(
    signals: Sequence[NDArray], interval_fs: float, resolution_cm: float
) -> Estimate:
    """Power spectrum of signals (T, C), one of each run, summed over the C components.

    Raises
    ------
    ValueError
        If a run is too short for the resolution.
    """
    if not 0 < resolution_cm < math.inf:
        raise ValueError(f"resolution_cm must be above 0, not {resolution_cm}")
    length = max(2, math.ceil(HANN_WIDTH / (SPEED_OF_LIGHT * interval_fs * resolution_cm)))
    shortest = min(map(len, signals))
    if shortest < length:
        best = HANN_WIDTH / (SPEED_OF_LIGHT * interval_fs * shortest)
        best = math.ceil(best * 10) / 10
        raise ValueError(
            f"{length * interval_fs / 1000:.3g} ps are needed to resolve {resolution_cm:g} cm⁻¹, "
            f"the shortest run has {shortest * interval_fs / 1000:.3g} ps: run for longer, or ask "
            f"for resolution_cm={best:g} (--resolution {best:g})"
        )
    runs = [_blocks(signal, interval_fs, length) for signal in signals]
    counts = np.array([len(powers) for _, powers in runs])
    means = np.array([powers.mean(axis=0) for _, powers in runs])
    return Estimate(runs[0][0], means, counts / counts.sum())


def _blocks(signal: NDArray, interval_fs: float, length: int) -> tuple[NDArray, NDArray]:
    """Wavenumbers (K,) and periodograms (B, K) of blocks that together use the whole signal (T, C)."""
    spare = len(signal) - length
    starts = np.linspace(0, spare, 1 + spare // max(1, length // 2)).round().astype(int)
    padded = next_fast_len(ZERO_PADDING * length, real=True)
    sampling = 1 / (SPEED_OF_LIGHT * interval_fs)  # cm⁻¹
    powers = []
    for start in starts:
        block, total = signal[start : start + length].T, 0.0  # (C, length)
        for k in range(0, len(block), CHUNK):
            wavenumber, power = periodogram(
                block[k : k + CHUNK], sampling, "hann", padded, detrend=False
            )
            total = total + power.sum(axis=0)
        powers.append(total)
    return wavenumber, np.array(powers)

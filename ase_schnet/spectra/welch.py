"""Estimate power spectra: average the periodograms of overlapping blocks of each run (Welch's method).

The power spectrum is the Fourier transform of the autocorrelation function (Wiener–Khinchin theorem). Blocks
with a Hann window, which overlap by half, estimate it with the least noise at a given resolution (Welch, IEEE
Trans. Audio Electroacoust. 15, 70 (1967), doi:10.1109/TAU.1967.1161901).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from scipy.signal import periodogram

from ase_schnet.spectra.trajectory_signals import SPEED_OF_LIGHT

#: Full width at half maximum of a sharp line with a Hann window, in units of 1/(length of the block).
HANN_WIDTH = 1.44
#: Blocks are padded with zeros to this multiple of their length, so that lines look smooth.
ZERO_PADDING = 4
#: Number of signals that are transformed at a time, to limit the memory.
CHUNK = 64


class PowerSpectra(NamedTuple):
    """Hold one-sided power spectra: their integral over wavenumber is the mean square of the signal."""

    wavenumber_cm: NDArray  # (K,)
    samples: NDArray  # (S, K) power per cm⁻¹ of each of S runs
    weights: NDArray  # (S,) of the runs, proportional to their number of blocks; their sum is 1


def power_spectrum(
    signals: Sequence[NDArray], interval_fs: float, resolution_cm: float
) -> PowerSpectra:
    """Estimate the power spectra of signals, one of each run, summed over their components.

    Parameters
    ----------
    signals
        Array (T, C) of each run: T frames, C components.
    interval_fs
        Time between frames, fs.
    resolution_cm
        Full width at half maximum of a sharp line, cm⁻¹.

    Returns
    -------
    PowerSpectra
        Of each run, on common wavenumbers.

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
            f"a resolution of {resolution_cm:g} cm⁻¹ needs {length * interval_fs / 1000:.3g} ps, and the "
            f"shortest run has {shortest * interval_fs / 1000:.3g} ps: run longer, or take "
            f"resolution_cm={best:g} (--resolution {best:g})"
        )
    runs = [_blocks(signal, interval_fs, length) for signal in signals]
    counts = np.array([len(powers) for _, powers in runs])
    means = np.array([powers.mean(axis=0) for _, powers in runs])
    return PowerSpectra(runs[0][0], means, counts / counts.sum())


def _blocks(signal: NDArray, interval_fs: float, length: int) -> tuple[NDArray, NDArray]:
    """Compute wavenumbers (K,) and periodograms (B, K) of blocks that cover the whole signal (T, C)."""
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

"""Analyse correlated series: the slope and its standard error, and sudden jumps."""

import math

import numpy as np
from numpy.typing import NDArray

#: A change from one sample to the next this many times both the 99th percentile and its neighbours
#: is a jump: smooth runs stay below 3 in the first, and jumps have no neighbours like themselves.
JUMP_OVER_PERCENTILE, JUMP_OVER_NEIGHBOURS = 5.0, 3.0
#: Blocks for the standard error of the slope.
N_BLOCKS = 32


def line_fit(x: NDArray, y: NDArray) -> tuple[float, NDArray]:
    """Return the least-squares slope of y(x) and the residuals (T,)."""
    x, y = x - x.mean(), y - y.mean()
    slope = (x @ y) / (x @ x)
    return float(slope), y - slope * x


def slope_error(x: NDArray, y: NDArray) -> float:
    """Return the standard error of the slope of y(x) with autocorrelated residuals.

    Averages over 32 blocks remove what oscillates fast; what correlation is left between
    neighbouring blocks is taken as that of an AR(1) process, whose effective number of samples is
    n (1 - r) / (1 + r). How often the true slope lies within two such errors: benchmarks/limits.md.
    """
    size = len(x) // N_BLOCKS
    x, y = (a[: size * N_BLOCKS].reshape(N_BLOCKS, size).mean(axis=1) for a in (x, y))
    residual = line_fit(x, y)[1]
    variance = residual @ residual
    if variance == 0:
        return 0.0
    r = residual[1:] @ residual[:-1] / variance
    r = min(max(r + (1 + 4 * r) / N_BLOCKS, 0.0), 0.95)  # Kendall's correction of the bias
    error = math.sqrt(variance / (N_BLOCKS - 2) / ((x - x.mean()) @ (x - x.mean())))
    return error * math.sqrt((1 + r) / (1 - r))


def slope_swing(x: NDArray, y: NDArray) -> float:
    """Return how far the slopes of the two halves of y(x) are from that of the whole: √((Δ₁² + Δ₂²) / 4).

    What varies as slowly as the run is long looks like a slope: the error of the integrator follows the
    energy as it moves between vibrations, over picoseconds. It has other slopes in the two halves; a drift
    has the same. What swings more slowly than the run is long cannot be told from a drift.
    """
    slope, middle = line_fit(x, y)[0], len(x) // 2
    halves = [line_fit(x[k : k + middle], y[k : k + middle])[0] for k in (0, middle)]
    return math.hypot(*(half - slope for half in halves)) / 2


def walk_slope_error(x: NDArray, y: NDArray) -> float:
    """Return the standard error of the slope of y(x) where y is a random walk.

    A random walk has slopes by chance. One that gains a variance s²Δ over a block of length Δ has block
    averages whose steps have the variance 2s²Δ/3, and over the length T least-squares slopes of variance
    6s²/5T. Noise that does not accumulate makes the figure too large, never too small.
    """
    size = len(x) // N_BLOCKS
    x, y = (a[: size * N_BLOCKS].reshape(N_BLOCKS, size).mean(axis=1) for a in (x, y))
    length = x[1] - x[0]
    per_length = 1.5 * np.diff(y).var(ddof=1) / length
    return math.sqrt(1.2 * per_length / (length * N_BLOCKS))


def jump_time(time_ps: NDArray, energy: NDArray) -> float | None:
    """Return the time (ps) of the largest isolated jump of the energy; None if there is none."""
    change = np.abs(np.diff(energy))  # (T-1,)
    around = np.pad(change, 3, mode="edge")
    n = len(change)
    neighbours = np.max([around[k : k + n] for k in (0, 1, 2, 4, 5, 6)], axis=0)
    limit = JUMP_OVER_PERCENTILE * np.quantile(change, 0.99) + 1e-9 * np.abs(energy).max()
    jumps = (change > limit) & (change > JUMP_OVER_NEIGHBOURS * neighbours)
    return float(time_ps[1:][np.argmax(change * jumps)]) if jumps.any() else None

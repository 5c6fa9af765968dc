"""Compare the forces with the slope of the energy, from the log of a run alone, in any ensemble.

Velocity Verlet with forces −c ∂V/∂x conserves K + cV but for terms in the time step, and these are known in
harmonic motion. With D² and D⁴ the second and fourth differences over the steps,

    K = const − c W,    W = V + D²V/16 − D⁴V/256

up to the sixth power of the time step: put x_n = A cos nθ, cos θ = 1 − (ωΔt)²/2, and
v_n = (x_{n+1} − x_{n-1})/2Δt into K and V. So c is minus the slope of K on W. Blocks of 20 fs, each about its
own mean, remove what is slow: a drift, a thermostat's random walk. The energy that thermostat and barostat
hold counts as K. Where replicas exchange structures both jump, and no difference or block reaches across.

How exact it is: benchmarks/limits.md.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ase_schnet.runs.record import MDRecord

BLOCK_FS, LEAST_SAMPLES, MOST_BLOCKS = 20.0, 8, 32


class ForceScale(NamedTuple):
    """Hold forces over the negative gradient of the energy, and two standard errors of it."""

    value: float
    error: float


def force_scale(record: MDRecord) -> ForceScale | None:
    """Estimate forces over the negative gradient of the energy, both along the motion.

    Parameters
    ----------
    record
        Of a run in any ensemble.

    Returns
    -------
    ForceScale or None
        None if not every step was recorded, if replicas exchange every few steps, or if no energy changed.
        Infinite where the atoms gain energy that does not come from the potential.
    """
    steps = np.diff(record.time_fs)
    if len(record) < 2 * LEAST_SAMPLES + 4 or not np.allclose(steps, record.timestep_fs):
        return None
    potential = record.potential_energy_eV
    held = record.conserved_energy_eV
    kinetic = (record.total_energy_eV if held is None else held) - potential
    if not (np.isfinite(potential).all() and np.isfinite(kinetic).all()):
        return None
    if potential.std() < 1e-12 * max(1.0, np.abs(potential).max()):
        still = kinetic.std() < 1e-9 * max(1e-3, np.abs(kinetic).max())
        return None if still else ForceScale(math.inf, 0.0)
    second = _second_difference(potential)
    fourth = _second_difference(second)
    inner = slice(2, -2)
    to_second = potential[inner] + second[1:-1] / 16
    blocks = _blocks(len(to_second), record)
    if len(blocks) < 2:
        return None
    value, error = _slope(to_second - fourth / 256, kinetic[inner], blocks)
    coarse, _ = _slope(to_second, kinetic[inner], blocks)
    # What the last term changed bounds what the next ones would, and what is not harmonic.
    return ForceScale(-value, error + abs(value - coarse))


def _second_difference(values: NDArray) -> NDArray:
    return values[2:] - 2 * values[1:-1] + values[:-2]


def _blocks(n: int, record: MDRecord) -> NDArray:
    """Return the indices (blocks, samples) of ``n`` samples, the first that of the second step."""
    size = max(min(n // MOST_BLOCKS, round(BLOCK_FS / record.timestep_fs)), LEAST_SAMPLES)
    if record.exchange_every is None:
        return np.arange(n // size * size).reshape(-1, size)
    # An attempt follows the sample of its step: the first and last two between attempts lack neighbours.
    between = record.exchange_every - 4
    if between < LEAST_SAMPLES:
        return np.empty((0, 0), dtype=int)
    size = min(size, between)
    firsts = np.arange(1, n, record.exchange_every)[:, None] + size * np.arange(between // size)
    firsts = firsts[
        firsts + size <= n
    ]  # of the steps 3, 3 + every, ...: sample 1 is that of step 3
    return firsts.ravel()[:, None] + np.arange(size)


def _slope(x: NDArray, y: NDArray, blocks: NDArray) -> tuple[float, float]:
    """Return the slope of y(x) within blocks, and two standard errors of it from their scatter.

    Noise in x makes a slope too small by its share of the variance of x, at most that of what is left over.
    """
    n = len(blocks)
    x, y = (a[blocks] for a in (x, y))
    x, y = (a - a.mean(axis=1, keepdims=True) for a in (x, y))
    xx, xy = (x * x).sum(axis=1), (x * y).sum(axis=1)
    slope = xy.sum() / xx.sum()
    scatter = ((xy - slope * xx) ** 2).sum() * n / (n - 1)
    noise = ((y - slope * x) ** 2).sum()
    return float(slope), float((2 * math.sqrt(scatter) + noise) / xx.sum())

"""Averages of each member from one run of the ensemble: the cumulant expansion to first order.

G. Imbalzano et al., J. Chem. Phys. 2021, 154, 074102, doi:10.1063/5.0036522, arXiv:2011.08828.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from ase import units
from numpy.typing import NDArray

from ase_schnet.propagation.result import Sampling

#: Smallest effective number of independent frames; of fewer, not even the error is known.
MIN_EFFECTIVE = 20
#: Blocks of the jackknife.
N_BLOCKS = 20
#: Variance of (U_k − Ū) / kT that is no difference of potentials.
ROUNDING = 1e-16
#: The expansion is refused where the terms left out are this large beside the bars, and no noise.
MAX_SECOND_ORDER = 0.5


class Averages(NamedTuple):
    """Hold averages over a run: of the ensemble (...), of its members (M, ...), and their replicas.

    Attributes
    ----------
    replicas
        (B, 1 + M, ...): value and members with one of B blocks of the run left out.
    """

    value: NDArray
    members: NDArray
    replicas: NDArray
    sampling: Sampling


def expanded_averages(
    observed: NDArray,
    of_members: NDArray | None,
    energies: NDArray,
    temperature_K: float,
    least_inefficiency: float = 1.0,
) -> Averages:
    """Return what the average of an observable would be in a run of each member.

    To first order in U_k − Ū, with an observable that may itself depend on the member:
    ⟨a⟩_k = ⟨a_k⟩ − β(⟨a_k (U_k − Ū)⟩ − ⟨a_k⟩⟨U_k − Ū⟩). At constant pressure it is the same.

    Parameters
    ----------
    observed
        (T, ...), the observable at each frame by the mean potential.
    of_members
        (T, M, ...), by each member; None where it does not depend on the potential.
    energies
        (T, M), energies of the members at each frame, eV.
    temperature_K
        Temperature of the run, K.
    least_inefficiency
        Frames from one independent frame to the next, at least.

    Raises
    ------
    ValueError
        There are too few independent frames, or a member is too far from the mean potential.
    """
    shape, n_frames, n_members = observed.shape[1:], *energies.shape
    beta = 1 / (units.kB * temperature_K)
    a = observed.reshape(n_frames, 1, -1)  # (T, 1, K)
    own = a if of_members is None else of_members.reshape(n_frames, n_members, -1)
    x = beta * (energies - energies.mean(axis=1, keepdims=True))  # (T, M)
    variance = x.var(axis=0)
    inefficiency = max(least_inefficiency, statistical_inefficiency(a[:, 0]))
    if variance.max() > ROUNDING:
        inefficiency = max(inefficiency, statistical_inefficiency(x))
    n_effective = n_frames / inefficiency / (1 + variance)
    _require_enough(n_effective, n_frames / inefficiency, variance)
    value, members, second = _estimates(a, own, x)
    blocks = np.array_split(np.arange(n_frames), N_BLOCKS)
    left = [np.delete(np.arange(n_frames), block) for block in blocks]
    rows = [_estimates(a[t], own[t], x[t]) for t in left]
    replicas = np.array([np.concatenate([v[None], m]) for v, m, _ in rows])  # (B, 1 + M, K)
    ratio = _second_order(second, np.array([s for *_, s in rows]), members, replicas[:, 0])
    sampling = Sampling(
        n_frames, temperature_K, inefficiency, n_effective, _kish(x) / inefficiency, ratio
    )
    whole = (-1, *shape)
    return Averages(
        value.reshape(shape),
        members.reshape(whole),
        replicas.reshape(len(replicas), *whole),
        sampling,
    )


def _estimates(a: NDArray, own: NDArray, x: NDArray) -> tuple[NDArray, NDArray, NDArray]:
    """Return the average (K,), those of the members (M, K), and the terms of second order (M, K).

    The last is ½⟨δa δx δx⟩, the joint cumulant of third order, which normal distributions do not have.
    """
    x = x - x.mean(axis=0)
    mean = own.mean(axis=0)  # (M or 1, K)
    first = np.einsum("tm,tmk->mk", x, np.broadcast_to(own - mean, (*x.shape, own.shape[2])))
    third = np.einsum("tm,tmk->mk", x * x, np.broadcast_to(own - mean, (*x.shape, own.shape[2])))
    return a[:, 0].mean(axis=0), mean - first / len(x), 0.5 * third / len(x)


def _require_enough(n_effective: NDArray, n_independent: float, variance: NDArray) -> None:
    """Raise ValueError, with the cure, where an average is worth less than MIN_EFFECTIVE frames."""
    if n_effective.min() >= MIN_EFFECTIVE:
        return
    times = MIN_EFFECTIVE / n_effective.min()
    far = math.sqrt(variance.max())
    cause = f"U_k - Ū fluctuates by {far:.2g} kT, and " if far > 1 else ""
    raise ValueError(
        f"{cause}{n_independent:.0f} frames are independent: the run is worth {n_effective.min():.1f} frames "
        f"to a member, {MIN_EFFECTIVE} are needed. Make it {times:.1f} times longer, save frames more often, "
        "or let each member have a run of its own (member_calculators)"
    )


def _second_order(
    second: NDArray, second_replicas: NDArray, members: NDArray, replicas: NDArray
) -> float:
    """Return the rms of the second-order terms, noise removed, over that of the bars; refuse a large one.

    Parameters
    ----------
    second, second_replicas
        (M, K) and (B, M, K), with one block of the run left out.
    members, replicas
        Averages of the members (M, K), and of the ensemble with one block left out (B, K).
    """
    n = len(replicas)
    noise = ((n - 1) * second_replicas.var(axis=0)).mean()
    size = (second**2).mean()
    bars = members.var(axis=0, ddof=1).mean() + ((n - 1) * replicas.var(axis=0)).mean()
    if bars == 0:
        return 0.0
    ratio = math.sqrt(max(size - noise, 0.0) / bars)
    if ratio > MAX_SECOND_ORDER and size > 4 * noise:
        raise ValueError(
            "the members are too far from the mean potential for an expansion: its second order is "
            f"{ratio:.2g} times the error bar. Let each member have a run of its own (member_calculators)"
        )
    return ratio


def _kish(x: NDArray) -> NDArray:
    """Return how many frames weights exp(−x), x (T, M), leave: (Σw)² / Σw², (M,)."""
    w = np.exp(x.min(axis=0) - x)
    return w.sum(axis=0) ** 2 / (w**2).sum(axis=0)


def statistical_inefficiency(series: NDArray) -> float:
    """Return how many frames of series (T, K) are worth one independent frame, 1 or more.

    The larger of two estimates: 1 + 2 Σ (1 − t/T) C(t) up to the first t at which the correlation C, of all K
    series together, is not positive (Chodera et al., J. Chem. Theory Comput. 2007, 3, 26,
    doi:10.1021/ct0502864), which oscillations end too early; and by how much more the averages of N_BLOCKS
    blocks scatter than those of independent frames would.
    """
    n, size = len(series), (series**2).mean(axis=0).sum()
    series = series - series.mean(axis=0)
    variance = (series**2).mean(axis=0).sum()
    # constant but for rounding, as the density of a run at constant volume
    if variance <= 1e-24 * size:
        return 1.0
    power = np.abs(np.fft.rfft(series, 2 * n, axis=0)) ** 2
    correlation = np.fft.irfft(power.sum(axis=1))[:n] / (n - np.arange(n)) / variance
    ends = np.flatnonzero(correlation <= 0)
    t = np.arange(1, ends[0] if len(ends) else n)
    correlated = 1 + 2 * ((1 - t / n) * correlation[t]).sum()
    size = n // N_BLOCKS
    if size < 1:
        return float(max(1.0, correlated))
    means = series[: size * N_BLOCKS].reshape(N_BLOCKS, size, -1).mean(axis=1)
    scattered = size * means.var(axis=0, ddof=1).sum() / variance
    return float(max(1.0, correlated, scattered))

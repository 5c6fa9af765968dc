"""What a spread is: an observable of the mean potential, of each member, and the error bar of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ase_schnet.uncertainty.bars import LEVEL, half_width, student_quantile
from ase_schnet.uncertainty.committee import committee_mean_std


@dataclass(frozen=True, eq=False)
class Sampling:
    """Hold what the averages over a run rest on.

    Attributes
    ----------
    n_frames
        Number T of frames.
    temperature_K
        Temperature of the run, K.
    inefficiency
        Frames from one independent frame to the next, 1 or more.
    n_effective
        (M,), independent frames that the average of each member is worth, by the expansion.
    n_effective_weights
        (M,), what it would be worth if the frames were weighted by exp(−β(U_k − Ū)) instead.
    second_order
        Rms of the first terms that the expansion leaves out, over the rms of spread and statistical error.
        They vanish where observable and energies are normally distributed.
    """

    n_frames: int
    temperature_K: float
    inefficiency: float
    n_effective: NDArray
    n_effective_weights: NDArray
    second_order: float

    def __str__(self) -> str:
        return (
            f"{self.n_frames} frames at {self.temperature_K:g} K, {self.n_frames / self.inefficiency:.0f} of "
            f"them independent; effective for the members {self.n_effective.min():.0f} or more (Boltzmann "
            f"weights: {self.n_effective_weights.min():.0f})"
        )


@dataclass(frozen=True, eq=False)
class Spread:
    """Hold an observable with what the members of an ensemble make of it, in the unit of the observable.

    Attributes
    ----------
    value
        Of the mean potential of the ensemble; a float or an array of any shape.
    members
        (M, ...), of each member.
    level
        Probability that the truth lies within ``value`` ± ``half_width``.
    factor
        How many times larger the errors of the model are than the disagreement of its members has them:
        1 where they are honest (see :func:`~ase_schnet.uncertainty.bars.overconfidence`).
    method
        "members": each had a calculation of its own. "cumulant": expanded from one run.
    sampling
        What averages over a run rest on; None for an observable without a run.
    replicas
        (B, 1 + M, ...), value and members with one of B blocks of the run left out; None without a run.
    """

    value: float | NDArray
    members: NDArray
    level: float = LEVEL
    factor: float = 1.0
    method: str = "members"
    sampling: Sampling | None = None
    replicas: NDArray | None = None

    @property
    def std(self) -> float | NDArray:
        """Sample standard deviation of the members (ddof = 1), not scaled."""
        return committee_mean_std(self.members)[1][()]

    @property
    def statistical_error(self) -> float | NDArray | None:
        """Standard error of ``value`` as the average of a finite run; None without a run."""
        return None if self.replicas is None else _jackknife(self.replicas[:, 0])

    @property
    def members_statistical_error(self) -> NDArray | None:
        """Standard errors (M, ...) of what members differ from the value by; None without a run."""
        if self.replicas is None:
            return None
        return _jackknife(self.replicas[:, 1:] - self.replicas[:, :1])

    @property
    def half_width(self) -> float | NDArray:
        """Half the width of the interval at ``level``: of the members, and of a run's statistics."""
        model = half_width(self.std, len(self.members), self.level, self.factor)
        statistics = self.statistical_error
        if statistics is None:
            return model
        return np.hypot(model, student_quantile(len(self.replicas) - 1, self.level) * statistics)

    @property
    def interval(self) -> tuple[float | NDArray, float | NDArray]:
        """Lower and upper end of the interval at ``level``."""
        return self.value - self.half_width, self.value + self.half_width

    def map(self, function: Callable[[NDArray], ArrayLike]) -> Spread:
        """Return the spread of a function of this observable, such as the first peak of an averaged rdf."""
        replicas = self.replicas
        return replace(
            self,
            value=_plain(function(self.value)),
            members=_all(function, self.members),
            replicas=None if replicas is None else np.array([_all(function, r) for r in replicas]),
        )

    def __str__(self) -> str:
        return self.describe()

    def describe(self, unit: str = "") -> str:
        """Describe the observable with its unit, its interval, and what that is made of."""
        if np.ndim(self.value):
            largest = f"{self.std.max():.3g} {unit}".rstrip()
            return f"an observable of shape {np.shape(self.value)}; its largest std {largest}"
        parts = f"std of {len(self.members)} members {self.std:.2g}"
        if self.factor > 1:
            parts += f", errors known to be {self.factor:.2g} times larger"
        if self.statistical_error is not None:
            parts += f"; statistical error {self.statistical_error:.2g}"
        value = f"{rounded(float(self.value), float(self.half_width))} {unit}".rstrip()
        return f"{value} ({100 * self.level:g} %: {parts})"


def rounded(value: float, error: float) -> str:
    """Write a value and its error to two digits of the error, such as "1033.2 ± 4.1"."""
    if not 0 < error < np.inf:
        return f"{value:.6g} ± {error:g}"
    digits = max(0, 1 - int(np.floor(np.log10(error))))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def finite(observed: ArrayLike) -> NDArray:
    """Return an observable as an array; ValueError where it is none."""
    try:
        value = np.asarray(observed)
        real = np.asarray(value.real, dtype=float)
    except (TypeError, ValueError):  # words, tables, rows of unequal length
        real = value = np.array(np.nan)
    if not (real.size and np.isfinite(real).all()):
        raise ValueError(f"the observable is {observed!r:.100}: it must return finite numbers")
    if np.iscomplexobj(value) and value.imag.any():
        raise ValueError(
            "the observable is complex, as ASE's frequencies are where some are imaginary: it must return "
            "real numbers, such as its .real or those of some modes (normal modes by harmonic_spread)"
        )
    return real


def _plain(value: ArrayLike) -> float | NDArray:
    return finite(value)[()]


def _all(function: Callable, values: NDArray) -> NDArray:
    return np.array([_plain(function(value)) for value in values])


def _jackknife(values: NDArray) -> NDArray:
    """Return the standard error of an estimate from its values (B, ...), each with one block left out."""
    n = len(values)
    return np.sqrt((n - 1) / n * ((values - values.mean(axis=0)) ** 2).sum(axis=0))[()]

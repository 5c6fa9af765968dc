"""What an ensemble says about its own error: mean, standard deviation, and whether to believe it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import scipy  # its stats, half a second to import, are loaded when first used

ENOUGH = 10
"""Predictions by which a std is judged: the rank correlation of fewer is uncertain by more than a third."""


def committee_mean_std(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sample standard deviation (ddof = 1) over the first axis, the members.

    members : (M, ...) with M >= 2.
    """
    if len(members) < 2:
        raise ValueError(f"a standard deviation needs at least 2 members, got {len(members)}")
    mean = np.add.reduce(members) / len(members)
    squares = members - mean
    squares *= squares
    return mean, np.sqrt(np.add.reduce(squares) / (len(members) - 1))


@dataclass(frozen=True)
class Calibration:
    """How well a predicted std σ describes errors e of a set of n predictions.

    spearman : rank correlation of σ and |e|; 1 ranks every error rightly, 0 knows nothing.
    scale : factor s that makes the mean of (e/(sσ))² one; above 1 the ensemble is overconfident.
    miscalibration_area : area between expected and observed coverage of the central intervals of a
        normal law of width sσ; 0 is perfect, 0.5 the worst (Tran et al., arXiv:1912.10066).
    miscalibration_area_raw : the same with s = 1.
    n : number of predictions.
    """

    spearman: float
    scale: float
    miscalibration_area: float
    miscalibration_area_raw: float
    n: int

    def to_dict(self) -> dict:
        """Plain types, ready for JSON."""
        return asdict(self)


def calibrate(errors: np.ndarray, stds: np.ndarray) -> Calibration:
    """Fit and judge a std on labelled structures that no member was trained on.

    errors, stds : arrays of one shape, in one unit. Where a std is exactly zero (a force that vanishes by
    symmetry, an isolated atom) there is nothing to judge, and the prediction is left out. A mean squared
    z-score of one is the maximum of the Gaussian likelihood in s (Kahle & Zipoli, arXiv:2108.05748; Pernot,
    arXiv:2402.10043).

    Raises
    ------
    ValueError : shapes differ, a std is negative, fewer than 2 are positive, or errors or stds all the same.
    """
    errors, stds = np.ravel(errors), np.ravel(stds)
    if errors.shape != stds.shape or np.any(stds < 0):
        raise ValueError(f"{errors.size} errors and {stds.size} stds: need as many, none negative")
    errors, stds = errors[stds > 0], stds[stds > 0]
    if len(stds) < 2:
        raise ValueError("fewer than 2 stds are positive: are the members all the same?")
    if np.ptp(stds) == 0.0 or np.ptp(np.abs(errors)) == 0.0:
        raise ValueError("all stds or all errors are the same: they cannot be ranked")
    z = errors / stds
    scale = float(np.sqrt(np.mean(z**2)))
    return Calibration(
        spearman=float(scipy.stats.spearmanr(stds, np.abs(errors)).statistic),
        scale=scale,
        miscalibration_area=miscalibration_area(z / scale),
        miscalibration_area_raw=miscalibration_area(z),
        n=len(errors),
    )


def can_judge(errors: np.ndarray, stds: np.ndarray) -> bool:
    """True where `ENOUGH` predictions have a positive std, and neither stds nor errors are all alike."""
    errors, stds = errors[stds > 0], stds[stds > 0]
    return len(stds) >= ENOUGH and np.ptp(stds) > 0.0 and np.ptp(np.abs(errors)) > 0.0


def coverage(z: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Fraction of |z| inside the central interval of each probability level of a standard normal."""
    bounds = scipy.stats.norm.ppf(0.5 * (1.0 + levels))
    return np.searchsorted(np.sort(np.abs(z)), bounds, side="right") / len(z)


def miscalibration_area(z: np.ndarray) -> float:
    """∫ |observed − expected coverage| over all levels."""
    levels = np.linspace(0.0, 1.0, 101)[:-1]
    return float(np.mean(np.abs(coverage(z, levels) - levels)))

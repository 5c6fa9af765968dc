"""Mean and standard deviation of an ensemble, and how well that standard deviation predicts errors."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import scipy  # its stats, half a second to import, are loaded when first used

#: Smallest number of predictions for a calibration: a rank correlation of fewer is too uncertain.
ENOUGH = 10


def committee_mean_std(members: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the sample standard deviation (ddof = 1) over the first axis.

    Parameters
    ----------
    members
        (M, ...), M >= 2.

    Raises
    ------
    ValueError
        There are fewer than two members.
    """
    if len(members) < 2:
        raise ValueError(f"a standard deviation needs at least 2 members, got {len(members)}")
    mean = np.add.reduce(members) / len(members)
    squares = members - mean
    squares *= squares
    return mean, np.sqrt(np.add.reduce(squares) / (len(members) - 1))


@dataclass(frozen=True)
class Calibration:
    """Hold how well a predicted std σ describes the errors e of n predictions.

    Attributes
    ----------
    spearman
        Rank correlation of σ and |e|: 1 if σ ranks all errors correctly, 0 without relation.
    scale
        Factor s for which the mean of (e/(sσ))² is one. Above 1 the ensemble is overconfident.
    miscalibration_area
        Area between the expected and the observed coverage of the central intervals of a normal
        distribution of width sσ: 0 is perfect, 0.5 the worst (Tran et al., arXiv:1912.10066).
    miscalibration_area_raw
        The same with s = 1.
    n
        Number of predictions.
    """

    spearman: float
    scale: float
    miscalibration_area: float
    miscalibration_area_raw: float
    n: int

    def to_dict(self) -> dict:
        """Return the attributes as plain types for JSON."""
        return asdict(self)


def calibrate_std(errors: np.ndarray, stds: np.ndarray) -> Calibration:
    """Fit the scale of a std to errors on labels that no member was trained on, and judge it.

    Predictions with a std of exactly zero (a force that is zero by symmetry, an isolated atom) are left out.
    A mean squared z-score of one is the maximum of the Gaussian likelihood in s (Kahle & Zipoli,
    arXiv:2108.05748; Pernot, arXiv:2402.10043).

    Parameters
    ----------
    errors
        Errors of the predictions, in any shape and unit.
    stds
        Their standard deviations, in the same shape and unit.

    Raises
    ------
    ValueError
        The shapes differ, a std is negative, fewer than two are positive, or all errors or stds are equal.
    """
    errors, stds = np.ravel(errors), np.ravel(stds)
    if errors.shape != stds.shape or np.any(stds < 0):
        raise ValueError(
            f"{errors.size} errors and {stds.size} stds: their numbers must be equal and no std negative"
        )
    errors, stds = errors[stds > 0], stds[stds > 0]
    if len(stds) < 2:
        raise ValueError("fewer than 2 stds are positive: are all members the same?")
    if np.ptp(stds) == 0.0 or np.ptp(np.abs(errors)) == 0.0:
        raise ValueError("all stds or all errors are equal: they cannot be ranked")
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
    """Return whether `ENOUGH` predictions have a positive std, and neither stds nor errors are all equal."""
    errors, stds = errors[stds > 0], stds[stds > 0]
    return len(stds) >= ENOUGH and np.ptp(stds) > 0.0 and np.ptp(np.abs(errors)) > 0.0


def coverage(z: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return the fraction of z-scores in the central interval of each probability level, (L,).

    Parameters
    ----------
    z
        (n,), errors over standard deviations.
    levels
        (L,), probabilities of the intervals of a standard normal distribution.
    """
    bounds = scipy.stats.norm.ppf(0.5 * (1.0 + levels))
    return np.searchsorted(np.sort(np.abs(z)), bounds, side="right") / len(z)


def miscalibration_area(z: np.ndarray) -> float:
    """Return the area between observed and expected coverage of z-scores (n,) over all levels."""
    levels = np.linspace(0.0, 1.0, 101)[:-1]
    return float(np.mean(np.abs(coverage(z, levels) - levels)))

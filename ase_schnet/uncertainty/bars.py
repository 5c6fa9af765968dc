"""Error bars from a few members: how far off a mean may be, at a stated level."""

from __future__ import annotations

import math

import numpy as np
import scipy  # its special functions are loaded when first used
from numpy.typing import NDArray

#: Probability that the truth lies within a bar, where nothing else is said.
LEVEL = 0.9
#: A std below this fraction of the rms std is rounding, as of the force on an atom that symmetry holds.
ROUNDED_STD = 1e-4


def student_quantile(n: int, level: float = LEVEL) -> float:
    """Return the t that encloses `level` of Student's distribution of `n` degrees of freedom.

    Raises
    ------
    ValueError
        The level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level must be between 0 and 1, such as 0.9, not {level}")
    return float(scipy.special.stdtrit(n, 0.5 * (1 + level)))


def half_width(
    std: float | NDArray, n_members: int, level: float = LEVEL, factor: float = 1.0
) -> float | NDArray:
    """Return half the width of the interval about the mean of M members that holds the truth.

    The truth is taken for one more draw of what the members are drawn from: the prediction interval
    t (1 + 1/M)^½ s of a normal distribution of unknown width.

    Parameters
    ----------
    std
        Sample standard deviation s of the members (ddof = 1), any shape and unit.
    n_members
        Number M of members, two or more.
    level
        Probability of the interval.
    factor
        How many times larger errors are than the disagreement of members would have them.
    """
    t = student_quantile(n_members - 1, level)
    return factor * t * math.sqrt(1 + 1 / n_members) * np.asarray(std)[()]


def overconfidence(scale: float, n_members: int) -> float:
    """Return how many times larger errors are than if the truth were one more member; at least 1.

    Parameters
    ----------
    scale
        Rms of error over std, as :func:`~ase_schnet.calibrate_std` fits it to kept-out labels.
    n_members
        Number M of members. If the truth were one more of them, error over std would be (1 + 1/M)^½ times a
        t of M - 1 degrees of freedom, whose rms is ((M - 1) / (M - 3))^½: 1.55 for five. Of three and fewer
        it has no rms, and nothing can be concluded.
    """
    if n_members <= 3:
        return 1.0
    expected = math.sqrt((1 + 1 / n_members) * (n_members - 1) / (n_members - 3))
    return max(1.0, scale / expected)

"""What of a scan was seen in training: shaded, or found by the std where nothing else tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ase_schnet.plotting.style import GREY
from ase_schnet.scan.summary import inside_training

if TYPE_CHECKING:
    from ase_schnet.scan import ScanResult

#: The ensemble gives no information where its std exceeds this multiple of the median over the scan.
UNINFORMATIVE = 20.0


def shade_training(
    panels: Sequence[Axes], result: ScanResult, order: NDArray
) -> tuple[NDArray, NDArray]:
    """Shade trained and known range, or without them the points within training, up to halfway to others.

    Parameters
    ----------
    panels
        The axes.
    result, order
        The scan, and the order of its points by the coordinate, (P,).

    Returns
    -------
    tuple
        Which points are in the training of the model's level of theory and of every level, (P,) each.
    """
    x = result.values[order]
    if result.trained_range is not None:
        trained = _shade(panels, x, result.trained_range, "seen in training")
        if result.known_range in (None, result.trained_range):
            return trained, trained
        seen = _shade(panels, x, result.known_range, "seen with a cheap method", alpha=0.4)
        return trained, seen
    std = result.energy_std_eV
    if result.outside_training is None:
        inside = known(result.energies_eV[order], std if std is None else std[order])
        return inside, inside
    inside = inside_training(result, every_level=True)[order]
    ends = np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])
    edges = np.flatnonzero(np.diff(np.concatenate([[False], inside, [False]])))
    for k, (first, end) in enumerate(edges.reshape(-1, 2)):
        _shade(panels, x, (ends[first], ends[end]), "_" * bool(k) + "within training of any level")
    return inside, inside


def _shade(
    panels: Sequence[Axes],
    x: NDArray,
    limits: tuple[float, float],
    label: str,
    alpha: float = 1.0,
) -> NDArray:
    """Shade a range of the coordinate, named in the first axes; return which points are in it, (P,)."""
    for ax, name in zip(panels, (label, None), strict=False):
        ax.axvspan(*limits, color=GREY, alpha=alpha, lw=0, zorder=0, label=name)
    return (x >= limits[0]) & (x <= limits[1])


def known(energy: NDArray, std: NDArray | None) -> NDArray:
    """Find where there is an energy, and the std is within UNINFORMATIVE times its median, (P,) bool."""
    finite = np.isfinite(energy)
    if std is None or np.isnan(std).all():
        return finite
    return finite & (std <= UNINFORMATIVE * np.nanmedian(std))

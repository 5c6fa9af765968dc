"""What stands beside the curves of a run: a closer look at their end, and distributions with their law."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from ase_schnet.plotting.style import BLACK

#: Points of the closer look at the end of a dense curve.
ZOOM_POINTS = 200


def draw_end(ax: Axes, time: NDArray, values: NDArray, color: str, titled: bool) -> None:
    """Draw the last points of a curve, whose time is in ps."""
    last = slice(-ZOOM_POINTS - 1, None)
    ax.plot(time[last], values[last], color=color, lw=0.9)
    ax.set_xlim(time[last][0], time[-1])
    ax.set_xticks([])
    ax.tick_params(labelleft=False)
    if titled:
        ax.set_title(f"last {1000 * (time[-1] - time[last][0]):.3g} fs", fontsize="small")


def temperature_law(target_K: float, n_dof: int) -> tuple[NDArray, NDArray, str]:
    """Compute the probability density (G,) of temperatures (G,), K, in the canonical ensemble."""
    shape, scale = n_dof / 2, 2 * target_K / n_dof
    grid = target_K * np.linspace(1e-3, 1 + 6 * math.sqrt(2 / n_dof), 400)
    log = (shape - 1) * np.log(grid / scale) - grid / scale - math.lgamma(shape)
    return grid, np.exp(log) / scale, f"{n_dof} degrees of\nfreedom, {target_K:g} K"


def draw_distribution(ax: Axes, values: NDArray, law: tuple | None) -> None:
    """Draw a horizontal histogram with the law that it should follow."""
    ax.hist(values, bins=40, density=True, orientation="horizontal", color="#BBBBBB")
    if law is not None:
        grid, density, label = law
        ax.plot(density, grid, color=BLACK, lw=1.2)
        ax.set_title(f"law of {label}", fontsize="x-small")
    ax.set_xticks([])
    ax.tick_params(labelleft=False)

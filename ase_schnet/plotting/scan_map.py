"""Pictures of a scan of two coordinates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from numpy.typing import NDArray

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.scan import level_of, set_degree_ticks, with_unit
from ase_schnet.plotting.style import (
    BLACK,
    ORANGE,
    PURPLE,
    RED,
    figure_of,
    legend_above,
    legible,
    panels_of,
)
from ase_schnet.plotting.trained import known
from ase_schnet.scan.summary import inside_training

if TYPE_CHECKING:
    from ase_schnet.scan import ScanMap

#: A std is drawn in logarithmic steps if its largest value is more than this times its smallest.
WIDE = 30.0
#: And in steps of whole decades, or of several, if it is more than this times.
MANY = 1e6
#: Grey of what has no error bar.
UNKNOWN = "0.8"
#: Of what is lower than the minimum, which counts only where the model was trained.
LOWER = PURPLE
#: Maps with fewer points than this along one coordinate are drawn as tiles, not as contours.
COARSE = 10


@legible
def plot_scan_map(
    result: ScanMap,
    trained_ranges: Sequence[tuple[float, float] | None] = (None, None),
    axes: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw a map of the energy, eV, and, with an ensemble, of its error bar or standard deviation, meV.

    The first coordinate is horizontal, the second vertical. The energy is relative to its lowest point
    within the trained ranges, if they are known, and where the std is not far above its median. The scale
    of the colours follows the map there: much higher energies have one colour, lower ones another (pink). A
    cross marks a point that did not relax. A coarse map is drawn as tiles, one for each point. Error bars are
    drawn where the map has them, else the std; grey is where the model has no error bar, since the structure
    is unlike all training.

    Parameters
    ----------
    result
        The map.
    trained_ranges
        For each coordinate its range in the training data, drawn as lines; None: that of the map. Without
        any, as for angles and dihedrals, a line parts the points within the training from those outside.
    axes
        One or two to draw in: energy, and error bar or std of an ensemble. By default a new figure.

    Raises
    ------
    ValueError
        If fewer than two by two points have an energy.
    """
    given = zip(trained_ranges, result.trained_ranges, strict=True)
    result = replace(result, trained_ranges=tuple(a or b for a, b in given))
    x, y = (np.argsort(values, kind="stable") for values in result.values)
    grid = np.ix_(x, y)
    energy, std = (  # (Q, P)
        None if g is None else g[grid].T for g in (result.energies_eV, result.energy_std_eV)
    )
    x, y = result.values[0][x], result.values[1][y]
    if min(energy.shape) < 2 or np.isfinite(energy).sum() < 4:
        raise ValueError("a map needs at least two by two points with an energy to draw")
    inside = inside_training(result, every_level=True)[grid].T
    sane = _where_trained(known(energy, std), inside, np.meshgrid(x, y), result.trained_ranges)
    lowest = np.unravel_index(np.where(sane, energy, np.inf).argmin(), energy.shape)
    energy = energy - energy[lowest]
    top = min(np.nanmax(energy), 3 * np.quantile(energy[sane], 0.9)) or 1e-9
    levels = MaxNLocator(14).tick_values(0, top)
    panels = [(energy, levels, "viridis", "energy above the minimum  (eV)")]
    panels += _uncertainty(result, grid)
    names, size = ["energy", "std"][: len(panels)], (0.6 + 4.6 * len(panels), 4.6)
    drawn = panels_of(axes, names, size, ncols=len(panels), sharex=True, sharey=True)
    for ax, panel in zip(drawn, panels, strict=False):
        places = dict(zip(result.coordinate_names, np.meshgrid(x, y), strict=True))
        keep_numbers(ax, panel[-1], **places, value=panel[0])
        _contours(ax, x, y, *panel)
        _marks(ax, result, (x[lowest[1]], y[lowest[0]]))
        if result.outside_training is not None and not any(result.trained_ranges):
            _edge_of_training(ax, x, y, inside)
        ax.set_xlabel(result.coordinate_names[0])
        legend_above(ax)
    drawn[0].set_ylabel(result.coordinate_names[1])
    return figure_of(drawn)


def _uncertainty(result: ScanMap, grid: tuple) -> list[tuple[NDArray, NDArray, str, str]]:
    """Return the panel of the error bars (Q, P), meV, or else of the stds; none without either."""
    known, name = result.energy_error_eV, f"{level_of(result)}error bar"
    if known is None or np.isfinite(known).sum() < 4:
        known, name = result.energy_std_eV, "ensemble std"
    if known is None or not np.isfinite(known).any():
        return []
    values = 1000 * known[grid].T
    return [(values, _std_levels(values), "cividis", f"{name}  (meV)")]


def _where_trained(
    sane: NDArray,
    inside: NDArray,
    coordinates: Sequence[NDArray],
    trained_ranges: Sequence[tuple[float, float] | None],
) -> NDArray:
    """Return the sane points (Q, P) inside, and within each trained range; what leaves none is ignored."""
    sane = sane & inside if (sane & inside).any() else sane
    for values, limits in zip(coordinates, trained_ranges, strict=True):
        if limits is not None:
            inside = sane & (values >= limits[0]) & (values <= limits[1])
            sane = inside if inside.any() else sane
    return sane


def _std_levels(std: NDArray) -> NDArray:
    """Choose levels of std or error bar, meV: even from zero, or logarithmic if they span more than WIDE."""
    std = std[np.isfinite(std)]
    low, high = std.min(), np.quantile(std, 0.95)
    if 0 < WIDE * low < high:
        subs = (1, 2, 5) if high < MANY * low else (1,)
        return np.array(LogLocator(subs=subs).tick_values(low, high))
    return np.array(MaxNLocator(14).tick_values(0, std.max() or 1e-9))


def _contours(
    ax: Axes, x: NDArray, y: NDArray, grid: NDArray, levels: NDArray, colours: str, title: str
) -> None:
    """Draw filled contours of ``grid`` (Q, P), or tiles, with a colour bar; each level has its own colour.

    What is infinite is grey.
    """
    endless, grid = np.isinf(grid).any(), np.ma.masked_invalid(grid)
    beyond = (bool(grid.min() < levels[0]), bool(grid.max() > levels[-1]))
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[beyond]
    colormap = colormaps[colours].with_extremes(under=LOWER)
    norm = BoundaryNorm(levels, colormap.N, extend=extend)
    if min(grid.shape) < COARSE:
        filled = ax.pcolormesh(x, y, grid, cmap=colormap, norm=norm, shading="nearest")
    else:
        filled = ax.contourf(x, y, grid, levels=levels, cmap=colormap, norm=norm, extend=extend)
        ax.contour(x, y, grid, levels=levels, colors=BLACK, linewidths=0.3, alpha=0.6)
    if beyond[0]:
        ax.fill_between([], [], color=LOWER, label="lower")
    ax.figure.colorbar(filled, ax=ax, label=title, format="%g")
    if endless:
        ax.set_facecolor(UNKNOWN)
        ax.fill_between([], [], color=UNKNOWN, label="no error bar")


def _edge_of_training(ax: Axes, x: NDArray, y: NDArray, inside: NDArray) -> None:
    """Draw the line between points within the training, (Q, P) bool, and those outside."""
    if inside.all() or not inside.any():
        return
    ax.contour(
        x, y, inside.astype(float), levels=[0.5], colors=RED, linewidths=1.2, linestyles="--"
    )
    ax.plot([], [], color=RED, lw=1.2, ls="--", label="edge of the training")


def _marks(ax: Axes, result: ScanMap, lowest: tuple[float, float]) -> None:
    """Mark the minimum, points that did not relax and the trained ranges, and set the ticks."""
    units = [name.rpartition("(")[2].rstrip(")") for name in result.coordinate_names]
    where = ", ".join(with_unit(v, u) for v, u in zip(lowest, units, strict=True))
    star = {"ls": "", "marker": "*", "ms": 14, "mfc": ORANGE, "mec": BLACK, "clip_on": False}
    ax.plot(*lowest, **star, zorder=5, label=f"minimum ({where})")
    if result.converged is not None:
        failed = np.argwhere(~result.converged & np.isfinite(result.energies_eV))
        if len(failed):
            where = [values[k] for values, k in zip(result.values, failed.T, strict=True)]
            ax.plot(*where, "x", color=RED, label="not converged")
    lines = (ax.axvline, ax.axhline)
    text = "seen in training"
    for values, line, limits in zip(result.values, lines, result.trained_ranges, strict=True):
        for limit in limits or ():
            if values.min() <= limit <= values.max():
                line(limit, color=RED, lw=1.2, ls="--", label=text)
                text = None
    for axis, values, unit in zip((ax.xaxis, ax.yaxis), result.values, units, strict=True):
        set_degree_ticks(axis, values, unit)

"""Pictures of a scan: energies along one coordinate with ensemble band, reference and errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from numpy.typing import NDArray

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import (
    BLACK,
    BLUE,
    ORANGE,
    RED,
    WIDTH,
    figure_of,
    legend_above,
    legible,
    panels_of,
)
from ase_schnet.plotting.trained import shade_training

if TYPE_CHECKING:
    from ase_schnet.scan import ScanMap, ScanResult

#: Scans of fewer points show them.
COARSE = 41
#: Degrees beyond which there would be too many ticks, as 16 million where 1e9° are asked for.
MANY_TURNS = 1080.0


@legible
def plot_scan(
    result: ScanResult,
    trained_range: tuple[float, float] | None = None,
    axes: Axes | Sequence[Axes] | None = None,
    *,
    known_range: tuple[float, float] | None = None,
) -> Figure:
    """Draw the energies of a scan, eV, with error band and reference, and below them the errors.

    The band is the error bar of the model where the scan has one; no band then means that the model has no
    data like it, and the curve is dotted there. Otherwise it is one and two standard deviations of the
    ensemble.

    Each curve is relative to its own energy at one common point: where the reference is lowest (without a
    reference, the model), within the trained range if it is known. The limits of the energy axis follow the
    reference, and the model where it was trained. Dots are the points of a coarse scan, circles those
    that did not relax, crosses at the bottom those without an energy.

    Parameters
    ----------
    result
        The scan.
    trained_range
        Range of the coordinate in the training data, Å or °; it is shaded. None: that of the scan. Where it
        has none, as of an angle or a dihedral, the points are shaded whose structure is within the training:
        all of its distances were seen there, and the members agree on its forces.
    axes
        One or two axes, for energies and errors; None: a new figure.
    known_range
        The range with the data of a cheap method; it is shaded more lightly. None: that of the scan.

    Raises
    ------
    ValueError
        If no point of the scan has an energy.
    """
    result = _with_ranges(result, trained_range, known_range)
    order = np.argsort(result.values, kind="stable")  # (P,)
    x, model = result.values[order], result.energies_eV[order]
    std, reference = _sorted(result.energy_std_eV, order), _reference(result, order)
    n = 1 if std is None and reference is None else 2
    names, heights = ["energies", "errors"][:n], [2, 1][:n]
    panels = panels_of(
        axes, names, (WIDTH, 1.8 * sum(heights)), nrows=n, sharex=True, height_ratios=heights
    )
    trained, legible = shade_training(panels, result, order)
    zero = _common_zero(model, reference, trained)
    model = model - model[zero]
    if reference is not None:
        reference = reference - reference[zero]
    bars = _bars(result, order)
    _draw_energies(panels[0], x, model, reference, bars)
    _draw_band(panels[0], x, model, std, bars)
    _keep(panels, result, order, model, reference)
    if len(panels) > 1:
        _draw_errors(panels[1], x, model, std, bars, reference, zero)
    _mark_failed(panels[0], x, model, result.converged, order)
    panels[0].set_ylim(_legible_limits(model, reference, legible))
    _label(panels, result, x, x[zero])
    return figure_of(panels)


def _with_ranges(
    result: ScanResult,
    trained_range: tuple[float, float] | None,
    known_range: tuple[float, float] | None,
) -> ScanResult:
    """Return the scan with the ranges that were given in place of its own."""
    if trained_range is not None:
        return replace(result, trained_range=trained_range, known_range=known_range)
    return result if known_range is None else replace(result, known_range=known_range)


def _keep(
    panels: Sequence[Axes],
    result: ScanResult,
    order: NDArray,
    model: NDArray,
    reference: NDArray | None,
) -> None:
    """Keep the numbers behind the panels; energies of model and reference (P,) are as they are drawn."""
    columns = {result.coordinate_name: result.values[order]}
    columns["error_bar_eV"] = _sorted(result.energy_error_eV, order)
    keep_numbers(panels[0], "energies", **columns, model_eV=model, reference_eV=reference)
    for ax in panels[1:]:
        difference = None if reference is None else np.abs(model - reference)
        std = _sorted(result.energy_std_eV, order)
        keep_numbers(ax, "errors", **columns, ensemble_std_eV=std, difference_eV=difference)


def _sorted(values: NDArray | None, order: NDArray) -> NDArray | None:
    return None if values is None else values[order]


def _reference(result: ScanResult, order: NDArray) -> NDArray | None:
    """Return the energies of the reference (P,); None if it has none where the model has one."""
    known = _sorted(result.reference_energies_eV, order)
    if known is None or np.isnan(known + result.energies_eV[order]).all():
        return None
    return known


def _mark_failed(
    ax: Axes, x: NDArray, model: NDArray, converged: NDArray | None, order: NDArray
) -> None:
    """Mark points that did not relax, of which a rigid scan has none, and points without an energy."""
    failed = np.zeros(len(x), bool) if converged is None else ~converged[order]
    lost = np.isnan(model)
    if (failed & ~lost).any():
        where = failed & ~lost
        ax.plot(x[where], model[where], "o", color=RED, mfc="none", label="not converged")
    if lost.any():
        bottom = {"transform": ax.get_xaxis_transform(), "clip_on": False, "zorder": 5}
        style = {"color": RED, "mew": 2, "label": f"no energy ({lost.sum()})"}
        ax.plot(x[lost], np.zeros(lost.sum()), "x", **style, **bottom)


def _label(panels: Sequence[Axes], result: ScanResult, x: NDArray, zero: float) -> None:
    """Name the axes, whose energies are relative to the one at ``zero``, and set ticks and legends."""
    panels[0].set_ylabel(f"energy relative to {with_unit(zero, result.unit)}  (eV)")
    if len(panels) > 1:
        judged = _reference(result, np.arange(len(x))) is not None
        panels[1].set_ylabel("energy error  (eV)" if judged else "uncertainty  (eV)")
    panels[-1].set_xlabel(result.coordinate_name)
    set_degree_ticks(panels[-1].xaxis, x, result.unit)
    if x[0] < x[-1]:
        panels[-1].set_xlim(x[0], x[-1])
    for ax in panels:
        legend_above(ax)


def _bars(result: ScanResult, order: NDArray) -> tuple[NDArray, str] | None:
    """Return the error bars (P,), NaN where they are infinite, and what they are called; None without."""
    if result.energy_error_eV is None:
        return None
    bars = result.energy_error_eV[order]
    return np.where(np.isfinite(bars), bars, np.nan), f"{level_of(result)}error bar"


def level_of(result: ScanResult | ScanMap) -> str:
    """Return the level of the error bars, "90 % ", or "" if it is not known."""
    return "" if result.error_level is None else f"{100 * result.error_level:.3g} % "


def _draw_energies(
    ax: Axes,
    x: NDArray,
    model: NDArray,
    reference: NDArray | None,
    bars: tuple[NDArray, str] | None,
) -> None:
    """Draw model and reference (P,), eV; dotted where the model has no error bar."""
    if reference is not None:
        ax.plot(x, reference, color=BLACK, lw=1.5, ls="--", label="reference", zorder=4)
    marks = {"marker": "o", "ms": 3.5} if len(x) < COARSE else {}
    strange = np.zeros(len(x), bool) if bars is None else np.isnan(bars[0]) & np.isfinite(model)
    ax.plot(x, np.where(strange, np.nan, model), color=BLUE, lw=2, label="model", **marks)
    if strange.any():
        # up to the points that have one
        beside = strange | np.roll(strange, 1) | np.roll(strange, -1)
        beside[[0, -1]] = strange[[0, -1]]
        text = "unlike all training"
        ax.plot(x, np.where(beside, model, np.nan), color=BLUE, lw=1.5, ls=":", label=text, **marks)


def _draw_band(
    ax: Axes, x: NDArray, model: NDArray, std: NDArray | None, bars: tuple[NDArray, str] | None
) -> None:
    """Draw the error bars about the model, or one and two std (P,), eV."""
    if bars is not None:
        half, label = bars
        ax.fill_between(x, model - half, model + half, color=BLUE, alpha=0.3, lw=0, label=label)
    elif std is not None:
        for n, alpha in ((2, 0.2), (1, 0.35)):
            band = {"color": BLUE, "alpha": alpha, "lw": 0, "label": f"± {n} std"}
            ax.fill_between(x, model - n * std, model + n * std, **band)


def _draw_errors(
    ax: Axes,
    x: NDArray,
    model: NDArray,
    std: NDArray | None,
    bars: tuple[NDArray, str] | None,
    reference: NDArray | None,
    zero: int,
) -> None:
    """Draw |model − reference|, std and error bars (P,), eV; all energies are relative to that at `zero`."""
    if reference is not None:
        error = np.abs(model - reference)
        error[zero] = np.nan  # zero by construction
        ax.plot(x, error, color=BLACK, lw=1.5, ls="--", label="|model − reference|")
    if std is not None:
        ax.plot(x, std, color=BLUE, lw=1.5, label="ensemble std")
    if bars is not None:
        half, label = bars
        ax.plot(x, half, color=ORANGE, lw=1.5, label=label)
    # a scan held against itself has no error
    if any((line.get_ydata() > 0).any() for line in ax.lines):
        ax.set_yscale("log")


def with_unit(value: float, unit: str) -> str:
    """Write a value with its unit, Å or °."""
    return f"{value:.3g}°" if unit == "°" else f"{value:.3g} {unit}"


def set_degree_ticks(axis: Axis, values: NDArray, unit: str) -> None:
    """Put ticks of an axis in degrees every 60°, or every 20° if the values span 60° to 180°."""
    span = np.ptp(values)
    if unit == "°" and 60 <= span <= MANY_TURNS:
        axis.set_major_locator(MultipleLocator(60 if span >= 180 else 20))


def _common_zero(model: NDArray, reference: NDArray | None, trained: NDArray) -> int:
    """Find the index of the lowest point that all curves have, inside the trained range if possible."""
    curve = model if reference is None else np.where(np.isfinite(model), reference, np.nan)
    inside = np.where(trained, curve, np.nan)
    for candidates in (inside, curve, model):
        if np.isfinite(candidates).any():
            return int(np.nanargmin(candidates))
    raise ValueError("no point of the scan has an energy: there is nothing to draw")


def _legible_limits(
    model: NDArray, reference: NDArray | None, trained: NDArray
) -> tuple[float, float]:
    """Choose limits of the energy axis, eV, that do not follow a model outside its trained range."""
    known = np.isfinite(model)
    within = known & trained if (known & trained).any() else known
    first, last = np.flatnonzero(within)[[0, -1]]
    low, high = model[within].min(), model[within].max()
    if reference is not None:
        low, high = min(low, np.nanmin(reference)), max(high, np.nanmax(reference))
    else:
        # outwards from the trained range, until the model falls into a hole or rises to a wall
        floor, ceiling = low - (high - low), low + 20 * (high - low)
        for part in (model[:first][::-1], model[last + 1 :]):
            sane = np.logical_and.accumulate((part > floor) & (part < ceiling))
            low = min([low, *part[sane]])
            high = max([high, *part[sane]])
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin

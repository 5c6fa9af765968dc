"""Pictures of a training: learning curves, parity with labels, calibration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    figure_of,
    legend_above,
    legible,
    panels_of,
)

if TYPE_CHECKING:
    from ase_schnet.coverage import Coverage
    from ase_schnet.evaluation import Comparison, Quantity

MEMBER_COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
#: Calibration of fewer predictions than this is chance.
LEAST_JUDGED = 20
CROWDED = 50.0  # ends of a logarithmic axis whose labels at 1, 2 and 5 would touch
FULL = 1000.0  # and of one whose labels at 1 and 3 would
MANY = 1e6  # and of a vertical one whose labels at 1, 2 and 5 would
MAX_POINTS = 20_000  # of a scatter plot; more hide each other and make the file heavy


@legible
def plot_learning_curves(
    folds: list[dict],
    length: dict | None = None,
    axes: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw training loss, validation loss and validation errors of each fold over the epochs.

    Parameters
    ----------
    folds
        The "folds" entry of a model card, or the result of :func:`~ase_schnet.training.log.read_logs`.
    length
        The "training_length" entry of a model card; a line from the end of the training to where twice the
        epochs would come.
    axes
        Axes to draw in, as many as there are panels or fewer: the first are drawn. None: a new figure.

    Returns
    -------
    Figure
        Panels for the loss, and for the errors of forces, energies and stress if they were recorded.
    """
    columns = {
        "validation_forces_mae_meV_per_Ang": "validation force MAE  (meV/Å)",
        "validation_energy_mae_meV": "validation energy MAE  (meV)",
        "validation_stress_mae_meV_per_Ang3": "validation stress MAE  (meV/Å³)",
    }
    known = [c for c in columns if folds[0]["history"].get(c, [None])[0] is not None]
    names = ["loss", *(c.removeprefix("validation_").split("_")[0] for c in known)]
    n = len(names)
    axes = panels_of(axes, names, (4.2 * n, 3.8), ncols=n)
    for k, fold in enumerate(folds):
        history, colour = fold["history"], MEMBER_COLOURS[k % len(MEMBER_COLOURS)]
        axes[0].plot(history["epoch"], history["training_loss"], color=colour, lw=0.8, ls="--")
        label = fold.get("label", f"fold {k + 1}")
        losses = {name: history[name] for name in ("epoch", "training_loss", "validation_loss")}
        keep_numbers(axes[0], label, **losses)
        axes[0].plot(history["epoch"], history["validation_loss"], color=colour, label=label)
        for ax, column in zip(axes[1:], known, strict=False):
            ax.plot(history["epoch"], history[column], color=colour)
            keep_numbers(ax, label, epoch=history["epoch"], **{column: history[column]})
    if length is not None:
        _draw_length(axes[0], folds, length)
    axes[0].set_ylabel("loss  (dashed: training, solid: validation)")
    for ax, column in zip(axes[1:], known, strict=False):
        ax.set_ylabel(columns[column])
    for ax in axes:
        ax.set_yscale("log")
        _ticks_of_decades(ax.yaxis)
        ax.set_xlabel("epoch")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_above(axes[0])
    return figure_of(axes)


def _draw_length(ax: Axes, folds: list[dict], length: dict) -> None:
    """Draw what twice the epochs would make of the mean loss, with its error, beyond the curves."""
    end = np.exp(np.mean([np.log(fold["history"]["validation_loss"][-1]) for fold in folds]))
    epochs, then = (length["epochs"], 2 * length["epochs"]), end * (1 + length["change"])
    ax.errorbar(epochs, (end, then), (0, end * length["error"]), color=BLACK, ls=":", capsize=3)
    text = f"twice the epochs:\n{100 * length['change']:+.0f} ± {100 * length['error']:.0f} %"
    place = {"transform": ax.transAxes, "ha": "right", "va": "top", "fontsize": "small"}
    ax.text(0.97, 0.97, text.replace("-", "−"), **place)


@legible
def plot_parity(
    comparison: Comparison,
    covered: Sequence[Coverage] = (),
    level: float = 0.9,
    axes: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw predictions against labels and, for an ensemble, how well std and error bars describe the error.

    Parameters
    ----------
    comparison
        Predictions of an ensemble, with labels.
    covered
        What its error bars did on these labels.
    level
        Probability that the error bars state.
    axes
        Axes to draw in, row by row, as many as there are panels or fewer: the first are drawn. None: a new
        figure.

    Returns
    -------
    Figure
        A row of panels for each quantity with labels: parity and, for an ensemble, the error by the std and
        the coverage.
    """
    rows = comparison.quantities()
    ensemble = len(comparison.energies) > 1
    kinds = ("parity", "error by std", "coverage")[: 3 if ensemble else 1]
    n, size = len(kinds), (4.2 * len(kinds), 3.9 * len(rows))
    names = [f"{kind} of {row.name}" for row in rows for kind in kinds]
    panels = panels_of(axes, names, size, nrows=len(rows), ncols=n)
    bars = {c.name: c for c in covered}
    for k, ax in enumerate(panels):
        quantity, kind = rows[k // n], kinds[k % n]
        judged = int((quantity.std > 0).sum()) if ensemble else 0
        if kind == "parity":
            _parity(ax, quantity)
        elif judged < LEAST_JUDGED:
            ax.set_axis_off()
            text = f"too few labels to judge the\nstd of the {quantity.name}: {judged}, not {LEAST_JUDGED}"
            if kind == "error by std":
                ax.text(0, 0.5, text, transform=ax.transAxes, fontsize="small", va="center")
        elif kind == "error by std":
            _error_by_std(ax, quantity)
        else:
            _coverage(ax, quantity)
            _covered(ax, level, bars.get(quantity.name))
            legend_above(ax)
    return figure_of(panels)


def _parity(ax: Axes, q: Quantity) -> None:
    """Draw predictions against labels, with the errors in numbers."""
    # total energies are large and nearly equal
    zero = q.reference.mean() if q.name == "energy" else 0.0
    x, y = q.reference - zero, q.mean - zero
    ends = [min(x.min(), y.min()), max(x.max(), y.max())]
    unit, relative = q.unit.removeprefix("m"), " − mean" if zero else ""
    std = q.std if len(q.members) > 1 else None
    names = (f"{what} ({unit})" for what in ("labelled", "predicted", "std"))
    columns = dict(zip(names, (q.reference, q.mean, std), strict=True))
    keep_numbers(ax, f"parity of {q.name}", **columns)
    shown = np.random.default_rng(0).permutation(len(x))[:MAX_POINTS]
    ax.plot(ends, ends, color=BLACK, lw=0.8)
    ax.plot(x[shown], y[shown], ".", ms=2, color=BLUE, alpha=0.4, rasterized=True)
    mae, rmse = 1000 * np.abs(q.error).mean(), 1000 * np.sqrt((q.error**2).mean())
    text = f"MAE {mae:.2f} {q.unit}\nRMSE {rmse:.2f} {q.unit}\nn = {len(x)}"
    ax.text(0.04, 0.96, text, transform=ax.transAxes, va="top", fontsize="small")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5))
    ax.set_xlabel(f"labelled {q.name}{relative}  ({unit})")
    ax.set_ylabel(f"predicted {q.name}{relative and ' − the same mean'}  ({unit})")
    ax.set_aspect("equal")


def _error_by_std(ax: Axes, q: Quantity) -> None:
    """Draw the root mean square error in bins of equal size by std; a correct std gives the diagonal."""
    known = q.std > 0  # zero by symmetry gives no information
    std, error = 1000 * q.std[known], 1000 * q.error[known]
    bins = np.array_split(np.argsort(std), min(20, len(std) // 10 + 1))
    expected = [np.sqrt((std[b] ** 2).mean()) for b in bins]
    observed = [np.sqrt((error[b] ** 2).mean()) for b in bins]
    ends = [min(*expected, *observed), max(*expected, *observed)]
    columns = {f"std ({q.unit})": expected, f"rms error ({q.unit})": observed}
    keep_numbers(ax, f"error by std of {q.name}", **columns, in_bin=[len(b) for b in bins])
    ax.loglog(ends, ends, color=BLACK, lw=0.8, label="std = error")
    ax.loglog(expected, observed, "o-", ms=4, color=ORANGE, label=f"{len(bins)} equal bins")
    for axis in (ax.xaxis, ax.yaxis):
        _ticks_of_decades(axis)
    ax.set_xlabel(f"ensemble std of the {q.name}  ({q.unit})")
    ax.set_ylabel(f"root mean square error  ({q.unit})")
    legend_above(ax)


def _ticks_of_decades(axis: Axis) -> None:
    """Put ticks at 1, 2 and 5 times powers of ten, or at fewer where labels side by side would touch.

    By default labels of less than two decades overlap.
    """
    low, high = axis.get_view_interval()
    subs = (1, 2, 5) if high < MANY * low else (1,)
    if axis.axis_name == "x" and high > CROWDED * low:
        subs = (1, 3) if high < FULL * low else (1,)
    axis.set_major_locator(LogLocator(subs=subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def _coverage(ax: Axes, q: Quantity) -> None:
    """Draw the observed coverage of the errors by intervals of the std against the expected one."""
    levels = np.linspace(0, 0.99, 100)
    known = q.std > 0
    # no errors: its own labels
    scale = np.sqrt(np.mean((q.error[known] / q.std[known]) ** 2)) or 1.0
    found, scaled = q.coverage(levels), q.coverage(levels, scale)
    columns = {"expected": levels, "observed": found, f"observed of std x {scale:.2f}": scaled}
    keep_numbers(ax, f"coverage of {q.name}", **columns)
    ax.plot([0, 1], [0, 1], color=BLACK, lw=0.8)
    ax.plot(levels, found, color=BLUE, label="std as found")
    ax.plot(levels, scaled, color=GREEN, label=f"std × {scale:.2f}")
    ax.set_xlabel(f"expected coverage of the {q.name} errors")
    ax.set_ylabel("observed coverage")
    ax.set_aspect("equal")


def _covered(ax: Axes, level: float, bars: Coverage | None) -> None:
    """Mark how many errors the error bars cover, with the 95 % interval of that."""
    if bars is None:
        return
    reach = [[max(bars.fraction - bars.low, 0)], [max(bars.high - bars.fraction, 0)]]
    style = {"fmt": "o", "ms": 5, "color": ORANGE, "capsize": 3, "zorder": 5}
    ax.errorbar([level], [bars.fraction], reach, label="error bars", **style)
    found = {"observed": bars.fraction, "low": bars.low, "high": bars.high}
    keep_numbers(ax, f"error bars of {bars.name}", expected=level, **found)

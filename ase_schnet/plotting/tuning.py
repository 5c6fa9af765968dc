"""Picture of a search for hyperparameters: what matters, how it went, and where the good values lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ase_schnet.plotting.style import BLUE, GREEN, ORANGE, RED, legend_above

if TYPE_CHECKING:
    from ase_schnet.tuning.rows import Row

MOST = 4  # hyperparameters that have a panel of their own
#: Scores above so many times the median are drawn at the upper edge: one bad network hides all others.
HIGHEST = 3.0
#: A hyperparameter whose values span this factor is drawn on a logarithmic axis.
DECADE = 10.0


def plot_tuning(
    rows: Sequence[Row],
    importance: Mapping[str, float] | None,
    first: Mapping[str, Any],
) -> Figure:
    """Draw the importance of hyperparameters, the trials in their order, and scores against values.

    Parameters
    ----------
    rows
        The trials.
    importance
        Share of the variance of ln(score) by hyperparameter, largest first; None draws no such panel.
    first
        Values of the recipe that was given.

    Returns
    -------
    Figure
        Two panels above, and one below for each of the four most important hyperparameters.
    """
    complete = [row for row in rows if row.score is not None]
    names = list(importance or first)[:MOST]
    figure = Figure(figsize=(11.0, 6.4), layout="constrained")
    above, below = np.ravel(figure.subfigures(2, 1))
    if importance:
        bars, history = above.subplots(1, 2)
        _importance(bars, importance)
    else:
        history = above.subplots()
    _history(history, rows, first)
    panels = below.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for ax, name in zip(panels, names, strict=True):
        _slice(ax, complete, name, first)
    panels[0].set_ylabel("score of complete trials")
    return figure


def _importance(ax: Axes, importance: Mapping[str, float]) -> None:
    names = list(importance)[::-1]
    ax.barh(names, [100 * importance[name] for name in names], color=BLUE)
    ax.set_xlabel("importance: share of the variance of ln(score)  (%)")


def _history(ax: Axes, rows: Sequence[Row], first: Mapping[str, Any]) -> None:
    """Draw the scores in the order of the trials, the best up to each, and the trials without a score."""
    complete = [row for row in rows if row.score is not None]
    ax.set_xlabel("trial")
    ax.set_ylabel("score  (validation error / spread)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if not complete:
        return
    number, score = (
        np.array(c) for c in zip(*((r.number, r.score) for r in complete), strict=True)
    )
    top = _highest(score)
    ax.plot(number, np.minimum(score, top), "o", ms=4, color=BLUE, label="complete")
    pruned = [row.number for row in rows if row.ended in ("pruned", "diverged")]
    style = {"ls": "", "marker": "|", "color": ORANGE, "label": "pruned"}
    ax.plot(pruned, np.full(len(pruned), 0.97), transform=ax.get_xaxis_transform(), **style)
    steps = [*number, max(row.number for row in rows)]
    best = np.minimum.accumulate(score)
    ax.step(steps, [*best, best[-1]], where="post", color=GREEN, lw=1, label="best so far")
    start = [row.score for row in complete if row.values == first]
    if start:
        ax.axhline(start[0], color=RED, lw=1, ls="--", label="as given")
    k = int(score.argmin())
    ax.plot(number[k], score[k], "*", ms=12, color=GREEN, label="best")
    ax.set_yscale("log")
    _logarithmic(ax.yaxis)
    legend_above(ax)


def _slice(ax: Axes, complete: Sequence[Row], name: str, first: Mapping[str, Any]) -> None:
    """Draw the scores against the values of one hyperparameter, and the value that was given."""
    score = np.array([row.score for row in complete])
    values = [row.values[name] for row in complete]
    ax.set_xlabel(name)
    if not len(score):
        return
    given = first.get(name)
    numbers = not any(isinstance(value, (str, bool)) for value in values)
    if numbers:
        positions = np.array(values, dtype=float)
        if positions.min() > 0 and positions.max() > DECADE * positions.min():
            ax.set_xscale("log")
    else:
        words = sorted({str(value) for value in [*values, given]})
        positions = np.array([words.index(str(value)) for value in values])
        ax.set_xticks(range(len(words)), words)
        given = words.index(str(given))
    best = int(score.argmin())
    shown = np.minimum(score, _highest(score))
    ax.plot(positions, shown, "o", ms=4, color=BLUE, alpha=0.7)
    ax.plot(positions[best], shown[best], "*", ms=12, color=GREEN)
    ax.axvline(given, color=RED, lw=1, ls="--")
    ax.set_yscale("log")
    _logarithmic(ax.yaxis)


def _highest(score: np.ndarray) -> float:
    return float(max(score.min(), HIGHEST * np.median(score)))


def _logarithmic(axis: Axis) -> None:
    """Label less than a decade with numbers that can be read."""
    axis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())

"""Picture of a search for hyperparameters: what matters, how it went, and where the good values lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import BLUE, GREEN, ORANGE, RED, figure_of, given_axes, legend_above

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
    axes: Axes | Sequence[Axes] | None = None,
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
    axes
        Axes to draw in, as many as there are panels or fewer: the first are drawn. None: a new figure.

    Returns
    -------
    Figure
        Importance, if it is known, and the trials above, and a panel below for each of the four most
        important hyperparameters.
    """
    complete = [row for row in rows if row.score is not None]
    names = list(importance or first)[:MOST]
    above = ["importance", "trials"] if importance else ["trials"]
    panels = _new_axes(len(above), len(names)) if axes is None else given_axes(axes, above + names)
    left = iter(panels)
    if importance:
        _importance(next(left), importance)
    for ax in islice(left, 1):
        _history(ax, rows, first)
    for k, (ax, name) in enumerate(zip(left, names, strict=False)):
        _slice(ax, complete, name, first)
        if axes is not None or not k:
            ax.set_ylabel("score of complete trials")
    figure = figure_of(panels)
    return figure if axes is not None else cast(Figure, figure.figure)  # not half of it


def _new_axes(n_above: int, n_below: int) -> list[Axes]:
    """Make a figure of two rows; those below share their scores."""
    figure = Figure(figsize=(11.0, 6.4), layout="constrained")
    above, below = np.ravel(figure.subfigures(2, 1))
    first = above.subplots(1, n_above, squeeze=False)[0]
    return [*first, *below.subplots(1, n_below, sharey=True, squeeze=False)[0]]


def _importance(ax: Axes, importance: Mapping[str, float]) -> None:
    names = list(importance)[::-1]
    shares = np.array([importance[name] for name in names])
    keep_numbers(ax, "importance", hyperparameter=names, share_of_variance=shares)
    ax.barh(names, 100 * shares, color=BLUE)
    ax.set_xlabel("importance: share of the variance of ln(score)  (%)")


def _history(ax: Axes, rows: Sequence[Row], first: Mapping[str, Any]) -> None:
    """Draw the scores in the order of the trials, the best up to each, and the trials without a score."""
    complete = [row for row in rows if row.score is not None]
    ax.set_xlabel("trial")
    ax.set_ylabel("score  (validation error / spread)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    table = {"trial": [row.number for row in rows], "ended": [row.ended for row in rows]}
    scores = [np.nan if row.score is None else row.score for row in rows]
    keep_numbers(ax, "trials", **table, score=scores)
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
    keep_numbers(ax, name, trial=[row.number for row in complete], value=values, score=score)
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
            ax.xaxis.set_major_locator(MaxNLocator(4))  # values such as 0.00125 are wide
            ax.xaxis.set_major_formatter("{x:g}")
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

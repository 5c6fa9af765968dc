"""Picture of a learning: errors and lives against the calls of the reference."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import BLUE, GREEN, RED, figure_of, legible, panels_of

if TYPE_CHECKING:
    from ase_schnet.learning.rounds import Row


@legible
def plot_learning(
    rows: Sequence[Row],
    goal_meV_per_Ang: float,
    end: tuple[int, float, float] | None,
    axes: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw what the model of each round came to, against the number of structures labelled for it.

    Parameters
    ----------
    rows
        What became of each round; a row judges the model of the round before.
    goal_meV_per_Ang
        Error of the forces to be reached, meV/Å.
    end
        Calls of the reference, error of the forces (meV/Å) and share of whole runs of the model of the end;
        None while there is none.
    axes
        One or two axes to draw in, for errors and for whole runs. None: a new figure.

    Returns
    -------
    Figure
        Two panels, or the first.
    """
    panels = panels_of(axes, ["errors", "whole runs"], (8.4, 3.4), ncols=2)
    # what the model knew that the next row judges
    calls = np.array([row.calls for row in rows[:-1]])
    found = np.array([row.forces_mae_meV_per_Ang for row in rows[1:]])
    whole = np.array([row.runs_whole / max(row.runs, 1) for row in rows[1:]])
    errors = panels[0]
    _keep(panels, calls, (found, whole), goal_meV_per_Ang, end)
    errors.plot(calls, found, "o-", color=BLUE, label="rounds, on random structures")
    if end is not None:
        errors.plot(end[0], end[1], "*", ms=12, color=GREEN, label="the model of the end")
    errors.axhline(goal_meV_per_Ang, color=RED, ls="--", lw=1, label="goal")
    errors.set_yscale("log")
    errors.yaxis.set_major_formatter(LogFormatter())  # 20, not 2 x 10^1
    errors.yaxis.set_minor_formatter(LogFormatter())
    errors.set_ylabel("force MAE  (meV/Å)")
    errors.legend(frameon=False, fontsize="small")
    for lives in panels[1:]:
        lives.plot(calls, 100 * whole, "o-", color=BLUE)
        if end is not None:
            lives.plot(end[0], 100 * end[2], "*", ms=12, color=GREEN)
        lives.set_ylim(-5, 105)
        lives.set_ylabel("runs that came to their end  (%)")
    for ax in panels:
        ax.set_xlabel("structures given to the reference")
        ax.grid(alpha=0.3)
    return figure_of(panels)


def _keep(
    panels: Sequence[Axes],
    calls: NDArray,
    of_rounds: tuple[NDArray, NDArray],
    goal_meV_per_Ang: float,
    end: tuple[int, float, float] | None,
) -> None:
    """Keep errors and shares of whole runs (R,) of the rounds and of the end, by calls (R,)."""
    judged = ["rounds"] * len(calls) + ["the end"] * (end is not None)
    calls = np.append(calls, () if end is None else end[0])
    mae, whole = (
        np.append(v, () if end is None else end[k]) for k, v in enumerate(of_rounds, start=1)
    )
    table = {"model": judged, "reference_calls": calls.astype(int)}
    goal = {"goal_meV_per_Ang": goal_meV_per_Ang}
    keep_numbers(panels[0], "errors", **table, force_mae_meV_per_Ang=mae, **goal)
    for lives in panels[1:]:
        keep_numbers(lives, "whole runs", **table, share_of_runs=whole)

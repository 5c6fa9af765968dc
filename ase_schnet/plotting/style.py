"""What all pictures share: colours for the colour-blind, sizes for print, legends, complete files."""

import io
from collections.abc import Callable, Sequence
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, ParamSpec, cast

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from ase_schnet.runtime.files import replaced

# Okabe & Ito, https://jfly.uni-koeln.de/color
BLACK, ORANGE, BLUE, GREEN, RED = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"
PURPLE, SKY = "#CC79A7", "#56B4E9"
GREY = "#E4E4E4"
#: Points, of figures whose WIDTH (inches) becomes the 8.5 cm of a column in print: some 7 points there.
FONT_SIZE, WIDTH = 12, 6.0
#: Most entries in a line of a legend; the legend may be so many times as wide as its axes.
LEGEND_COLUMNS, LEGEND_ROOM = 5, 1.1


P = ParamSpec("P")


def legible(plot: Callable[P, Figure]) -> Callable[P, Figure]:
    """Decorate a function that draws a figure: letters have the size for print, unless it is given axes."""
    takes = signature(plot)

    @wraps(plot)
    def draw(*args: P.args, **options: P.kwargs) -> Figure:
        if takes.bind(*args, **options).arguments.get("axes") is not None:
            return plot(*args, **options)
        with rc_context({"font.size": FONT_SIZE}):
            figure = plot(*args, **options)
        for ax in figure.axes:  # labels of ticks are made when they are drawn
            for name in ("x", "y"):
                size = FONT_SIZE - 1
                ax.tick_params(axis=cast(Any, name), which="both", labelsize=size)
        return figure

    return draw


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file, complete or not at all.

    Parameters
    ----------
    figure
        The figure.
    path
        File name; its suffix says the format (.png, .pdf, .svg).

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        For a suffix that is not a picture format.
    """
    path = Path(path)
    kind = require_picture_name(path)
    with replaced(path) as there:
        figure.savefig(there, format=kind, dpi=200)
    return path


def as_png(figure: Figure) -> bytes:
    """Return a figure as the bytes of a PNG file, for pages and notebooks."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=240)
    return file.getvalue()


def require_picture_name(path: str | Path) -> str:
    """Return the picture format of a file name, such as "png".

    Parameters
    ----------
    path
        File name.

    Raises
    ------
    ValueError
        For a suffix that is not a picture format.
    """
    formats = FigureCanvasBase.get_supported_filetypes()
    kind = Path(path).suffix.lstrip(".").lower()
    if kind not in formats:
        raise ValueError(f"cannot draw {path}: its name must end in .{', .'.join(sorted(formats))}")
    return kind


def given_axes(axes: Axes | Sequence[Axes], panels: Sequence[str], least: int = 1) -> list[Axes]:
    """Return the axes to draw panels in, as a list.

    Parameters
    ----------
    axes
        What the caller gave: one, several, or an array of ``plt.subplots``.
    panels
        Names of the panels, for the error message.
    least
        Smallest number of axes.

    Raises
    ------
    ValueError
        If they are not axes, fewer than ``least``, or more than there are panels.
    """
    found = [axes] if isinstance(axes, Axes) else list(np.ravel(np.asarray(axes, dtype=object)))
    wanted = (
        f"axes= takes matplotlib's axes, {least} to {len(panels)} of them ({', '.join(panels)})"
    )
    if least == len(panels):
        wanted = f"axes= takes matplotlib's axes, {least} of them ({', '.join(panels)})"
    odd = [type(ax).__name__ for ax in found if not isinstance(ax, Axes)]
    if odd:
        raise ValueError(f"{wanted}, not {odd[0]}")
    if not least <= len(found) <= len(panels):
        raise ValueError(f"{wanted}, not {len(found)}")
    return found


def panels_of(
    axes: Axes | Sequence[Axes] | None,
    names: Sequence[str],
    figsize: tuple[float, float],
    least: int = 1,
    **grid,
) -> list[Axes]:
    """Return the axes to draw panels in: those given, or those of a new figure.

    Parameters
    ----------
    axes
        As for :func:`given_axes`; None makes a new figure.
    names
        Names of the panels.
    figsize
        Width and height of a new figure, inches.
    least
        Smallest number of given axes.
    **grid
        Arguments of ``Figure.subplots`` for a new figure.

    Raises
    ------
    ValueError
        As :func:`given_axes`.
    """
    if axes is not None:
        return given_axes(axes, names, least)
    figure = Figure(figsize=figsize, layout="constrained")
    return list(figure.subplots(squeeze=False, **grid).flat)


def figure_of(axes: Sequence[Axes]) -> Figure:
    """Return the figure (or subfigure, which is drawn likewise) of axes."""
    return cast(Figure, axes[0].figure)


def legend_above(ax: Axes) -> Legend:
    """Put the legend above the axes, where it covers no data, in as many lines as it needs to be no wider."""
    room = LEGEND_ROOM * ax.get_window_extent().width
    columns = min(LEGEND_COLUMNS, len(ax.get_legend_handles_labels()[1]))
    while True:
        legend = ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            ncols=max(columns, 1),
            frameon=False,
            fontsize="small",
            borderaxespad=0.2,
            handlelength=1.5,
            columnspacing=1.2,
        )
        if columns <= 1 or legend.get_window_extent().width <= room:
            return legend
        columns -= 1


def title_above_legend(ax: Axes, text: str) -> None:
    """Put the legend above the axes, and a title above the legend."""
    legend = legend_above(ax)
    height = legend.get_window_extent().height * 72 / cast(Figure, ax.figure).dpi  # points
    ax.set_title(text, fontsize="small", loc="left", pad=height + 2)

"""Picture of a radial distribution function with its error band."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import BLACK, BLUE, figure_of, legend_above, legible, panels_of

if TYPE_CHECKING:
    from ase_schnet.propagation import Spread


@legible
def plot_rdf(r: NDArray, rdf: Spread, axes: Axes | None = None) -> Figure:
    """Draw a radial distribution function, the interval of each value, and the members.

    Parameters
    ----------
    r
        Distances (K,), Å.
    rdf
        Its values (K,), as :func:`~ase_schnet.propagation.spread` averages them over a run.
    axes
        Axes to draw in. By default a new figure.
    """
    (ax,) = panels_of(axes, ["rdf"], (7, 4))
    low, high = rdf.interval
    ax.fill_between(r, low, high, color=BLUE, alpha=0.3, lw=0, label=f"{100 * rdf.level:g} %")
    for k, member in enumerate(rdf.members):
        ax.plot(r, member, color=BLUE, lw=0.4, label=None if k else "members")
    ax.plot(r, rdf.value, color=BLACK, lw=1.2, label="ensemble")
    members = {f"member_{k}": member for k, member in enumerate(rdf.members)}
    keep_numbers(ax, "rdf", distance_Ang=r, g=rdf.value, low=low, high=high, **members)
    ax.set(xlabel="distance  (Å)", ylabel="g(r)", xlim=(0, r[-1]), ylim=(0, None))
    legend_above(ax)
    return figure_of([ax])

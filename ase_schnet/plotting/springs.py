"""Pictures of the distances of every element pair, with the Gaussians fitted to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from ase import units
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import BLUE, GREY, ORANGE, figure_of, legible, panels_of

if TYPE_CHECKING:
    from ase_schnet.augment.springs import PairSprings

EV_PER_KCAL_MOL = units.kcal / units.mol
COLUMNS, BINS = 2, 60


@legible
def plot_springs(
    distances: Mapping[str, NDArray],
    springs: Mapping[str, PairSprings],
    axes: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw histograms of the distances, Å, with the fitted mixtures of Gaussians and their components.

    Parameters
    ----------
    distances
        Distances (n,), Å, by name of the element pair, such as "H-O".
    springs
        Springs of the same pairs, fitted by :func:`~ase_schnet.augment.springs.fit_springs`.
    axes
        Axes to draw in, one for each pair or fewer: the first pairs are drawn. None: a new figure.

    Returns
    -------
    Figure
        One panel for each pair.
    """
    rows, new = -(-len(distances) // COLUMNS), axes is None
    panels = panels_of(axes, list(distances), (9, 2.6 * rows), nrows=rows, ncols=COLUMNS)
    for ax, (name, values) in zip(panels, distances.items(), strict=False):
        _panel(ax, name, values, springs[name])
    for ax in panels[len(distances) :]:
        ax.set_axis_off()
    for ax in panels[:: COLUMNS if new else 1]:
        ax.set_ylabel("density (1/Å)")
    figure = figure_of(panels)
    if new:
        figure.supxlabel("distance (Å)", fontsize="medium")
    else:
        for ax in panels:
            ax.set_xlabel("distance (Å)")
    return figure


def _panel(ax: Axes, name: str, values: NDArray, pair: PairSprings) -> None:
    """Draw the distances (n,) of one pair, Å."""
    density, ends, _ = ax.hist(values, bins=BINS, density=True, color=GREY)
    columns = {"bin_from_Ang": ends[:-1], "bin_to_Ang": ends[1:], "density_per_Ang": density}
    keep_numbers(ax, "distances", pair=name, **columns)
    columns = {"mean_Ang": pair.means_Ang, "sigma_Ang": pair.sigmas_Ang, "weight": pair.weights}
    keep_numbers(ax, "springs", pair=name, **columns, k_eV_per_Ang2=pair.k_eV_per_Ang2)
    x = np.linspace(values.min() - 0.1, values.max() + 0.1, 800)
    z = (x[:, None] - pair.means_Ang) / pair.sigmas_Ang  # (X, C)
    parts = pair.weights * np.exp(-0.5 * z**2) / (pair.sigmas_Ang * np.sqrt(2 * np.pi))
    ax.plot(x, parts.sum(axis=1), color=BLUE, lw=2.5)
    ax.plot(x, parts, color=ORANGE, lw=1)
    for mean, height, k in zip(pair.means_Ang, parts.max(axis=0), pair.k_eV_per_Ang2, strict=True):
        text = f"{mean:.2f} Å\n{k / EV_PER_KCAL_MOL:.3g}"
        ax.annotate(
            text, (mean, height), (0, 3), textcoords="offset points", ha="center", fontsize=7
        )
    ax.set_ylim(0, 1.25 * ax.get_ylim()[1])  # room for the numbers
    ax.set_title(f"{name}: mean, k in kcal/mol/Å²", fontsize="small", loc="left")

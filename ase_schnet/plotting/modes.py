"""Picture of the normal modes of a structure with their error bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.spectrum import MARGIN, NAME_HEIGHT, WAVENUMBER, name_bands
from ase_schnet.plotting.style import BLACK, RED, figure_of, legible, panels_of

if TYPE_CHECKING:
    from ase_schnet.spectra import NormalModes

#: The axis of intensities ends at this times the largest.
ROOM = 1.06


@legible
def plot_modes(modes: NormalModes, axes: Axes | None = None) -> Figure:
    """Draw a stick at the wavenumber of each mode, as high as its infrared intensity, with error bars.

    Parameters
    ----------
    modes
        Modes of a structure. Those without intensities are points, one above the other by their number.
    axes
        Axes to draw in. By default a new figure.
    """
    (ax,) = panels_of(axes, ["modes"], (8, 4))
    x, intensity = modes.wavenumber_cm, modes.intensity_km_per_mol
    x_error, y_error = modes.wavenumber_error_cm, modes.intensity_error_km_per_mol
    columns = {WAVENUMBER: x, "± (cm⁻¹)": x_error}
    columns |= {"intensity (km/mol)": intensity, "± (km/mol)": y_error}
    keep_numbers(ax, "modes", **columns)
    errors = {"fmt": "none", "ecolor": BLACK, "elinewidth": 0.9, "capsize": 2.5}
    if intensity is None:
        heights, label = np.arange(len(x)), "mode"
        ax.errorbar(x, heights, xerr=x_error, **errors | {"fmt": "o", "color": RED, "ms": 4})
        ax.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        bottom, top = -0.8, len(x) - 0.2
    else:
        heights, label = intensity, "infrared intensity  (km/mol)"
        ax.vlines(x, 0, heights, color=RED, lw=2)
        ax.errorbar(x, heights, xerr=x_error, yerr=y_error, **errors)
        bottom, top = 0.0, ROOM * (np.max(heights + (0 if y_error is None else y_error)) or 1.0)
    reach = 0.0 if x_error is None else x_error
    width = MARGIN * max((x + reach).max(), 1.0)
    ax.set_xlim(min(0.0, MARGIN * (x - reach).min()), width)
    lines = name_bands(ax, modes, width)
    ax.set_ylim(bottom, top * (1 + 1.2 * NAME_HEIGHT * lines))
    ax.set(xlabel="harmonic wavenumber  (cm⁻¹)", ylabel=label)
    return figure_of([ax])

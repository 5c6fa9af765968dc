"""Pictures of vibrational spectra, with harmonic and measured bands to compare with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    figure_of,
    legend_above,
    legible,
    panels_of,
)

if TYPE_CHECKING:
    from ase_schnet.spectra import NormalModes, Spectrum
    from ase_schnet.spectra.measured_bands import MeasuredBands

#: Name and axis label of each kind of spectrum.
LABELS = {
    "vdos": ("density of states", "modes per cm⁻¹"),
    "ir": ("infrared", "absorption  (km/mol per cm⁻¹)"),
    "raman-isotropic": ("isotropic", "Raman activity  (Å⁴/amu per cm⁻¹)"),
    "raman-depolarised": ("depolarised", "Raman activity  (Å⁴/amu per cm⁻¹)"),
}
WAVENUMBER = "wavenumber (cm⁻¹)"  # column of the numbers behind a spectrum
#: Width of the name of a band, as a share of the axis; names that would overlap are put one above the other.
NAME_WIDTH = 0.13
#: Height of such a name with the mark below it, as a share of the axis.
NAME_HEIGHT = 0.085
#: The axis ends at MARGIN times the last wavenumber with at least LAST_SHARE of the largest intensity.
LAST_SHARE, MARGIN = 0.01, 1.08
#: Height of a Gaussian of unit area and unit full width at half maximum.
PEAK = 2 * math.sqrt(math.log(2) / math.pi)


@legible
def plot_spectrum(
    *spectra: Spectrum,
    modes: NormalModes | None = None,
    measured: MeasuredBands | None = None,
    axes: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw spectra with their errors, harmonic sticks with names, and measured positions.

    Parameters
    ----------
    *spectra
        One spectrum or more, in the same unit.
    modes
        Harmonic modes, with the errors that they have. Infrared intensities are drawn as sticks as high as
        the spectrum would be at a band of that intensity no wider than the resolution; without them, or for
        another kind of spectrum, the modes are ticks below the spectrum.
    measured
        Measured bands, drawn as ticks below the spectrum.
    axes
        Axes to draw in: one, and a second one if there are ticks. By default a new figure.
    """
    _require_spectra(spectra)
    sticks = modes is not None and spectra[0].kind == "ir"
    sticks = sticks and modes.intensity_km_per_mol is not None
    rows = []
    if modes is not None and not sticks:
        rows.append(("harmonic", modes.wavenumber_cm, modes.wavenumber_error_cm, RED))
    if measured is not None:
        rows.append(("measured", measured.wavenumber_cm, None, BLACK))
    n, room = (2 if rows else 1), 0.25 * len(rows)
    names, heights = ["spectrum", "ticks"][:n], [3.6, room][:n]
    size = 8, 4.2 + room
    drawn = panels_of(axes, names, size, n, nrows=n, sharex=True, height_ratios=heights)
    top = drawn[0]
    for spectrum, color in zip(spectra, cycle((BLUE, GREEN, ORANGE, PURPLE)), strict=False):
        _draw(top, spectrum, color)
    right, peak = None, PEAK / spectra[0].resolution_cm
    if sticks:
        right = _sticks(top, modes)
    if rows:
        _ticks(drawn[1], rows)
    for name, wavenumber, error, _ in rows:
        keep_numbers(drawn[1], name, **{WAVENUMBER: wavenumber, "error (cm⁻¹)": error})
    top.set_ylabel(LABELS[spectra[0].kind][1])
    end = max([*map(_end, spectra), *(values.max() for _, values, *_ in rows)])
    if modes is not None:
        end = max(end, modes.wavenumber_cm.max())
    top.set_xlim(0, MARGIN * end)
    low, high = 0.0, 1.06 * max(_highest(spectrum) for spectrum in spectra)
    if right is not None:
        high = max(high, 1.06 * peak * modes.intensity_km_per_mol.max())
    if modes is not None:
        high *= 1 + 1.2 * NAME_HEIGHT * name_bands(top, modes, MARGIN * end)
    top.set_ylim(low, high)
    if right is not None:
        right.set_ylim(low / peak, high / peak)
    source = f";  measured: {measured.source}" if measured is not None and measured.source else ""
    drawn[-1].set_xlabel(f"wavenumber  (cm⁻¹){source}")
    legend_above(top)
    return figure_of(drawn)


def _require_spectra(spectra: Sequence) -> None:
    if not spectra or not all(hasattr(spectrum, "kind") for spectrum in spectra):
        raise ValueError(
            "plot_spectrum takes one spectrum or more, not a list of them: plot_spectrum(*spectra)"
        )


def _draw(ax: Axes, spectrum: Spectrum, color: str) -> None:
    """Draw one spectrum with its error."""
    x, y = spectrum.wavenumber_cm, spectrum.intensity
    unit = LABELS[spectrum.kind][1]
    keep_numbers(ax, spectrum.kind, **{WAVENUMBER: x, unit: y, "standard error": spectrum.error})
    runs = "1 run" if spectrum.n_runs == 1 else f"{spectrum.n_runs} runs"
    label = f"{LABELS[spectrum.kind][0]}, {runs}, {spectrum.temperature_K:.0f} K"
    if spectrum.has_shared_energy is False:
        label += f", bands may be wrong by a factor of {spectrum.energy_factor_text}"
    ax.plot(x, y, color=color, lw=1.2, label=label)
    error = spectrum.error
    if error is not None:
        band = {"color": color, "alpha": 0.3, "lw": 0, "label": "± 1 standard error"}
        ax.fill_between(x, np.maximum(y - error, 0), y + error, **band)


def _sticks(ax: Axes, modes: NormalModes) -> Axes:
    """Draw harmonic intensities, km/mol, as sticks behind the spectrum; return their axis, on the right."""
    right = ax.twinx()
    ax.set_zorder(right.get_zorder() + 1)
    ax.patch.set_visible(False)
    heights = modes.intensity_km_per_mol
    columns = {WAVENUMBER: modes.wavenumber_cm, "error (cm⁻¹)": modes.wavenumber_error_cm}
    columns |= {"intensity (km/mol)": heights, "± (km/mol)": modes.intensity_error_km_per_mol}
    keep_numbers(ax, "harmonic", **columns)
    right.vlines(modes.wavenumber_cm, 0, heights, color=RED, lw=1.5, alpha=0.8)
    errors = {"yerr": modes.intensity_error_km_per_mol, "xerr": modes.wavenumber_error_cm}
    if any(error is not None for error in errors.values()):
        style = {"fmt": "none", "ecolor": RED, "elinewidth": 0.8, "capsize": 2}
        right.errorbar(modes.wavenumber_cm, heights, **errors, **style)
    right.set_ylabel("harmonic intensity  (km/mol)", color=RED)
    right.tick_params(axis="y", colors=RED)
    ax.plot([], [], color=RED, lw=1.5, label="harmonic")  # for the legend
    return right


def _ticks(ax: Axes, rows: list[tuple[str, NDArray, NDArray | None, str]]) -> None:
    """Draw a row of vertical ticks for each of (name, wavenumbers, their errors, colour)."""
    for k, (_, wavenumber, error, color) in enumerate(rows):
        ax.vlines(wavenumber, -k - 0.35, -k + 0.35, color=color, lw=1.5)
        if error is not None:
            ax.hlines(np.full(len(error), -k), wavenumber - error, wavenumber + error, color=color)
    ax.set_yticks([-k for k in range(len(rows))], [name for name, *_ in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(-len(rows) + 0.45, 0.55)


def name_bands(ax: Axes, modes: NormalModes, width: float) -> int:
    """Write the names of the modes above their wavenumbers; return the number of lines of text.

    `width` is that of the axis, cm⁻¹; the lines begin at its top.
    """
    names = dict.fromkeys(name for name in modes.names if name)
    ends: list[float] = []  # of the text in each line, counted from the top
    transform = ax.get_xaxis_transform()
    for name in names:  # from low to high wavenumber
        group = modes.wavenumber_cm[[own == name for own in modes.names]]
        middle = group.mean()
        start = middle - NAME_WIDTH * width / 2
        line = next((k for k, end in enumerate(ends) if end <= start), len(ends))
        ends[line : line + 1] = [start + NAME_WIDTH * width]
        y = 0.985 - NAME_HEIGHT * line
        style = {"ha": "center", "va": "top", "fontsize": "small", "color": RED}
        ax.text(middle, y, name, transform=transform, **style)
        y -= 0.06
        ax.plot(
            [group.min(), group.max()], [y, y], "|-", color=RED, lw=1, ms=4, transform=transform
        )
    return len(ends)


def _end(spectrum: Spectrum) -> float:
    """Find the last wavenumber, cm⁻¹, with at least LAST_SHARE of the largest intensity."""
    y = spectrum.intensity
    return float(spectrum.wavenumber_cm[np.flatnonzero(y >= LAST_SHARE * y.max())[-1]])


def _highest(spectrum: Spectrum) -> float:
    """Return the largest intensity with its error."""
    error = 0 if spectrum.error is None else spectrum.error
    return float((spectrum.intensity + error).max()) or 1.0  # where nothing absorbs

"""Pictures of a run: conserved energy, temperature, pressure, volume, uncertainty."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet.plotting.beside import ZOOM_POINTS, draw_distribution, draw_end, temperature_law
from ase_schnet.plotting.numbers import keep_numbers
from ase_schnet.plotting.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    WIDTH,
    figure_of,
    given_axes,
    legend_above,
    legible,
    title_above_legend,
)
from ase_schnet.runs.drift import conserved_meV_per_atom
from ase_schnet.runs.explosion import time_of
from ase_schnet.runs.record import MDRecord

if TYPE_CHECKING:
    from ase_schnet.runs.drift import Drift

#: Largest number of points of a curve; more would only make the file larger.
MAX_POINTS = 20_000
#: A curve is dense if it has so many times the points of the closer look at its end.
DENSE = 5
#: Letters in a line of the title, and most lines.
TITLE_LETTERS, TITLE_LINES = 60, 3
#: Failed runs of fewer samples show them.
COARSE = 41
#: Columns of the numbers behind the panels.
COLUMNS = {
    "energy": "conserved_energy_change_meV_per_atom",
    "temperature": "temperature_K",
    "pressure": "pressure_GPa",
    "volume": "volume_Ang3_per_atom",
    "ensemble std": "energy_std_meV_per_atom",
}
#: Share of a run at its start that is left out of means and distributions: it may not be in equilibrium.
EQUILIBRATION = 0.2


@legible
def plot_drift(
    record: MDRecord | str | Path,
    drift: Drift | None = None,
    axes: Axes | Sequence[Axes] | None = None,
) -> Figure:
    """Draw a run: the conserved energy with its fitted line, the temperature, and what else was recorded.

    The title is the verdict, with its first reason. Beside a curve of many points its end is drawn anew, so
    that one sees what the block of colour is made of; for a run with a thermostat, the distribution of each
    quantity but the energy, over the last 80 % of the run. The temperature 2 E_kin / (n kB) of n degrees of
    freedom must follow a gamma distribution of shape n/2, which is drawn too.

    Parameters
    ----------
    record
        The run, or the path of its directory.
    drift
        Verdict on this run; None draws no verdict.
    axes
        One or several axes to draw in; the first panels are drawn, as many as there are axes. Panels are
        energy, temperature, pressure and volume (constant pressure only), and ensemble std (ensembles
        only). By default a new figure, with what stands beside the panels.

    Returns
    -------
    Figure
        The figure of the axes.
    """
    if isinstance(record, (str, Path)):
        record = MDRecord.read(record)
    energy = _draw_energy if drift is not None else _draw_unjudged_energy
    panels = {"energy": energy, "temperature": _draw_temperature}
    if record.ensemble == "npt":
        panels |= {"pressure": _draw_pressure, "volume": _draw_volume}
    if record.energy_std_eV is not None:
        panels["ensemble std"] = _draw_uncertainty
    if axes is None:
        dense = len(record) >= DENSE * ZOOM_POINTS
        drawn, beside = _new_axes(len(panels), dense, distributions=record.ensemble != "nve")
    else:
        drawn = given_axes(axes, list(panels))
        beside = [None] * len(drawn)
    thin = max(1, len(record) // MAX_POINTS)
    time = record.time_fs / 1000
    for row, (name, ax, side) in enumerate(zip(panels, drawn, beside, strict=False)):
        values, law = panels[name](ax, record, drift, slice(None, None, thin))
        keep_numbers(ax, name, time_ps=time, **{COLUMNS[name]: values})
        if side is None:
            continue
        if row and record.ensemble != "nve":
            draw_distribution(side, values[int(EQUILIBRATION * len(values)) :], law)
        else:
            draw_end(side, time, values, ax.lines[0].get_color(), titled=not row)
        side.set_ylim(ax.get_ylim())
    drawn[-1].set_xlabel("time  (ps)")
    end = max(time[-1], _mark_failure(drawn, record, drift))
    for ax in drawn:
        if time[0] < end:
            ax.set_xlim(time[0], end)
    return figure_of(drawn)


def _mark_failure(panels: Sequence[Axes], record: MDRecord, drift: Drift | None) -> float:
    """Draw a line where a run failed, beyond its last sample; return where the time axis is to end, ps."""
    failed_ps = None if record.failure is None else time_of(record.failure)
    if failed_ps is None:
        return -math.inf
    for ax in panels:
        if len(record) < COARSE:
            ax.lines[0].set_marker("o")
        ax.axvline(failed_ps, color=RED, ls=":", lw=2, label=f"failed at {failed_ps:g} ps")
    if drift is not None:
        title_above_legend(panels[0], _title(drift))
    start = record.time_fs[0] / 1000
    return failed_ps + 0.03 * (failed_ps - start)


def _new_axes(
    n: int, dense: bool, distributions: bool
) -> tuple[Sequence[Axes], Sequence[Axes | None]]:
    """Make a figure of n panels; return their axes, and for each what is beside it, or None."""
    heights = [2.0] + [1.1] * (n - 1)
    columns = 2 if dense or distributions else 1
    figure = Figure(figsize=(WIDTH + 0.7 * columns, 1.4 + sum(heights)), layout="constrained")
    grid = figure.add_gridspec(n, columns, height_ratios=heights, width_ratios=[4, 1][:columns])
    axes = []
    for row in range(n):
        axes.append(figure.add_subplot(grid[row, 0], sharex=axes[0] if axes else None))
    for ax in axes[:-1]:
        ax.tick_params(labelbottom=False)
    beside: list[Axes | None] = [None] * n
    for row in range(n):
        if dense if row == 0 or not distributions else distributions:
            beside[row] = figure.add_subplot(grid[row, 1])
    if distributions:
        cast(Axes, beside[1]).set_title("distribution", fontsize="small")
    return axes, beside


def _draw_energy(ax: Axes, record: MDRecord, drift: Drift, thin: slice) -> tuple[NDArray, None]:
    """Draw the conserved energy, meV/atom, with its drift and the verdict."""
    time = record.time_fs / 1000  # (T,) ps
    energy = conserved_meV_per_atom(record)
    ax.plot(time[thin], energy[thin], color=BLUE, lw=0.6, label=drift.quantity)
    slope, error = drift.drift_meV_per_atom_per_ps, drift.drift_stderr_meV_per_atom_per_ps
    if math.isfinite(slope):
        line = energy.mean() + slope * (time[[0, -1]] - time.mean())
        text = f"drift {slope:+.1g} ± {error:.1g} meV/atom/ps"
        ax.plot(time[[0, -1]], line, color=ORANGE, lw=2, label=text)
    symbol = "E" if record.ensemble == "nve" else "H"
    ax.set_ylabel(f"{symbol} − {symbol}(0)  (meV/atom)")
    title_above_legend(ax, _title(drift))
    return energy, None


def _title(drift: Drift) -> str:
    """Return the outcome and why, in one or two lines; of a run that passed, its drift and the limit."""
    limit = drift.allowed_drift_meV_per_atom_per_ps
    why = [f"the {drift.quantity} drifts by less than {limit:.2g} meV/atom/ps"]
    why = [*(drift.reasons or drift.doubts)] or why
    more = f" (and {len(why) - 1} more)" if len(why) > 1 else ""
    lines = textwrap.wrap(f"{drift.outcome}: {why[0]}{more}", TITLE_LETTERS, max_lines=TITLE_LINES)
    return "\n".join(lines)


def _draw_unjudged_energy(
    ax: Axes, record: MDRecord, drift: None, thin: slice
) -> tuple[NDArray, None]:
    """Draw the conserved energy, meV/atom, without a verdict."""
    energy = conserved_meV_per_atom(record)
    ax.plot(record.time_fs[thin] / 1000, energy[thin], color=BLUE, lw=0.6)
    ax.set_ylabel("change of the\nconserved energy\n(meV/atom)")
    ax.set_title("no verdict", fontsize="medium", loc="left")
    return energy, None


def _draw_temperature(
    ax: Axes, record: MDRecord, drift: Drift | None, thin: slice
) -> tuple[NDArray, tuple | None]:
    """Draw the temperature, K; return it with the law of its distribution."""
    target_K = record.target_temperature_K
    if np.ndim(target_K) == 1:
        return _draw_ramp(ax, record, thin), None
    _draw_series(ax, record, record.temperature_K, thin, RED, "T  (K)", "{:.0f} K", target_K)
    if target_K is None or record.n_degrees_of_freedom == 0:
        return record.temperature_K, None
    return record.temperature_K, temperature_law(target_K, record.n_degrees_of_freedom)


def _draw_ramp(ax: Axes, record: MDRecord, thin: slice) -> NDArray:
    """Draw the temperature, K, and the target temperature at each time."""
    time, target_K = record.time_fs / 1000, record.target_temperature_K
    ax.plot(time[thin], record.temperature_K[thin], color=RED, lw=0.6)
    text = f"target {target_K[0]:.0f} K to {target_K[-1]:.0f} K"
    ax.plot(time[[0, -1]], target_K[[0, -1]], color=BLACK, lw=1, ls="--", label=text)
    ax.set_ylabel("T  (K)")
    legend_above(ax)
    return record.temperature_K


def _draw_pressure(
    ax: Axes, record: MDRecord, drift: Drift | None, thin: slice
) -> tuple[NDArray, None]:
    """Draw the pressure, GPa."""
    pressure_GPa = np.asarray(record.pressure_GPa)  # a run at constant pressure has one
    target_GPa = record.target_pressure_GPa
    _draw_series(ax, record, pressure_GPa, thin, SKY, "P  (GPa)", "{:.3g} GPa", target_GPa)
    return pressure_GPa, None


def _draw_volume(
    ax: Axes, record: MDRecord, drift: Drift | None, thin: slice
) -> tuple[NDArray, None]:
    """Draw the volume, Å³/atom."""
    volume = record.volume_Ang3 / record.n_atoms
    _draw_series(ax, record, volume, thin, PURPLE, "V  (Å³/atom)", "{:.4g} Å³/atom")
    return volume, None


def _draw_uncertainty(
    ax: Axes, record: MDRecord, drift: Drift | None, thin: slice
) -> tuple[NDArray, None]:
    """Draw the standard deviation of the ensemble, meV/atom."""
    std = 1000 * record.energy_std_eV / record.n_atoms
    ax.plot(record.time_fs[thin] / 1000, std[thin], color=GREEN, lw=0.6)
    ax.set_ylabel("ensemble std\n(meV/atom)")
    ax.set_ylim(bottom=0)
    return std, None


def _draw_series(
    ax: Axes,
    record: MDRecord,
    values: NDArray,
    thin: slice,
    color: str,
    label: str,
    mean_format: str,
    target: float | None = None,
) -> None:
    """Draw a quantity (T,) and its mean; with a thermostat the mean after equilibration."""
    ax.plot(record.time_fs[thin] / 1000, values[thin], color=color, lw=0.6)
    text = "mean "
    if record.ensemble != "nve":
        values = values[int(EQUILIBRATION * len(values)) :]
        text += f"of the last {100 * (1 - EQUILIBRATION):.0f} %: "
    text += mean_format.format(values.mean())
    if target is not None:
        text += f", target {mean_format.format(target)}"
    ax.axhline(values.mean(), color=BLACK, lw=1, ls="--", label=text)
    ax.set_ylabel(label)
    legend_above(ax)

"""Pictures of a simulation: energy drift, scans."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet.plotting.style import BLACK, BLUE, GREEN, GREY, ORANGE, RED, legend_above


def plot_drift(record, drift, axes: Sequence[Axes] | None = None) -> Figure:
    """Draw total energy with its fitted line, temperature and, if recorded, the ensemble's std.

    Parameters
    ----------
    record : MDRecord
    drift : Drift
        Of this record.
    axes
        Two to draw in (three where ``record`` has an energy std); by default a new figure.
    """
    has_std = record.energy_std_eV is not None
    if axes is None:
        heights = [2.2, 1, 1] if has_std else [2.2, 1]
        figure = Figure(figsize=(7, 1.5 + sum(heights)), layout="constrained")
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    time = record.time_fs / 1000  # (T,) ps
    energy = 1000 * (record.total_energy_eV - record.total_energy_eV[0]) / record.n_atoms
    slope, error = drift.drift_meV_per_atom_per_ps, drift.drift_stderr_meV_per_atom_per_ps
    spread = 1000 * record.kinetic_energy_eV.std() / record.n_atoms
    line = energy.mean() + slope * (time - time.mean())

    axes[0].plot(time, energy, color=BLUE, lw=0.6, label="total energy")
    text = f"drift {slope:+.2g} ± {error:.1g} meV/atom/ps"
    axes[0].plot(time, line, color=ORANGE, lw=2, label=text)
    axes[0].set_ylabel("E − E(0)  (meV/atom)")
    axes[0].set_title(
        f"{'PASS' if drift.passed else 'FAIL'}: the total energy fluctuates by "
        f"{drift.rms_fluctuation_meV_per_atom:.2g}, the kinetic by {spread:.2g} meV/atom",
        fontsize="medium",
        loc="left",
        pad=22,
    )
    legend_above(axes[0])

    axes[1].plot(time, record.temperature_K, color=RED, lw=0.6)
    mean_K = record.temperature_K.mean()
    axes[1].axhline(mean_K, color=BLACK, lw=1, ls="--", label=f"mean {mean_K:.0f} K")
    axes[1].set_ylabel("T  (K)")
    legend_above(axes[1])
    if has_std:
        axes[2].plot(time, 1000 * record.energy_std_eV / record.n_atoms, color=GREEN, lw=0.6)
        axes[2].set_ylabel("ensemble std\n(meV/atom)")
        axes[2].set_ylim(bottom=0)
    axes[-1].set_xlabel("time  (ps)")
    axes[-1].set_xlim(time[0], time[-1])
    return axes[0].figure


def plot_scan(
    result,
    trained_range: tuple[float, float] | None = None,
    axes: Sequence[Axes] | None = None,
) -> Figure:
    """Draw the energies of a scan with ensemble band and reference, and below them the errors.

    Each curve is relative to its own energy at one common point: where the reference (without one,
    the model) is lowest, within the trained range if there is one. The energy axis follows the
    reference, and the model inside the trained range; a model that runs away is cut off.

    Parameters
    ----------
    result : ScanResult
    trained_range
        Range of the coordinate that the model has seen in training, shaded.
    axes
        Two to draw in, energies and errors (one where there is neither std nor reference); by
        default a new figure.
    """
    order = np.argsort(result.values)
    x, model = result.values[order], result.energies_eV[order]  # (P,)
    std, reference = (
        None if column is None else column[order]
        for column in (result.energy_std_eV, result.reference_energies_eV)
    )
    if reference is not None and not np.isfinite(reference).any():
        reference = None  # the scan lies outside its range
    if axes is None:
        heights = [2] if std is None and reference is None else [2, 1]
        figure = Figure(figsize=(7, 2 * sum(heights)), layout="constrained")
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
        axes = axes[:, 0]
    trained = np.ones(len(x), dtype=bool)
    if trained_range is not None:
        trained = (x >= trained_range[0]) & (x <= trained_range[1])
        for ax, label in zip(axes, ("seen in training", None), strict=False):
            ax.axvspan(*trained_range, color=GREY, lw=0, zorder=0, label=label)
    zero = _common_zero(model, reference, trained)
    model = model - model[zero]
    if reference is not None:
        reference = reference - reference[zero]
        error = np.abs(model - reference)
        error[zero] = np.nan  # zero by construction
        axes[0].plot(x, reference, color=BLACK, lw=1.5, ls="--", label="reference", zorder=4)
        axes[1].semilogy(x, error, color=BLACK, lw=1.5, ls="--", label="|model − reference|")
    if std is not None:
        for n, alpha in ((2, 0.2), (1, 0.35)):
            band = {"color": BLUE, "alpha": alpha, "lw": 0, "label": f"± {n} std"}
            axes[0].fill_between(x, model - n * std, model + n * std, **band)
        axes[1].semilogy(x, std, color=BLUE, lw=1.5, label="ensemble std")
    axes[0].plot(x, model, color=BLUE, lw=2, label="model")
    axes[0].set_ylim(_legible_limits(model, reference, trained))
    unit = result.coordinate_name.rpartition("(")[2].rstrip(")")
    axes[0].set_ylabel(f"energy relative to {x[zero]:.3g} {unit}  (eV)")
    if len(axes) > 1:
        axes[1].set_ylabel("energy error  (eV)")
    axes[-1].set_xlabel(result.coordinate_name)
    if x[0] < x[-1]:
        axes[-1].set_xlim(x[0], x[-1])
    for ax in axes:
        legend_above(ax)
    return axes[0].figure


def _common_zero(model: NDArray, reference: NDArray | None, trained: NDArray) -> int:
    """Index of the lowest point that all curves have, inside the trained range if possible."""
    curve = model if reference is None else np.where(np.isfinite(model), reference, np.nan)
    inside = np.where(trained, curve, np.nan)
    for candidates in (inside, curve, model):
        if np.isfinite(candidates).any():
            return int(np.nanargmin(candidates))
    raise ValueError("the scan has no finite energy to draw")


def _legible_limits(
    model: NDArray, reference: NDArray | None, trained: NDArray
) -> tuple[float, float]:
    """Limits of the energy axis that a model running away does not spoil."""
    known = np.isfinite(model)
    within = known & trained if (known & trained).any() else known
    first, last = np.flatnonzero(within)[[0, -1]]
    low, high = model[within].min(), model[within].max()
    if reference is not None:
        low, high = min(low, np.nanmin(reference)), max(high, np.nanmax(reference))
    else:
        # Outwards from the trained range, until the model falls into a hole or up a wall.
        floor, ceiling = low - (high - low), low + 20 * (high - low)
        for part in (model[:first][::-1], model[last + 1 :]):
            sane = np.logical_and.accumulate((part > floor) & (part < ceiling))
            low = min([low, *part[sane]])
            high = max([high, *part[sane]])
    margin = 0.1 * (high - low) or 1.0
    return low - margin, high + margin

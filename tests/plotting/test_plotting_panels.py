"""Panels: every plot draws in given axes, legends fit their figure, a failed run shows where it failed."""

import io
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from ase import Atoms
from matplotlib.figure import Figure
from test_plotting import comparison, record

from ase_schnet.augment.springs import PairSprings
from ase_schnet.learning.rounds import Row
from ase_schnet.plotting import (
    plot_drift,
    plot_learning,
    plot_learning_curves,
    plot_parity,
    plot_scan,
    plot_springs,
)
from ase_schnet.runs.drift import drift
from ase_schnet.scan import ScanResult

FALLING = [1.0 / e for e in range(1, 11)]
FOLDS = [
    {
        "history": {
            "epoch": list(range(1, 11)),
            "training_loss": FALLING,
            "validation_loss": FALLING,
            "validation_forces_mae_meV_per_Ang": FALLING,
            "validation_energy_mae_meV": FALLING,
        }
    }
] * 5
NORMAL = np.random.default_rng(0).normal(1.0, 0.05, 200)
SPRING = PairSprings(*(np.array([value]) for value in (1.0, 0.05, 1.0, 10.0)))
PAIRS = ("C-H", "H-O", "C-O")
ROWS = [Row(k, 20 + 8 * k, 20 + 8 * k, 0, 2, 9.0 / (k + 1), 9.0, 6, 8) for k in range(3)]
DISTANCES, SPRINGS = dict.fromkeys(PAIRS, NORMAL), dict.fromkeys(PAIRS, SPRING)
PLOTS = {
    "parity": (6, lambda axes: plot_parity(comparison(), axes=axes)),
    "learning curves": (3, lambda axes: plot_learning_curves(FOLDS, axes=axes)),
    "springs": (3, lambda axes: plot_springs(DISTANCES, SPRINGS, axes=axes)),
    "learning": (2, lambda axes: plot_learning(ROWS, 5.0, (50, 4.0, 0.9), axes=axes)),
}


@pytest.mark.parametrize(("panels", "plot"), PLOTS.values(), ids=PLOTS)
def test_a_plot_draws_its_first_panels_in_given_axes_as_in_a_figure_of_its_own(panels, plot):
    whole = [ax for ax in plot(None).axes if ax.lines]
    assert len(whole) == panels
    for n in (1, panels):
        axes = Figure().subplots(1, n)
        assert plot(axes) is np.ravel(axes)[0].figure
        for ax, own in zip(np.ravel(axes), whole, strict=False):
            shown = [line.get_xydata() for line in ax.lines]
            for mine, its in zip(shown, own.lines, strict=True):
                np.testing.assert_array_equal(mine, its.get_xydata())
            assert ax.get_xlabel()
    with pytest.raises(ValueError, match=f"1 to {panels} of them"):
        plot(Figure().subplots(1, panels + 1))


def scan() -> ScanResult:
    """A scan with all that its legend can name."""
    r = np.linspace(0.7, 2.5, 61)
    error = np.where(np.abs(r - 1.4) < 0.1, np.inf, 0.1)
    return ScanResult(
        coordinate_name="O2-H3 distance (Å)",
        values=r,
        energies_eV=(r - 1) ** 2,
        energy_std_eV=0.01 + 0 * r,
        energy_committee_eV=None,
        reference_energies_eV=(r - 1) ** 2,
        frames=[Atoms("OH")] * len(r),
        energy_error_eV=error,
        error_level=0.9,
    )


def failed_run():
    whole = record()
    few = {n: getattr(whole, n)[:3] for n in vars(whole) if np.ndim(getattr(whole, n)) == 1}
    return replace(
        whole, **few, failure="step 4 (0.002 ps): exploded, 1e8 K after a start at 300 K"
    )


def drawn_run():
    return plot_drift(failed_run(), drift(failed_run()))


LEGENDS = {
    "scan": lambda: plot_scan(scan(), (0.9, 1.1), known_range=(0.7, 2.0)),
    "learning curves": lambda: plot_learning_curves(FOLDS),
    "failed run": drawn_run,
}


@pytest.mark.parametrize("plot", LEGENDS.values(), ids=LEGENDS)
def test_a_legend_is_within_its_figure_and_panels_stay_as_wide_as_each_other(plot):
    figure = plot()
    figure.savefig(io.BytesIO(), format="png")
    shown = [ax.get_legend() for ax in figure.axes if ax.get_legend()]
    assert shown
    for legend in shown:
        box = legend.get_window_extent()
        assert figure.bbox.x0 <= box.x0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
    widths = [ax.get_window_extent().width for ax in figure.axes]
    assert max(widths) < 1.05 * min(widths)
    # nothing but labels beside the panels
    assert max(ax.get_window_extent().x1 for ax in figure.axes) > 0.95 * figure.bbox.x1


def test_a_failed_run_shows_where_it_failed_beyond_its_last_sample():
    figure = drawn_run()
    top = figure.axes[0]
    assert top.get_title(loc="left").startswith("FAIL: step 4 (0.002 ps): exploded")
    assert "failed at 0.002 ps" in top.get_legend_handles_labels()[1]
    for ax in figure.axes:
        assert ax.lines[-1].get_xdata()[0] == pytest.approx(0.002)
        assert ax.get_xlim()[1] > 0.002
        assert ax.lines[0].get_marker() == "o"


def test_labels_of_a_logarithmic_axis_do_not_touch():
    """Over more than two decades ticks at 1, 2 and 5 did, as in "5001000"."""
    wide = comparison()
    scale = np.geomspace(0.01, 10, 450)[:, None]
    figure = plot_parity(
        replace(
            wide,
            forces=wide.reference_forces
            + scale * 0.02 * (np.random.default_rng(1).normal(size=(3, 450, 3))),
        )
    )
    figure.savefig(io.BytesIO(), format="png")
    axis = figure.axes[4].xaxis
    low, high = axis.get_view_interval()
    boxes = [
        label.get_window_extent()
        for label, where in zip(axis.get_ticklabels(), axis.get_ticklocs(), strict=True)
        if label.get_text() and low <= where <= high
    ]
    assert len(boxes) > 2
    assert all(a.x1 + 2 < b.x0 for a, b in pairwise(boxes))

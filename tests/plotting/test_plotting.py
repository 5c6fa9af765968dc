"""Pictures: what they show, and that nothing global is touched."""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.lj import LennardJones
from matplotlib.figure import Figure

from ase_schnet.dynamics.md import run_nve
from ase_schnet.evaluation import Comparison
from ase_schnet.plotting import (
    plot_drift,
    plot_learning_curves,
    plot_modes,
    plot_parity,
    plot_scan,
    plot_scan_map,
    save_figure,
)
from ase_schnet.plotting.training import _ticks_of_decades
from ase_schnet.runs.drift import drift
from ase_schnet.runs.record import MDRecord
from ase_schnet.scan import ScanMap, ScanResult
from ase_schnet.spectra import NormalModes


def record(energy_std_eV=None) -> MDRecord:
    time_fs = np.arange(0.0, 1000.0, 0.5)
    kinetic = 0.4 + 0.1 * np.sin(time_fs / 5)
    return MDRecord(
        time_fs=time_fs,
        potential_energy_eV=-4209 - kinetic + 0.001 * np.sin(time_fs / 3),
        kinetic_energy_eV=kinetic,
        temperature_K=1000 * kinetic,
        energy_std_eV=energy_std_eV,
        max_forces_std_eV_per_Ang=energy_std_eV,
        timestep_fs=0.5,
        n_atoms=9,
        n_degrees_of_freedom=21,
    )


def scan(reference: bool = True, std: bool = True) -> ScanResult:
    """A Morse curve as reference; the model leaves it for the abyss beyond 1.6 Å."""
    r = np.linspace(0.7, 2.5, 61)
    curve = 4.7 * (1 - np.exp(-2.3 * (r - 0.97))) ** 2
    return ScanResult(
        coordinate_name="O2-H8 distance (Å)",
        values=r[::-1],
        energies_eV=(curve - 4209 - 500 * np.maximum(0, r - 1.6) ** 2)[::-1],
        energy_std_eV=(0.002 + np.abs(r - 1) ** 2)[::-1] if std else None,
        energy_committee_eV=None,
        reference_energies_eV=np.where(r < 2, curve + 17, np.nan)[::-1] if reference else None,
        frames=[Atoms("OH")] * len(r),
    )


def scan_map_result() -> ScanMap:
    x, y = np.linspace(0.8, 1.2, 5), np.linspace(1.3, 1.6, 4)
    energy = (x[:, None] - 1) ** 2 + (y - 1.45) ** 2
    return ScanMap(
        coordinate_names=("O-H distance (Å)", "C-O distance (Å)"),
        values=(x, y),
        energies_eV=energy,
        energy_std_eV=0.01 + energy,
        energy_committee_eV=None,
        frames={},
    )


def labels(figure: Figure) -> str:
    """All that is written on the axes and in the legends."""
    texts = []
    for ax in figure.axes:
        texts += [ax.get_xlabel(), ax.get_ylabel(), ax.get_title(loc="left")]
        texts += ax.get_legend_handles_labels()[1]
    return "\n".join(texts)


@pytest.mark.parametrize("std", [None, np.full(2000, 0.01)], ids=["one model", "ensemble"])
def test_drift_plot_shows_verdict_slope_and_units(std):
    data = record(std)
    verdict = drift(data)
    figure = plot_drift(data, verdict)
    assert len(figure.axes) == 2 * (2 if std is None else 3)  # and its end beside each curve
    shown = labels(figure)
    why = (verdict.doubts or verdict.reasons)[0]
    assert figure.axes[0].get_title(loc="left").replace("\n", " ") == f"{verdict.outcome}: {why}"
    for text in (verdict.outcome, "drift", "meV/atom/ps", "time  (ps)", "T  (K)", "mean 400 K"):
        assert text in shown
    assert ("ensemble std" in shown) == (std is not None)
    line = figure.axes[0].lines[0].get_ydata()
    assert line[0] == 0
    np.testing.assert_allclose(np.ptp(line), 2 / 9, rtol=1e-2)  # meV/atom


@pytest.mark.parametrize("ensemble", ["nvt", "npt"])
def test_run_with_a_thermostat_is_drawn_beside_the_law_of_its_temperature(ensemble):
    rng = np.random.default_rng(0)
    data = dataclasses.replace(
        record(),
        temperature_K=rng.gamma(21 / 2, 2 * 300 / 21, size=2000),
        ensemble=ensemble,
        target_temperature_K=300.0,
        time_constant_fs=100.0,
        pressure_GPa=rng.normal(1.0, 0.1, size=2000) if ensemble == "npt" else None,
        volume_Ang3=rng.normal(160.0, 1.0, size=2000) if ensemble == "npt" else None,
        target_pressure_GPa=1.0 if ensemble == "npt" else None,
    )
    figure = plot_drift(data, drift(data))
    shown = labels(figure)
    assert "target 300 K" in shown
    assert ("P  (GPa)" in shown) == ("V  (Å³/atom)" in shown) == (ensemble == "npt")
    law = next(ax for ax in figure.axes if "21 degrees of" in ax.get_title()).lines[0]
    density, temperature_K = law.get_data()
    assert np.trapezoid(density, temperature_K) == pytest.approx(1, abs=1e-3)
    mean = np.trapezoid(density * temperature_K, temperature_K)
    variance = np.trapezoid(density * (temperature_K - 300) ** 2, temperature_K)
    assert mean == pytest.approx(300, rel=1e-3)
    assert variance == pytest.approx(2 * 300**2 / 21, rel=1e-2)


def test_a_ramp_is_drawn_as_the_line_that_was_asked_for():
    time_fs = record().time_fs
    ramp = np.linspace(300, 500, len(time_fs))
    data = dataclasses.replace(
        record(), ensemble="nvt", target_temperature_K=ramp, time_constant_fs=100.0
    )
    figure = plot_drift(data, drift(data))
    assert "target 300 K to 500 K" in labels(figure)
    line = next(x for x in figure.axes[1].lines if str(x.get_label()).startswith("target"))
    np.testing.assert_array_equal(line.get_ydata(), [300, 500])
    assert not any("law of" in ax.get_title() for ax in figure.axes)


def test_a_run_directory_is_drawn_without_a_verdict(tmp_path):
    atoms = Atoms("Ar2", [(0, 0, 0), (0, 0, 1.1)], calculator=LennardJones())
    run_nve(atoms, time_ps=0.02, timestep_fs=1, run_dir=tmp_path)
    for run in (tmp_path, str(tmp_path), MDRecord.read(tmp_path)):
        assert "no verdict" in labels(plot_drift(run))


def test_run_that_failed_at_once_is_drawn():
    data = dataclasses.replace(record().first(0.001), failure="step 3: exploded")
    assert "FAIL" in labels(plot_drift(data, drift(data)))


def test_failed_verdict_is_on_the_plot():
    data = record()
    data = dataclasses.replace(data, potential_energy_eV=data.potential_energy_eV + data.time_fs)
    assert "FAIL" in labels(plot_drift(data, drift(data)))


def test_scan_plot_shows_band_range_reference_and_errors():
    figure = plot_scan(scan(), trained_range=(0.88, 1.1))
    shown = labels(figure)
    for text in ("model", "reference", "± 1 std", "± 2 std", "seen in training", "ensemble std"):
        assert text in shown
    assert "O2-H8 distance (Å)" in shown
    assert "energy relative to 0.97 Å  (eV)" in shown


def test_scan_curves_meet_at_the_zero_named_on_the_axis():
    top, bottom = plot_scan(scan(), trained_range=(0.88, 1.1)).axes
    curves = {line.get_label(): line for line in top.lines}
    r = curves["model"].get_xdata()
    assert (np.diff(r) > 0).all()
    zero = np.argmin(np.abs(r - 0.97))
    assert curves["model"].get_ydata()[zero] == curves["reference"].get_ydata()[zero] == 0
    before = r < 1.6
    error = bottom.lines[0].get_ydata()
    assert np.nanmax(error[before]) < 1e-9  # one curve, shifted by 17 + 4209 eV


@pytest.mark.parametrize("reference", [True, False])
@pytest.mark.parametrize("trained_range", [(0.88, 1.1), None, (5.0, 6.0)])
@pytest.mark.parametrize("std", [True, False])
def test_energy_axis_stays_legible_though_the_model_runs_away(
    tmp_path, reference, trained_range, std
):
    figure = plot_scan(scan(reference, std), trained_range)
    low, high = figure.axes[0].get_ylim()
    if trained_range == (0.88, 1.1):
        assert -3 < low < 0
        assert 3 < high < 8
    assert np.isfinite([low, high]).all()
    save_figure(figure, tmp_path / "scan.png")


def test_scans_with_gaps_are_drawn_and_empty_ones_refused(tmp_path):
    whole = scan()
    gaps = np.where(np.abs(whole.values - 0.97) < 0.05, np.nan, whole.energies_eV)
    save_figure(plot_scan(dataclasses.replace(whole, energies_eV=gaps)), tmp_path / "a.png")
    nowhere = np.full(61, np.nan)
    figure = plot_scan(dataclasses.replace(whole, reference_energies_eV=nowhere))
    assert "reference" not in labels(figure)
    one = {"values": np.ones(1), "energies_eV": np.ones(1), "energy_std_eV": np.ones(1)}
    save_figure(plot_scan(dataclasses.replace(scan(reference=False), **one)), tmp_path / "b.png")
    with pytest.raises(ValueError, match="no point of the scan has an energy"):
        plot_scan(dataclasses.replace(whole, energies_eV=nowhere))


def test_figures_can_be_drawn_into_given_axes():
    axes = Figure().subplots(2, 1)
    data = record()
    assert plot_drift(data, drift(data), axes=axes) is axes[0].figure
    axes = Figure().subplots(1, 2)
    assert plot_scan(scan(), axes=axes) is axes[0].figure


def test_one_axes_shows_the_first_panel():
    data = record(np.full(2000, 0.01))
    for draw in (
        lambda ax: plot_drift(data, drift(data), axes=ax),
        lambda ax: plot_scan(scan(), axes=ax),
    ):
        ax = Figure().subplots()
        assert draw(ax) is ax.figure
        assert ax.lines
        grid = Figure().subplots(2, 1, squeeze=False)
        draw(grid)
        assert all(ax.lines for ax in grid.flat)
    ax = Figure().subplots()
    assert plot_scan_map(scan_map_result(), axes=ax) is ax.figure
    assert ax.collections


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (
            Figure(),
            r"axes= takes matplotlib's axes, 1 to 3 of them \(energy, temperature, .*not Figure",
        ),
        ("ax", "not str"),
        ([], "not 0"),
        (Figure().subplots(4, 1), "not 4"),
        ([None], "not NoneType"),
    ],
)
def test_what_is_no_axes_is_told_what_is_wanted(axes, message):
    data = record(np.full(2000, 0.01))
    with pytest.raises(ValueError, match=message):
        plot_drift(data, drift(data), axes=axes)
    with pytest.raises(ValueError, match=r"1 to 2 of them \(energies, errors\)"):
        plot_scan(scan(), axes=axes)
    with pytest.raises(ValueError, match=r"1 to 2 of them \(energy, std\)"):
        plot_scan_map(scan_map_result(), axes=axes)


@pytest.mark.parametrize("name", ["plot.png", "plot.PDF", "plot.svg"])
def test_figure_is_saved_as_its_suffix_says(tmp_path, name):
    assert save_figure(plot_scan(scan()), tmp_path / name) == tmp_path / name
    start = (tmp_path / name).read_bytes()[:5]
    assert start in (b"\x89PNG\r", b"%PDF-", b"<?xml")
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["plot", "plot.xlsx"])
def test_unknown_picture_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in .*png"):
        save_figure(Figure(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_matplotlib_alone(tmp_path):
    """No pyplot, hence no backend chosen, no display needed and no figure kept alive."""
    code = (
        "import sys, ase_schnet.plotting as p\n"
        "from matplotlib.figure import Figure\n"
        "p.save_figure(Figure(), sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "a.png")], check=True)


def comparison(members=3, forces=True) -> Comparison:
    rng = np.random.default_rng(0)
    energies, components = rng.normal(-4200, 0.2, 50), rng.normal(size=(450, 3))
    noise = rng.normal(scale=0.02, size=(members, 450, 3))
    components[0], noise[:, 0] = 0.0, 0.0  # an isolated atom
    return Comparison(
        energies=energies + rng.normal(scale=0.01, size=(members, 50)),
        forces=components + noise,
        reference_energies=energies,
        reference_forces=components if forces else None,
        numbers=np.ones(450, int),
        ptr=np.arange(0, 451, 9),
    )


@pytest.mark.parametrize(
    ("members", "forces", "panels"), [(3, True, 6), (1, True, 2), (3, False, 3)]
)
def test_parity_shows_every_labelled_quantity_and_a_std_only_for_an_ensemble(
    tmp_path, members, forces, panels
):
    figure = plot_parity(comparison(members, forces))
    assert len(figure.axes) == panels
    assert "meV" in figure.axes[0].texts[0].get_text()
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in figure.axes)
    assert save_figure(figure, tmp_path / "parity.png").stat().st_size > 10_000


@pytest.mark.parametrize("energies", [True, False])
def test_learning_curves_have_a_line_per_fold(tmp_path, energies):
    epochs = list(range(1, 11))
    falling = [1.0 / e for e in epochs]
    history = {
        "epoch": epochs,
        "training_loss": falling,
        "validation_loss": falling,
        "validation_forces_mae_meV_per_Ang": falling,
        "validation_energy_mae_meV": falling if energies else [None] * 10,
    }
    figure = plot_learning_curves([{"history": history}] * 5)
    assert len(figure.axes) == 2 + energies
    assert len(figure.axes[1].lines) == 5
    save_figure(figure, tmp_path / "curves.png")


def test_a_single_mode_has_a_whole_number():
    modes = NormalModes(np.array([4401.0]), None, ("H–H stretch",))
    figure = plot_modes(modes)
    figure.draw_without_rendering()
    (ax,) = figure.axes
    low, high = ax.get_ylim()
    assert [tick for tick in ax.get_yticks() if low < tick < high] == [0.0]


@pytest.mark.parametrize(("ends", "most"), [((1, 90), 5), ((3, 2000), 7), ((200, 2e6), 6)])
def test_labels_side_by_side_do_not_touch(ends, most):
    ax = Figure().subplots()
    ax.loglog(ends, ends)
    _ticks_of_decades(ax.xaxis)
    low, high = ax.get_xlim()
    assert 2 <= sum(low <= tick <= high for tick in ax.get_xticks()) <= most


def test_an_uncertainty_over_many_decades_is_drawn():
    """A locator of 1, 2 and 5 gives no levels at all for so many."""
    energies = np.random.default_rng(0).normal(size=(12, 12))
    values = (np.arange(12.0), np.arange(12.0))
    result = ScanMap(("a (Å)", "b (Å)"), values, energies, np.exp(8 * energies), None, {})
    figure = plot_scan_map(result)
    figure.draw_without_rendering()
    bar = next(
        ax for ax in figure.axes if ax.get_label() == "<colorbar>" and "std" in ax.get_ylabel()
    )
    assert len(bar.get_yticks()) > 2


def test_a_scan_held_against_itself_has_no_logarithmic_axis(tmp_path):
    x = np.linspace(1, 2, 5)
    result = ScanResult("a (Å)", x, (x - 1.5) ** 2, None, None, (x - 1.5) ** 2, [])
    figure = plot_scan(result)
    figure.draw_without_rendering()
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "linear"]


def test_a_reference_without_a_point_of_the_model_is_drawn_without():
    energies, known = np.array([2.0, np.nan, np.nan]), np.array([np.nan, np.nan, 1.0])
    result = ScanResult("a (Å)", np.arange(1.0, 4.0), energies, None, None, known, [])
    assert "reference" not in plot_scan(result).axes[0].get_legend_handles_labels()[1]


def test_a_scan_over_many_turns_has_few_ticks():
    """Ticks every 60 degrees would be 16 million, and take minutes."""
    x = np.linspace(0, 1e9, 4)
    result = ScanResult("C0-C1-C2-C3 dihedral (°)", x, np.cos(x), None, None, None, [])
    (ax,) = plot_scan(result).axes
    assert len(ax.get_xticks()) < 20

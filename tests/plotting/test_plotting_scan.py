"""Pictures of dihedral and relaxed scans and of maps: ticks, marks, and a scale that a hole cannot spoil."""

import dataclasses

import numpy as np
import pytest
from ase import Atoms
from matplotlib.figure import Figure

from ase_schnet.plotting import plot_scan, plot_scan_map, save_figure
from ase_schnet.scan import ScanMap, ScanResult


def turn(**changes) -> ScanResult:
    degrees = np.arange(-180.0, 181.0, 15.0)
    energies = -4209 + 0.03 * np.cos(np.radians(degrees)) + 0.03 * np.cos(np.radians(3 * degrees))
    result = ScanResult(
        coordinate_name="C0-C1-O2-H3 dihedral (°)",
        values=degrees,
        energies_eV=energies,
        energy_std_eV=np.full(25, 1e-3),
        energy_committee_eV=None,
        reference_energies_eV=None,
        frames=[Atoms("CCOH")] * 25,
    )
    return dataclasses.replace(result, **changes)


def torsion_map(**changes) -> ScanMap:
    """Two coordinates out of order; the minimum is at 120° and 0.95 Å."""
    degrees, r = np.arange(0.0, 361.0, 30.0)[::-1], np.linspace(0.75, 1.35, 13)
    energies = 0.1 * np.cos(np.radians(degrees - 300))[:, None] + 20 * (r - 0.95)[None, :] ** 2
    result = ScanMap(
        coordinate_names=("C0-C1-O2-H3 dihedral (°)", "O2-H3 distance (Å)"),
        values=(degrees, r),
        energies_eV=energies - 4209,
        energy_std_eV=np.full((13, 13), 2e-3),
        energy_committee_eV=None,
        frames={},
    )
    return dataclasses.replace(result, **changes)


def legend(ax) -> list[str]:
    return ax.get_legend_handles_labels()[1]


def test_degrees_have_ticks_at_sixths_of_a_turn_and_the_zero_has_its_unit():
    ax = plot_scan(turn()).axes[0]
    low, high = ax.get_xlim()
    ticks = [t for t in ax.get_xticks() if low <= t <= high]
    assert ticks == [-180, -120, -60, 0, 60, 120, 180]
    assert ax.get_ylabel() == "energy relative to -180°  (eV)"


def test_points_that_did_not_relax_are_circled():
    converged = np.ones(25, dtype=bool)
    assert "not converged" not in legend(plot_scan(turn(converged=converged)).axes[0])
    converged[[3, 7]] = False
    ax = plot_scan(turn(converged=converged)).axes[0]
    circles = next(line for line in ax.lines if line.get_label() == "not converged")
    np.testing.assert_array_equal(circles.get_xdata(), turn().values[[3, 7]])


def test_what_is_unlike_all_training_is_dotted_and_lost_points_are_crosses():
    bars, energies = np.full(25, 1e-3), turn().energies_eV.copy()
    bars[:5], energies[10:12] = np.inf, np.nan
    ax = plot_scan(turn(energies_eV=energies, energy_error_eV=bars)).axes[0]
    lines = {line.get_label(): line for line in ax.lines}
    strange = lines["unlike all training"]
    assert strange.get_linestyle() == ":"
    shown = {name: np.isfinite(line.get_ydata()) for name, line in lines.items()}
    assert np.flatnonzero(shown["unlike all training"]).tolist() == [0, 1, 2, 3, 4, 5]
    assert np.flatnonzero(~shown["model"]).tolist() == [0, 1, 2, 3, 4, 10, 11]
    np.testing.assert_array_equal(lines["no energy (2)"].get_xdata(), turn().values[10:12])
    assert strange.get_marker() == "o"  # 25 points are few


def test_a_coarse_map_has_tiles():
    whole = torsion_map()
    coarse = dataclasses.replace(
        whole,
        values=(whole.values[0][::2], whole.values[1]),
        energies_eV=whole.energies_eV[::2],
        energy_std_eV=whole.energy_std_eV[::2],
    )
    tiles = plot_scan_map(coarse).axes[0].collections[0]
    assert tiles.get_array().shape == (13, 7)


def test_where_the_ensemble_is_lost_it_sets_neither_zero_nor_scale():
    energies, std = turn().energies_eV.copy(), turn().energy_std_eV.copy()
    energies[-3:] -= 50
    std[-3:] = 10
    ax = plot_scan(turn(energies_eV=energies, energy_std_eV=std)).axes[0]
    assert ax.get_ylabel() == "energy relative to -180°  (eV)"
    low, high = ax.get_ylim()
    assert -0.2 < low < 0 < high < 0.2


def test_map_shows_energy_and_std_with_units_and_marks_the_minimum(tmp_path):
    figure = plot_scan_map(torsion_map())
    energy, std, *bars = figure.axes
    for ax in (energy, std):
        assert ax.get_xlabel() == "C0-C1-O2-H3 dihedral (°)"
        assert legend(ax) == ["minimum (120°, 0.95 Å)"]
    assert energy.get_ylabel() == "O2-H3 distance (Å)"
    assert [bar.get_ylabel() for bar in bars] == [
        "energy above the minimum  (eV)",
        "ensemble std  (meV)",
    ]
    (star,) = energy.lines
    np.testing.assert_allclose(star.get_xydata(), [[120, 0.95]])
    assert save_figure(figure, tmp_path / "map.png").stat().st_size > 10_000
    assert len(plot_scan_map(torsion_map(energy_std_eV=None)).axes) == 2


def test_map_shows_error_bars_in_place_of_the_std_and_where_there_are_none():
    bars = np.full((13, 13), 5e-3)
    known = plot_scan_map(torsion_map(energy_error_eV=bars, error_level=0.95))
    assert known.axes[-1].get_ylabel() == "95 % error bar  (meV)"
    assert "no error bar" not in legend(known.axes[1])
    bars[:3] = np.inf
    partly = plot_scan_map(torsion_map(energy_error_eV=bars))
    assert partly.axes[-1].get_ylabel() == "error bar  (meV)"
    assert "no error bar" in legend(partly.axes[1])
    assert "no error bar" not in legend(partly.axes[0])
    nowhere = plot_scan_map(torsion_map(energy_error_eV=np.full((13, 13), np.inf)))
    assert nowhere.axes[-1].get_ylabel() == "ensemble std  (meV)"


def test_a_hole_outside_the_trained_range_does_not_spoil_the_map():
    energies = torsion_map().energies_eV.copy()
    energies[:, 0] -= 100
    trained = (None, (0.88, 1.1))
    ax = plot_scan_map(torsion_map(energies_eV=energies), trained).axes[0]
    assert legend(ax) == ["lower", "minimum (120°, 0.95 Å)", "seen in training"]
    filled = ax.collections[0]
    assert filled.levels[0] == 0
    assert 0.2 < filled.levels[-1] < 4
    assert filled.extend == "both"


def test_a_std_over_decades_has_logarithmic_steps():
    std = torsion_map().energy_std_eV * np.geomspace(1, 1000, 13)
    levels = plot_scan_map(torsion_map(energy_std_eV=std)).axes[1].collections[0].levels
    assert levels[0] > 0
    assert levels[-1] / levels[0] > 100
    assert (np.diff(np.log(levels)) > 0.6).all()


def test_the_order_of_the_values_does_not_change_the_picture(tmp_path):
    whole, order = torsion_map(), np.random.default_rng(0).permutation(13)
    shuffled = torsion_map(
        values=(whole.values[0][order], whole.values[1]), energies_eV=whole.energies_eV[order]
    )
    pictures = [
        save_figure(plot_scan_map(result), tmp_path / f"{k}.png").read_bytes()
        for k, result in enumerate((whole, shuffled))
    ]
    assert pictures[0] == pictures[1]


def test_maps_cut_short_are_drawn_and_empty_ones_refused(tmp_path):
    energies, std = torsion_map().energies_eV.copy(), torsion_map().energy_std_eV.copy()
    energies[5:], std[5:] = np.nan, np.nan
    converged = np.ones((13, 13), dtype=bool)
    converged[2, 3] = False
    part = torsion_map(energies_eV=energies, energy_std_eV=std, converged=converged)
    figure = plot_scan_map(part)
    assert "not converged" in legend(figure.axes[0])
    save_figure(figure, tmp_path / "part.png")
    with pytest.raises(ValueError, match="two by two points"):
        plot_scan_map(torsion_map(energies_eV=np.full((13, 13), np.nan)))
    axes = Figure().subplots(1, 2)
    assert plot_scan_map(torsion_map(), axes=axes) is axes[0].figure

"""Every public picture: it draws in given axes, and the numbers behind it are written as a table."""

import csv
from dataclasses import replace
from inspect import signature

import numpy as np
import pytest
from ase.build import molecule
from matplotlib.figure import Figure
from test_plotting import comparison, record, scan, scan_map_result
from test_plotting_panels import DISTANCES, FOLDS, ROWS, SPRINGS
from test_plotting_scan import torsion_map, turn

from ase_schnet import SchNetCalculator, plotting
from ase_schnet.inference.atomic_energies import element_similarity
from ase_schnet.modelfile import load_model
from ase_schnet.plotting import numbers_file, save_numbers
from ase_schnet.propagation import Spread
from ase_schnet.runs.drift import drift
from ase_schnet.runs.exchange_log import ExchangeRecord
from ase_schnet.spectra import NormalModes, Spectrum
from ase_schnet.tuning.rows import Row

GRID = np.linspace(0.0, 4000.0, 401)
SPECTRUM = Spectrum(
    "ir", GRID, np.exp(-(((GRID - 1000) / 50) ** 2))[None], np.ones(1), "km/mol cm", 300.0, 20.0
)
MODES = NormalModes(np.array([500.0, 1000.0]), np.array([1.0, 2.0]), ("bend", "stretch"))
EXCHANGE = ExchangeRecord(
    np.array([300.0, 400.0, 533.0]),
    np.array([50.0, 100.0]),
    np.array([[0, 1, 2], [1, 0, 2]]),
    np.array([[0, -1], [1, -1]]),
)
TRIALS = [Row(k, "complete", 1.0 / (k + 1), {"learning_rate": 10.0**-k}) for k in range(4)]
RUN = record(np.full(2000, 0.01))
RDF = Spread(np.ones(20), np.ones((3, 20)))


def atomic_energies(**options) -> Figure:
    atoms = molecule("CH3CH2OH")
    return plotting.plot_atomic_energies(atoms, SchNetCalculator("ethanol"), **options)


#: Of each function: how it is called, and how many panels it has.
PLOTS = {
    "plot_atomic_energies": (atomic_energies, 2),
    "plot_drift": (lambda **o: plotting.plot_drift(RUN, drift(RUN), **o), 3),
    "plot_element_similarity": (
        lambda **o: plotting.plot_element_similarity(
            element_similarity(load_model("ethanol")), **o
        ),
        1,
    ),
    "plot_exchange": (lambda **o: plotting.plot_exchange(EXCHANGE, **o), 2),
    "plot_learning": (lambda **o: plotting.plot_learning(ROWS, 5.0, (50, 4.0, 0.9), **o), 2),
    "plot_learning_curves": (lambda **o: plotting.plot_learning_curves(FOLDS, **o), 3),
    "plot_modes": (lambda **o: plotting.plot_modes(MODES, **o), 1),
    "plot_parity": (lambda **o: plotting.plot_parity(comparison(), **o), 6),
    "plot_rdf": (lambda **o: plotting.plot_rdf(np.arange(20.0), RDF, **o), 1),
    "plot_scan": (lambda **o: plotting.plot_scan(scan(), **o), 2),
    "plot_scan_map": (lambda **o: plotting.plot_scan_map(scan_map_result(), **o), 2),
    "plot_spectrum": (lambda **o: plotting.plot_spectrum(SPECTRUM, modes=MODES, **o), 1),
    "plot_springs": (lambda **o: plotting.plot_springs(DISTANCES, SPRINGS, **o), 3),
    "plot_tuning": (
        lambda **o: plotting.plot_tuning(
            TRIALS, {"learning_rate": 1.0}, {"learning_rate": 1e-2}, **o
        ),
        3,
    ),
}


def written(figure: Figure, path) -> list[dict[str, str]]:
    with save_numbers(figure, path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_no_public_picture_is_missing_here():
    assert set(PLOTS) == {name for name in plotting.__all__ if name.startswith("plot_")}


@pytest.mark.parametrize("name", PLOTS)
def test_every_picture_takes_axes_and_has_the_numbers_of_each_panel(name, tmp_path):
    draw, panels = PLOTS[name]
    assert "axes" in signature(getattr(plotting, name)).parameters
    own = written(draw(), tmp_path / "own.csv")
    figure = Figure()
    axes = figure.subplots(1, panels)
    assert draw(axes=axes) is figure
    given = written(figure, tmp_path / "given.csv")
    assert given == own
    assert all(plotting.numbers._KEPT[ax] for ax in np.ravel(axes))
    for row in own:
        assert row.pop("shown")
        assert any(row.values())


def test_the_table_has_the_numbers_of_the_picture_to_the_last_bit(tmp_path):
    judged = comparison()
    table = written(plotting.plot_parity(judged), tmp_path / "parity.csv")
    rows = [row for row in table if row["shown"] == "parity of forces"]
    for column, values in (
        ("labelled (eV/Å)", judged.reference_forces),
        ("predicted (eV/Å)", judged.forces.mean(axis=0)),
    ):
        np.testing.assert_array_equal([float(row[column]) for row in rows], values.ravel())
    assert {row["labelled (eV)"] for row in rows} == {""}


def test_a_curve_that_is_drawn_with_fewer_points_is_written_with_all(tmp_path):
    n = 3 * plotting.dynamics.MAX_POINTS
    time = np.arange(n) * 0.5
    long = replace(
        RUN,
        time_fs=time,
        potential_energy_eV=np.sin(time),
        kinetic_energy_eV=1 + 0 * time,
        temperature_K=300 + np.cos(time),
        energy_std_eV=None,
        max_forces_std_eV_per_Ang=None,
    )
    figure = plotting.plot_drift(long)
    assert len(figure.axes[0].lines[0].get_xdata()) < n
    rows = [r for r in written(figure, tmp_path / "a.csv") if r["shown"] == "temperature"]
    np.testing.assert_array_equal([float(r["temperature_K"]) for r in rows], long.temperature_K)


def test_a_figure_without_numbers_is_refused_and_a_table_has_the_name_of_its_picture(tmp_path):
    with pytest.raises(ValueError, match="no numbers to write"):
        save_numbers(Figure(), tmp_path / "a.csv")
    assert not list(tmp_path.iterdir())
    assert numbers_file("run/drift.png").as_posix() == "run/drift-data.csv"


def shaded(figure: Figure) -> list[tuple[float, float]]:
    """Ends of what is shaded in the first panel."""
    boxes = [patch.get_extents() for patch in figure.axes[0].patches]
    inverse = figure.axes[0].transData.inverted()
    return [tuple(inverse.transform([(b.x0, 0), (b.x1, 0)])[:, 0]) for b in boxes]


def test_the_trained_range_of_a_scan_is_drawn_without_being_given():
    known = replace(scan(), trained_range=(0.9, 1.1), known_range=(0.7, 2.0))
    own, given = (
        plotting.plot_scan(known),
        plotting.plot_scan(scan(), (0.9, 1.1), known_range=(0.7, 2.0)),
    )
    np.testing.assert_allclose(shaded(own), shaded(given))
    np.testing.assert_allclose(shaded(own), [(0.9, 1.1), (0.7, 2.0)], atol=1e-6)


def test_points_of_a_dihedral_within_the_training_are_shaded():
    outside = np.array(["" if abs(v) < 70 else "H2 and C3 0.3 Å apart" for v in turn().values])
    figure = plotting.plot_scan(turn(outside_training=list(outside)))
    np.testing.assert_allclose(shaded(figure), [(-67.5, 67.5)], atol=0.1)
    assert "within training of any level" in figure.axes[0].get_legend_handles_labels()[1]
    all_inside = plotting.plot_scan(turn(outside_training=[""] * 25))
    np.testing.assert_allclose(shaded(all_inside), [(-180, 180)], atol=0.1)
    assert shaded(plotting.plot_scan(turn())) == []  # nothing is known


def test_a_map_shows_its_trained_range_or_where_the_training_ends():
    def lines(figure: Figure) -> list[str]:
        return figure.axes[0].get_legend_handles_labels()[1]

    ranged = plotting.plot_scan_map(torsion_map(trained_ranges=(None, (0.9, 1.1))))
    assert "seen in training" in lines(ranged)
    outside = np.zeros((13, 13), bool)
    outside[:3] = True
    edged = plotting.plot_scan_map(torsion_map(outside_training=outside))
    assert "edge of the training" in lines(edged)
    plain = plotting.plot_scan_map(torsion_map(outside_training=np.zeros((13, 13), bool)))
    assert not {"seen in training", "edge of the training"} & set(lines(plain))

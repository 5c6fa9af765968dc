"""Maps of two coordinates: every point where it belongs, independent of the way there."""

import csv

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.morse import MorsePotential
from ase.io import read
from scan_cases import (
    CCOH,
    EPSILON,
    HCCO,
    R0,
    RHO0,
    MorseEnsemble,
    ethanol,
    morse_energy,
    stopping_at,
)

from ase_schnet import SchNetCalculator
from ase_schnet.scan import scan_angle, scan_dihedral, scan_map
from ase_schnet.scan.coordinate import Coordinate

FIRST, SECOND = np.linspace(0.8, 1.4, 5), np.linspace(0.9, 1.3, 4)


def chain(calculator_class=MorsePotential) -> Atoms:
    """H-O-H in a line so long that the hydrogens do not see each other: two separate bonds."""
    atoms = Atoms("HOH", [(0, 0, 0), (0, 0, 1.0), (0, 0, 2.0)])
    atoms.calc = calculator_class(epsilon=EPSILON, r0=R0, rho0=RHO0, rcut1=1.55, rcut2=1.6)
    return atoms


@pytest.mark.parametrize("relaxed", [False, True])
def test_a_map_of_two_bonds_is_the_sum_of_two_morse_curves(relaxed):
    result = scan_map(chain(), (1, 0), FIRST, (1, 2), SECOND, relaxed=relaxed)
    expected = morse_energy(FIRST)[:, None] + morse_energy(SECOND)[None, :]
    np.testing.assert_allclose(result.energies_eV, expected, atol=1e-6)
    assert result.coordinate_names == ("O1-H0 distance (Å)", "O1-H2 distance (Å)")
    assert result.minimum == np.unravel_index(expected.argmin(), (5, 4))
    for (p, q), frame in result.frames.items():
        assert frame.get_distance(0, 1) == pytest.approx(FIRST[p], abs=1e-6)
        assert frame.get_distance(1, 2) == pytest.approx(SECOND[q], abs=1e-6)
    assert result.converged is None or (result.converged.all() and result.converged.shape == (5, 4))


def test_a_row_of_a_rigid_map_is_the_scan_of_one_dihedral():
    first, second = [60.0, 75.0], np.arange(0.0, 360.0, 60.0)
    result = scan_map(ethanol(), HCCO, first, CCOH, second)
    turned = scan_dihedral(ethanol(), *HCCO, first).frames[1]
    turned.calc = ethanol().calc
    row = scan_dihedral(turned, *CCOH, second)
    np.testing.assert_allclose(result.energies_eV[1], row.energies_eV, atol=1e-10)
    assert np.ptp(row.energies_eV) > 0.01


def test_ensemble_results_lie_on_the_grid():
    result = scan_map(chain(MorseEnsemble), (1, 0), FIRST, (1, 2), SECOND)
    np.testing.assert_array_equal(result.energy_std_eV, np.full((5, 4), 0.1))
    np.testing.assert_allclose(result.energy_committee_eV.mean(axis=2), result.energies_eV)


def test_a_map_has_the_error_bars_of_the_scan_of_each_row_and_says_their_level(tmp_path):
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol")
    r, angles = [0.95, 0.4], [100.0, 110.0]
    result = scan_map(atoms, (2, 3), r, (1, 2, 3), angles)
    assert result.error_level == 0.9
    assert np.isfinite(result.energy_error_eV[0]).all()
    assert np.isinf(result.energy_error_eV[1]).all()  # O-H of 0.4 Å
    atoms.set_distance(2, 3, r[0], fix=0)
    row = scan_angle(atoms, 1, 2, 3, angles)
    np.testing.assert_allclose(result.energy_error_eV[0], row.energy_error_eV, rtol=1e-6)
    for written in (result, row):
        written.write_csv(tmp_path / "table.csv")
        table = np.genfromtxt(tmp_path / "table.csv", delimiter=",", names=True)
        bars = written.energy_error_eV
        np.testing.assert_array_equal(table["energy_error_eV"], bars.ravel())
        assert (table["error_level"] == 0.9).all()


def test_a_map_without_error_bars_has_no_column_of_them(tmp_path):
    result = scan_map(chain(MorseEnsemble), (1, 0), FIRST, (1, 2), SECOND)
    assert result.energy_error_eV is None
    result.write_csv(tmp_path / "map.csv")
    assert "error" not in (tmp_path / "map.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("relaxed", [False, True])
def test_ctrl_c_keeps_the_finished_points_and_writes_them(tmp_path, relaxed):
    atoms = stopping_at(chain(MorseEnsemble), 9, KeyboardInterrupt)
    with pytest.warns(UserWarning, match="interrupted after 9 of 20 points"):
        result = scan_map(atoms, (1, 0), FIRST, (1, 2), SECOND, relaxed=relaxed)
    done = np.isfinite(result.energies_eV)
    assert done.sum() == len(result.frames) == 9
    assert done[1, 1]  # about the structure given: where a relaxed map begins
    expected = morse_energy(FIRST)[:, None] + morse_energy(SECOND)[None, :]
    np.testing.assert_allclose(result.energies_eV[done], expected[done], atol=1e-6)
    result.write_csv(tmp_path / "map.csv")
    with (tmp_path / "map.csv").open(encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header[:4] == [*result.coordinate_names, "energy_eV", "energy_std_eV"]
    assert header[-1] == "energy_member_2_eV"
    assert len(rows) == 9
    first, second, energy, *_ = np.array(rows, dtype=float).T
    np.testing.assert_array_equal(first, np.broadcast_to(FIRST[:, None], (5, 4))[done])
    np.testing.assert_array_equal(second, np.broadcast_to(SECOND, (5, 4))[done])
    np.testing.assert_array_equal(energy, result.energies_eV[done])
    result.write_frames(tmp_path / "map.xyz")
    frames = read(tmp_path / "map.xyz", ":")
    assert [frame.info["model_energy_eV"] for frame in frames] == energy.tolist()
    assert all(frame.calc is None for frame in frames)


def test_each_relaxed_point_starts_from_a_neighbour(monkeypatch):
    """Outwards from the structure given, so that no step is longer than the grid's."""

    def relax_nothing(atoms, coordinates, values, fmax):
        atoms.positions[3] += [1.0, 0, 0]  # a mark that the next point inherits
        return True

    monkeypatch.setattr("ase_schnet.scan.driver.relax", relax_nothing)
    atoms = chain() + Atoms("H", [(0, 50, 0)])
    atoms.calc = chain().calc
    result = scan_map(atoms, (0, 1), [1.0, 1.2], (1, 2), [0.8, 1.0, 1.2], relaxed=True)
    marks = {site: round(frame.positions[3, 0]) for site, frame in result.frames.items()}
    assert marks == {(p, q): 1 + p + abs(q - 1) for p in range(2) for q in range(3)}


def test_coordinates_that_disturb_each_other_are_both_held_when_relaxed():
    """Also where nothing is left to relax; a rigid map refuses them."""
    options = {"moving": ([1], [0, 2]), "relaxed": True, "fmax": 1e6}
    result = scan_map(chain(), (0, 1), FIRST, (1, 2), SECOND, **options)
    for (p, q), frame in result.frames.items():
        assert frame.get_distance(0, 1) == pytest.approx(FIRST[p], abs=1e-6)
        assert frame.get_distance(1, 2) == pytest.approx(SECOND[q], abs=1e-6)
    assert result.converged.all()


@pytest.mark.parametrize(
    ("first", "second", "options", "message"),
    [
        ((0, 1), (1, 0), {}, "two different coordinates"),
        ((0, 1), (1, 2), {"moving": ([1], [0, 2])}, "changes the H0-O1 distance .* exchange"),
        ((0, 1), (1, 9), {}, "atom 9 does not exist"),
        ((0, 1), (1,), {}, "two atoms"),
    ],
)
def test_pairs_that_make_no_map(first, second, options, message):
    with pytest.raises(ValueError, match=message):
        scan_map(chain(), first, FIRST, second, SECOND, **options)


def test_two_angles_of_the_same_atoms_are_a_map_where_one_does_not_move_the_other():
    water = molecule("H2O")
    water.calc = ethanol().calc
    axes = np.linspace(100, 110, 2), np.linspace(36, 38, 3)
    result = scan_map(water, (1, 0, 2), axes[0], (0, 1, 2), axes[1], relaxed=True, fmax=0.1)
    assert result.converged.all()
    for (p, q), frame in result.frames.items():
        assert frame.get_angle(1, 0, 2) == pytest.approx(axes[0][p], abs=1e-3)
        assert frame.get_angle(0, 1, 2) == pytest.approx(axes[1][q], abs=1e-3)
    with pytest.raises(ValueError, match="changes the H1-O0-H2 angle"):
        scan_map(water, (1, 0, 2), axes[0], (0, 1, 2), axes[1])


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ((0, 1, 2), (2, 1, 0), True),
        ((0, 1, 2), (1, 0, 2), False),
        ((0, 1, 2, 3), (3, 2, 1, 0), True),
        ((0, 1, 2, 3), (3, 1, 2, 0), True),  # the same two planes: its negative
        ((0, 1, 2, 3), (0, 2, 1, 3), True),
        ((0, 1, 2, 3), (0, 1, 3, 2), False),
        ((0, 1, 2, 3), (1, 0, 2, 3), False),
    ],
)
def test_coordinates_are_the_same_where_their_values_are(first, second, same):
    atoms = ethanol()
    values = []
    for seed in range(5):
        atoms.rattle(0.3, seed=seed)
        one, two = Coordinate.of(atoms, first), Coordinate.of(atoms, second)
        both = one.measure(atoms), two.measure(atoms)
        values.append(min(abs(one.difference(both[0], sign * both[1])) for sign in (1, -1)))
    assert (max(values) < 1e-6) == same
    assert one.depends_on(two) == two.depends_on(one) == same

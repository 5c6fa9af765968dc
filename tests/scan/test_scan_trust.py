"""Scans that leave what training has seen: where they begin, what they say, what they return."""

from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.mixing import SumCalculator
from ase.calculators.morse import MorsePotential
from ase.io import write
from factory import NARROW
from scan_cases import CCOH, ethanol

from ase_schnet import SchNetCalculator, scan_angle, scan_dihedral, scan_distance, scan_map
from ase_schnet.cli import main
from ase_schnet.inference.training_watch import OutsideTrainingWarning
from ase_schnet.scan.summary import describe_map, describe_scan, lost_points
from ase_schnet.scan.summary import points_in_holes as holes

OH = np.linspace(0.7, 2.0, 27)


def modelled(name="CH3CH2OH", **options):
    atoms = molecule(name)
    atoms.calc = SchNetCalculator(NARROW, **options)
    return atoms


@pytest.fixture(scope="module")
def structures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("structures")
    write(folder / "ethanol.xyz", molecule("CH3CH2OH"))
    return folder


def scan(structures, tmp_path, *arguments):
    path = str(structures / "ethanol.xyz")
    return main(["scan", NARROW, path, *arguments, "-o", str(tmp_path / "s.png")])


# --- the scan of the issue ------------------------------------------------------------------------


@pytest.mark.parametrize("relaxed", [False, True])
def test_an_oh_scan_from_far_below_training_has_its_minimum_where_ethanol_has_it(relaxed):
    """PBE's is at 0.97 Å. Before, the first point fell into a hole and all others began in its wreck."""
    result = scan_distance(modelled(), 2, 3, OH, relaxed=relaxed)
    lowest = result.values[result.energies_eV.argmin()]
    assert lowest == pytest.approx(0.97, abs=0.05)
    assert (np.diff(result.energies_eV[:6]) < 0).all()  # the wall
    assert result.energies_eV.max() - result.energies_eV.min() < 10
    assert lost_points(result) == 0
    assert not holes(result).any()
    np.testing.assert_array_equal(result.values, OH)


@pytest.mark.parametrize("options", [[], ["--relaxed"]])
def test_the_summary_is_of_the_trained_range_and_names_the_wall(
    structures, tmp_path, capsys, options
):
    arguments = ["--distance", "2", "3", "--from", "0.7", "--to", "2", "--points", "14"]
    assert scan(structures, tmp_path, *arguments, *options) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "lowest at 1, highest at 0.9" in lines[1]
    assert "only the 2 of 14 points within training count" in lines[1]
    assert lines[2].startswith(
        "outside training: 0.7 to 0.8 (2 points), a wall of repulsion, up to 5."
    )
    assert "O2 and H3 0.70 Å apart, shortest in training 0.88 Å" in lines[2]
    assert "not reliable" in lines[3]
    table = np.genfromtxt(tmp_path / "s.csv", delimiter=",", names=True)
    outside = table["outside_training"]
    np.testing.assert_array_equal(outside[:5], [1, 0, 0, 0, 0])  # 0.15 Å is as good as inside
    assert outside[6:].all()


def test_a_network_alone_that_falls_into_a_hole_is_named_and_ends_with_1(
    structures, tmp_path, capsys
):
    arguments = ["--distance", "2", "3", "--from", "0.5", "--to", "1.1", "--points", "7"]
    assert scan(structures, tmp_path, *arguments, "--repulsion", "none") == 1
    out = capsys.readouterr().out
    assert "a HOLE of the model, down to" in out
    assert "lowest at 1, highest at 0.9" in out


def test_where_it_falls_again_but_not_below_the_minimum_is_a_hole_too():
    """At 0.7 Å the network alone is 2.9 eV above the minimum, where it was 5 before."""
    result = scan_distance(modelled(repulsion=None), 2, 3, np.linspace(0.65, 1.0, 8))
    assert holes(result).any()
    assert "HOLE" in describe_scan(result)


# --- outwards -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "indices", "values", "first"),
    [
        (scan_distance, (2, 3), [0.7, 0.8, 0.9, 1.0, 1.1], 1.0),
        (scan_distance, (2, 3), [1.5, 1.4, 1.3], 1.3),  # the structure lies outside
        (scan_angle, (1, 2, 3), [90.0, 100.0, 110.0, 120.0], 110.0),
        (scan_dihedral, CCOH, [-60.0, 0.0, 60.0, 170.0], 170.0),  # the structure is at 180°
    ],
)
def test_a_scan_begins_next_to_the_structure(function, indices, values, first, monkeypatch):
    visited = []

    def relax(atoms, coordinates, wanted, fmax):
        visited.append(wanted[0])
        return True

    monkeypatch.setattr("ase_schnet.scan.driver.relax", relax)
    result = function(ethanol(), *indices, values, relaxed=True)
    assert visited[0] == first
    distance = np.abs(
        np.searchsorted(np.sort(values), visited) - np.searchsorted(np.sort(values), first)
    )
    assert (np.diff(distance) >= 0).all()
    np.testing.assert_array_equal(result.values, values)  # told in the order asked for


# --- what is outside ------------------------------------------------------------------------------


def test_a_turn_within_training_says_nothing_of_training():
    result = scan_dihedral(modelled(), *CCOH, np.linspace(0, 300, 6))
    assert result.outside_training == [""] * 6
    assert "training" not in describe_scan(result)


def test_the_barrier_has_the_bar_of_the_members_differences_not_of_their_energies():
    result = scan_dihedral(modelled(), *CCOH, np.linspace(0, 300, 6))
    low, high = result.energies_eV.argmin(), result.energies_eV.argmax()
    differences = result.energy_committee_eV[high] - result.energy_committee_eV[low]
    t, n = 2.1318, len(differences)  # of four degrees of freedom, 95 % to either side
    bar = t * np.sqrt(1 + 1 / n) * differences.std(ddof=1)
    height = result.energies_eV[high] - result.energies_eV[low]
    assert f"{height:.4f} ± {bar:.4f} eV (90 %) higher" in describe_scan(result)
    assert f"± {3 * bar:.4f} eV" in describe_scan(result, factor=3.0)
    alone = replace(result, energy_committee_eV=None, energy_std_eV=None)
    assert f"{height:.4f} eV higher" in describe_scan(alone)


def test_a_periodic_scan_names_the_pair():
    atoms = bulk("Si", cubic=True).repeat(2)
    atoms.calc = SchNetCalculator("silicon")
    result = scan_distance(atoms, 0, 1, [1.4, 2.0, 2.35])
    assert "Si0 and Si1 1.40 Å apart, shortest in training 1.83 Å" in result.outside_training[0]
    assert result.outside_training[1:] == ["", ""]
    assert "a wall" in describe_scan(result)


def test_a_model_in_a_sum_has_its_error_band_and_is_watched():
    atoms = modelled()
    alone = scan_distance(atoms, 2, 3, [0.7, 0.95, 1.5])
    other = MorsePotential(epsilon=0.1, r0=1.0, rho0=2.0, rcut1=1.8, rcut2=2.0)
    atoms.calc = SumCalculator([atoms.calc, other])
    result = scan_distance(atoms, 2, 3, [0.7, 0.95, 1.5])
    assert result.outside_training == alone.outside_training
    np.testing.assert_allclose(result.energy_std_eV, alone.energy_std_eV, atol=1e-12)
    np.testing.assert_allclose(result.energy_committee_eV.mean(axis=1), result.energies_eV)
    assert np.abs(result.energies_eV - alone.energies_eV).max() > 0.01


def test_a_calculator_that_knows_nothing_of_itself_has_no_such_column():
    assert scan_distance(ethanol(), 2, 3, [0.9, 1.0]).outside_training is None


def test_a_map_leaves_out_what_is_outside():
    result = scan_map(modelled(), (2, 3), [0.6, 0.95, 1.0], (1, 2, 3), [100, 110])
    assert result.outside_training.tolist() == [[True, True], [False, False], [False, False]]
    told = describe_map(result)
    assert " (90 %) higher" in told
    assert " (75 %) higher" in describe_map(replace(result, error_level=0.75))
    assert "lowest at 0.95, 110" in told
    assert "outside training: 2 of 6 points" in told


# --- points that are lost, values that are not meant ----------------------------------------------


@pytest.mark.filterwarnings("default:not converged")
def test_a_scan_that_lost_points_exits_with_1(structures, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("ase_schnet.scan.relax.MAX_STEPS", 1)
    arguments = ["--dihedral", "0", "1", "2", "3", "--from", "60", "--to", "180", "--points", "3"]
    assert scan(structures, tmp_path, *arguments, "--relaxed") == 1
    assert "lost: 3 of 3 points did not converge" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("function", "indices", "values", "message"),
    [
        (scan_distance, (2, 3), [0.097, 0.11], r"O2-H3 distance from 0.097 to 0.11 Å .* in nm\?"),
        (scan_distance, (2, 3), [97.0, 110.0], r"in pm\?"),
        (scan_distance, (2, 3), [0.097, 1.0], "deep inside the atoms"),
        (scan_angle, (1, 2, 3), [1.8, 2.0], r"angle from 1.8 to 2° .* in radians\?"),
        (scan_dihedral, CCOH, [0.0, 3.14, 6.28], r"in radians\?"),
    ],
)
def test_values_that_are_hardly_meant_come_with_a_warning(function, indices, values, message):
    with pytest.warns(UserWarning, match=message):
        function(ethanol(), *indices, values)


@pytest.mark.parametrize(
    ("function", "indices", "values"),
    [
        (scan_distance, (2, 3), [0.6, 8.0]),
        (scan_angle, (1, 2, 3), [5.0, 170.0]),
        (scan_dihedral, CCOH, [-0.2, 0.0, 0.2]),  # a numerical derivative
        (scan_dihedral, CCOH, [-10.0, 0.0, 10.0]),
    ],
)
def test_values_that_may_be_meant_come_without(function, indices, values):
    assert len(function(ethanol(), *indices, values).values) == len(values)


def test_what_a_cheap_method_taught_is_told_from_what_nothing_did(structures, tmp_path, capsys):
    path, plot = str(structures / "ethanol.xyz"), str(tmp_path / "s.png")
    arguments = ["--distance", "2", "3", "--from", "0.5", "--to", "2", "--points", "16"]
    assert main(["scan", "ethanol", path, *arguments, "-o", plot]) == 0
    below, above = (
        line for line in capsys.readouterr().out.splitlines() if line.startswith("outside")
    )
    assert "a wall of repulsion" in below
    assert "1.1 to 2 (10 points), here it rests on GFN2-xTB, up to" in above


def test_where_no_point_is_within_training_no_bar_is_told():
    torn = modelled()
    torn.positions[0] += 6.0  # all of the scan is unlike training
    with pytest.warns(OutsideTrainingWarning):
        scan = scan_distance(torn, 2, 3, [0.95, 1.0, 1.05])
    text = describe_scan(scan)
    assert "none of this is reliable" in text
    assert "±" not in text
    torn.calc = SchNetCalculator("ethanol")
    with pytest.warns(OutsideTrainingWarning):
        grid = scan_map(torn, (2, 3), [0.95, 1.0], (1, 2, 3), [105, 110])
    assert "±" not in describe_map(grid)

"""A scan knows what of its coordinates the model was trained on, and its table keeps it."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.mixing import SumCalculator

from ase_schnet import SchNetCalculator, scan_angle, scan_distance, scan_map
from ase_schnet.scan.reading import read_scan

LENGTHS, ANGLES = np.linspace(0.9, 1.2, 4), np.linspace(100.0, 115.0, 3)


@pytest.fixture(scope="module")
def calculator():
    return SchNetCalculator("ethanol")


def ethanol(calculator):
    atoms = molecule("CH3CH2OH")
    atoms.calc = calculator
    return atoms


def test_a_distance_has_the_range_that_holds_it_and_that_of_every_level(calculator):
    found = scan_distance(ethanol(calculator), 2, 3, LENGTHS)
    assert found.trained_range == calculator.trained.trained_range("O", "H", 0.97)
    assert found.known_range == calculator.trained.known_range("O", "H", 0.97)
    assert found.trained_range[1] < found.known_range[1]


def test_a_sum_of_calculators_has_that_of_the_model_in_it(calculator):
    atoms = ethanol(SumCalculator([calculator, EMT()]))
    own = scan_distance(ethanol(calculator), 2, 3, LENGTHS).trained_range
    assert scan_distance(atoms, 2, 3, LENGTHS).trained_range == own


def test_angles_and_other_calculators_have_none(calculator):
    assert scan_angle(ethanol(calculator), 1, 2, 3, ANGLES).trained_range is None
    found = scan_distance(ethanol(EMT()), 2, 3, LENGTHS)
    assert found.trained_range is None
    assert found.known_range is None


def test_a_map_has_one_for_each_distance_and_its_table_keeps_them(calculator, tmp_path):
    found = scan_map(ethanol(calculator), (1, 2, 3), ANGLES, (2, 3), LENGTHS)
    of_distance = calculator.trained.trained_range("O", "H", 0.97)
    assert found.trained_ranges == (None, of_distance)
    found.write_csv(tmp_path / "map.csv")
    assert read_scan(tmp_path / "map.csv").trained_ranges == (None, of_distance)

"""The potential that leads to where members disagree."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces

from ase_schnet import SchNetCalculator
from ase_schnet.learning.bias import BiasedCalculator


def bent(strength: float):
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.08, seed=1)
    atoms.calc = BiasedCalculator(SchNetCalculator("ethanol", threads=1), strength)
    return atoms


def test_forces_are_the_slope_of_the_biased_energy():
    atoms = bent(4.0)
    forces = atoms.get_forces()
    np.testing.assert_allclose(forces, calculate_numerical_forces(atoms, 1e-4), atol=1e-5)
    assert np.abs(forces - bent(0.0).get_forces()).max() > 0.01  # eV/Å


def test_the_energy_is_lower_by_so_many_standard_deviations():
    plain = molecule("CH3CH2OH")
    plain.rattle(0.08, seed=1)
    plain.calc = SchNetCalculator("ethanol", threads=1)
    energy = plain.get_potential_energy()
    std = plain.calc.results["energy_std"]
    assert bent(4.0).get_potential_energy() == pytest.approx(energy - 4 * std, abs=1e-9)


def test_of_one_mind_the_members_leave_the_potential_as_it_is():
    """At no disagreement no direction is preferred, and nothing is divided by zero."""

    class Agreed(SchNetCalculator):
        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            results = dict(self.results)
            energy, forces = results["energy"], results["forces"]
            self.results = {**results, "energy_committee": np.full(3, energy)}
            self.results["forces_committee"] = np.array([forces] * 3)

    atoms = bent(4.0)
    atoms.calc = BiasedCalculator(Agreed("ethanol", threads=1), 4.0)
    expected = bent(0.0)
    assert atoms.get_potential_energy() == pytest.approx(expected.get_potential_energy(), abs=1e-9)
    np.testing.assert_allclose(atoms.get_forces(), expected.get_forces(), atol=1e-12)

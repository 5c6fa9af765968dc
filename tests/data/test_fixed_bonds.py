"""Fixed bond lengths act between atoms: the whole is as free as without them, and starts at rest."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.constraints import FixAtoms, FixBondLength, FixBondLengths

from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.dynamics.md import run_nve, run_nvt


def ethanol(*constraints, pbc=False):
    atoms = molecule("CH3CH2OH", vacuum=6.0, pbc=pbc)
    atoms.set_constraint(list(constraints))
    atoms.calc = EMT()
    return atoms


@pytest.mark.parametrize(
    ("constraints", "pbc", "expected"),
    [
        ([FixBondLength(0, 1)], False, 20),
        ([FixBondLengths([(0, 1), (1, 2)])], False, 19),
        ([FixBondLength(0, 1), FixBondLength(1, 2)], True, 22),
        ([FixBondLength(0, 1), FixAtoms([4])], False, 23),
    ],
)
def test_each_fixed_bond_takes_one_degree_of_freedom(constraints, pbc, expected):
    assert degrees_of_freedom(ethanol(*constraints, pbc=pbc)) == expected


@pytest.mark.parametrize("function", [run_nve, run_nvt])
def test_a_molecule_with_a_fixed_bond_neither_travels_nor_turns(function):
    atoms = ethanol(FixBondLengths([(0, 1), (1, 2)]))
    length, centre = atoms.get_distance(0, 1), atoms.get_center_of_mass()
    record = function(atoms, temperature_K=300, time_ps=0.05, timestep_fs=0.5)
    assert atoms.get_distance(0, 1) == pytest.approx(length, abs=1e-6)
    np.testing.assert_allclose(atoms.get_center_of_mass(), centre, atol=1e-6)
    np.testing.assert_allclose(atoms.get_angular_momentum(), 0, atol=1e-3)
    assert record.temperature_K[0] == pytest.approx(300)
    assert record.translation_gained_eV is not None

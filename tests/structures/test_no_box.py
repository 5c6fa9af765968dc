"""A molecule is taken out of its box whole, however the box cuts it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms

from ase_schnet.structures.box import without_box


def cut(atoms: Atoms, cell, shift, pbc=True) -> Atoms:
    """The same in a box, moved until a face cuts it, and wrapped."""
    boxed = atoms.copy()
    boxed.set_cell(cell)
    boxed.pbc = pbc
    boxed.positions += shift
    boxed.wrap()
    return boxed


def assert_same_molecule(atoms: Atoms, other: Atoms):
    assert not atoms.pbc.any()
    assert atoms.cell.rank == 0
    np.testing.assert_allclose(atoms.get_all_distances(), other.get_all_distances(), atol=1e-9)


SKEWED = [[9.0, 0, 0], [3.0, 8.5, 0], [-2.0, 1.0, 9.5]]


@pytest.mark.parametrize("cell", [[30.0] * 3, [7.5] * 3, SKEWED, -np.array(SKEWED)])
@pytest.mark.parametrize("shift", [(0, 0, 0), (-0.2, 3.7, 0.1), (40.1, -25.3, 7.7)])
def test_a_molecule_cut_by_faces_is_whole(cell, shift):
    ethanol = molecule("CH3CH2OH")
    assert_same_molecule(without_box(cut(ethanol, cell, shift)), ethanol)


def test_of_a_partly_periodic_box_the_open_direction_is_left_alone():
    ethanol = molecule("CH3CH2OH")
    boxed = cut(ethanol, [8.0, 8.0, 2.0], (0.1, 0.1, 0), pbc=[True, True, False])
    assert_same_molecule(without_box(boxed), ethanol)


def test_several_molecules_come_together():
    pair = molecule("H2O") + molecule("CH3OH")
    pair.positions[3:] += [3.5, 0.3, 0.2]
    for shift in np.random.default_rng(0).uniform(-12, 12, (20, 3)):
        assert_same_molecule(without_box(cut(pair, [12.0] * 3, shift)), pair)


def test_what_is_whole_stays_in_place_to_the_bit_and_keeps_all_but_the_stress():
    atoms = molecule("CH3CH2OH", cell=[20.0] * 3, pbc=True)
    atoms.set_momenta(np.full((9, 3), 0.25))
    atoms.set_constraint(FixAtoms([0]))
    atoms.info["name"] = "x"
    atoms.calc = SinglePointCalculator(atoms, energy=-1.0, stress=np.zeros(6))
    alone = without_box(atoms)
    np.testing.assert_array_equal(alone.positions, atoms.positions)
    np.testing.assert_array_equal(alone.arrays["momenta"], atoms.arrays["momenta"])
    assert alone.info == atoms.info
    assert alone.constraints[0].index.tolist() == [0]
    assert alone.get_potential_energy() == -1.0
    assert "stress" not in alone.calc.results
    assert "stress" in atoms.calc.results


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("Si"),
        bulk("Si", cubic=True),
        bulk("Cu"),
        fcc111("Cu", (1, 1, 3), vacuum=8, periodic=True),
    ],
    ids=["one cell", "cubic", "one atom", "slab"],
)
def test_bonds_without_end_are_named(atoms):
    with pytest.raises(
        ValueError, match=r"bond between atoms \d+ and \d+ goes on.*keep it periodic"
    ):
        without_box(atoms)


def test_a_box_that_is_none():
    flat = molecule("H2O", pbc=True)  # as some files say, without any cell
    np.testing.assert_array_equal(without_box(flat).positions, flat.positions)
    flat.set_cell([[5, 0, 0], [10, 0, 0], [0, 0, 5]])
    with pytest.raises(ValueError, match="does not span"):
        without_box(flat)

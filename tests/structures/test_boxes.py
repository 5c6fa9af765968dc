"""Boxes of vacuum: a model of molecules evaluates what is exactly a molecule, and nothing else."""

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.calculator import InputError
from factory import TINY, ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model


@pytest.fixture(scope="module")
def calc(tmp_path_factory):
    return SchNetCalculator(save_model(tmp_path_factory.mktemp("models") / "tiny", random_model()))


@pytest.mark.parametrize("pbc", [True, [True, False, False], [False, True, True]])
@pytest.mark.parametrize("side", [15.0, 40.0])
def test_a_molecule_in_a_box_of_vacuum_is_exactly_the_molecule(calc, side, pbc):
    free, boxed = ethanol(), ethanol()
    boxed.set_cell([side, side + 1, side + 2])
    boxed.set_pbc(pbc)
    free.calc = boxed.calc = calc
    energy, forces = free.get_potential_energy(), free.get_forces()
    assert boxed.get_potential_energy() == pytest.approx(energy, abs=1e-10)
    np.testing.assert_allclose(boxed.get_forces(), forces, atol=1e-10)
    assert "stress" not in calc.results


def test_an_image_that_comes_within_reach_later_is_refused_at_that_step(calc):
    cell = [30.0, 30.0, 30.0]
    atoms = Atoms("CO", [[1, 1, 1], [3, 1, 1]], cell=cell, pbc=True, calculator=calc)
    for x in np.arange(3.0, 31.0 - TINY.cutoff - calc.parameters.skin, 0.25):
        atoms.positions[1, 0] = x
        assert np.isfinite(atoms.get_potential_energy())
    for x in (31.0 - TINY.cutoff + 0.01, 29.0, 29.5):
        atoms.positions[1, 0] = x
        for _ in range(2):
            with pytest.raises(
                InputError, match=r"trained on molecules.*near a periodic image of atom"
            ):
                atoms.get_potential_energy()
    atoms.positions[1, 0] = 3.0
    assert np.isfinite(atoms.get_potential_energy())


def test_a_large_molecule_is_asked_about_images_too(calc):
    chain = Atoms("C80", [[1.5 * i, 0, 0] for i in range(80)], calculator=calc)
    energy = chain.get_potential_energy()
    chain.set_cell([140, 20, 20])
    chain.pbc = True
    assert chain.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    chain.set_cell([121, 20, 20])
    with pytest.raises(InputError, match="near a periodic image"):
        chain.get_potential_energy()


@pytest.mark.parametrize("cell", [np.zeros((3, 3)), np.diag([30.0, 30.0, 0.0])])
def test_a_box_without_volume_is_no_box(calc, cell):
    atoms = ethanol()
    atoms.calc = calc
    atoms.cell[:] = cell
    atoms.pbc = True
    with pytest.raises(InputError, match="does not span"):
        atoms.get_potential_energy()


def test_positions_in_single_precision_are_evaluated(calc):
    double, single = ethanol(), ethanol()
    rounded = double.positions.astype(np.float32)
    double.positions[:] = rounded
    single.arrays["positions"] = rounded
    double.calc = calc
    energy, forces = double.get_potential_energy(), double.get_forces()
    single.calc = calc
    calc.reset()
    assert single.get_potential_energy() == energy
    np.testing.assert_array_equal(single.get_forces(), forces)
    np.testing.assert_array_equal(calc.atoms.positions, double.positions)

"""When the list of neighbours was made is not seen in the answer."""

import numpy as np
import pytest
from engine_cases import PERIODIC, cluster
from factory import TINY, ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import save_model
from ase_schnet.neighbors import half_list

STRUCTURES = {
    "molecule": ethanol(),
    "large molecule": cluster(90),
    "crystal": PERIODIC["triclinic"],
    "slab": PERIODIC["slab"],
    "three chunks": PERIODIC["three chunks"],
}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(pbc=True))


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_skin_changes_no_bit(model_dir, name):
    """Atoms wander many skins, and out of the cell."""
    rng, atoms = np.random.default_rng(0), STRUCTURES[name].copy()
    lazy, lazier, eager = (SchNetCalculator(model_dir, skin=s) for s in (0.5, 1.5, 0.0))
    for _ in range(6 if len(atoms) > 100 else 20):
        atoms.positions += rng.normal(scale=0.06, size=atoms.positions.shape)
        for calc in (lazy, lazier, eager):
            calc.calculate(atoms)
            for key, value in {**calc.results, **calc.results.extra}.items():
                np.testing.assert_array_equal(value, lazy.results[key], err_msg=key)


@pytest.mark.parametrize("name", STRUCTURES)
def test_pairs_beyond_the_cutoff_do_no_harm(name):
    engine, atoms = Ensemble(random_model(pbc=True)), STRUCTURES[name]
    answers = [
        engine.evaluate(
            atoms.numbers,
            atoms.positions,
            half_list(atoms.positions, TINY.cutoff + more, atoms.cell.array, atoms.pbc),
        )
        for more in (0.0, 0.3, 2.0)
    ]
    for answer in answers[1:]:
        for a, b in zip(answers[0], answer, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_jump_of_an_atom_is_noticed(model_dir):
    """Further than the skin in one step, as a Monte Carlo move."""
    rng, atoms = np.random.default_rng(1), PERIODIC["three chunks"].copy()
    calc = SchNetCalculator(model_dir, skin=0.5)
    for _ in range(3):
        atoms.positions[rng.integers(len(atoms))] += rng.normal(scale=2.0, size=3)
        calc.calculate(atoms)
        fresh = SchNetCalculator(model_dir, skin=0.0)
        fresh.calculate(atoms)
        np.testing.assert_array_equal(calc.results["forces"], fresh.results["forces"])


@pytest.mark.parametrize("change", ["cell", "pbc", "order", "number of atoms"])
def test_another_cell_periodicity_or_structure_is_noticed(model_dir, change):
    atoms = PERIODIC["triclinic"].copy()
    calc = SchNetCalculator(model_dir, skin=0.5)
    calc.calculate(atoms)
    if change == "cell":
        atoms.set_cell(atoms.cell * 1.001)
    elif change == "pbc":
        atoms.pbc = (True, False, True)
    elif change == "order":
        atoms = atoms[::-1]
    else:
        atoms = atoms[:-1]
    calc.calculate(atoms)
    fresh = SchNetCalculator(model_dir)
    fresh.calculate(atoms)
    np.testing.assert_array_equal(calc.results["forces"], fresh.results["forces"])


@pytest.mark.parametrize("name", ["crystal", "slab", "three chunks"])
def test_wrapping_into_the_cell_changes_nothing(model_dir, name):
    atoms = STRUCTURES[name].copy()
    atoms.positions += atoms.cell[0] * 0.4
    wrapped = atoms.copy()
    wrapped.wrap()
    assert np.abs(wrapped.positions - atoms.positions).max() > 1.0
    calc = SchNetCalculator(model_dir)
    calc.calculate(atoms)
    before = calc.results
    for again in (wrapped, atoms):
        calc.calculate(again)
        for key, value in {**calc.results, **calc.results.extra}.items():
            np.testing.assert_allclose(value, before[key], rtol=0, atol=1e-9, err_msg=key)

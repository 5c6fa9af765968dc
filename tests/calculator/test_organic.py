"""models/organic as a user gets it: molecules of H, C, N, O near GFN2-xTB, and what it refuses."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import InputError

from ase_schnet import OutsideTrainingWarning, SchNetCalculator, load_model, read_reference

NAMES = ["CH3CH2OCH3", "CH3CONH2", "isobutene", "C4H4O", "CH3CH2NH2", "C3H9N", "HCOOH"]
KCAL_PER_MOL = 0.0433641  # eV


def near_rest(name, width_Ang=0.03, seed=0):
    atoms = molecule(name)
    atoms.rattle(width_Ang, rng=np.random.default_rng(seed))
    return atoms


def test_forces_are_near_those_of_gfn2_xtb():
    """ASE's own geometries, displaced: neither was made by the scripts that made the training data."""
    pytest.importorskip("tblite")
    errors, sizes = [], []
    for name in NAMES:
        atoms = near_rest(name)
        atoms.calc = read_reference("gfn2-xtb")(atoms)
        reference = atoms.get_forces()
        atoms.calc = SchNetCalculator("organic")
        errors.append(np.abs(atoms.get_forces() - reference).mean())
        sizes.append(np.abs(reference).mean())
    assert np.mean(errors) < 0.1 * np.mean(sizes)
    assert np.max(errors) < 0.2 * np.mean(sizes)


def test_energies_have_the_offsets_of_the_elements():
    """Reactions between unlike molecules, not only wiggles of one: per atom within some meV of GFN2-xTB."""
    pytest.importorskip("tblite")
    errors = []
    for name in NAMES:
        atoms = near_rest(name)
        atoms.calc = SchNetCalculator("organic")
        energy = atoms.get_potential_energy()
        atoms.calc = read_reference("gfn2-xtb")(atoms)
        errors.append((energy - atoms.get_potential_energy()) / len(atoms))
    assert np.abs(errors).mean() < 0.015


@pytest.mark.parametrize(
    ("atoms", "info", "named"),
    [
        (molecule("CH3Cl"), {}, "Cl"),
        (molecule("SH2"), {}, "S"),
        (molecule("CH3COOH"), {"charge": -1}, "charge -1"),
        (molecule("CH3CH2NH2"), {"charge": 1, "spin": 2}, "charge +1"),
        (molecule("CH3CH2O"), {"multiplicity": 2}, "multiplicity 2"),
        (molecule("CH3CH2O"), {}, "25 electrons, not an even number"),
    ],
    ids=["chlorine", "sulphur", "anion", "radical cation", "radical", "silent radical"],
)
def test_what_it_does_not_know_is_refused_by_name(atoms, info, named):
    atoms.set_initial_magnetic_moments(None)
    atoms.info |= info
    atoms.calc = SchNetCalculator("organic")
    with pytest.raises(InputError, match=named.replace("+", r"\+")):
        atoms.get_potential_energy()


def test_the_card_says_what_it_is():
    model = load_model("organic")
    assert model.level_of_theory == "GFN2-xTB"
    assert (model.card["charge"], model.card["multiplicity"]) == (0, 1)
    assert model.symbols == ["H", "C", "N", "O"]
    assert model.n_members == 3
    assert model.card["verdict"]["passed"]
    assert model.card["intervals"]["level"] == 0.9


@pytest.mark.parametrize("name", ["CO", "H2"])
def test_a_molecule_on_which_the_members_disagree_is_warned_of_as_its_bar_is_infinite(name):
    atoms = molecule(name)
    atoms.calc = SchNetCalculator("organic")
    with pytest.warns(OutsideTrainingWarning, match=r"the force on .* is uncertain by"):
        atoms.get_forces()
    assert atoms.calc.results["energy_error"] == np.inf
    many = SchNetCalculator("organic").predict([molecule("CH3OH"), molecule(name)])
    with pytest.warns(OutsideTrainingWarning, match=r"the force on .* is uncertain by"):
        assert np.isinf([one["energy_error"] for one in many]).tolist() == [False, True]


@pytest.mark.parametrize("name", ["N2", "O3"])
def test_bars_of_what_is_unlike_all_training_are_as_large_as_the_errors(name):
    """Where they are not infinite: off by more than 0.8 eV, and the bars say as much."""
    pytest.importorskip("tblite")
    atoms = molecule(name)
    atoms.calc = SchNetCalculator("organic")
    energy, bar = atoms.get_potential_energy(), atoms.calc.results["energy_error"]
    atoms.calc = read_reference("gfn2-xtb")(atoms)
    assert bar > 0.8 * abs(energy - atoms.get_potential_energy())
    assert bar > 1.0


def test_a_molecule_like_the_training_is_not_warned_of():
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("organic")
    atoms.get_forces()  # warnings are errors
    assert np.isfinite(atoms.calc.results["energy_error"])

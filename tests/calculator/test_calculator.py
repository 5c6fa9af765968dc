"""SchNetCalculator as ASE users meet it."""

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import BaseCalculator, InputError
from ase.calculators.fd import calculate_numerical_forces
from ase.io import read, write
from ase.optimize import BFGS
from factory import ELEMENTS, TINY, ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model
from ase_schnet.results import COMMITTEE, SINGLE


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=3))


@pytest.fixture
def calc(model_dir):
    return SchNetCalculator(model_dir)


@pytest.fixture
def atoms(calc):
    atoms = ethanol()
    atoms.calc = calc
    return atoms


def test_forces_are_minus_the_gradient_of_the_energy_through_ase(atoms):
    numerical = calculate_numerical_forces(atoms, eps=1e-4)
    assert np.abs(atoms.get_forces() - numerical).max() < 1e-6


def test_results_have_the_types_and_shapes_of_the_contract(atoms):
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    assert type(energy) is float
    assert forces.dtype == np.float64
    assert forces.flags.c_contiguous
    results = atoms.calc.results
    assert results["free_energy"] == energy == atoms.get_potential_energy(force_consistent=True)
    assert atoms.get_potential_energies().sum() == pytest.approx(energy, abs=1e-9)
    assert type(results["energy_std"]) is float
    assert results["forces_std"].shape == (9, 3)
    assert results["energy_committee"].shape == (3,)
    assert results["forces_committee"].shape == (3, 9, 3)
    assert set(results) == set(SINGLE)
    assert set(results.extra) == set(COMMITTEE)
    assert set(atoms.calc.implemented_properties) == {*SINGLE, *COMMITTEE}


def test_names_of_the_results_are_frozen():
    assert SINGLE == ("energy", "free_energy", "energies", "forces")
    assert COMMITTEE == ("energy_std", "forces_std", "energy_committee", "forces_committee")


def test_std_is_the_sample_std_of_the_committee(atoms):
    atoms.get_potential_energy()
    r = atoms.calc.results
    assert r["energy_std"] == pytest.approx(np.std(r["energy_committee"], ddof=1))
    np.testing.assert_allclose(r["forces_std"], np.std(r["forces_committee"], axis=0, ddof=1))
    np.testing.assert_allclose(r["forces"], r["forces_committee"].mean(axis=0))


def test_a_single_member_claims_no_uncertainty(tmp_path):
    atoms = ethanol()
    atoms.calc = SchNetCalculator(save_model(tmp_path, random_model(members=1)))
    atoms.get_potential_energy()
    assert set(atoms.calc.results) == set(SINGLE) == set(atoms.calc.implemented_properties)


def test_no_stress_and_no_dipole_for_a_molecular_model(atoms):
    for name in ("stress", "dipole"):
        with pytest.raises(NotImplementedError, match=name):
            atoms.calc.get_property(name, atoms)


def test_other_calculators_are_not_touched(calc, model_dir):
    SchNetCalculator(model_dir)
    assert "energy_std" not in BaseCalculator.implemented_properties
    assert SchNetCalculator.implemented_properties == BaseCalculator.implemented_properties
    assert calc.implemented_properties is not SchNetCalculator(model_dir).implemented_properties


def test_one_evaluation_serves_every_property(atoms, monkeypatch):
    calls = []
    evaluate = atoms.calc._engine.evaluate
    monkeypatch.setattr(
        atoms.calc._engine, "evaluate", lambda *a: (calls.append(1), evaluate(*a))[1]
    )
    atoms.get_forces()
    atoms.get_potential_energy()
    atoms.get_potential_energies()
    atoms.set_initial_charges(np.arange(9) - 4)  # no model input, so no reason to compute again
    atoms.get_forces()
    assert len(calls) == 1
    atoms.positions[0, 0] += 1e-9
    atoms.get_forces()
    assert len(calls) == 2


def test_export_knows_only_ases_own_names(atoms):
    properties = atoms.get_properties(["energy", "forces"])
    assert properties["energy"] == atoms.get_potential_energy()
    atoms.calc.export_properties()
    assert "energy_std" in atoms.calc.results


def test_writing_and_reading_keeps_energy_and_forces(atoms, tmp_path):
    forces = atoms.get_forces()
    for suffix in ("xyz", "traj", "json", "db"):
        write(tmp_path / f"a.{suffix}", atoms)
        again = read(tmp_path / f"a.{suffix}")
        assert again.get_potential_energy() == pytest.approx(atoms.get_potential_energy())
        np.testing.assert_allclose(again.get_forces(), forces, atol=1e-7)


def test_one_calculator_on_two_structures_in_turn(calc):
    a, b = ethanol(), molecule("H2O")
    a.calc = b.calc = calc
    first = a.get_potential_energy()
    assert b.get_potential_energy() != first
    assert a.get_potential_energy() == first
    assert len(b.get_forces()) == 3


def test_rotation_translation_permutation(atoms):
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    order = np.random.default_rng(0).permutation(9)
    moved = atoms[order]
    moved.calc = atoms.calc
    moved.rotate(37.0, (1, 2, 3))
    moved.translate([20.0, 0.0, -1.0])
    assert moved.get_potential_energy() == pytest.approx(energy, abs=1e-9)
    back = Atoms("H9", positions=moved.get_forces())
    back.rotate(-37.0, (1, 2, 3))
    np.testing.assert_allclose(back.positions, forces[order], atol=1e-9)


def test_single_atoms_and_far_fragments(calc):
    atom = Atoms("O", calculator=calc)
    alone = atom.get_potential_energy()
    assert atom.get_forces().tolist() == [[0, 0, 0]]
    pair = Atoms("O2", positions=[[0, 0, 0], [30, 0, 0]], calculator=calc)
    assert pair.get_potential_energy() == pytest.approx(2 * alone, abs=1e-9)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: a.__delitem__(slice(None)), "no atoms"),
        (lambda a: a.positions.__setitem__((4, 1), np.nan), r"atoms \[4\] are not finite"),
        (lambda a: a.positions.__setitem__((4, 1), np.inf), r"atoms \[4\] are not finite"),
        (
            lambda a: a.numbers.__setitem__(2, 92),
            r"not trained on U \(atoms \[2\]\); it knows H, C",
        ),
        (lambda a: a.numbers.__setitem__(2, 0), r"not trained on X"),
        (
            lambda a: a.numbers.__setitem__(2, 200),
            "an element of atomic number 200, which does not",
        ),
        (lambda a: a.numbers.__setitem__(2, -1), "an element of atomic number -1, which does not"),
        (lambda a: (a.set_cell([7, 7, 7]), a.set_pbc(True)), "trained on molecules.*periodic"),
        (lambda a: a.positions.__setitem__(5, a.positions[3]), "atoms 3 and 5 are in the same pl"),
    ],
)
def test_structures_the_model_cannot_describe(atoms, spoil, message):
    good = atoms.get_potential_energy()
    bad = atoms.copy()
    bad.calc = atoms.calc
    spoil(bad)
    with pytest.raises(InputError, match=message):
        bad.get_forces()
    assert atoms.get_potential_energy() == good  # the calculator still works


def test_atoms_nearly_on_top_of_each_other_give_finite_numbers(atoms):
    atoms.positions[5] = atoms.positions[3] + [1e-3, 0, 0]
    assert np.isfinite(atoms.get_forces()).all()


def test_an_impossible_cell(tmp_path):
    atoms = bulk("C", cubic=True)
    atoms.calc = SchNetCalculator(save_model(tmp_path, random_model(pbc=True)))
    energy = atoms.get_potential_energy()
    for cell in (np.zeros((3, 3)), np.diag([np.nan, 3, 3]), np.diag([3.0, 3, 0])):
        bad = atoms.copy()
        bad.calc = atoms.calc
        bad.cell[:] = cell
        with pytest.raises(InputError, match="does not span"):
            bad.get_potential_energy()
    flat = atoms.copy()
    flat.calc = atoms.calc
    flat.cell[2] = flat.cell[0] + flat.cell[1]
    with pytest.raises(InputError, match="does not span"):
        flat.get_potential_energy()
    assert atoms.get_potential_energy() == energy


def test_a_zero_cell_of_a_molecule_is_ignored(atoms):
    energy = atoms.get_potential_energy()
    atoms.set_cell([1.0, 1.0, 1.0])
    assert atoms.get_potential_energy() == energy


def test_optimiser_and_its_restart(atoms):
    start = atoms.get_potential_energy()
    BFGS(atoms, logfile=None, maxstep=0.02).run(fmax=0.01, steps=20)
    assert atoms.get_potential_energy() < start


def test_ase_finds_the_plugin():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' plugins
        plugins = pytest.importorskip("ase._4.plugins", reason="ASE is older than 3.29").plugins
    names = [p.name for p in plugins if type(p).__name__ == "CalculatorPlugin"]
    assert "schnet" in names
    assert next(p for p in plugins if p.name == "schnet").implementation is SchNetCalculator


def test_trained_distance_range(calc):
    assert calc.trained_distance_range("O", "H", 0.97) == (0.9, 1.1)
    assert calc.trained.elements == ELEMENTS
    assert calc.trained.config == TINY.to_dict()
    assert calc.model_info["sha256"] == calc.trained.checksum


def test_a_path_is_never_taken_for_the_name_of_a_shipped_model(tmp_path, monkeypatch):
    """A script whose training had left no directory went on with another model."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"no directory 'ethanol': a Path is no name"):
        SchNetCalculator(Path("ethanol"))
    directory = save_model(Path("ethanol"), random_model())
    assert SchNetCalculator(directory).parameters.model == str(tmp_path / "ethanol")


@pytest.fixture
def other_model(tmp_path):
    """A model with the same parameters but the energies of another, and a dipole head that is damaged."""
    directory = save_model(tmp_path / "other", random_model(members=2))
    (directory / "dipole.safetensors").write_bytes(b"no tensors")
    return directory


def test_parameters_that_cannot_be_set_leave_the_whole_calculator_as_it_was(
    atoms, model_dir, other_model
):
    """The damaged head was read when the new engine was in place: energies of one model, name of another."""
    energy, known = atoms.get_potential_energy(), atoms.calc.model_info
    with pytest.raises(ValueError, match=r"dipole\.safetensors is damaged"):
        atoms.calc.set(model=other_model)
    assert atoms.calc.model_info == known
    assert atoms.calc.trained.path == str(model_dir)
    assert atoms.get_potential_energy() == energy


def test_parameters_whose_setting_was_interrupted_can_be_set_again(atoms, monkeypatch):
    energy = atoms.get_potential_energy()

    def interrupted(engine):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("ase_schnet.calculator.self_check", interrupted)
        with pytest.raises(KeyboardInterrupt):
            atoms.calc.set(dtype="float32")
    assert atoms.calc.parameters.dtype == "float64"
    assert atoms.get_potential_energy() == energy
    assert atoms.calc.set(dtype="float32") == {"dtype": "float32"}
    assert atoms.get_potential_energy() != energy


def test_a_statement_is_compared_for_each_composition(tmp_path):
    """Of methane, multiplicity 2 was no longer asked once a methyl had said it."""
    card = {"charge": 0, "multiplicity": "lowest"}
    calc = SchNetCalculator(save_model(tmp_path / "m", replace(random_model(), card=card)))
    methane, methyl = molecule("CH4"), molecule("CH3")
    methane.calc = calc
    methane.get_potential_energy()
    methyl.info["multiplicity"] = methane.info["multiplicity"] = 2
    calc.calculation_required(methyl, ["energy"])
    with pytest.raises(InputError, match="multiplicity 2"):
        methane.get_potential_energy()

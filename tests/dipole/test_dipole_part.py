"""A dipole part in a model directory: written, read, offered by the calculator, written into runs."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import InputError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.vibrations import Infrared
from dipole_cases import distorted
from factory import random_model

from ase_schnet import Dataset, SchNetCalculator, run_nve
from ase_schnet.cli import main
from ase_schnet.dipole.fit import errors, fit_rpr
from ase_schnet.dipole.settings import RPRSettings
from ase_schnet.dipole.store import load_part, part_file, save_part
from ase_schnet.modelfile import ModelFileError, load_model, save_model

CHARGES = np.array([-0.66, 0.33, 0.33])  # e, of O, H, H


def waters(n: int, seed: int) -> list[Atoms]:
    """Labelled water, bent and stretched and anywhere, with the dipole of constant charges."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(n):
        atoms = molecule("H2O")
        atoms.positions += 0.05 * rng.standard_normal((3, 3))
        atoms.rotate(rng.uniform(0, 360), rng.standard_normal(3))
        atoms.translate(rng.standard_normal(3))
        atoms.calc = SinglePointCalculator(atoms, dipole=CHARGES @ atoms.positions)
        frames.append(atoms)
    return frames


@pytest.fixture(scope="module")
def part():
    return fit_rpr(Dataset.from_atoms(waters(100, seed=0)))


@pytest.fixture
def directory(part, tmp_path):
    model = replace(random_model(), distance_ranges={})
    save_part(save_model(tmp_path / "model", model), part)
    return tmp_path / "model"


def test_what_was_written_is_read_bit_for_bit(part, tmp_path):
    save_part(tmp_path, part)
    again = load_part(tmp_path, "dipole")
    positions = waters(1, seed=5)[0].positions
    assert np.array_equal(again.predict(positions).members, part.predict(positions).members)
    assert again.training == part.training
    assert load_part(tmp_path, "polarizability") is None


@pytest.mark.parametrize("where", [0.02, 0.3, 0.6, 0.99])
def test_damage_of_one_bit_is_noticed(part, tmp_path, where):
    path = save_part(tmp_path, part)
    data = bytearray(path.read_bytes())
    data[int(where * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelFileError):
        load_part(tmp_path, "dipole")


def test_the_calculator_gives_the_dipole_of_the_labels(directory):
    calculator = SchNetCalculator(directory)
    for atoms in waters(5, seed=1):
        label = atoms.calc.results["dipole"]
        atoms.calc = calculator
        assert np.abs(atoms.get_dipole_moment() - label).max() < 1e-4
        std = calculator.get_property("dipole_std", atoms)
        assert std.shape == (3,)
        assert (std < 1e-3).all()


def test_a_dipole_is_computed_when_asked_for_and_costs_no_second_evaluation(directory, monkeypatch):
    calculator = SchNetCalculator(directory)
    atoms = molecule("H2O")
    atoms.calc = calculator
    calls = []
    evaluate = calculator._engine.evaluate
    monkeypatch.setattr(
        calculator._engine, "evaluate", lambda *a: calls.append(1) or evaluate(*a), raising=False
    )
    forces = atoms.get_forces()
    assert "dipole" not in calculator.results
    first = atoms.get_dipole_moment()
    assert len(calls) == 1
    assert np.array_equal(atoms.get_forces(), forces)
    atoms.positions[1, 0] += 0.1
    assert not np.array_equal(atoms.get_dipole_moment(), first)
    assert not np.array_equal(atoms.get_forces(), forces)
    assert len(calls) == 2


def test_other_molecules_have_energies_but_no_dipole(directory):
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator(directory)
    atoms.get_forces()
    assert atoms.calc.on_request == ()
    with pytest.raises(InputError, match="is known for one molecule only"):
        atoms.get_dipole_moment()
    torn = molecule("H2O")
    torn.positions[1] += 3.0
    torn.calc = atoms.calc
    with pytest.raises(InputError, match="broken bonds"):
        torn.get_dipole_moment()


def test_the_order_of_the_atoms_does_not_matter(directory):
    """Nor for a molecule whose elements come in the same order while its bonds do not."""
    calculator = SchNetCalculator(directory)
    atoms = waters(1, seed=4)[0]
    atoms.calc = calculator
    dipole = atoms.get_dipole_moment()
    for order in ([1, 0, 2], [2, 1, 0], [0, 2, 1]):
        other = atoms[order]
        other.calc = calculator
        assert np.abs(other.get_dipole_moment() - dipole).max() < 1e-9


def test_errors_are_those_of_the_calculator_in_any_order(part, directory):
    """Orders of elements and of bonds differ: each structure's atoms are found by their bonds."""
    frames = [atoms[[1, 0, 2]] for atoms in waters(5, seed=5)]
    for atoms, other in zip(frames, waters(5, seed=5), strict=True):
        atoms.calc = SinglePointCalculator(atoms, dipole=other.get_dipole_moment())
    error = errors(part, Dataset.from_atoms(frames))
    calculator = SchNetCalculator(directory)
    for atoms, of_atoms in zip(frames, error, strict=True):
        label = atoms.get_dipole_moment()
        atoms.calc = calculator
        assert np.abs(atoms.get_dipole_moment() - label - of_atoms).max() < 1e-9
    ethanols = distorted("CH3CH2OH", 60)
    part = fit_rpr(Dataset.from_atoms(ethanols))
    order = [1, 0, 2, 4, 5, 6, 7, 8, 3]
    turned = []
    for atoms in ethanols[:5]:
        turned.append(atoms[order])
        turned[-1].calc = SinglePointCalculator(turned[-1], dipole=atoms.get_dipole_moment())
    straight = errors(part, Dataset.from_atoms(ethanols[:5]))
    assert np.abs(errors(part, Dataset.from_atoms(turned)) - straight).max() < 1e-8


def test_bonds_tell_atoms_apart_that_elements_do_not():
    """Ethanol in the orders of ASE and of rMD17: C2OH6 both, with the hydroxyl's hydrogen at 3 and 8."""
    frames = distorted("CH3CH2OH", 60)
    part = fit_rpr(Dataset.from_atoms(frames))
    order = [1, 0, 2, 4, 5, 6, 7, 8, 3]
    atoms = frames[0][order]
    assert np.array_equal(atoms.numbers, frames[0].numbers)
    found = part.order_of(atoms.numbers, atoms.positions)
    value = part.predict(atoms.positions[found]).mean
    assert np.abs(value - part.predict(frames[0].positions).mean).max() < 1e-8
    assert np.abs(part.predict(atoms.positions).mean - value).max() > 0.01


def test_models_without_the_part_offer_no_dipole(tmp_path):
    save_model(tmp_path / "model", random_model())
    calculator = SchNetCalculator(tmp_path / "model")
    assert "dipole" not in calculator.implemented_properties
    assert calculator.on_request == ()


def test_pickle_export_and_ase_get_properties(directory):
    atoms = molecule("H2O")
    atoms.calc = pickle.loads(pickle.dumps(SchNetCalculator(directory)))
    dipole = atoms.get_dipole_moment()
    assert np.array_equal(atoms.get_properties(["energy", "dipole"])["dipole"], dipole)
    assert "dipole_std" not in atoms.calc.export_properties()


def test_frames_of_a_run_hold_the_dipole(directory, tmp_path):
    atoms = molecule("H2O")
    atoms.calc = SchNetCalculator(directory)
    options = {"timestep_fs": 0.1, "temperature_K": 10, "time_ps": 0.002, "trajectory_every": 5}
    run_nve(atoms, run_dir=tmp_path / "run", **options)
    frames = read(tmp_path / "run" / "trajectory.traj", ":")
    assert len(frames) == 5
    for frame in frames:
        assert np.abs(frame.get_dipole_moment() - CHARGES @ frame.positions).max() < 1e-4
        assert frame.info["dipole_std"].shape == (3,)


def test_infrared_of_ase_runs_and_its_dipole_derivatives_are_the_charges(directory, tmp_path):
    atoms = molecule("H2O")
    atoms.calc = SchNetCalculator(directory)
    infrared = Infrared(atoms, name=str(tmp_path / "ir"))
    infrared.run()
    infrared.read()
    step = 1e-3
    for i in range(3):
        moved = atoms.copy()
        moved.calc = atoms.calc
        moved.positions[i, 0] += step
        slope = (moved.get_dipole_moment() - atoms.get_dipole_moment()) / step
        assert np.abs(slope - [CHARGES[i], 0, 0]).max() < 0.01
    assert np.isfinite(infrared.intensities).all()


def test_train_dipole_on_the_command_line(tmp_path, capsys):
    data, test = tmp_path / "data.xyz", tmp_path / "test.xyz"
    write(data, waters(60, seed=2))
    write(test, waters(20, seed=3))
    command = ["train-dipole", str(data), "-o", str(tmp_path / "model")]
    assert main([*command, "--units", "eV, Ang, e*Ang", "--test", str(test)]) == 0
    out = capsys.readouterr().out
    assert "the ensemble; n = 20 structures" in out
    assert part_file(tmp_path / "model", "dipole").exists()
    assert main([*command, "--quantity", "polarizability", "--units", "eV, Ang, e*Ang"]) == 2
    assert "polarizability found in 0/60 structures" in capsys.readouterr().err


def test_a_directory_with_a_dipole_alone_says_what_is_missing(tmp_path):
    (tmp_path / "dipole.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match="holds a dipole or polarizability, but no potential yet"):
        load_model(tmp_path)


def test_a_fit_without_centres_is_refused():
    with pytest.raises(ValueError, match="n_centres must be a whole number of at least 1, not 0"):
        RPRSettings(n_centres=0)


def test_the_dipole_of_an_ion_is_about_the_centre_of_mass_of_its_isotopes(tmp_path):
    """The O of OH⁻ and OD⁻ may be charged alike: μ = Σ q (r − c) about the centre c of each."""
    charges, rng, frames = np.array([-1.2, 0.2]), np.random.default_rng(0), []
    for _ in range(40):
        atoms = Atoms("OH", [(0, 0, 0), (0, 0, 0.97 + 0.05 * rng.standard_normal())])
        atoms.rotate(rng.uniform(0, 360), rng.standard_normal(3))
        dipole = charges @ (atoms.positions - atoms.get_center_of_mass())
        atoms.calc = SinglePointCalculator(atoms, dipole=dipole)
        frames.append(atoms)
    about = {"charge": -1, "labels_about": "centre of mass"}
    model = replace(random_model(), distance_ranges={})
    save_part(save_model(tmp_path, model), fit_rpr(Dataset.from_atoms(frames), **about))
    calc = SchNetCalculator(tmp_path)
    light = molecule("OH", calculator=calc)
    heavy = light.copy()
    heavy.set_masses([15.999, 2.014])
    heavy.calc = calc  # of both: what it knows of one is not that of the other
    for atoms in (light, heavy, light):
        expected = charges @ (atoms.positions - atoms.get_center_of_mass())
        np.testing.assert_allclose(atoms.get_dipole_moment(), expected, atol=1e-4)
    energies = [atoms.get_potential_energy() for atoms in (light, heavy)]
    assert energies[0] == energies[1]
    for atoms, found in zip((light, heavy), calc.predict([light, heavy], heads=True), strict=True):
        expected = charges @ (atoms.positions - atoms.get_center_of_mass())
        np.testing.assert_allclose(found["dipole"], expected, atol=1e-4)

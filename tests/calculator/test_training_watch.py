"""One warning for each calculator, at the first structure that leaves what its model's training has seen."""

import copy
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.mep import NEB
from ase.optimize import BFGS
from factory import NARROW, random_model

from ase_schnet import OutsideTrainingWarning, SchNetCalculator
from ase_schnet.applicability.distances import DistanceWatch
from ase_schnet.data.formats import read_dataset
from ase_schnet.inference.compositions import composition_of_training
from ase_schnet.inference.training_watch import TrainingWatch
from ase_schnet.modelfile import load_model
from ase_schnet.neighbors import half_list

pytestmark = pytest.mark.filterwarnings("error")  # also what other tests do not look at


def warned(function, *arguments):
    """What was said while `function` ran."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function(*arguments)
    return [str(w.message) for w in caught if w.category is OutsideTrainingWarning]


def stretched(d, model=NARROW):
    atoms = molecule("CH3CH2OH")
    atoms.set_distance(2, 3, d, fix=0)
    atoms.calc = SchNetCalculator(model)
    return atoms


def test_within_training_nothing_is_said():
    atoms = stretched(1.0)
    atoms.get_forces()
    BFGS(atoms, logfile=None).run(fmax=0.02)


@pytest.mark.parametrize(
    ("d", "message"),
    [(0.7, "O2 and H3 0.70 Å apart, shortest in training 0.88 Å"), (1.5, "Å apart, ")],
)
def test_a_single_point_outside_is_told_once(d, message):
    atoms = stretched(d)
    said = warned(atoms.get_potential_energy)
    assert len(said) == 1
    assert message in said[0]
    assert said[0].endswith("(said once for each calculator)")
    atoms.positions[3] += 0.01
    assert warned(atoms.get_forces) == []
    assert len(warned(stretched(d).get_potential_energy)) == 1  # another calculator


@pytest.mark.parametrize(
    ("model", "structure", "message"),
    [
        ("methanol", "CH3CH2OH", "C2H6O, where training had only CH4O; C"),
        ("methanol", "H2O", "H2O, where training had only CH4O"),
        (NARROW, "CH3OH", "CH4O, where training had only C2H6O"),
        (NARROW, "CH3OCH3", "Å apart"),  # an isomer
        ("ethanol", "CH3OCH3", "longest in training 1.73 Å at PBE/def2-SVP; here it rests on GFN2"),
    ],
)
def test_another_molecule_is_told(model, structure, message):
    atoms = molecule(structure)
    atoms.calc = SchNetCalculator(model)
    (said,) = warned(atoms.get_forces)
    assert message in said


def test_an_atom_or_a_piece_beyond_the_cutoff_is_told():
    atoms = molecule("CH3CH2OH")
    atoms.positions[3] += [0, 40.0, 0]
    atoms.calc = SchNetCalculator("ethanol")
    (said,) = warned(atoms.get_forces)
    assert "H with atom 3 farther than 5 Å from all other atoms" in said
    atoms = molecule("CH3CH2OH")
    atoms.positions[[2, 3]] += [0, 40.0, 0]
    atoms.calc = SchNetCalculator("ethanol")
    (said,) = warned(atoms.get_forces)
    assert "HO with atom 2 farther than 5 Å from all other atoms" in said
    crystal = bulk("Si", cubic=True).repeat(2)
    crystal.calc = SchNetCalculator("silicon")
    crystal.set_cell(np.diag([20.0, 30, 30]))
    crystal.positions[0] = [15.0, 20, 20]
    (said,) = warned(crystal.get_forces)
    assert "Si with atom 0 farther" in said


def test_a_crystal_that_is_squeezed_is_told_and_one_that_is_not_is_not():
    atoms = bulk("Si", cubic=True).repeat(2)
    atoms.calc = SchNetCalculator("silicon")
    atoms.get_stress()
    atoms.set_cell(0.65 * atoms.cell.array, scale_atoms=True)
    (said,) = warned(atoms.get_stress)
    assert "shortest in training 1.83 Å" in said


def test_where_a_cheap_method_taught_and_where_nothing_did_are_told_apart():
    (said,) = warned(stretched(1.5, "ethanol").get_potential_energy)
    assert "at PBE/def2-SVP; here it rests on GFN2-xTB (" in said
    (said,) = warned(stretched(0.4, "ethanol").get_potential_energy)
    assert "shortest in training 0.88 Å (said once" in said


def test_an_optimiser_and_a_band_are_told():
    atoms = stretched(1.7)
    assert len(warned(lambda: BFGS(atoms, logfile=None).run(fmax=0.1, steps=3))) == 1
    first, last = molecule("CH3CH2OH"), molecule("CH3CH2OH")
    last.set_dihedral(0, 1, 2, 3, 60, indices=[3])
    images = [first.copy() for _ in range(5)] + [last]
    calculator = SchNetCalculator(NARROW)
    for image in images:
        image.calc = calculator
    band = NEB(images, allow_shared_calculator=True, method="improvedtangent")
    band.interpolate()  # hydrogen through the bond
    assert len(warned(band.get_forces)) == 1


def test_copies_warn_on_their_own_and_a_calculator_loaded_anew_warns_anew():
    atoms = stretched(1.5)
    for calculator in (copy.deepcopy(atoms.calc), pickle.loads(pickle.dumps(atoms.calc))):
        assert len(warned(calculator.get_potential_energy, atoms)) == 1
    assert len(warned(atoms.get_potential_energy)) == 1
    atoms.calc.set(dtype="float32")
    assert len(warned(atoms.get_potential_energy)) == 1


def test_it_can_be_switched_off_by_its_category():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutsideTrainingWarning)
        stretched(1.5).get_potential_energy()


def test_two_molecules_have_the_composition_of_one_and_models_of_many_have_none():
    assert composition_of_training(load_model("ethanol")) == {"C": 2, "H": 6, "O": 1}
    assert composition_of_training(load_model("silicon")) is None
    assert composition_of_training(random_model()) is None
    two = molecule("CH3CH2OH")
    two += Atoms(two.symbols, np.add(two.positions, [0, 0, 30.0]))
    two.calc = SchNetCalculator("ethanol")
    two.get_potential_energy()


@pytest.mark.parametrize("name", [NARROW, "silicon"], ids=["ethanol", "silicon"])
def test_it_finds_what_the_watch_of_dynamics_finds(name):
    """On rattled molecules, of elements with several intervals, and on rattled and strained cells."""
    model, rng, told = load_model(name), np.random.default_rng(0), []
    watch, cutoff = TrainingWatch(model), float(model.config["cutoff"])
    for k in range(100):
        atoms = molecule("CH3CH2OH") if name == NARROW else bulk("Si", a=rng.uniform(3.2, 6.5))
        atoms.rattle(rng.uniform(0, 0.2), seed=k)
        pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
        expected = DistanceWatch(atoms, model.distance_ranges, cutoff, 0.15).find(atoms)
        found = watch.find(atoms, pairs, new_composition=False)
        assert (found is None) == (expected is None)
        assert expected is None or expected.message in found
        told.append(found is not None)
    assert 10 < sum(told) < 90


def test_a_collision_that_training_has_seen_is_told_as_one():
    """There is no interval below or above it in the training: the message ended in a traceback."""
    model = replace(random_model(), distance_ranges={"H-H": [[0.30, 0.36], [0.7, 3.9]]})
    atoms = Atoms("H2", [[0, 0, 0], [0, 0, 0.33]])
    found = DistanceWatch(atoms, model.distance_ranges, 4.0, 0.15).find(atoms)
    assert found.collision
    assert found.message == (
        "H0 and H1 0.33 Å apart, 0.6 of the sum of their covalent radii is 0.37 Å"
    )
    pairs = half_list(atoms.positions, 4.0)
    said = TrainingWatch(model).find(atoms, pairs, new_composition=False)
    assert found.message in said


def test_nothing_is_said_of_test_frames_of_the_training_run(shared_data):
    data = read_dataset(shared_data("rmd17-npz", "rmd17_ethanol_test_01.npz"))[0]
    watch = TrainingWatch(load_model("ethanol"))
    for s in range(0, len(data), 5):
        part = slice(data.ptr[s], data.ptr[s + 1])
        atoms = Atoms(data.Z[part], data.R[part])
        pairs = half_list(atoms.positions, 5.0)
        assert watch.find(atoms, pairs, new_composition=True) is None

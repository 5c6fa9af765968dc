"""Two members of each: the mean stays, the members disagree as much as they err."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from ase.io import read, write
from factory import NARROW, TINY, labelled_crystals

from ase_schnet import SchNetCalculator, cross_validate, load_model, pair_members, plan_folds
from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import save_model
from ase_schnet.recalibration.paired_members import Term, fitted_readouts
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings

N = 60


@pytest.fixture(scope="module")
def data_file(tmp_path_factory):
    """The data of the training, and 30 structures that no member sees."""
    path = tmp_path_factory.mktemp("data") / "crystals.extxyz"
    write(path, labelled_crystals(N + 30))
    write(path.with_name("training.extxyz"), read(path, f":{N}"))
    return path


@pytest.fixture(scope="module")
def crystals(data_file):
    """Training data, and structures that no member sees."""
    frames = read_labelled(data_file, "eV")[0]
    return Dataset.from_atoms(frames[:N]), Dataset.from_atoms(frames[N:])


@pytest.fixture(scope="module")
def trained(crystals, tmp_path_factory):
    """Three members that are nearly the same: they share their errors."""
    directory = tmp_path_factory.mktemp("models") / "crystal"
    plan = plan_folds(N, 3, n_kept_out=12)
    recipe = Recipe(TINY, LossWeights(energy=0.1), FitSettings(8, 4), plan)
    model = cross_validate(crystals[0], directory, recipe, jobs=1)
    rng = np.random.default_rng(0)
    weights = {k: np.repeat(w[:1], 3, axis=0) for k, w in model.weights.items()}
    out = weights["readout_out.weight"]
    noise = 0.002 * rng.standard_normal(out.shape)
    weights["readout_out.weight"] = (out * (1 + noise)).astype(np.float32)
    same = {"scale": model.scale[[0] * 3], "energy_shift": model.energy_shift[[0] * 3]}
    save_model(directory, replace(model, weights=weights, **same))
    return directory


@pytest.fixture
def copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "model")


def test_the_mean_stays_and_the_std_becomes_as_large_as_the_errors(copy, crystals):
    training, test = crystals
    before = compare(Ensemble(load_model(copy)), test)
    paired = pair_members(copy, training)
    after = compare(Ensemble(paired), test)
    assert paired.n_members == 6
    for was, now in zip(before.quantities(), after.quantities(), strict=True):
        size = np.abs(was.members).max()
        np.testing.assert_allclose(now.mean, was.mean, atol=2e-6 * size)
    overconfident, honest = before.calibration(), after.calibration()
    for name in ("energy", "forces", "stress"):
        assert overconfident[name].scale > 10
        assert 0.5 < honest[name].scale < 1.8
    assert after.calibration()["forces_per_atom"].spearman > 0.2


def test_the_card_is_that_of_the_pairs_and_the_calculator_takes_it(copy, crystals):
    before = load_model(copy)
    paired = pair_members(copy, crystals[0])
    card = paired.card
    kept_out = crystals[0].subset(np.array(card["training"]["kept_out"]))
    found = compare(Ensemble(paired), kept_out)
    assert card["calibration"]["forces"]["scale"] == pytest.approx(
        found.calibration()["forces"].scale, rel=1e-6
    )
    assert card["paired_members"]["n_structures"] == N - 12
    assert all(growth >= 1 for growth in card["paired_members"]["error_growth"].values())
    assert card["intervals"]["n_structures"] == 12
    assert card["training"] == before.card["training"]
    assert before.checksum not in paired.checksums  # runs of the former members do not go on
    atoms = crystals[1].atoms(0)
    atoms.calc = SchNetCalculator(copy)  # checks itself by the structure in the card
    atoms.get_forces()
    assert len(atoms.calc.results["energy_committee"]) == 6


def drawn(n, seed):
    """Errors of known readouts, (n,), their std, and the derivatives (4, 6, n)."""
    rng = np.random.default_rng(seed)
    derivatives = rng.standard_normal((4, 6, n)) * np.linspace(0.2, 3.0, 6)[:, None]
    std = std_of(np.random.default_rng(0).standard_normal((4, 6)), derivatives)
    return std * rng.standard_normal(n), std, derivatives


def std_of(change, derivatives):
    moved = np.einsum("mk,mkn->mn", change, derivatives)
    return np.sqrt(2 * (moved**2).sum(axis=0) / (2 * len(change) - 1))


def term(errors, derivatives):
    return Term(errors**2, np.full(errors.shape, 1e-6), derivatives.astype(np.float32))


@pytest.mark.parametrize("seed", [0, 1])
def test_readouts_are_those_of_the_largest_likelihood(seed):
    """The std that the errors were drawn with is found again, and no factor improves it."""
    errors, true_std, derivatives = drawn(4000, 1)
    found = std_of(fitted_readouts([term(errors, derivatives)], seed), derivatives)
    assert np.corrcoef(found, true_std)[0, 1] > 0.98
    assert np.sqrt(np.mean((errors / found) ** 2)) == pytest.approx(1, abs=0.15)
    losses = [0.5 * np.mean((errors / std) ** 2) + np.log(std).mean() for std in (found, true_std)]
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_a_quantity_of_few_values_counts_as_much_as_one_of_many():
    """Energies are far fewer than components of forces."""
    few, many = drawn(400, 2), drawn(4000, 3)
    few = 3 * few[0], 3 * few[1], few[2]  # larger than the readouts of the others say
    terms = [term(few[0], few[2]), term(many[0], many[2])]
    ratio = [
        np.sqrt(np.mean((errors / std_of(fitted_readouts(terms), derivatives)) ** 2))
        for errors, _, derivatives in (few, many)
    ]
    assert 1 < ratio[0] < 2  # drowned it would be 3
    assert ratio[1] < 0.8


def test_other_data_than_those_of_the_training_are_refused(copy, crystals):
    checksum = load_model(copy).checksum
    with pytest.raises(ValueError, match="by their errors on the data of their training: give all"):
        pair_members(copy, crystals[1])
    with pytest.raises(ValueError, match="by their errors on the data of their training: give all"):
        pair_members(copy, crystals[0].subset(np.arange(40)))
    assert load_model(copy).checksum == checksum


def test_pairs_are_not_paired_again_nor_is_one_member_nor_a_shipped_model(copy, crystals, tmp_path):
    save_model(tmp_path / "one", load_model(copy).member(0))
    with pytest.raises(ValueError, match="has one member: pairs need at least two"):
        pair_members(tmp_path / "one", crystals[0])
    with pytest.raises(ValueError, match="comes with the package: copy"):
        pair_members("silicon", crystals[0])
    pair_members(copy, crystals[0])
    with pytest.raises(ValueError, match="are pairs already"):
        pair_members(copy, crystals[0])


@pytest.mark.filterwarnings("ignore:.* are unlike the training")  # larger std than forces
def test_the_command_pairs_and_then_fits_the_bars(copy, data_file, capsys):
    words = ["calibrate", str(copy), str(data_file.with_name("training.extxyz")), "--units", "eV"]
    assert main([*words, "--pair-members", "--level", "0.8"]) == 0
    said = capsys.readouterr().out
    was, now = map(float, re.search(r"forces: ([\d.]+), now ([\d.]+)", said).groups())
    assert now < was / 5
    assert "6 members" in said
    assert "cover 80 % of the errors: from " in said
    assert main([*words, "--pair-members"]) == 2
    assert "are pairs already" in capsys.readouterr().err
    assert main(["info", str(copy)]) == 0
    assert ", two of each that was trained" in capsys.readouterr().out


@pytest.mark.slow
def test_molecules_without_stress_are_paired_too(shared_data, tmp_path):
    """Members that were right about their errors, nearly, stay so; the derivatives fit the engine."""
    from ase_schnet import read_dataset

    folder = shared_data("rmd17-npz")
    training = read_dataset(folder / "rmd17_ethanol_train_01.npz", units="kcal/mol")[0]
    model = shutil.copytree(NARROW, tmp_path / "model")
    test = read_dataset(folder / "rmd17_ethanol_test_01.npz", units="kcal/mol")[0]
    some = test.subset(np.arange(0, 1000, 10))
    before = compare(Ensemble(load_model(model)), some)
    after = compare(Ensemble(pair_members(model, training)), some)
    for was, now in zip(before.quantities(), after.quantities(), strict=True):
        np.testing.assert_allclose(now.mean, was.mean, rtol=1e-5, atol=1e-4)
    scale = {name: known.scale for name, known in after.calibration().items()}
    assert 0.6 < scale["energy"] < 1.6
    assert 0.6 < scale["forces"] < 1.6

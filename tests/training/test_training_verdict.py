"""What a training came to: good, mediocre, or nothing, and why."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk
from factory import TINY, labelled_crystals, labelled_molecules, small_dataset

from ase_schnet.cli.assemble import report
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.modelfile import load_model
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.report import interval_lines, training_summary, verdict_of
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.verdict import label_spreads, training_verdict

WEIGHTS = LossWeights()


def train(directory, epochs):
    data = Dataset.from_atoms(labelled_molecules(40, names=("CH3OH",)))
    settings = FitSettings(epochs=epochs, batch_size=4, seed=3)
    plan = plan_folds(40, 2, n_kept_out=6)
    return cross_validate(data, directory, Recipe(TINY, LossWeights(), settings, plan), jobs=1)


def judged(
    dataset,
    kept_out=(),
    training_loss=0.01,
    epochs=500,
    weights=WEIGHTS,
    **validation,
):
    """The verdict on errors of the kept-out part beside those of the folds (given without _rmse_)."""
    named = {"energy_rmse_meV_per_atom": 1.0, "forces_rmse_meV_per_Ang": 20.0, "loss": 0.02}
    fold = {
        "validation": named | validation,
        "history": {"training_loss": [training_loss]},
        "epochs": epochs,
    }
    metrics = {"n_structures": 4, "n_atoms": 24} | named | dict(kept_out)
    recipe = Recipe(TINY, weights, FitSettings(), plan_folds(len(dataset), 2, n_kept_out=4))
    return training_verdict(dataset, metrics, [fold, fold], recipe.to_dict())


@pytest.mark.parametrize(
    ("epochs", "outcome", "code"),
    [pytest.param(60, "PASS", 0, marks=pytest.mark.slow), (3, "FAIL: ", 1)],
)
def test_a_training_is_called_what_it_is_and_its_card_says_so(
    tmp_path, capsys, epochs, outcome, code
):
    directory = str(tmp_path / "m")
    model = train(directory, epochs)
    assert report(model, directory, Namespace(no_plot=True)) == code
    *_, line, last = capsys.readouterr().out.splitlines()
    assert line.startswith(outcome)
    assert ("too few epochs: 15 steps" in line) == bool(code)
    assert ("use it" in last) == (not code)
    card = load_model(directory).card
    assert verdict_of(card).passed == card["verdict"]["passed"] == (not code)
    assert training_summary(load_model(directory)).endswith(line)


@pytest.mark.parametrize(
    ("kept_out", "folds", "cause"),
    [
        ({"forces_rmse_meV_per_Ang": 400.0}, {}, "the 4 kept-out structures are unlike the others"),
        (
            {},
            {"training_loss": 0.001},
            "too few structures: the errors of each member on its own 38 are 4.5 times",
        ),
        ({}, {"epochs": 100}, "too few epochs: 400 steps in all"),
        (
            {},
            {"epochs": 5000},
            "labels that contradict each other or are not converged, wrong units",
        ),
    ],
)
def test_the_likely_cause_is_named(kept_out, folds, cause):
    data = small_dataset(80)
    bad = {} if kept_out else {"forces_rmse_meV_per_Ang": 300.0}
    (reason,) = judged(data, kept_out or bad, **bad, **folds).reasons
    assert reason.startswith("forces are wrong by ")
    assert cause in reason


def test_energies_that_do_not_go_with_good_forces():
    bad = {"energy_rmse_meV_per_atom": 400.0}
    verdict = judged(small_dataset(800), bad, **bad)
    assert "likely energies of another calculation than the forces" in verdict.reasons[0]
    assert str(verdict).splitlines()[0].startswith("energy error ")


def test_what_was_not_trained_on_is_not_judged():
    """Forces alone leave the energies' constant free."""
    data = small_dataset(40)
    recipe = Recipe(TINY, LossWeights(0.0), FitSettings(), plan_folds(40, 2, n_kept_out=4))
    metrics = {"energy_rmse_meV": 1e6, "forces_rmse_meV_per_Ang": 20.0}
    metrics |= {"n_structures": 4, "n_atoms": 24}
    verdict = training_verdict(data, metrics, [], recipe.to_dict())
    assert verdict.passed
    assert list(verdict.error_over_spread) == ["forces"]


def test_a_fold_without_stress_labels_hinders_no_verdict():
    data = Dataset.from_atoms(labelled_crystals(16))
    bad = {"stress_rmse_meV_per_Ang3": 1e4}
    (reason,) = judged(data, bad, weights=LossWeights(stress=0.1), epochs=5).reasons
    assert reason.startswith("stresses are wrong by 1e+04 meV/Å³ (RMSE), ")
    assert "too few epochs" in reason


def alike(data, **change):
    return replace(data, E=0 * data.E - 50.1, **change)


def test_labels_that_are_all_alike_teach_nothing():
    data = Dataset.from_atoms(labelled_molecules(24, names=("CH3OH",)))
    (found,) = judged(alike(data, F=0 * data.F)).reasons
    assert (
        found
        == "energies are all equal and forces are all zero in the data: there is nothing to learn"
    )
    good = {"energy_rmse_meV_per_atom": 0.1, "forces_rmse_meV_per_Ang": 1.0}
    assert not judged(alike(data, F=0 * data.F), good).passed
    assert judged(
        replace(data, F=0 * data.F), good
    ).passed  # as in a crystal of one atom in its cell
    (found,) = judged(alike(data), {"energy_rmse_meV_per_atom": 50.0}).reasons
    assert found.startswith(
        "energies are wrong by 50 meV/atom (RMSE), although energies are all equal"
    )


def test_energies_all_alike_spoil_no_training(tmp_path):
    """Their last digits are no scale: a loss in units of 1e-14 eV sees nothing but the energies."""
    data = Dataset.from_atoms(labelled_molecules(24, names=("CH3OH",)))
    settings = FitSettings(epochs=2, batch_size=4, seed=3)
    plan = plan_folds(24, 2, n_kept_out=4)
    all_alike = Recipe(TINY, LossWeights(), settings, plan)
    model = cross_validate(alike(data), tmp_path / "m", all_alike, jobs=1)
    assert max(fold["loss_max"] for fold in model.card["folds"]) < 100
    assert not model.card["verdict"]["passed"]


def test_small_labels_are_not_asked_for_more_than_codes_agree():
    """Relaxed structures, and large cells at one temperature: energies within 0.5 meV/atom."""
    data = small_dataset(24)
    data = replace(data, F=0.01 * data.F, E=-10.0 * data.n_atoms + 1e-4 * data.E)
    small = {"energy_rmse_meV_per_atom": 0.9, "forces_rmse_meV_per_Ang": 9.0}
    assert judged(data, small).passed


def test_the_spread_of_energies_is_that_within_a_composition():
    """Not of the compositions' energies, whatever their number; and of a fit, where none comes twice."""
    data = small_dataset(24)
    shifted = replace(data, E=data.E + 100.0 * (data.n_atoms == 3))
    assert label_spreads(shifted)["energy"] == pytest.approx(label_spreads(data)["energy"])
    crystals = [bulk("Si").repeat((1, 1, n)) for n in range(1, 6)]
    linear = Dataset.from_atoms(crystals)
    linear = replace(linear, E=-5.0 * linear.n_atoms)
    assert label_spreads(linear)["energy"] == 0.0


def test_what_rounding_leaves_of_labels_that_are_all_equal_is_no_spread():
    """Errors were "3.8e+13 of the spread"."""
    crystals = Dataset.from_atoms([bulk("Si")] * 6)
    noise = 1e-15 * np.random.default_rng(0).normal(size=(12, 3))
    stress = np.full((6, 6), 0.01) + noise[:6, :1]
    spreads = label_spreads(replace(crystals, E=np.full(6, -9.0), F=noise, stress=stress))
    assert spreads == {"energy": 0.0, "forces": 0.0, "stress": 0.0}


@pytest.mark.parametrize("molecule", ["ethanol", "aspirin"])
def test_published_trainings_are_far_from_the_limits(shared_data, molecule):
    """Linear potentials of pair distances are beyond the one of the forces, or near it."""
    path = shared_data("rmd17-npz", f"rmd17_{molecule}_train_01.npz")
    spread = label_spreads(read_dataset(path)[0])
    kcal = 43.3641
    fifty_epochs = {"ethanol": (0.080, 0.351), "aspirin": (0.362, 0.746)}[molecule]
    pairs = {"ethanol": (1.96, 6.48), "aspirin": (3.71, 8.93)}[molecule]
    n_atoms = {"ethanol": 9, "aspirin": 21}[molecule]
    # MAE of benchmarks/rmd17.md; RMSE are half as large again
    energy, forces = 1.5 * kcal * np.array(fifty_epochs)
    assert energy / n_atoms < 0.1 * spread["energy"]
    assert forces < 0.05 * spread["forces"]
    assert 1.5 * kcal * pairs[1] > spread["forces"] / 3


def test_a_training_that_kept_out_too_few_for_error_bars_says_what_helps():
    (line,) = interval_lines({"kept_out": {"n_structures": 2}})
    assert line.endswith("at least 9; or train again with a larger --kept-out")
    (line,) = interval_lines({"kept_out": {"n_structures": 50}})
    assert "--kept-out" not in line

"""Augmented structures in a training: they weigh what they should, and they judge nothing."""

import json

import numpy as np
import pytest
import torch
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from factory import ELEMENTS, TINY, ethanol, potentials, small_dataset

from ase_schnet import (
    Dataset,
    FitSettings,
    LossWeights,
    Recipe,
    SchNetCalculator,
    load_model,
    plan_folds,
)
from ase_schnet.augment.moves import RandomMoves, Stretches
from ase_schnet.augment.settings import Augmentation, read_augmentation
from ase_schnet.cli import main
from ase_schnet.data.augmented import separate_augmented
from ase_schnet.data.dataset import join
from ase_schnet.data.formats import read_dataset
from ase_schnet.data.statistics import label_statistics
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import Loss
from ase_schnet.training.trainer import Fit

SETTINGS = FitSettings(epochs=2, batch_size=4)


def thermal_frames(n: int = 40) -> list:
    """Shaken ethanol with made-up labels that are not all equal."""
    frames = [ethanol(0.06, seed) for seed in range(n)]
    rng = np.random.default_rng(0)
    for atoms in frames:
        forces = rng.normal(size=(9, 3))
        energy = -4200 + rng.normal()
        atoms.calc = SinglePointCalculator(
            atoms, energy=energy, forces=forces - forces.mean(axis=0)
        )
    return frames


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return Dataset.from_atoms(thermal_frames(), source="shaken")


@pytest.fixture
def data_file(tmp_path) -> str:
    path = tmp_path / "shaken.extxyz"
    frames = thermal_frames()
    for atoms in frames:
        atoms.info["units"] = "eV, Ang"
    write(path, frames)
    return str(path)


def how(**changes) -> Augmentation:
    return Augmentation("first-order", RandomMoves(8, 2, 0.2), 300.0, **changes)


@pytest.mark.parametrize("kind", ["standardised", "schnet"])
def test_a_weight_of_two_counts_as_two_structures(dataset, kind):
    """Σ w ℓ over S structures: here against the same structures repeated."""
    three = dataset.subset(np.arange(3))
    statistics = label_statistics(three)
    potential = potentials(TINY, 1, torch.float64)[0]
    loss = Loss(LossWeights(0.5, 1.0, kind), statistics)

    def value(data):
        batch, labels = BatchSource(data, TINY.cutoff, torch.float64).batch(np.arange(len(data)))
        return loss(potential, batch, labels).item()

    repeated = value(three.subset(np.array([0, 1, 2, 2]))) * 4
    frames = thermal_frames(3)
    frames[2].info["loss_weight"] = 2.0
    assert value(Dataset.from_atoms(frames)) * 3 == pytest.approx(repeated, rel=1e-12)
    frames[2].info["loss_weight"] = 1.0
    assert Dataset.from_atoms(frames).weight is None


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_weights_that_are_none(weight):
    frames = thermal_frames(2)
    frames[1].info["loss_weight"] = weight
    with pytest.raises(ValueError, match="loss_weight of frame 1 is"):
        Dataset.from_atoms(frames)


def test_joined_data_are_both(dataset):
    first, second = dataset.subset(np.arange(30)), dataset.subset(np.arange(30, 40))
    both = join(first, second)
    assert both.fingerprint() == dataset.fingerprint()
    heavy = Dataset.from_atoms(how(weight=0.25).frames(second))
    weights = join(first, heavy).weight
    np.testing.assert_array_equal(weights, [1.0] * 30 + [0.25] * 8)
    bare = Dataset.from_atoms([dataset.atoms(0)])
    with pytest.raises(ValueError, match="one of two data sets to be joined has energies"):
        join(first, bare)


@pytest.mark.slow
def test_shift_and_scale_are_those_of_the_true_labels(dataset):
    training, validation = dataset.subset(np.arange(30)), dataset.subset(np.arange(30, 40))
    extra = Dataset.from_atoms(how().frames(training))
    assert label_statistics(join(training, extra)).energy_shift[1] != pytest.approx(
        label_statistics(training).energy_shift[1], abs=1e-3
    )  # it would show
    plain, fit = (
        Fit(TINY, training, validation, LossWeights(), SETTINGS, augmented=a) for a in (None, extra)
    )
    assert len(fit.training) == 38
    assert len(fit.validation) == len(plain.validation) == 10
    torch.testing.assert_close(fit.potential.shift, plain.potential.shift)
    assert fit.potential.scale == plain.potential.scale
    assert fit.inputs["validation"] == plain.inputs["validation"]
    assert fit.inputs["training"] != plain.inputs["training"]


def distance_to_nearest(frames: Dataset, others: Dataset) -> np.ndarray:
    """Largest displacement of an atom from the most similar of `others`, Å, per structure."""
    a, b = frames.R.reshape(-1, 1, 9, 3), others.R.reshape(1, -1, 9, 3)
    return np.linalg.norm(a - b, axis=-1).max(axis=-1).min(axis=1)


@pytest.mark.slow
@pytest.mark.parametrize("source", ["made anew", "from a file"])
def test_augmented_frames_never_reach_or_come_from_validation_or_the_kept_out_part(
    dataset, source, tmp_path, data_file
):
    plan = plan_folds(len(dataset), 4, n_kept_out=4, seed=1)
    augment = how()
    if source == "from a file":
        path = str(tmp_path / "more.extxyz")
        assert (
            main(["augment", data_file, "first-order,temperature=300,n=30,epsilon=0.2", "-o", path])
            == 0
        )
        true, augment = separate_augmented(read_dataset(path)[0])
        assert len(true) == len(dataset)
    recipe = Recipe(TINY, LossWeights(), SETTINGS, plan, augment=augment)
    for fold in range(4):
        fit = recipe.fit(dataset, fold)
        judged = dataset.subset(np.concatenate([plan.validation(fold), plan.kept_out]))
        assert fit.inputs["validation"] == dataset.subset(plan.validation(fold)).fingerprint()
        n = len(plan.training(fold))
        extra = fit.training.dataset.subset(np.arange(n, len(fit.training)))
        assert len(extra) > 4
        # 2 or 3 atoms have gone up to 0.2 Å from where they were; other frames are farther away
        assert distance_to_nearest(extra, dataset.subset(plan.training(fold))).max() < 0.2 + 1e-6
        moved = (np.abs(extra.R.reshape(-1, 1, 27) - judged.R.reshape(1, -1, 27)) < 1e-6).sum(
            axis=-1
        )
        assert moved.max() < 9  # of a parent, 18 or more coordinates would be the same
    assert recipe.to_dict()["augmentation"]["rule"] == "first-order"


@pytest.mark.slow
def test_the_command_line_from_augment_to_evaluate(data_file, tmp_path, capsys):
    more, model = str(tmp_path / "more.extxyz"), str(tmp_path / "model")
    figure = tmp_path / "springs.png"
    arguments = ("first-order, temperature=300, n=10, epsilon=0.2, weight=0.5", "-o", more)
    assert main(["augment", data_file, *arguments, "--figure", str(figure)]) == 0
    out = capsys.readouterr().out
    assert "k (kcal/mol/Å²)" in out
    assert "10 structures added by the first-order rule, weight 0.5" in out
    assert figure.stat().st_size > 10_000
    training = ["--folds", "2", "--kept-out", "0.2", "--epochs", "1", "--jobs", "1", "--no-plot"]
    training += ["--interactions", "1"]
    assert (
        main(["train", more, "-o", model, *training]) == 1
    )  # an epoch or two come to nothing, and the verdict says so
    card = load_model(model).card["training"]
    assert card["n_structures"] == 40
    assert card["augmentation"]["n_structures"] == 10
    capsys.readouterr()
    assert main(["evaluate", model, more, "--no-plot"]) == 0
    out = capsys.readouterr().out
    assert "10 augmented structures are left out" in out
    assert "n = 40" in out
    assert (
        main(["augment", more, "first-order, temperature=300", "-o", str(tmp_path / "x.xyz")]) == 2
    )
    assert "holds augmented structures already" in capsys.readouterr().err


@pytest.mark.slow
def test_train_augment_puts_the_setting_into_the_card(data_file, tmp_path):
    model = str(tmp_path / "model")
    training = ["--folds", "2", "--kept-out", "0.2", "--epochs", "1", "--jobs", "1", "--no-plot"]
    training += [
        "--interactions",
        "1",
        "--augment",
        "literal, temperature=300, n=5, epsilon=0.2, weight=0.1",
    ]
    assert main(["train", data_file, "-o", model, *training]) == 1
    assert load_model(model).card["training"]["augmentation"] == {
        "rule": "literal",
        "moves": "random",
        "n_structures": 5,
        "n_atoms": 3,
        "epsilon_Ang": 0.2,
        "temperature_K": 300.0,
        "weight": 0.1,
        "seed": 0,
    }


def test_an_augmentation_that_fails_begins_no_training(data_file, tmp_path, capsys):
    model = tmp_path / "model"
    arguments = ["train", data_file, "-o", str(model), "--folds", "2", "--no-plot"]
    assert main([*arguments, "--augment", "literal, temperature=300, n=99, epsilon=0.2"]) == 2
    assert "cannot augment 99 of" in capsys.readouterr().err
    assert not model.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("quadratic", "no rule 'quadratic'"),
        ("first-order", "has no momenta, so its temperature is unknown"),
        ("first-order, temperature=0", "temperature must be positive"),
        ("first-order, temperature=hot", "temperature='hot' is not a number"),
        ("first-order, temperature=300, eps=1", "'eps=1' is not known; known are temperature="),
        ("delta, stretch, epsilon=0.2", "atoms= and epsilon= are for random"),
        ("delta, ensemble=ethanol", "ensemble= chooses among stretches"),
        ("delta, stretch, ensemble=nowhere", "no model 'nowhere'"),
        ("first-order, temperature=300, n=41, epsilon=0.2", "cannot augment 41 of 40"),
        (
            "first-order, temperature=300, weight=0, n=5, epsilon=0.2",
            "weight of augmented structures",
        ),
    ],
)
def test_settings_that_make_no_augmentation(data_file, tmp_path, capsys, arguments, message):
    output = tmp_path / "more.extxyz"
    assert main(["augment", data_file, arguments, "-o", str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_the_temperature_comes_from_momenta_where_there_are(tmp_path, capsys):
    path, output = tmp_path / "run.extxyz", str(tmp_path / "more.extxyz")
    frames = thermal_frames()
    rng = np.random.default_rng(0)
    for atoms in frames:
        atoms.info["units"] = "eV, Ang"
        atoms.set_momenta(rng.normal(size=(9, 3)))
    write(path, frames)
    assert main(["augment", str(path), "first-order, n=5, epsilon=0.2", "-o", output]) == 0
    kelvin = np.mean([atoms.get_temperature() for atoms in frames])
    assert f"temperature of the momenta: {kelvin:.0f} K" in capsys.readouterr().out


def test_what_a_text_means():
    def read(text):
        return read_augmentation(text, SchNetCalculator)

    expected = Augmentation("delta", Stretches(50), None, 0.1, 3)
    assert read("delta, stretch, n=50, weight=0.1, seed=3") == expected
    expected = Augmentation("literal", RandomMoves(n_atoms=2), 500.0)
    assert read("literal,temperature=500,atoms=2") == expected
    json.dumps(read("delta, stretch").to_dict())


def test_an_ensemble_chooses_the_stretches(dataset):
    """Named in the text; the card says which, and the moves are those where it knows least."""
    model = SchNetCalculator("ethanol")
    how = read_augmentation("delta, stretch, ensemble=ethanol, n=2", SchNetCalculator)
    told = json.loads(json.dumps(how.to_dict()))
    assert told["ensemble"]["model_info"]["sha256"] == model.model_info["sha256"]
    chosen, expected = (
        [move.displacement for move in moves(dataset, 1)]
        for moves in (how.moves, Stretches(2, ensemble=model))
    )
    np.testing.assert_array_equal(chosen, expected)


def test_frames_whose_original_is_missing_are_left_out():
    frames = thermal_frames(2)
    frames[1].info |= {"augmented": "delta", "augmented_from": "elsewhere:3"}
    with pytest.warns(UserWarning, match="1 augmented structures are left out"):
        true, given = separate_augmented(Dataset.from_atoms(frames))
    assert len(true) == 1
    assert given is None


def test_labels_must_be_there():
    data = small_dataset(6)
    assert set(data.elements) <= set(ELEMENTS)
    bare = Dataset.from_atoms([data.atoms(k) for k in range(6)])
    with pytest.raises(ValueError, match="augmentation needs energies and forces"):
        Augmentation("delta", RandomMoves(2, 2, 0.1)).frames(bare)

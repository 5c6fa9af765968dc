"""A training may start from a model: the same function, offsets of the new labels, layers kept on request."""

import json
import shlex
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.io import write
from factory import TINY, labelled_molecules, random_model, small_dataset

from ase_schnet import calibrate_intervals
from ase_schnet.applicability.model import limits
from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.seen import seen_entry, seen_in_training
from ase_schnet.data.splits import FoldPlan, plan_folds
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.neighbors import half_list
from ase_schnet.training.card import without_folders
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import Start
from ase_schnet.training.trainer import Fit

SETTINGS = FitSettings(epochs=2, batch_size=4)


def fit_from(start: Start, dataset: Dataset, member: int = 0, **settings) -> Fit:
    parts = dataset.subset(np.arange(18)), dataset.subset(np.arange(18, 24))
    return Fit(
        TINY,
        *parts,
        LossWeights(),
        replace(SETTINGS, **settings),
        start=start.of_member(member),
    )


@pytest.mark.parametrize("member", [0, 1, 3])
def test_it_begins_as_the_function_of_its_member_up_to_offsets(member):
    model, data = random_model(), small_dataset(24)
    fit = fit_from(Start(model, "m"), data, member)
    engine = Ensemble(model)
    differences, counts = [], data.compositions()[:18, [1, 6, 8]]
    for s in range(18):
        atoms = slice(data.ptr[s], data.ptr[s + 1])
        Z, R = data.Z[atoms], data.R[atoms]
        expected = engine.evaluate(Z, R, half_list(R, TINY.cutoff, np.zeros((3, 3)), [False] * 3))
        batch, _ = fit.training.batch(np.array([s]))
        found = fit.potential.properties(batch)
        k = member % 2
        np.testing.assert_allclose(found.forces.numpy(), expected.forces[k], atol=2e-4)
        differences.append(float(found.energies) - expected.energies[k])
    offsets, *_ = np.linalg.lstsq(counts, np.array(differences), rcond=None)
    np.testing.assert_allclose(counts @ offsets, differences, atol=2e-3)
    # and with these offsets the energies of the labels are met on average
    with torch.no_grad():
        predicted = fit.potential(fit.training.batch(np.arange(18))[0]).numpy()
    assert abs(np.mean((predicted - data.E[:18]) / data.n_atoms[:18])) < 1e-6


def test_frozen_layers_keep_their_bits_and_the_others_move():
    model = random_model()
    fit = fit_from(Start(model, "m", ("embedding", "interactions.0")), small_dataset(24))
    fit.run_epoch()
    for name, value in fit.average.state_dict().items():
        before = torch.from_numpy(model.weights[name.removeprefix("schnet.")][0])
        kept = name.startswith(("schnet.embedding.", "schnet.interactions.0."))
        assert torch.equal(value, before) == kept or value.abs().max() == 0, name


def test_elements_that_the_model_does_not_know_are_learnt():
    model = replace(random_model(), elements=[1, 6])
    data = small_dataset(24)
    assert 8 in data.elements
    fit = fit_from(Start(model, "m"), data, epochs=30, learning_rate=3e-3)
    first = fit.run_epoch()
    while not fit.finished:
        last = fit.run_epoch()
    assert last["validation_loss"] < 0.5 * first["validation_loss"]
    row = fit.potential.schnet.embedding.weight[8].detach()
    assert not torch.equal(row, torch.from_numpy(model.weights["embedding.weight"][0][8]))


def test_it_resumes_bit_for_bit_and_not_from_another_model(tmp_path):
    data, start = small_dataset(24), Start(random_model(), "m")
    whole, half = fit_from(start, data), fit_from(start, data)
    half.run_epoch()
    half.save(tmp_path / "half.safetensors")
    again = fit_from(start, data)
    again.resume(tmp_path / "half.safetensors")
    again.run_epoch()
    for _ in range(2):
        whole.run_epoch()
    expected = whole.potential.state_dict()
    for name, value in again.potential.state_dict().items():
        assert torch.equal(value, expected[name]), name
    for other in (
        Start(replace(random_model(), checksum="b"), "n"),
        Start(random_model(), "m", ("readout",)),
    ):
        with pytest.raises(ValueError, match=r"sha256 of the model|freeze"):
            fit_from(other, data).resume(tmp_path / "half.safetensors")


def test_the_limit_of_a_force_is_that_of_the_labels_and_not_of_what_it_began_as(tmp_path):
    data = small_dataset(24)
    found = []
    for scale in (1.0, 0.0434):  # as of a package that counts in kcal/mol
        base = replace(random_model(), scale=np.full(2, scale))
        start = Start(base, "m")
        recipe = Recipe(TINY, LossWeights(), SETTINGS, plan_folds(24, 2, n_kept_out=4), start=start)
        model = cross_validate(data, tmp_path / str(scale), recipe, jobs=1)
        np.testing.assert_allclose(model.scale, scale)
        found.append(limits(model)["max_forces_std_eV_per_Ang"])
    per_element = [np.mean(data.F[z == data.Z] ** 2) for z in data.elements]
    np.testing.assert_allclose(found, np.sqrt(np.mean(per_element)))


def test_the_command_line_fine_tunes_and_the_card_says_so(tmp_path, capsys):
    write(tmp_path / "a.xyz", labelled_molecules(24))
    save_model(tmp_path / "base", replace(random_model(), level_of_theory="cheap"))
    begin = ["train", str(tmp_path / "a.xyz"), "--units", "eV", "--no-plot", "--jobs", "1"]
    begin += ["--folds", "2", "--kept-out", "0.1", "--epochs", "1"]
    tuned = [*begin, "--start-from", str(tmp_path / "base"), "--freeze", "embedding"]
    tuned += ["--level-of-theory", "dear", "-o", str(tmp_path / "tuned")]
    assert main(tuned) == 1  # written, and told to be far from learnt after an epoch
    model = load_model(tmp_path / "tuned")
    assert model.level_of_theory == "dear"
    assert set(model.trained_on) == {"cheap", "dear"}
    assert model.trained_on["dear"]["n_structures"] == 24
    card = json.loads((tmp_path / "tuned/model.json").read_text())
    assert card["training"]["settings"]["learning_rate"] == 5e-4
    assert card["training"]["start"]["model"] == "base"
    assert str(tmp_path) not in (tmp_path / "tuned/model.json").read_text()
    base = load_model(tmp_path / "base")
    np.testing.assert_array_equal(
        model.weights["embedding.weight"], base.weights["embedding.weight"]
    )
    capsys.readouterr()
    assert main([*tuned, "--resume"]) == 1  # finished, the same
    assert "nothing to do" in capsys.readouterr().out
    assert main([*tuned, "--resume", "--level-of-theory", "other"]) == 2
    assert "level-of-theory" in capsys.readouterr().err


def test_a_card_does_not_say_in_which_folders_of_a_machine_files_lay():
    words = [
        "train",
        "/data/a b/x.npz",
        "../y.xyz",
        "-o",
        "/home/me/models/it/",
        "--units",
        "kcal/mol",
    ]
    words += ["--pretrain", "gfn2-xtb, pool=/data/pool.npz", "--level-of-theory", "PBE/def2-SVP"]
    words += ["--start-from=/home/me/base"]
    found = without_folders({"command": shlex.join(words), "files": 7})
    expected = ["train", "x.npz", "../y.xyz", "-o", "it", "--units", "kcal/mol"]
    expected += ["--pretrain", "gfn2-xtb, pool=pool.npz", "--level-of-theory", "PBE/def2-SVP"]
    expected += ["--start-from=base"]
    assert (shlex.split(found["command"]), found["files"]) == (expected, 7)
    for kept in ({}, {"command": "it's mine"}):
        assert without_folders(kept) == kept


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--freeze", "embedding"], "--start-from"),
        (["--start-from", "ethanol", "--freeze", "interactions.7"], "no layer 'interactions.7'"),
        (["--start-from", "ethanol", "--freeze", "gaussians"], "no layer 'gaussians'"),
        (["--start-from", "ethanol", "--preset", "accurate"], "without --preset"),
        (["--start-from", "no_such_model"], "no_such_model"),
    ],
)
def test_bad_starts_are_one_line(tmp_path, capsys, options, message):
    write(tmp_path / "a.xyz", labelled_molecules(24))
    command = [
        "train",
        str(tmp_path / "a.xyz"),
        "--units",
        "eV",
        "--kept-out",
        "0.1",
        "--folds",
        "2",
    ]
    assert main([*command, "-o", str(tmp_path / "m"), *options]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "m").exists()


def test_a_recipe_has_the_shape_of_its_start():
    with pytest.raises(ValueError, match="shape of that in m"):
        Recipe(
            replace(TINY, n_interactions=1),
            LossWeights(),
            SETTINGS,
            plan_folds(24, 2, n_kept_out=4),
            start=Start(random_model(), "m"),
        )


@pytest.mark.parametrize(
    ("level", "judges", "counted"), [("unspecified", 4, 20), ("CCSD(T)", 6, 18)]
)
def test_what_the_start_has_seen_judges_no_member(tmp_path, level, judges, counted):
    """Their errors and error bars would flatter the model; labels of another method it has not seen."""
    data, old = small_dataset(24), np.arange(21)
    base = replace(random_model(), level_of_theory="unspecified")
    base = replace(base, card={"training": {"seen": seen_entry(data.subset(old), old[20:])}})
    save_model(tmp_path / "base", base)
    # 18 and 19 were seen by the start, 20 was kept out there too
    plan = FoldPlan((np.arange(9), np.arange(9, 18)), np.arange(18, 24))
    start = Start(load_model(tmp_path / "base"), "base")
    recipe = Recipe(TINY, LossWeights(), SETTINGS, plan, start=start, level_of_theory=level)
    told = f"2 of 6 kept-out structures were in the training of base: the other {judges} judge"
    with pytest.warns(UserWarning, match=told) if judges < 6 else nullcontext():
        model = cross_validate(data, tmp_path / "m", recipe, jobs=1, allow_outliers=True)
    assert model.card["kept_out"]["n_structures"] == judges
    assert model.card["training"]["kept_out"] == list(range(18, 24))
    assert seen_in_training(model.card, data).sum() == counted
    with pytest.raises(ValueError, match=f"needs at least 9 structures.*there are {judges}"):
        calibrate_intervals(tmp_path / "m", data)

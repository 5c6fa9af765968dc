"""A training goes on with its own settings and data; what differs is named, then and now."""

from dataclasses import replace

import numpy as np
import pytest
from ase.io import write
from factory import TINY, labelled_molecules, random_model, small_dataset

from ase_schnet.cli import main
from ase_schnet.data.splits import plan_folds
from ase_schnet.modelfile import CARD, WEIGHTS, save_model
from ase_schnet.training.changes import changed_settings
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.fold import train_fold
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.workdir import WorkDirectory

SETTINGS = FitSettings(epochs=1, batch_size=4, seed=3)


def recipe(**settings) -> Recipe:
    plan = plan_folds(24, 2, n_kept_out=4)
    return Recipe(TINY, LossWeights(), replace(SETTINGS, **settings), plan)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The options of a training that was stopped at its beginning, and those that give other labels."""
    folder = tmp_path_factory.mktemp("begun")
    write(folder / "molecules.xyz", labelled_molecules(24))
    write(folder / "others.xyz", labelled_molecules(24))
    options = ["train", str(folder / "molecules.xyz"), "-o", str(folder / "m"), "--units", "eV"]
    options += ["--folds", "2", "--kept-out", "0.2", "--epochs", "2", "--no-plot", "--jobs", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ase_schnet.training.crossval.train_members", interrupt)
        assert main(options) == 130
    return options


def test_what_version_0_1_did_not_say_of_the_network_is_no_change():
    """Its network had one activation and one readout; a training that it began goes on."""
    new = ("centres", "widths", "trainable_gaussians", "activation", "readout_widths")
    new += ("readout_activation", "dropout")
    then = {"config": {k: v for k, v in TINY.to_dict().items() if k not in new}}
    assert changed_settings(then, {"config": TINY.to_dict()}) == []
    now = {"config": replace(TINY, readout_widths=(16,)).to_dict()}
    assert changed_settings(then, now) == ["readout_widths=[32], not readout_widths=[16]"]


def test_a_structure_without_a_label_is_not_the_one_that_differs(tmp_path):
    data = small_dataset(24)
    stress = np.zeros((24, 6))
    stress[2] = np.nan  # without a label, then and now
    data = replace(data, stress=stress)
    WorkDirectory(tmp_path).begin(data, recipe())
    other = replace(data, stress=np.where(np.arange(24)[:, None] == 5, 0.1, stress))
    with pytest.raises(ValueError, match="other stresses in structure 5"):
        WorkDirectory(tmp_path).begin(other, recipe())


def interrupt(*arguments):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--epochs", "3"], "--epochs 2, not --epochs 3:"),
        (["--trainable-gaussians"], "--no-trainable-gaussians, not --trainable-gaussians"),
        (["--batch-size", "4"], "--batch-size 10, not --batch-size 4:"),
        (["--learning-rate", "2e-5"], "--learning-rate 0.001, not --learning-rate 2e-05:"),
        (["--optimizer", "adam"], "--optimizer muon, not --optimizer adam:"),
        (["--schedule", "exponential"], "--schedule cosine, not --schedule exponential:"),
        (["--weight-decay", "0.1"], "--weight-decay 0, not --weight-decay 0.1:"),
        (["--ema-decay", "0.9"], "--ema-decay 0.99, not --ema-decay 0.9:"),
        (["--clip-norm", "1"], "--clip-norm 10, not --clip-norm 1:"),
        (["--patience", "7"], "--patience 0, not --patience 7:"),
        (
            ["--loss", "schnet", "--energy-weight", "0.001"],
            "--loss standardised, not --loss schnet:",
        ),
        (["--energy-weight", "0.5"], "--energy-weight 0.001, not --energy-weight 0.5:"),
        (["--forces-weight", "0"], "--forces-weight 1, not --forces-weight 0:"),
        (["--seed", "1"], "--seed 0, not --seed 1:"),
        (["--folds", "3"], "--folds 2, not --folds 3:"),
        (["--kept-out", "0.3"], "5 structures kept out, not 7 structures kept out:"),
        (["--contiguous"], "random folds, not contiguous folds:"),
        (["--cutoff", "4"], "--cutoff 5, not --cutoff 4:"),
        (["--interactions", "1"], "--interactions 3, not --interactions 1:"),
        (["--envelope", "none"], "--envelope cosine, not --envelope none:"),
        (["--preset", "small"], "n_atom_basis=64, not n_atom_basis="),
        (
            ["--charge", "-1"],
            "--charge 0, not --charge=-1; --multiplicity 1, not --multiplicity 2:",
        ),
        (
            ["--units", "kcal/mol"],
            "--units 'eV, Ang' of molecules.xyz, not --units 'kcal/mol, Ang':",
        ),
        (["--epochs", "3", "--seed", "1"], "--epochs 2, not --epochs 3; --seed 0, not --seed 1:"),
    ],
)
def test_every_setting_that_differs_is_named_as_it_was_and_is(begun, capsys, options, message):
    assert main([*begun, *options, "--resume"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    command = line.index(" (begun by: ")
    end = line.index("): resume with what it was begun with, or train into another directory")
    assert message[:-1] in line[:command] + line[end:]
    if message.endswith(":"):
        assert line[:command].endswith(f"holds a training with {message[:-1]}")


def changed_energy(frames):
    frames[3].calc.results["energy"] += 0.001
    return frames


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "molecules.xyz",
            lambda f: f[:20],
            "another molecules.xyz than it is now; 24 structures, not 20",
        ),
        (
            "molecules.xyz",
            changed_energy,
            "another molecules.xyz than it is now; other energies in structure 3",
        ),
        (
            "others.xyz",
            changed_energy,
            "molecules.xyz, not others.xyz; other energies in structure 3",
        ),
    ],
)
def test_data_that_differ_are_named_too(begun, tmp_path, capsys, name, change, message):
    write(tmp_path / name, change(labelled_molecules(24)))
    options = [str(tmp_path / name) if k == 1 else word for k, word in enumerate(begun)]
    assert main([*options, "--resume"]) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert f"holds a training with {message} (begun by: " in line


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: replace(d, F=np.where(np.arange(len(d.F))[:, None] == 9, 9, d.F)),
            "forces in structure 1",
        ),
        (lambda d: replace(d, R=d.R + 1.0), "other positions in structure 0"),
        (lambda d: replace(d, dipole=np.zeros((24, 3))), "no dipoles, which there are now"),
    ],
)
def test_from_python_the_arrays_are_named(tmp_path, change, message):
    data = small_dataset(24)
    WorkDirectory(tmp_path).begin(data, recipe())
    with pytest.raises(ValueError, match=message):
        cross_validate(change(data), tmp_path, recipe(), resume=True, allow_contradictions=True)


def test_a_finished_training_is_returned_and_a_longer_one_is_another(tmp_path, capsys):
    data, directory = small_dataset(24), tmp_path / "m"
    model = cross_validate(data, directory, recipe(), jobs=1)
    files = {p: (directory / p).read_bytes() for p in (CARD, WEIGHTS)}
    assert cross_validate(data, directory, recipe(), resume=True).checksum == model.checksum
    assert train_fold(data, directory, recipe(), 1)
    finished = (
        r"epochs=1, not epochs=9. It is finished, .*learning rate.*: train into another directory"
    )
    with pytest.raises(ValueError, match=finished):
        cross_validate(data, directory, recipe(epochs=9), resume=True)
    with pytest.raises(ValueError, match=finished):
        train_fold(data, directory, recipe(epochs=9), 1)
    with pytest.raises(ValueError, match=r"with other data\. It is finished"):
        cross_validate(replace(data, E=data.E + 1), directory, recipe(), resume=True)
    with pytest.raises(ValueError, match="already holds a model"):
        cross_validate(data, directory, recipe(epochs=9))
    assert all((directory / p).read_bytes() == was for p, was in files.items())


def test_a_model_of_unknown_origin_is_no_finished_training(tmp_path):
    save_model(tmp_path, random_model())
    with pytest.raises(
        ValueError, match=r"says nothing about its training\. Choose another output"
    ):
        cross_validate(small_dataset(24), tmp_path, recipe(), resume=True)


@pytest.mark.parametrize("name", ["plan.json", "data.npz"])
@pytest.mark.parametrize("damage", [lambda b: b[:-40], lambda b: b"", lambda b: bytes(len(b))])
def test_a_damaged_working_directory_is_named_with_the_cure(tmp_path, name, damage):
    work, data = WorkDirectory(tmp_path), small_dataset(24)
    work.begin(data, recipe())
    path = tmp_path / "training" / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"{name} is damaged or missing \(.*remove .*train anew"):
        work.begin(replace(data, E=data.E + 1), recipe())  # of which both are read

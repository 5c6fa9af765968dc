"""Options that no work can have are refused in one line, before anything is read, trained or written."""

import pytest
import torch
from ase.io import write
from factory import TINY, labelled_molecules

from ase_schnet.cli import build_parser, main
from ase_schnet.cli.language import in_options
from ase_schnet.data.splits import plan_folds
from ase_schnet.labelling.script import EXAMPLE
from ase_schnet.runtime.kept_settings import agree
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings

(COMMANDS,) = (a.choices for a in build_parser()._actions if a.dest == "command")
SEEDED = {
    "train": ["x.xyz", "-o", "m"],
    "tune": ["x.xyz", "-o", "m", "--hours", "1"],
    "md": ["ethanol", "x.xyz", "-o", "m"],
    "lammps": ["ethanol", "x.xyz", "-o", "m"],
    "sample": ["x.xyz", "-n", "3", "-o", "m.xyz"],
    "learn": ["x.xyz", "-o", "m"],
    "train-dipole": ["x.xyz", "-o", "m"],
}


def test_every_command_with_a_seed_is_tried():
    assert set(SEEDED) == {
        name
        for name, command in COMMANDS.items()
        if any(a.dest == "seed" for a in command._actions)
    }


@pytest.mark.parametrize("value", ["-1", "99999999999999999999999"])
@pytest.mark.parametrize("command", SEEDED)
def test_a_seed_that_no_generator_takes_is_refused(command, value, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([command, *SEEDED[command], "--seed", value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"ase-schnet {command}: --seed must be a whole number from 0 to 2147483647, not {value}"
    )


@pytest.fixture
def words(tmp_path):
    write(tmp_path / "molecules.xyz", labelled_molecules(24))
    return ["train", str(tmp_path / "molecules.xyz"), "-o", str(tmp_path / "m"), "--units", "eV"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--kept-out", "50"], "--kept-out is a fraction of the data, above 0 and below 1, not 50"),
        (["--kept-out", "1"], "--kept-out is a fraction of the data, above 0 and below 1, not 1"),
        (["--kept-out", "nan"], "--kept-out is a fraction of the data"),
        (["--epochs", "0"], "--epochs 0: it must be at least 1"),
        (["--batch-size", "-3"], "--batch-size=-3: it must be at least 1"),
        (["--learning-rate", "inf"], "learning rate must be positive and below 1e+30, got inf"),
        (["--learning-rate", "1e300"], "learning rate must be positive and below 1e+30"),
        (["--device", "tpu"], "device must be 'cpu', 'cuda' or 'cuda:1', got 'tpu'"),
        (["--device", "mps"], "device must be 'cpu', 'cuda' or 'cuda:1', got 'mps'"),
        (["--jobs", "0"], "jobs must be a whole number of at least 1, not 0"),
        (["--jobs", "-2"], "jobs must be a whole number of at least 1, not -2"),
        (["--settings", "nowhere.json"], "nowhere.json: No such file or directory"),
    ],
)
def test_a_training_that_cannot_be_is_refused_and_leaves_nothing(
    words, options, message, tmp_path, capsys
):
    assert main([*words, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("ase-schnet train: ")
    assert message in line
    assert "Errno" not in line
    assert not (tmp_path / "m").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_training_on_one_is_refused_before_it_begins(words, tmp_path, capsys):
    options = ["--device", "cuda", "--folds", "2", "--kept-out", "0.2"]
    for fold in ([], ["--fold", "1"]):
        assert main([*words, *options, *fold]) == 2
        line = capsys.readouterr().err.splitlines()[-1]
        assert "--device cuda, but torch finds no GPU here: train with --device cpu" in line
        assert not (tmp_path / "m").exists()


def test_processes_of_python_are_refused_too(tmp_path):
    recipe = Recipe(TINY, LossWeights(), FitSettings(), plan_folds(24, 2, n_kept_out=4))
    with pytest.raises(ValueError, match="jobs must be a whole number of at least 1, not -2"):
        cross_validate(None, tmp_path / "m", recipe, jobs=-2)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("trainable_gaussians=True", "--trainable-gaussians"),
        ("trainable_gaussians=False", "--no-trainable-gaussians"),
        ("give trainable_gaussians=", "give --trainable-gaussians"),
        ("SchNetConfig.trainable_gaussians", "--trainable-gaussians"),
        ("resume=True", "--resume"),
        ("allow_outliers=False", "--allow-outliers"),
    ],
)
def test_a_switch_is_named_as_it_stands(said, shown):
    assert in_options(said, COMMANDS["train"]) == shown


def test_a_command_that_goes_on_by_itself_is_not_told_of_an_option_that_it_has_not():
    said = "correct the cause, then resume=True goes on"
    assert in_options(said, COMMANDS["train"]).endswith("then --resume goes on")
    assert in_options(said, COMMANDS["learn"]).endswith("then the same command goes on")


@pytest.mark.parametrize("command", ["learn", "label"])
def test_an_example_in_python_remains_one(command):
    said = f"charge=1: wrong. Say {EXAMPLE}"
    assert in_options(said, COMMANDS[command]) == f"--charge 1: wrong. Say {EXAMPLE}"


def test_what_does_not_fit_into_the_memory_is_told_in_one_line(monkeypatch, capsys):
    def scarce(*_):
        raise MemoryError("Unable to allocate 7.28 TiB")

    monkeypatch.setattr("ase_schnet.doctor.examine", scarce)
    assert main(["doctor"]) == 2
    said = "ase-schnet doctor: there is not enough memory for this (Unable to allocate 7.28 TiB)"
    assert capsys.readouterr().err.strip() == said


@pytest.mark.parametrize("text", ["[1, 2]", "7", "{"])
def test_settings_that_are_damaged_are_named(text, tmp_path):
    (tmp_path / "settings.json").write_text(text)
    with pytest.raises(ValueError, match=r"settings\.json is damaged"):
        agree(tmp_path / "settings.json", {"seed": 1}, "a work")


SCAN = ["scan", "ethanol", "absent.xyz", "--distance", "2", "3", "--from", "1", "--to", "2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["learn", "--continue", "m", "--collect", "c.xyz", "--hours", "2"], "--hours says how a"),
        (["learn", "--continue", "m", "--collect", "c.xyz", "--charge", "1"], "--charge says how"),
        (["report", "ethanol", "--units", "eV"], "--units says how --data is read, which is not"),
        (["convert", "x", "-o", "m", "--data-units", "eV"], "--data-units says how --data is read"),
        (["convert", "x", "-o", "m", "--units", "eV", "--elements", "H"], "x: No such file"),
        ([*SCAN, "--fmax", "0.1"], "--fmax is for a scan that relaxes: give --relaxed too"),
        (["drift", "absent", "--no-plot", "-o", "a.png"], "--no-plot draws none"),
        (["evaluate", "ethanol", "a.xyz", "--no-plot", "-o", "a.png"], "--no-plot draws none"),
        (
            ["md", "ethanol", "a.xyz", "--replicas", "2", "--save-data", "-o", "r"],
            "--exchange only",
        ),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert message in line
    assert not list(tmp_path.iterdir())

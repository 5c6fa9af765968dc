"""The command: what it says, what it writes, what it refuses; and train with its settings."""

import json

import pytest
from ase.io import write
from factory import labelled_molecules

from ase_schnet.cli import build_parser, main
from ase_schnet.modelfile import load_model
from ase_schnet.training.hyperparameters import Hyperparameters

SMALL = ("--kept-out", "0.2", "--folds", "3", "--batch-size", "8", "--units", "eV", "--jobs", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "molecules.xyz"
    write(path, labelled_molecules(24))
    return str(path)


def space_file(folder, space):
    path = folder / "space.json"
    path.write_text(json.dumps(space))
    return str(path)


@pytest.mark.slow
def test_search_and_train_with_what_came_out(data, tmp_path, capsys):
    space = {"learning_rate": [1e-3, 1e-2], "n_atom_basis": 8, "n_filters": 8, "n_rbf": 8}
    tuned = tmp_path / "tuned"
    asked = ["--space", space_file(tmp_path, space), "--epochs", "4", "--share", "0.5"]
    assert main(["tune", data, "-o", str(tuned), *asked, *SMALL]) == 0
    out = capsys.readouterr().out
    assert "learning_rate   0.001 | 0.01" in out
    assert "budget: 1 h; a trial: 1 fold, 2 epochs of 4" in out
    assert "2 trials (2 complete)" in out
    assert f"--settings {tuned}/settings.json --units eV --folds 3 --kept-out 0.2 -o MODEL" in out
    assert (tuned / "tuning.png").stat().st_size > 10_000
    found = Hyperparameters.read(tuned / "settings.json")
    assert (found.config.n_filters, found.settings.epochs) == (8, 4)

    model = tmp_path / "m"
    settings = ["--settings", str(tuned / "settings.json"), "--epochs", "1", "--no-plot"]
    assert main(["train", data, "-o", str(model), *settings, *SMALL]) == 1  # an epoch is too few
    card = load_model(model).card["training"]["settings"]
    assert card["learning_rate"] == found.settings.learning_rate
    assert card["epochs"] == 1  # the command line wins
    assert load_model(model).network == found.config


REFUSED = [
    (["--space", "{space}", "--search", "cutoff"], {"n_rbf": [8, 16]}, "give --space or --search"),
    (["--space", "{space}"], {"n_rfb": [8, 16]}, "did you mean 'n_rbf'"),
    (["--space", "{space}"], {"cutoff": {"low": 5, "high": 4}}, "'cutoff': the range is empty"),
    (["--space", "{space}"], {"cutoff": [-1, 4]}, "'cutoff' cannot be -1.0: "),
    (["--space", "{space}", "--cutoff", "4"], {"cutoff": [4, 5]}, "--cutoff and"),
    (["--space", "{space}", "--interactions", "2"], {"n_interactions": [1, 2]}, "--interactions"),
    (["--space", "nowhere.json"], {}, "nowhere.json"),
    (["--search", "cutof"], {}, "did you mean 'cutoff'"),
    (["--search", "optimizer"], {}, "'optimizer' has no range here"),
    (["--search", "cutoff", "--cutoff", "4"], {}, "'cutoff' cannot be both given and searched"),
    (["--hours", "0"], {}, "hours must be above 0"),
    (["--share", "2"], {}, "share must be above 0 and at most 1"),
    (["--trial-folds", "9"], {}, "a trial cannot train 9 folds, there are 3"),
    (["--jobs", "0"], {}, "jobs must be a whole number of at least 1"),
    (["--start-from", "ethanol", "--search", "cutoff"], {}, "'cutoff' has no range here"),
]


@pytest.mark.parametrize(("arguments", "space", "said"), REFUSED, ids=lambda v: str(v)[:30])
def test_bad_input_is_one_line_and_leaves_nothing_behind(
    data, tmp_path, capsys, arguments, space, said
):
    path = space_file(tmp_path, space)
    asked = [a.format(space=path) for a in arguments]
    assert main(["tune", data, "-o", str(tmp_path / "t"), *SMALL, *asked]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if not line.startswith("warning")]
    assert len(lines) == 1
    assert said in lines[0]
    assert not (tmp_path / "t").exists()


def test_what_is_said_on_the_command_line_is_not_searched(data, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("ase_schnet.tuning.run.tune", lambda *a, **_: asked.append(a) or 1 / 0)
    main(["tune", data, "-o", str(tmp_path / "t"), *SMALL, "--interactions", "1", "--cutoff", "4"])
    (_, _, recipe, settings), *_ = asked
    searched = set(settings.space.varied)
    assert {"n_rbf", "learning_rate", "activation"} <= searched
    assert not {"cutoff", "n_interactions", "batch_size"} & searched
    assert (recipe.config.cutoff, recipe.config.n_interactions) == (4.0, 1)


def test_after_ctrl_c_one_is_told_how_to_go_on(data, tmp_path, monkeypatch, capsys):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("ase_schnet.tuning.run.tune", stopped)
    assert main(["tune", data, "-o", str(tmp_path / "t"), *SMALL]) == 130
    assert "To go on, give the same command again" in capsys.readouterr().err


def test_the_defaults_of_options_are_those_of_the_settings():
    from ase_schnet.tuning.settings import TuneSettings

    args = build_parser().parse_args(["tune", "d", "-o", "t"])
    assert TuneSettings(None, args.share, args.trial_folds, args.seed) == TuneSettings()

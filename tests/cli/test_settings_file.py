"""train --settings FILE: its values are defaults, options win, and what is no setting is refused."""

import json

import pytest

from ase_schnet.cli import build_parser
from ase_schnet.cli.settings_file import with_settings
from ase_schnet.cli.train import _config, _settings
from ase_schnet.schnet_config import PRESETS
from ase_schnet.training.hyperparameters import Hyperparameters


def parsed(tmp_path, values, *words):
    """Return the arguments of train with a settings file."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps(values))
    argv = ["train", "d", "-o", "m", "--settings", str(path), *words]
    args = build_parser().parse_args(argv)
    args.words = argv[1:]
    return with_settings(args)


@pytest.mark.parametrize("number", ["Infinity", "NaN", "-1e400"])
@pytest.mark.parametrize("name", ["seed", "forces_weight"])
def test_a_number_without_end_is_refused(tmp_path, name, number):
    with pytest.raises(ValueError, match=f"'{name}' must be a"):
        parsed(tmp_path, {name: float(number)})


def test_a_file_gives_network_fit_loss_and_folds(tmp_path):
    values = {
        **{"n_atom_basis": 24, "n_interactions": 2, "cutoff": 4.5, "readout_widths": [16, 8]},
        **{"learning_rate": 2e-3, "epochs": 7, "optimizer": "adam", "energy_weight": 0.01},
        **{
            "folds": 3,
            "kept-out": 0.1,
            "contiguous": True,
            "charge": "mixed",
            "stress_weight": None,
        },
    }
    args = parsed(tmp_path, values)
    config, fit = _config(args), _settings(args)
    assert (config.n_atom_basis, config.n_interactions, config.cutoff) == (24, 2, 4.5)
    assert config.readout_widths == (16, 8)
    assert (fit.learning_rate, fit.epochs, fit.optimizer) == (2e-3, 7, "adam")
    assert (args.energy_weight, args.folds, args.kept_out) == (0.01, 3, 0.1)
    assert (args.contiguous, args.charge, args.stress_weight) == (True, "mixed", None)


def test_the_command_line_wins_even_with_a_default(tmp_path):
    values = {"cutoff": 4.5, "epochs": 7, "optimizer": "adam", "n_rbf": 20}
    args = parsed(tmp_path, values, "--optimizer", "muon", "--cutoff", "6")
    assert (_settings(args).optimizer, _settings(args).epochs) == ("muon", 7)
    assert (_config(args).cutoff, _config(args).n_rbf) == (6.0, 20)


def test_a_preset_on_the_command_line_is_the_whole_network(tmp_path, capsys):
    args = parsed(tmp_path, {"n_rbf": 20, "interactions": 1, "epochs": 7}, "--preset", "small")
    assert _config(args) == PRESETS["small"]
    assert _settings(args).epochs == 7
    assert "--preset takes the place of the network" in capsys.readouterr().out


def test_all_that_a_search_writes_is_read(tmp_path):
    tuned = Hyperparameters().with_values({"gamma": 2.0, "batch_size": 5, "activation": "silu"})
    args = parsed(tmp_path, tuned.values())
    assert Hyperparameters(_config(args), tuned.weights, _settings(args)) == tuned


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"learning_rat": 1}, "there is no setting 'learning_rat'; did you mean 'learning_rate'"),
        ({"resume": True}, "there is no setting 'resume'"),
        ({"output": "x"}, "there is no setting 'output'"),
        ({"epochs": 1.5}, "'epochs' must be a whole number, got 1.5"),
        ({"epochs": "many"}, "'epochs' must be a whole number, got 'many'"),
        ({"learning_rate": True}, "'learning_rate' must be a number, got True"),
        ({"optimizer": "sgd"}, "'optimizer' must be one of 'muon', 'adam', got 'sgd'"),
        ({"contiguous": 1}, "'contiguous' must be true or false, got 1"),
        ({"charge": "plenty"}, "'charge': 'plenty' is not a whole number"),
        ({"freeze": "embedding"}, "'freeze' must be a list of words"),
        ({"units": 3}, "'units' must be a word"),
        ([1], "must hold a JSON object"),
    ],
)
def test_what_is_no_setting_is_refused(tmp_path, values, said):
    with pytest.raises(ValueError, match=said):
        parsed(tmp_path, values)


def test_a_network_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"SchNetConfig.n_rbf must be positive"):
        _config(parsed(tmp_path, {"n_rbf": 0}))

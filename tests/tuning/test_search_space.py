"""What a space may be, and what is refused of a bad one."""

import json
import math
import re

import pytest
from factory import preset
from tuning_cases import recipe

from ase_schnet.schnet_config import PRESETS
from ase_schnet.training.hyperparameters import Hyperparameters
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.tuning.space import SearchSpace

BAD = [
    (
        {"learning_rates": [1e-3, 1e-2]},
        "no hyperparameter 'learning_rates'; did you mean 'learning_r",
    ),
    ({"epochs": [10, 20]}, "'epochs' cannot be searched: all trials have the same"),
    ({"seed": [0, 1]}, "'seed' cannot be searched"),
    ({"readout_widths": [[32], [64]]}, "'readout_widths' cannot be searched"),
    ({"cutoff": {"low": 6, "high": 4}}, "'cutoff': the range is empty, its low end 6.0 is above"),
    ({"cutoff": {"low": 4, "high": 4}}, "'cutoff': the range is empty, its low end 4.0 is also"),
    ({"cutoff": {"low": 4}}, "'cutoff': a range says low, high"),
    ({"cutoff": {"low": 4, "high": 6, "step": 1}}, "not step"),
    (
        {"cutoff": {"low": -1.0, "high": 6}},
        "'cutoff' cannot be -1.0: SchNetConfig.cutoff must be pos",
    ),
    ({"cutoff": {"low": "4", "high": 6}}, "'cutoff' must be a number, got '4'"),
    ({"cutoff": {"low": 4, "high": math.inf}}, "'cutoff' must be a number, got inf"),
    ({"gamma": {"low": 0, "high": 6, "log": True}}, "a logarithmic range must be above 0"),
    ({"gamma": {"low": 1, "high": 6, "log": "yes"}}, "log must be true or false, got 'yes'"),
    ({"activation": {"low": 1, "high": 2}}, "'activation' has no range, it is no number"),
    ({"activation": ["ssp", "relu"]}, "'activation' cannot be 'relu': SchNetConfig.activation"),
    ({"activation": ["ssp", 1]}, "'activation' must be a word, got 1"),
    ({"n_rbf": [16, 24.5]}, "'n_rbf' must be a whole number, got 24.5"),
    ({"n_rbf": {"low": 0, "high": 9}}, "'n_rbf' cannot be 0: SchNetConfig.n_rbf must be positive"),
    ({"batch_size": [True, 2]}, "'batch_size' must be a number, got True"),
    ({"batch_size": [5, 5]}, "'batch_size': the choice 5 stands there twice"),
    ({"batch_size": [5]}, "'batch_size': a list has at least two choices"),
    ({"batch_size": []}, "'batch_size': a list has at least two choices"),
    ({"weight_decay": [0, -1]}, "'weight_decay' cannot be -1.0: weight decay must be at least 0"),
    ({"ema_decay": [0.9, 1.0]}, "'ema_decay' cannot be 1.0"),
    ({"optimizer": ["adam", "sgd"]}, "'optimizer' cannot be 'sgd': optimizer must be 'muon' or"),
    ({"loss": ["schnet", "l1"]}, "'loss' cannot be 'l1'"),
    ({"energy_weight": [0.0, 0.1]}, "'energy_weight' cannot be 0 in some trials"),
    ({"n_rbf": 24}, "the space varies nothing"),
    ({}, "the space varies nothing"),
    ({"batch_size": [5, 10], "n_rbf": -1}, "the space: SchNetConfig.n_rbf must be positive"),
]


@pytest.mark.parametrize(("space", "said"), BAD, ids=lambda v: json.dumps(v)[:40])
def test_a_bad_space_is_refused_with_the_name(space, said):
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        SearchSpace.from_dict(space).require_allowed(recipe())
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"batch_size": [5, 10], "batch_size": [5, 20]}', "'batch_size' stands there twice"),
        ('{"batch_size": [5, 10}', "is not JSON"),
        ("[1, 2]", "must hold a JSON object"),
    ],
)
def test_a_file_that_is_no_space_is_refused(tmp_path, text, said):
    path = tmp_path / "space.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as refused:
        SearchSpace.read(path)
    assert str(refused.value).startswith(str(path))


@pytest.mark.parametrize("name", PRESETS)
def test_the_default_space_holds_what_is_given_and_networks_alone(name):
    given = recipe()
    given = Hyperparameters(preset(name), given.weights, given.settings).applied_to(given)
    space = SearchSpace.around(given)
    space.require_allowed(given)
    assert space.contains(Hyperparameters.of(given).values())
    assert space.size == math.inf


def test_the_default_space_leaves_out_what_is_settled():
    forces_alone = Hyperparameters(weights=LossWeights(energy=0.0)).applied_to(recipe())
    assert "energy_weight" not in SearchSpace.around(forces_alone).varied
    config = preset("fast", n_rbf=2, centres=(1.0, 2.0), widths=(0.5, 0.5))
    space = SearchSpace.around(Hyperparameters(config).applied_to(recipe()))
    assert {"n_rbf", "gamma"} & set(space.varied) == set()
    assert "cutoff" in space.varied


def test_a_space_is_narrowed_and_written_as_it_is_read():
    space = SearchSpace.from_dict(
        {"cutoff": {"low": 4, "high": 6}, "batch_size": [5, 10], "gamma": 2.0, "optimizer": "adam"}
    )
    assert SearchSpace.from_dict(space.to_dict()) == space
    assert list(space.only(["batch_size"]).varied) == ["batch_size"]
    assert space.only(["batch_size"]).size == 2
    assert list(space.without(["batch_size"]).varied) == ["cutoff"]
    assert space.base(recipe()).config.gamma == 2.0
    assert space.base(recipe()).settings.optimizer == "adam"
    with pytest.raises(ValueError, match="'learning_rate' has no range here"):
        space.only(["learning_rate"])


def test_hyperparameters_are_read_as_they_were_written(tmp_path):
    values = {"cutoff": 4.5, "n_filters": 24, "learning_rate": 0.003, "energy_weight": 0.02}
    changed = Hyperparameters().with_values(values)
    assert {k: v for k, v in changed.values().items() if k in values} == values
    changed.write(tmp_path / "settings.json")
    assert Hyperparameters.read(tmp_path / "settings.json") == changed
    (tmp_path / "bad.json").write_text('{"n_filter": 24}')
    with pytest.raises(ValueError, match=r"bad.json: .*did you mean 'n_filters'"):
        Hyperparameters.read(tmp_path / "bad.json")


def test_another_loss_brings_its_own_default_weight():
    schnet = Hyperparameters().with_values({"loss": "schnet"}).weights
    assert schnet == LossWeights(kind="schnet")
    both = Hyperparameters().with_values({"loss": "schnet", "energy_weight": 0.5}).weights
    assert both.energy == 0.5


def test_dropout_and_trainable_gaussians_can_be_searched():
    space = SearchSpace.from_dict(
        {"dropout": {"low": 0, "high": 0.3}, "trainable_gaussians": [True, False]}
    )
    space.require_allowed(recipe())
    with pytest.raises(ValueError, match=r"'dropout' cannot be 1.0: SchNetConfig.dropout"):
        SearchSpace.from_dict({"dropout": [0, 1]}).require_allowed(recipe())

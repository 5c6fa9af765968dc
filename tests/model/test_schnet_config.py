"""The shape of the network: what it allows, and that training honours all of it."""

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import batch_of
from factory import TINY, ethanol, potentials, small_dataset
from shapes import SHAPES, K
from test_tabulated import both

from ase_schnet.data.statistics import label_statistics
from ase_schnet.model.potential import properties_of
from ase_schnet.model.schnet import SchNet
from ase_schnet.schnet_config import PRESETS, SchNetConfig
from ase_schnet.training.loss import Loss, LossWeights
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_the_network_has_the_tensors_that_a_model_file_must_hold(config):
    state = SchNet(config).state_dict()
    assert {k: tuple(v.shape) for k, v in state.items()} == config.weight_shapes()


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_json_and_back(config):
    assert SchNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert SchNetConfig(**config.to_dict()) == config
    assert hash(config)


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_what_training_differentiates_is_the_network(config):
    potential, tabulated, batch, labels = both(small_dataset(6), config)
    plain, ours = potential.properties(batch), tabulated.properties(batch)
    scale = plain.forces.abs().max()
    assert scale > 1e-3
    assert (ours.energies - plain.energies).abs().max() < 2e-6 * scale
    assert (ours.forces - plain.forces).abs().max() < 1e-5 * scale
    data = small_dataset(6)
    loss = Loss(LossWeights(energy=0.1, forces=1.0, stress=0.0), label_statistics(data))
    gradients = []
    for model in (potential, tabulated):
        potential.zero_grad()
        loss(model, batch, labels).backward()
        gradients.append({n: p.grad.clone() for n, p in potential.named_parameters()})
    for name, gradient in gradients[0].items():
        assert (gradients[1][name] - gradient).norm() < 1e-4 * gradient.norm() + 1e-12, name


def test_the_shifted_gaussians_are_those_of_their_widths():
    """The same network said in γ and said in centres and widths."""
    said = replace(
        TINY,
        centres=np.arange(K) * TINY.cutoff / K,
        widths=np.full(K, 1 / np.sqrt(2 * TINY.gamma)),
        gamma=99.0,
    )
    batch = batch_of(ethanol())
    results = [
        properties_of(potentials(c, members=1, dtype=torch.float64)[0], batch)
        for c in (TINY, said, replace(said, trainable_gaussians=True))
    ]
    for other, tolerance in zip(results[1:], (1e-12, 1e-6), strict=True):
        torch.testing.assert_close(other.forces, results[0].forces, rtol=0, atol=tolerance)


def test_a_fit_moves_trainable_gaussians():
    data = small_dataset(12)
    config = replace(SHAPES["trainable"], n_rbf=12)
    parts = data.subset(np.arange(8)), data.subset(np.arange(8, 12))
    fit = Fit(config, *parts, LossWeights(), FitSettings(epochs=3, batch_size=4))
    first = fit.potential.schnet.gaussians[1].centres.detach().clone()
    losses = [fit.run_epoch()["training_loss"] for _ in range(3)]
    assert losses[-1] < losses[0]
    assert not torch.equal(fit.potential.schnet.gaussians[1].centres, first)


def test_a_network_leaves_nothing_out_unless_it_is_told_to():
    batch = batch_of(ethanol(), dtype=torch.float32)
    with_dropout, plain = (
        potentials(config, members=1)[0].train() for config in (replace(TINY, dropout=0.5), TINY)
    )
    assert with_dropout(batch).item() == plain(batch).item()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "tanh"}, "activation must be one of 'ssp', 'silu', got 'tanh'"),
        ({"readout_activation": "relu"}, "readout_activation must be one of"),
        ({"centres": [0.0, 1.0]}, "centres must be 32 finite numbers"),
        ({"centres": [np.nan] * 32}, "centres must be 32 finite numbers"),
        ({"widths": [0.0] * 32}, "widths must be positive"),
        ({"readout_widths": [0]}, "readout_widths must be positive whole numbers"),
        ({"readout_widths": [2.5]}, "readout_widths must be positive whole numbers"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"cutoff": float("nan")}, "cutoff must be positive"),
    ],
)
def test_impossible_shapes_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(PRESETS["fast"], **change)


def test_the_configuration_needs_no_torch():
    code = "import sys; from ase_schnet import PRESETS, SchNetConfig; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dropout": "0.1"}, "dropout must be a number"),
        ({"cutoff": "5"}, "cutoff must be a number"),
        ({"n_rbf": 20.0}, "n_rbf must be a whole number"),
        ({"n_filters": True}, "n_filters must be a whole number"),
        ({"trainable_gaussians": "yes"}, "trainable_gaussians must be True or False"),
    ],
)
def test_a_value_of_another_type_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        SchNetConfig(**change)


def test_numbers_of_numpy_and_one_width_without_a_list_are_taken():
    config = SchNetConfig(n_rbf=np.int64(20), cutoff=np.float32(5), readout_widths=16)
    assert config.to_dict()["n_rbf"] == 20
    assert config.readout_widths == (16,)

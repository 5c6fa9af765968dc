"""Optimisers that import no compiler are torch's own, and a training begins without what it does not need."""

import sys
from dataclasses import replace
from pathlib import Path

import torch
from factory import TINY, small_dataset
from forked import fork

from ase_schnet.data.splits import plan_folds
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.uncompiled import Adam


def walked(make) -> tuple[torch.Tensor, dict]:
    """Return a vector after some steps, of which the last ones follow a state put back, and that state."""
    vector = torch.linspace(-1.0, 1.0, 40).requires_grad_()
    optimizer = make([{"params": [vector], "rate_factor": 1.0}], lr=1e-2, fused=True)
    for step in range(6):
        if step == 3:
            saved = optimizer.state_dict()
            optimizer = make([{"params": [vector], "rate_factor": 1.0}], lr=1.0, fused=True)
            optimizer.load_state_dict(saved)
        optimizer.zero_grad()
        (torch.sin(3 * vector) * vector).sum().backward()
        assert optimizer.step() is None
    return vector.detach(), optimizer.state_dict()


def test_the_steps_are_those_of_torch_to_the_last_bit():
    (ours, state), (torchs, expected) = walked(Adam), walked(torch.optim.Adam)
    assert torch.equal(ours, torchs)
    assert state["param_groups"] == expected["param_groups"]
    assert state["state"].keys() == expected["state"].keys() == {0}
    for name, value in expected["state"][0].items():
        assert torch.equal(state["state"][0][name], value)


def train(directory: Path) -> None:
    settings = FitSettings(epochs=1, batch_size=8, weight_decay=0.01)
    for optimizer in ("muon", "adam"):
        plan = plan_folds(24, 2, n_kept_out=4)
        recipe = Recipe(TINY, LossWeights(), replace(settings, optimizer=optimizer), plan)
        cross_validate(small_dataset(24), directory / optimizer, recipe, jobs=1)
    print("imported:", *sorted({"torch._dynamo", "sklearn"} & sys.modules.keys()))


def test_a_training_imports_neither_torchs_compiler_nor_scikit_learn(tmp_path):
    """They take two seconds of a core, in each of its processes."""
    process = fork(train, tmp_path, said=tmp_path / "said")
    process.join(120)
    assert process.exitcode == 0, (tmp_path / "said").read_text()
    assert (tmp_path / "said").read_text().splitlines()[-1] == "imported:"

"""The arithmetic of benchmarks/presets.py, layer_norm.py and tuning.py, on small cases."""

import time

import numpy as np
import pytest
import torch
from factory import TINY, small_dataset

from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import RandomStart
from ase_schnet.training.trainer import Fit
from benchmarks import layer_norm, presets, tuning


def fit_of(kind, start):
    frames = small_dataset(12)
    parts = frames.subset(np.arange(8)), frames.subset(np.arange(8, 12))
    return kind(TINY, *parts, LossWeights(), FitSettings(epochs=2, batch_size=4), start=start)


def test_the_presets_are_those_of_the_report():
    found = [presets.parameters(name) for name in ("small", "default", "large")]
    assert found == [13_345, 116_225, 874_817]


def test_losses_are_read_about_an_epoch_and_ordered_as_the_report_counts_steps():
    fit = fit_of(Fit, None)
    fit.history = [{"epoch": k, "validation_loss": float(k)} for k in range(1, 41)]
    assert presets._read(fit, "validation_loss", 10) == pytest.approx(10.0)
    assert presets._read(fit, "validation_loss", 20) == pytest.approx(np.sqrt(19 * 20))
    rows = {
        "small": {"loss": [3.0, 2.0, 1.0]},
        "default": {"loss": [4.0, 2.5, 1.5]},
        "large": {"loss": [9.0, 8.0, 2.0]},
    }
    told, *orders = presets._verdict(rows)
    assert told == "By the report's steps (1, 2, 4 ×): 3, 2.5, 2, its order."
    assert orders[0] == "After 1 × equal steps, best first: small, default, large."


def test_a_table_has_the_time_of_a_step_with_all_instructions_and_limited():
    row = {"parameters": 13_345, "loss": [3.0, 2.0, 1.0], "forces_mae_kcal": [2.5], "steps": 100}
    timed = {
        name: {"aspirin small": ms} for name, ms in zip(presets.SETTINGS, (4.0, 5.5), strict=True)
    }
    page = presets.markdown({"aspirin small": row, presets.TIMED: timed | {"machine": "A core."}})
    assert "| small | 13,345 | 3 | 2 | 1 | 2.5 | 4 / 5.5 |" in page
    assert "A core." in page


def test_the_plain_fit_trains_as_the_tabulated_one_does():
    """Forces of the plain network are made by autograd, the others by hand and read off a grid."""
    plain, tabulated = (fit_of(kind, RandomStart(TINY, 0)) for kind in (layer_norm.PlainFit, Fit))
    records = [fit.run_epoch() for fit in (plain, tabulated)]
    for name in ("training_loss", "validation_loss"):
        assert records[0][name] == pytest.approx(records[1][name], rel=1e-3)


def test_layer_norm_starts_from_the_same_weights_and_norms_are_trained():
    plain, normalised = (
        fit_of(layer_norm.PlainFit, start(TINY, 0))
        for start in (RandomStart, layer_norm.NormalisedStart)
    )
    before, after = (fit.potential.schnet.state_dict() for fit in (plain, normalised))
    assert {k for k in after if k not in before} == {
        f"norms.{k}.{name}" for k in range(TINY.n_interactions + 1) for name in ("weight", "bias")
    }
    assert all(torch.equal(before[name], after[name]) for name in before)
    normalised.run_epoch()
    assert not torch.equal(
        normalised.potential.schnet.norms[-1].weight, torch.ones(TINY.n_atom_basis)
    )


def interrupted_work(folder):
    with tuning.processor_counted(folder):
        start = time.process_time()
        while time.process_time() < start + 0.1:
            pass
        raise KeyboardInterrupt


def test_the_time_of_the_processor_adds_up_over_attempts(tmp_path):
    folder = tmp_path / "search"
    assert tuning.processor_s(folder) == 0
    for attempt in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            interrupted_work(folder)
        # The processor is counted in hundredths of a second: a tick may be lost at either end.
        assert 0.07 * attempt < tuning.processor_s(folder) < 5


def test_pages_say_what_was_found():
    numbers = {"energy_mae_meV": 2.0, "forces_mae_meV_per_Ang": 20.0, "minutes": 3.0}
    numbers |= {"energy_mae_of_a_member_meV": 3.0, "forces_mae_of_a_member_meV_per_Ang": 30.0}
    numbers |= {"parameters": 64_769, "epochs": 500}
    done = {tuning.FAST: numbers, tuning.TUNED: numbers | {"forces_mae_meV_per_Ang": 15.0}}
    page = tuning.markdown(done)
    assert "| fast | 64,769 | 500 | 2.00 | 20.00 | 3.00 | 30.00 | 3.0 |" in page
    assert "- Tuned against fast: energies +0 %, forces −25 %." in page
    row = {"forces_mae_meV_per_Ang": 40.0, "energy_mae_meV": 10.0, "validation_loss": 0.1}
    row |= {"training_loss": 0.1, "recoveries": []}
    rows = {
        f"{kind} {seed}": row
        for kind in (layer_norm.WITH, layer_norm.WITHOUT)
        for seed in (0, 1, 2)
    }
    assert "error of the forces by +0.0 ± 0.0 %" in layer_norm.markdown(rows, 150)

"""The benchmark of the report's figures of losses: its arithmetic, and that it goes on where it was."""

import json

import numpy as np
import pytest
from factory import TINY, small_dataset

from ase_schnet.data.splits import plan_folds
from ase_schnet.training.checkpoint import load_checkpoint
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from benchmarks.aspirin_epochs import (
    Recorded,
    came,
    in_blocks,
    picture,
    regression,
    report,
    row_of,
    trained,
    window,
)


def test_the_line_goes_through_the_last_64_percent_of_the_steps():
    losses = np.r_[np.full(36, 100.0), 5.0 - 0.01 * np.arange(64)]
    assert window(losses) == slice(36, 100)
    assert regression(losses) == pytest.approx((5.0, 5.0 - 0.63))


def test_blocks_have_the_means_and_their_places():
    places, means = in_blocks(np.arange(10.0), points=4)
    np.testing.assert_allclose(means, [1, 4, 7])
    np.testing.assert_allclose(places, [1, 4, 7])
    np.testing.assert_allclose(in_blocks(np.arange(3.0))[1], [0, 1, 2])


def recipe(epochs, dataset):
    plan = plan_folds(len(dataset), 2, n_kept_out=4)
    return Recipe(TINY, LossWeights(), FitSettings(epochs, 4), plan).with_defaults_for(dataset)


def test_a_training_that_was_stopped_keeps_the_losses_of_its_batches(tmp_path):
    dataset = small_dataset(16)
    whole = recipe(3, dataset).fit(dataset, 0, 0, Recorded)
    run_fit(whole, label=None)
    assert len(whole.batch_losses) == whole.step == 3 * 2
    row = whole.history[-1]["training_loss"]  # six structures: batches of four and two
    assert (4 * whole.batch_losses[-2] + 2 * whole.batch_losses[-1]) / 6 == pytest.approx(row)
    stopped = recipe(3, dataset).fit(dataset, 0, 0, Recorded)
    run_fit(stopped, tmp_path / "c", label=None, keep_going=lambda: stopped.epoch < 1)
    assert len(load_checkpoint(tmp_path / "c")[0]["batch_losses"]) == 2
    again = recipe(3, dataset).fit(dataset, 0, 0, Recorded)
    run_fit(again, tmp_path / "c", label=None)
    assert again.batch_losses == whole.batch_losses


def test_page_and_picture_come_from_the_store(tmp_path):
    dataset, rows = small_dataset(16), {}
    for epochs in (2, 4):
        directory = tmp_path / str(epochs)
        rows[str(epochs)] = row_of(trained(dataset, directory, recipe(epochs, dataset)), directory)
    about = {"frames": 16, "folds": 2, "kept_out": 4, "threads": 1}
    store = json.loads(json.dumps({"about": about, "rows": rows}))
    page = report(store)
    assert "| 4 | 8 |" in page
    short, long = (store["rows"][k] for k in "24")
    assert page.count(came(short, long)) == 1
    change = np.exp(long["ln_ends"][1]) / np.exp(short["ln_ends"][1]) - 1
    assert came(short, long) == f"{100 * change:+.0f} %".replace("-", "−")
    figure = picture(list(store["rows"].values()))
    assert [ax.get_title() for ax in figure.axes] == ["2 epochs", "4 epochs"]
    assert "FAIL" in figure.axes[0].get_xlabel() or "PASS" in figure.axes[0].get_xlabel()

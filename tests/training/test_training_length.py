"""Was the training long enough? The schedule's own slope must not be taken for what more epochs give."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from factory import TINY, labelled_molecules

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.plotting import plot_learning_curves, save_figure
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.length import TrainingLength, change_per_doubling, training_length
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.report import training_summary
from ase_schnet.training.settings import FitSettings

MEASURED = Path(__file__).resolve().parents[2] / "benchmarks" / "training_length.json"


def history(epochs, exponent, floor=0.0, overfit=1.0):
    """Losses that fall as epoch^-exponent; the training loss `overfit` times smaller than the other."""
    e = np.arange(1, epochs + 1)
    validation = floor + e**-exponent
    rows = zip(e, validation / overfit, validation, strict=True)
    return [
        {"epoch": int(k), "training_loss": float(t), "validation_loss": float(v)}
        for k, t, v in rows
    ]


def folds(changes, epochs=500):
    return [{"change_per_doubling": change, "epochs": epochs} for change in changes]


@pytest.mark.parametrize("exponent", [0.0, 0.3, 1.0])
def test_a_rate_that_stays_leaves_the_slope_as_it_is(exponent):
    """Loss ∝ epoch^-a: ln(loss) changes by −a ln 2 per doubling."""
    settings = FitSettings(200, schedule="exponential")
    change = change_per_doubling(history(200, exponent), settings)
    assert change == pytest.approx(-exponent * math.log(2), abs=1e-9)


def test_errors_that_the_training_part_has_no_more_are_not_won_by_epochs():
    """The same curve of the validation loss, beside a training loss alike, and one 100 times smaller."""
    settings = FitSettings(200)
    alike = change_per_doubling(history(200, 0.5), settings)
    apart = change_per_doubling(history(200, 0.5, overfit=100.0), settings)
    assert alike < -0.3
    assert -0.02 < apart < 0


def test_it_foretells_trainings_twice_as_long():
    """Trained for E and 2E epochs (benchmarks/training_length.py): within its stated error, in rms."""
    from benchmarks.training_length import ours, pairs, slope

    measured = pairs(json.loads(MEASURED.read_text()))
    assert len(measured) >= 8
    far, naive = [], []
    for _, truth, row in measured:
        if (guess := ours(row)) is not None:
            said = training_length(folds([guess] * 2))
            far.append((guess - truth) / (said.error / math.exp(guess)))
            naive.append(slope(row, 2 / 3, 1) - truth)
    assert len(far) >= 6
    assert np.sqrt(np.mean(np.square(far))) < 1.5
    wrong = [ours(row) - truth for _, truth, row in measured if ours(row) is not None]
    assert np.sqrt(np.mean(np.square(wrong))) < 0.8 * np.sqrt(np.mean(np.square(naive)))


@pytest.mark.parametrize(
    ("rows", "settings"),
    [
        (history(120, 0.5), FitSettings(200)),  # stopped early: the rate is not at its end
        (history(30, 0.5), FitSettings(30)),
        (history(60, 0.5, floor=-1.0), FitSettings(60)),  # a loss of zero
    ],
    ids=["stopped early", "ten points", "no loss"],
)
def test_it_says_nothing_where_it_knows_nothing(rows, settings):
    assert change_per_doubling(rows, settings) is None


def test_one_member_or_a_silent_one_make_no_verdict():
    assert training_length(folds([-0.1])) is None
    assert training_length(folds([-0.1, None, -0.1])) is None
    assert training_length([{"epochs": 500}] * 5) is None  # cards of earlier versions


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ([-0.40, -0.42, -0.38], "still falling 33 ± "),
        ([0.60, 0.62, 0.58], "rising 82 ± "),
        ([0.01, -0.02, 0.0], "flat, "),
        ([-0.9, 0.5, -0.2], "too uncertain to say"),
    ],
)
def test_the_words_are_those_of_the_numbers(changes, words):
    length = training_length(folds(changes))
    assert words in length.words
    assert ("train again with --epochs 1000" in length.words) == ("falling" in words)
    assert length.to_dict()["words"] == length.words


def test_members_that_scatter_make_a_larger_error():
    narrow, wide = (training_length(folds([-0.2 - d, -0.2 + d])) for d in (0.0, 0.3))
    assert narrow.error < wide.error
    assert wide.error**2 - narrow.error**2 == pytest.approx((math.exp(-0.2) * 0.3) ** 2)


@pytest.mark.slow
def test_card_summary_and_figure_say_it(tmp_path):
    data = Dataset.from_atoms(labelled_molecules(40, names=("CH3OH",)))
    plan = plan_folds(40, 2, n_kept_out=6)
    recipe = Recipe(TINY, LossWeights(), FitSettings(60, 4, seed=3), plan)
    model = cross_validate(data, tmp_path / "m", recipe, jobs=1)
    said = model.card["training_length"]
    assert said["members"] == [fold["change_per_doubling"] for fold in model.card["folds"]]
    assert said["words"] in training_summary(model).splitlines()


def test_the_figure_has_a_line_to_twice_the_epochs(tmp_path):
    columns = {key: [row[key] for row in history(60, 0.5)] for key in history(1, 0.5)[0]}
    length = TrainingLength(60, (-0.2, -0.2), -0.18, 0.05).to_dict()
    figure = plot_learning_curves([{"history": columns}] * 2, length)
    assert figure.axes[0].texts[0].get_text() == "twice the epochs:\n−18 ± 5 %"
    assert max(line.get_xdata()[-1] for line in figure.axes[0].lines) == 120
    save_figure(figure, tmp_path / "curves.png")


def test_a_failed_training_is_not_called_too_short(tmp_path):
    """Its verdict names the cause."""
    from ase_schnet.training.crossval import _length

    assert _length(False, folds([-0.4, -0.4])) == {}
    assert "training_length" in _length(True, folds([-0.4, -0.4]))

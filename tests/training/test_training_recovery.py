"""What a training does about a loss that explodes and about a member that ends far worse than the others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from factory import TINY, small_dataset

from ase_schnet.data.splits import plan_folds
from ase_schnet.modelfile import WEIGHTS
from ase_schnet.training.checkpoint import load_checkpoint
from ase_schnet.training.crossval import assemble_ensemble, cross_validate
from ase_schnet.training.fold import train_fold
from ase_schnet.training.log import read_log
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.report import training_summary
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import MAX_RECOVERIES, Fit, TrainingDiverged
from ase_schnet.training.workdir import FAR_WORSE, WorkDirectory

QUICK = FitSettings(epochs=8, batch_size=4, seed=3)
SEED = 4  # of fold 2


class Poisoned:
    """A loss times `factor` in one step of the fit, for as long as the learning rate is above `cured_by`."""

    def __init__(self, fit, step=11, factor=float("nan"), cured_by=0.5):
        self._fit, self._loss = fit, fit.loss
        self._step, self._factor, self._cured_by = step, factor, cured_by

    def __getattr__(self, name):
        return getattr(self._loss, name)

    def __call__(self, *arguments):
        loss = self._loss(*arguments)
        poisoned = self._fit.step == self._step and self._fit.slowdown > self._cured_by
        return loss * self._factor if poisoned else loss


def make_fit(kind=Fit, **poison) -> Fit:
    data = small_dataset(24)
    fit = kind(
        TINY, data.subset(np.arange(18)), data.subset(np.arange(18, 24)), LossWeights(), QUICK
    )
    if poison:
        fit.loss = Poisoned(fit, **poison)
    return fit


@pytest.mark.parametrize("factor", [float("nan"), float("inf"), 1e6])
def test_a_loss_that_explodes_goes_back_to_the_epoch_before_with_half_the_rate(factor, capsys):
    result, healthy = run_fit(make_fit(factor=factor)), run_fit(make_fit())
    assert [row["epoch"] for row in result.history] == list(range(1, 9))
    rates, full = ([row["learning_rate"] for row in r.history] for r in (result, healthy))
    np.testing.assert_allclose(np.divide(rates, full), [1, 1, *[0.5] * 6])
    assert result.history[:2] == healthy.history[:2]  # what was good is untouched
    assert np.isfinite(result.validation.loss)
    (line,) = [k for k in capsys.readouterr().err.splitlines() if "back to" in k]
    assert line.startswith("fit: the training loss of epoch 3 is ")
    assert line.endswith(": back to epoch 2, learning rate × 0.5")


def test_a_validation_that_explodes_counts_too(monkeypatch):
    """With weights that overflow only where they are not trained."""
    from ase_schnet.training import trainer

    real, calls = trainer.validation_metrics, []

    def evaluate(*arguments):
        calls.append(1)
        metrics = real(*arguments)
        return replace(metrics, loss=float("nan")) if len(calls) == 3 else metrics

    monkeypatch.setattr(trainer, "validation_metrics", evaluate)
    fit = make_fit()
    run_fit(fit)
    assert fit.recoveries == [3]


def test_a_recovery_is_the_same_however_often_the_fit_was_stopped(tmp_path):
    poison = {"step": 11, "cured_by": 0.25}  # two recoveries from the same epoch
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    run_fit(make_fit(**poison), whole, log=tmp_path / "whole.csv")
    for _ in range(30):
        once = iter([True, False]).__next__  # one epoch, or one recovery, at a time
        if run_fit(make_fit(**poison), parts, log=tmp_path / "parts.csv", keep_going=once):
            break
    (a, head_a), (b, head_b) = load_checkpoint(whole), load_checkpoint(parts)
    assert head_a == head_b
    assert head_a["recoveries"] == [3, 3]
    assert all(torch.equal(a[name], b[name]) for name in a)
    logs = [read_log(tmp_path / f"{name}.csv") for name in ("whole", "parts")]
    assert [log.pop("elapsed_s")[0] > 0 for log in logs] == [True, True]
    assert logs[0] == logs[1]
    assert logs[0]["epoch"] == list(range(1, 9))


def test_too_many_recoveries_end_the_fit_at_once_and_for_good(tmp_path, capsys):
    path = tmp_path / "c.safetensors"
    for _ in range(2):  # as does the attempt to resume it
        fit = make_fit(cured_by=0.0)
        with pytest.raises(TrainingDiverged, match=r"diverged 5 times, the last time with 0\.0625"):
            run_fit(fit, path)
        assert fit.recoveries == [3] * (MAX_RECOVERIES + 1)
    assert capsys.readouterr().err.count("back to epoch") == MAX_RECOVERIES


# ---- the ensemble ------------------------------------------------------------------------------


def recipe(**settings) -> Recipe:
    return Recipe(
        TINY,
        LossWeights(),
        replace(QUICK, **settings),
        plan_folds(24, 3, n_kept_out=4, seed=0),
    )


class DivergesWithOneSeed(Fit):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        if self.settings.seed == SEED:
            self.loss = Poisoned(self, cured_by=0.0)


class StaysAtTheStartWithOneSeed(Fit):
    """Far from a minimum: what is left of a fit whose first steps went astray."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        if self.settings.seed == SEED:
            for group in (g for optimizer in self.optimizers for g in optimizer.param_groups):
                group["rate_factor"] = 0.0
            for potential in (self.potential, self.average):
                torch.nn.init.constant_(potential.schnet.readout_out.weight, 1.0)


def test_a_member_that_diverges_is_begun_again_once_with_another_seed(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("ase_schnet.training.fold.Fit", DivergesWithOneSeed)
    model = cross_validate(small_dataset(24), tmp_path / "m", recipe(), jobs=1)
    fold = model.card["folds"][1]
    assert [row["seed"] for row in model.card["folds"]] == [3, 7, 5]
    assert [attempt["diverged"] for attempt in fold["attempts"]] == [True, False]
    assert "fold 2 diverged: again with seed 7" in capsys.readouterr().err
    text = training_summary(model)
    assert "fold 2, seed 4: epochs 3, 3, 3, 3, 3 diverged" in text
    assert "fold 2 diverged and was trained again with another seed" in text
    assert sorted(p.name for p in (tmp_path / "m" / "training").iterdir()) == [
        *("fold_1.csv", "fold_2.csv", "fold_2_again.csv", "fold_3.csv")
    ]


def test_a_member_that_diverges_twice_is_an_error_with_a_cure(tmp_path):
    hot = recipe(learning_rate=1e12, clip_norm=1e30, optimizer="adam")
    for _ in range(2):  # also when asked again
        with pytest.raises(TrainingDiverged, match=r"fold 1 .* seeds 3 and 6; .* lower learning"):
            train_fold(small_dataset(24), tmp_path / "m", hot, 1)
    with pytest.raises(ValueError, match="folds 2, 3 not finished"):
        assemble_ensemble(tmp_path / "m")


def test_a_member_far_worse_than_the_others_is_trained_again_and_both_are_told(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("ase_schnet.training.fold.Fit", StaysAtTheStartWithOneSeed)
    model = cross_validate(small_dataset(24), tmp_path / "m", recipe(), jobs=1)
    fold = model.card["folds"][1]
    bad, good = fold["attempts"]
    assert (bad["seed"], good["seed"], fold["seed"]) == (4, 7, 7)
    assert fold["times_worse"] > FAR_WORSE
    assert fold["loss_median"] == good["loss_median"] < bad["loss_median"] / FAR_WORSE
    assert "times worse than the others: again with seed 7" in capsys.readouterr().err
    assert f"seed 4 {bad['loss_median']:.3g}, seed 7 {good['loss_median']:.3g}" in training_summary(
        model
    )
    assert "attempts" not in model.card["folds"][0]


@pytest.mark.slow
def test_jobs_find_the_bad_member_too_and_make_the_same_model(tmp_path, monkeypatch):
    monkeypatch.setattr("ase_schnet.training.fold.Fit", StaysAtTheStartWithOneSeed)
    data, directory = small_dataset(24), tmp_path / "jobs"
    for fold in (2, 3, 1):  # nothing is known when fold 2 ends
        assert train_fold(data, directory, recipe(), fold)
    with pytest.raises(ValueError, match=r"fold 2 ended .* times worse .* needs a second attempt"):
        assemble_ensemble(directory)
    for fold in (1, 2, 3):
        train_fold(data, directory, recipe(), fold)
    assemble_ensemble(directory)
    cross_validate(data, tmp_path / "m", recipe(), jobs=1)
    assert (directory / WEIGHTS).read_bytes() == (tmp_path / "m" / WEIGHTS).read_bytes()


@pytest.mark.parametrize(
    ("medians", "expected"),
    [
        ([1.0, 1.1, 0.9], None),
        ([1.0, 3.9, 1.0], None),
        ([1.0, 4.1, 1.0], 4.1),
        ([0.0, 1e-12, 0.0], None),
    ],
)
def test_a_fold_is_judged_by_its_median_structure(tmp_path, medians, expected):
    """A few odd structures make the mean loss of a fold large, and are no reason to train again."""
    work = WorkDirectory(tmp_path / "m")
    work.begin(small_dataset(24), recipe())
    for fold, median in enumerate(medians, start=1):
        assert work.times_worse(2) is None  # before all have ended
        entry = {"seed": fold, "loss_median": median, "loss_mean": 1e6 if fold == 1 else 1.0}
        work.finish(fold, 0, {}, {"diverged": False, "entry": entry})
    assert work.times_worse(2) == (expected and pytest.approx(expected))
    assert [work.due(fold) for fold in (1, 2, 3)] == [None, 1 if expected else None, None]

"""A search: what it tries, what it keeps, and that it goes on wherever it was stopped."""

import csv
import json
import sqlite3
import time
from types import SimpleNamespace

import numpy as np
import pytest
from factory import small_dataset
from tuning_cases import POINTS, recipe, search, settings

from ase_schnet.data.dataset import Dataset
from ase_schnet.plotting import plot_tuning, save_figure
from ase_schnet.training.hyperparameters import Hyperparameters
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.result import TrainingDiverged
from ase_schnet.tuning import optuna_study, trial
from ase_schnet.tuning.run import _run, tune
from ase_schnet.tuning.score import Score
from ase_schnet.tuning.search import SESSIONS, Search
from ase_schnet.tuning.sessions import Session, time_spent
from ase_schnet.tuning.settings import TuneSettings
from ase_schnet.tuning.space import SearchSpace
from ase_schnet.tuning.study import Study


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A search over all of six points."""
    return search(tmp_path_factory.mktemp("searches") / "done")


def by_values(result):
    return {tuple(sorted(row.values.items())): row for row in result.rows}


def test_all_points_are_tried_once_and_the_first_is_what_was_given(done):
    assert len(done.rows) == len(by_values(done)) == 6
    assert done.rows[0].values == {"learning_rate": 1e-3, "n_filters": 8}
    assert done.start is done.rows[0]
    assert all(row.ended in ("complete", "pruned") for row in done.rows)
    assert all(row.epochs == 4 for row in done.rows if row.ended == "complete")
    assert done.best.score == min(row.score for row in done.rows if row.score)
    assert done.best.score < done.start.score


def test_a_trial_is_the_training_of_the_first_member_and_its_score_is_of_its_own_fold(done):
    fit = trial.of_trials(done.tuned_recipe, 0.5).fit(small_dataset(24), 0)
    while not fit.finished:
        fit.run_epoch()
    score = Score.of(small_dataset(24), done.tuned_recipe.weights)
    assert score(fit.history[-1]) == pytest.approx(done.best.score, rel=1e-12)


def test_what_came_out_is_in_files(done):
    best = json.loads((done.directory / "settings.json").read_text())
    assert best == done.hyperparameters.values()
    assert best["epochs"] == 8  # those of the training, not of a trial
    assert {k: best[k] for k in POINTS} == done.best.values
    assert Hyperparameters.read(done.directory / "settings.json") == done.hyperparameters
    assert done.tuned_recipe.settings.learning_rate == done.best.values["learning_rate"]
    rows = list(csv.DictReader((done.directory / "tuning.csv").read_text().splitlines()))
    assert [float(row["score"]) if row["score"] else None for row in rows] == [
        row.score for row in done.rows
    ]
    assert "validation_forces_mae_meV_per_Ang" in rows[0]
    assert not list(done.directory.rglob("*.safetensors"))  # of trials that ended
    assert "(was 0.001)" in done.summary()


def test_a_finished_search_returns_at_once(done, monkeypatch):
    monkeypatch.setattr(trial, "run_fit", lambda *_, **__: 1 / 0)
    again = search(done.directory)
    assert [row.score for row in again.rows] == [row.score for row in done.rows]


def test_another_search_does_not_go_on_in_its_directory(done):
    for other, what in (
        (settings(share=1.0), "share"),
        (settings({"batch_size": [4, 8]}), "space"),
    ):
        with pytest.raises(ValueError, match=f"holds a search with another {what}"):
            tune(small_dataset(24), done.directory, recipe(), other)
    with pytest.raises(ValueError, match="holds a search with another data"):
        tune(small_dataset(24, seed=1), done.directory, recipe(), settings())


def test_stopped_anywhere_it_goes_on_to_the_same(done, tmp_path):
    """Every look of a fit at the clock is a chance to stop."""
    dataset, looks = small_dataset(24), 0
    for stop_after in (0, 3, 7, 10_000):
        looks = 0

        def go_on(most=stop_after):
            nonlocal looks
            looks += 1
            return looks <= most

        given = recipe().with_defaults_for(dataset)
        one = Search(tmp_path / "s", given, settings())
        one.begin(dataset)
        one.work(go_on)
    expected, found = by_values(done), by_values(one.result())
    assert list(found) == list(expected)  # in the same order
    assert {k: r.score for k, r in found.items()} == {k: r.score for k, r in expected.items()}
    assert {k: r.epochs for k, r in found.items()} == {k: r.epochs for k, r in expected.items()}


def test_a_trial_that_a_process_left_before_it_had_a_point_is_no_trial(tmp_path):
    dataset = small_dataset(24)
    one = Search(tmp_path, recipe().with_defaults_for(dataset), settings())
    one.begin(dataset)
    claim = one.study.next()
    claim.lock.release()
    with sqlite3.connect(tmp_path / "study.db") as file:
        file.execute("DELETE FROM trial_params")
    again = Search(tmp_path, recipe().with_defaults_for(dataset), settings())
    again.begin(dataset)
    assert again.study.next().number == 1
    assert [row.number for row in again.result().rows] == [1]


def test_a_trial_in_hand_is_not_given_to_another(tmp_path):
    dataset = small_dataset(24)
    hands = []
    for _ in range(2):
        one = Search(tmp_path, recipe().with_defaults_for(dataset), settings())
        one.begin(dataset)
        hands.append(one.study.next())
    assert [claim.number for claim in hands] == [0, 1]
    assert hands[0].values != hands[1].values


def test_a_trial_that_kills_whoever_trains_it_has_failed(tmp_path):
    dataset = small_dataset(24)
    one = Search(tmp_path, recipe().with_defaults_for(dataset), settings())
    one.begin(dataset)
    for _ in range(3):
        claim = one.study.next()
        assert claim.number == 0
        assert not one.study.started(claim, 0)
        claim.lock.release()
    assert one.study.started(one.study.next(), 0)


def test_a_fit_that_diverges_is_the_worst_of_all(tmp_path, monkeypatch):
    real = trial.run_fit

    def run(fit, *args, **options):
        if fit.settings.learning_rate == 1e-2:
            raise TrainingDiverged("the loss is nan")
        return real(fit, *args, **options)

    monkeypatch.setattr(trial, "run_fit", run)
    asked = settings({"learning_rate": [1e-3, 1e-2]})
    result = tune(small_dataset(24), tmp_path, recipe(), asked, jobs=1)
    assert sorted(row.ended for row in result.rows) == ["complete", "diverged"]
    assert result.best.values == {"learning_rate": 1e-3}
    assert "no trial is better" in result.summary()


def test_a_trial_worse_than_the_median_ends_after_its_warm_up(tmp_path):
    space = SearchSpace.from_dict({"learning_rate": {"low": 1e-4, "high": 1e-2}})
    study = Study(tmp_path, space, {"learning_rate": 1e-3}, warmup_epochs=2)
    for k in range(5):
        claim = study.next()
        assert not study.report(claim, 1, 9.0 + k)
        assert not study.report(claim, 3, 1.0 + k)
        study.end(claim, "complete", 1.0 + k)
    claim = study.next()
    assert not study.report(claim, 1, 99.0)  # warming up
    assert not study.report(claim, 3, 2.9)
    other = study.next()
    assert study.report(other, 3, 3.1)


def test_a_trial_that_ends_while_another_process_looks_for_one_is_not_begun_again(
    tmp_path, monkeypatch
):
    """It was seen as running, and let go before it was claimed: writing to it then ended the search."""
    space = SearchSpace.from_dict({"learning_rate": {"low": 1e-4, "high": 1e-2}})
    mine, other = (Study(tmp_path, space, {"learning_rate": 1e-3}, 2) for _ in range(2))
    claim, lock = mine.next(), other._lock

    def late(number):
        if number == claim.number:
            mine.end(claim, "complete", 1.0)
        return lock(number)

    monkeypatch.setattr(other, "_lock", late)
    found = other.next()
    assert found.number == 1
    assert not other.started(found, 0)


def test_several_folds_are_joined_by_their_geometric_mean(tmp_path):
    two = tune(
        small_dataset(24),
        tmp_path,
        recipe(),
        settings({"n_filters": [4, 8]}, trial_folds=2),
        jobs=1,
    )
    assert all(row.epochs == 8 for row in two.rows)
    with pytest.raises(ValueError, match="a trial cannot train 4 folds, there are 3"):
        tune(small_dataset(24), tmp_path / "x", recipe(), settings(trial_folds=4))
    assert not (tmp_path / "x").exists()


def test_the_score_does_not_depend_on_units():
    """Energies and forces of another size have errors of another size, and the same score."""
    frames = small_dataset(24)
    other = Dataset(**{**frames.__dict__, "E": 27.2 * frames.E, "F": 27.2 * frames.F})
    record = {"energy_mae_meV_per_atom": 2.0, "forces_mae_meV_per_Ang": 30.0}
    records = [{f"validation_{k}": f * v for k, v in record.items()} for f in (1.0, 27.2)]
    scores = [
        Score.of(data, LossWeights(stress=0.0))(one)
        for data, one in zip((frames, other), records, strict=True)
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-12)
    forces_alone = Score.of(frames, LossWeights(energy=0.0, stress=0.0))
    assert list(forces_alone.spreads) == ["forces"]


def test_hours_are_counted_once_where_calls_overlap(tmp_path):
    for began, until in ((0, 10), (5, 12), (20, 25), (21, 22)):
        path = tmp_path / f"{began}.json"
        path.write_text(json.dumps({"began": began, "until": until}))
    (tmp_path / "torn.json").write_text("{")
    assert time_spent(tmp_path) == 17
    session = Session(tmp_path / "new", 1.0)
    time.sleep(0.02)
    session.note()
    assert 0.02 <= time_spent(tmp_path / "new") < 1


@pytest.mark.parametrize("jump_s", [-3600.0, 3600.0])
def test_a_clock_that_is_set_anew_spends_no_hours_and_gives_none(tmp_path, monkeypatch, jump_s):
    """An hour back, and the hours of a search became one more; an hour on, and it ended at once."""
    now, looks = time.time(), []

    def work(go_on):
        monkeypatch.setattr(time, "time", lambda: now + jump_s)
        for _ in range(3):
            looks.append(go_on())
            time.sleep(0.15)

    parts = {"recipe": SimpleNamespace(device="cpu"), "work": work, "found": str}
    _run(SimpleNamespace(directory=tmp_path, **parts), 0.25 / 3600, 1, looks.append)
    assert looks == [True, True, False]
    assert 0.25 < time_spent(tmp_path / SESSIONS) < 5


def test_when_the_hours_are_spent_nothing_is_trained(done):
    said = []
    hours = 0.5 * done.time_s / 3600
    tune(small_dataset(24), done.directory, recipe(), settings(), hours=hours, tell=said.append)
    assert "are spent" in said[-1]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"share": 0.0}, "share must be above 0"),
        ({"share": 1.5}, "at most 1"),
        ({"trial_folds": 0}, "trial_folds must be"),
    ],
)
def test_impossible_settings_are_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        TuneSettings(**wrong)


def test_without_optuna_one_is_told_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(optuna_study, "optuna", None)
    with pytest.raises(ValueError, match=r"pip install 'ase-schnet\[tune\]'"):
        tune(small_dataset(24), tmp_path / "s", recipe(), settings())


def test_the_picture_shows_importance_and_trials(done, tmp_path):
    importance = {"learning_rate": 0.9, "n_filters": 0.1}
    figure = plot_tuning(done.rows, importance, done.first)
    assert len(figure.axes) == 4
    bars = figure.axes[0].patches
    assert sorted(round(bar.get_width()) for bar in bars) == [10, 90]
    assert save_figure(figure, tmp_path / "tuning.png").stat().st_size > 20_000
    assert len(plot_tuning(done.rows, None, done.first).axes) == 3


def test_what_explains_the_scores_is_important(tmp_path):
    space = SearchSpace.from_dict(
        {"learning_rate": {"low": 1e-4, "high": 1e-2, "log": True}, "n_filters": [4, 8]}
    )
    study = Study(tmp_path, space, {"learning_rate": 1e-3, "n_filters": 8}, warmup_epochs=2)
    assert study.importance() is None
    for _ in range(10):
        claim = study.next()
        study.end(claim, "complete", float(np.exp(np.log(claim.values["learning_rate"]) ** 2)))
    found = study.importance()
    assert found["learning_rate"] > 0.9
    assert sum(found.values()) == pytest.approx(1.0)

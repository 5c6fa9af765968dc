"""A learning from its first structure to its model, and what is written on the way."""

import csv
import dataclasses
import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.calculator import InputError
from ase.io import read
from learning_cases import (
    NO_NUMBER,
    RAISES,
    RUNS,
    SOME,
    calls,
    few_short_runs,
    run_learning,
    settings,
    springs,
    water,
)

from ase_schnet import SchNetCalculator, extend_learning, learn, load_model
from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.learning.fit import divided, fit_round
from ase_schnet.learning.settings import Methods
from ase_schnet.sampling.spread import fingerprint

pytestmark = pytest.mark.slow
BUDGET = 36


@pytest.fixture(scope="module")
def short_runs():
    with pytest.MonkeyPatch.context() as patch:
        few_short_runs(patch)
        yield


@pytest.fixture(scope="module")
def learnt(tmp_path_factory, short_runs):
    """Water by GFN2-xTB: a result, what was told, and the settings."""
    folder, told = tmp_path_factory.mktemp("learning"), []
    asked = settings("gfn2-xtb", budget=BUDGET, round_steps=60, last_steps=120)
    result = learn([water()], folder / "m", asked, jobs=1, tell=told.append)
    return result, told, asked


def labels_of(result):
    return read(result.directory / "labels.extxyz", ":")


def trained_on(model, frames):
    """Return for each member the numbers of the structures that it was trained on."""
    training = model.card["training"]
    kept, folds = training["kept_out"], training["folds"]
    everything = set(range(len(frames)))
    return [
        {int(frames[k].info["number"]) for k in everything - set(fold) - set(kept)}
        for fold in folds
    ]


def test_the_directory_is_a_model_that_ase_opens_and_has_error_bars(learnt):
    result, _, _ = learnt
    atoms = water()
    atoms.calc = SchNetCalculator(result.directory)
    rest = read(result.directory / "labels.extxyz", 0)
    forces = atoms.get_forces()
    assert np.isfinite(forces).all()
    assert np.abs(forces).max() < 20 * np.abs(rest.get_forces()).max()
    judged = result.model.card["kept_out"]["n_structures"]
    assert judged == sum(row.random for row in result.rows) == 9  # as many as error bars need
    assert np.isfinite(result.model.card["intervals"]["level"])
    assert "error bars of 90 % rest on the same structures" in result.summary()
    assert atoms.calc.results["forces_error"].shape == (3, 3)
    assert result.model.level_of_theory == "GFN2-xTB"


def test_every_label_stands_once_in_the_file_with_its_level_of_theory(learnt):
    result, _, _ = learnt
    frames = labels_of(result)
    assert len(frames) == BUDGET == result.calls
    assert len({fingerprint(a) for a in frames}) == BUDGET
    assert [a.info["number"] for a in frames] == list(range(BUDGET))
    assert {a.info["level_of_theory"] for a in frames} == {"GFN2-xTB"}
    assert all(np.isfinite(a.get_forces()).all() for a in frames)
    journal = (result.directory / "labels.extxyz.journal").read_text().splitlines()[1:]
    keys = [json.loads(line)["key"] for line in journal]
    assert len(keys) == len(set(keys)) == BUDGET


def test_the_table_says_what_became_of_each_round(learnt):
    result, told, asked = learnt
    with (result.directory / "rounds.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [int(row["calls"]) for row in table] == [20, 28, 36]
    assert len(table) == len(result.rows)
    frames = labels_of(result)
    for k, (line, row) in enumerate(zip(table, result.rows, strict=True)):
        place = result.directory / "rounds" / str(k)
        assert json.loads((place / "round.json").read_text())["calls"] == row.calls
        assert f"round {k}: {row.words(asked.goal_force_meV_per_Ang)}" in told
        assert bool(int(line["goal_met"])) == row.goal_met
        drawn = [a for a in frames if (a.info["round"], a.info["share"]) == (k, "random")]
        assert row.random == int(line["random"]) == len(drawn)
        if not k:
            assert np.isnan(row.forces_mae_meV_per_Ang)
            continue
        before = Ensemble(load_model(result.directory / "rounds" / str(k - 1) / "model"))
        mae = compare(before, Dataset.from_atoms(drawn)).metrics()["forces_mae_meV_per_Ang"]
        assert row.forces_mae_meV_per_Ang == pytest.approx(mae, rel=1e-4)
        assert float(line["forces_mae_meV_per_Ang"]) == pytest.approx(mae, rel=1e-4)
        lives = json.loads((place / "lives.json").read_text())
        at_goal = [life for life in lives if life["at_goal"]]
        assert row.runs == len(at_goal) == RUNS
        assert row.runs_whole == sum(not life["ended"] for life in at_goal)
        assert row.goal_met == (mae <= asked.goal_force_meV_per_Ang and row.runs_whole == row.runs)


def test_another_goal_leaves_out_no_round_that_was_done(learnt, tmp_path):
    """A looser goal, met by earlier rounds, cut the later ones out of the table."""
    result, _, asked = learnt
    folder = tmp_path / "m"
    shutil.copytree(result.directory, folder)
    (folder / "rounds/3").mkdir()
    for k in (1, 2, 3):
        row = dataclasses.replace(result.rows[min(k, 2)], round=k, runs_whole=RUNS)
        (folder / f"rounds/{k}/round.json").write_text(json.dumps(dataclasses.asdict(row)))
    looser = dataclasses.replace(asked, budget=44, goal_force_meV_per_Ang=1e9)
    again = learn([water()], folder, looser, jobs=1, tell=lambda line: None)
    assert [row.round for row in again.rows] == [0, 1, 2, 3]
    assert [row.goal_met for row in again.rows] == [False, True, True, True]
    assert again.reached


def test_no_model_was_trained_on_the_random_structures_that_judge_it(learnt):
    result, _, _ = learnt
    frames = labels_of(result)
    random = [a for a in frames if a.info["share"] == "random"]
    models = [load_model(result.directory / "rounds" / str(k) / "model") for k in range(2)]
    seen = [set() for _ in range(2)]
    validated = [set() for _ in range(2)]
    for k, model in enumerate([*models, result.model]):
        known = [a for a in frames if a.info["round"] <= k]
        if k < 2:
            for member, numbers in enumerate(trained_on(model, known)):
                seen[member] |= numbers  # it goes on from where the round before left it
        later = {a.info["number"] for a in random if a.info["round"] >= min(k, 2) - 1}
        assert later
        assert not any(numbers & later for numbers in trained_on(model, known))
        for member, fold in enumerate(model.card["training"]["folds"]):
            validated[member] |= {known[i].info["number"] for i in fold}
    for trained, judges in zip(seen, validated, strict=True):
        assert not trained & judges


def test_no_model_is_trained_that_would_be_asked_nothing(learnt):
    """After the last round the model of the end is next, from random weights."""
    result, _, _ = learnt
    assert not (result.directory / "rounds/2/model").exists()


def test_all_trainings_of_a_learning_share_one_head_start(learnt, tmp_path, monkeypatch):
    result, _, asked = learnt
    folder, places = tmp_path / "m", []
    shutil.copytree(result.directory, folder)

    def fit(*args, **options):
        places.append(options["head_start_in"])
        return fit_round(*args, **options)

    monkeypatch.setattr("ase_schnet.learning.loop.fit_round", fit)
    run_learning(folder, dataclasses.replace(asked, budget=BUDGET + 8))
    assert places == 2 * [
        folder / "rounds/head_start"
    ]  # of the round that was the last, of the end


def test_a_fit_tells_its_pretraining_of_the_head_start(learnt, tmp_path, monkeypatch):
    given, frames = {}, labels_of(learnt[0])

    def prepare(*args, **options):
        given.update(options)
        raise KeyboardInterrupt

    monkeypatch.setattr("ase_schnet.learning.fit.pretrained", prepare)
    asked = settings(springs(tmp_path), cheap="gfn2-xtb")
    methods, place = Methods.of(asked, periodic=False), tmp_path / "head_start"
    plan, _ = divided(frames, 2, 0)
    with pytest.raises(KeyboardInterrupt):
        fit_round(frames, tmp_path / "m", plan, asked, methods, head_start_in=place)
    assert given == {"head_start_in": place}


def test_each_fit_starts_from_the_one_before_and_the_last_from_random_weights(learnt):
    result, _, _ = learnt
    models = [load_model(result.directory / "rounds" / str(k) / "model") for k in range(2)]
    for before, model in pairwise(models):
        assert model.card["training"]["start"]["sha256"] == before.checksum
    for model in (models[0], result.model):
        assert "start" not in model.card["training"]
    assert result.model.card["training"]["command"] == "ase-schnet learn"


def test_a_shipped_model_can_be_the_start_of_the_first_round_and_of_the_last_training(tmp_path):
    asked = settings(springs(tmp_path), start_from="methanol", round_steps=2, last_steps=2)
    model = run_learning(tmp_path / "m", asked).model
    first = load_model(tmp_path / "m" / "rounds" / "0" / "model")
    methanol = load_model("methanol")
    assert model.card["training"]["start"]["sha256"] == methanol.checksum
    assert first.card["training"]["start"]["sha256"] == methanol.checksum
    assert model.config == methanol.config
    for member in range(2):  # two steps are a short way
        for name in ("embedding.weight", "interactions.1.atomwise_out.weight"):
            way = np.abs(model.weights[name][member] - methanol.weights[name][member])
            assert way.mean() < 0.1 * np.abs(methanol.weights[name][member]).mean()


def test_the_same_call_again_computes_nothing_and_another_setting_is_refused_by_name(learnt):
    result, _, asked = learnt
    before = {
        path: path.stat().st_mtime_ns
        for path in (result.directory / "rounds").rglob("*")
        if path.suffix in (".safetensors", ".extxyz")
    }
    again = run_learning(result.directory, asked)
    assert again.calls == BUDGET
    assert again.rows[1:] == result.rows[1:]  # that of round 0 has no number to compare
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    other = settings("gfn2-xtb", budget=BUDGET, round_steps=60, last_steps=120, seed=1)
    with pytest.raises(ValueError, match=r"another seed \(0, not 1\)"):
        run_learning(result.directory, other)


def test_what_a_later_run_met_is_labelled_once_and_learnt(learnt, tmp_path, short_runs):
    result, _, _ = learnt
    copy = tmp_path / "m"
    shutil.copytree(result.directory, copy)
    known, told = labels_of(result), []
    met = [water() for _ in range(3)]
    for k, atoms in enumerate(met):
        atoms.positions[1, 1] += 0.1 + 0.05 * k
        atoms.info["why"] = "stopped"
    extended = extend_learning(copy, [*met, known[3], met[0].copy()], jobs=1, tell=told.append)
    frames = read(copy / "labels.extxyz", ":")
    assert extended.calls == len(frames) == BUDGET + 3
    assert [a.get_distance(0, 1) for a in frames[-3:]] == pytest.approx(
        [a.get_distance(0, 1) for a in met]
    )
    assert set(range(BUDGET, BUDGET + 3)) <= set.union(*trained_on(extended.model, frames))
    assert load_model(copy).checksum == extended.model.checksum != result.model.checksum
    once_more = extend_learning(copy, met, jobs=1, tell=told.append)
    assert any("all of these structures" in line for line in told)
    assert once_more.model.checksum == extended.model.checksum
    assert len(list((copy / "rounds").glob("added_*"))) == 1


def test_structures_of_something_else_are_not_added(learnt, tmp_path):
    copy = tmp_path / "m"
    shutil.copytree(learnt[0].directory, copy)
    boxed = water()
    boxed.set_cell([9, 9, 9])
    boxed.pbc = True
    for other, said in ((molecule("NH3"), "is H3N, what is learnt H2O"), (boxed, "a cell of H2O")):
        with pytest.raises(ValueError, match=f"structure 1 of those collected .*{said}"):
            extend_learning(copy, [water(), other], jobs=1)
    assert not list((copy / "rounds").glob("added_*"))


def test_a_round_after_an_extension_keeps_all_labels_in_the_file(learnt, tmp_path, monkeypatch):
    """Its members learn the added ones at the end; until then they stay in labels.extxyz."""
    result, _, asked = learnt
    copy = tmp_path / "m"
    shutil.copytree(result.directory, copy)
    met = water()
    met.positions[1, 1] += 0.1
    extend_learning(copy, [met], jobs=1)
    seen = []

    def fit(frames, path, *args, **options):
        seen.append((len(frames), len(read(copy / "labels.extxyz", ":"))))
        if options["last"]:
            raise KeyboardInterrupt
        return fit_round(frames, path, *args, **options)

    monkeypatch.setattr("ase_schnet.learning.loop.fit_round", fit)
    with pytest.raises(KeyboardInterrupt):
        run_learning(copy, dataclasses.replace(asked, budget=BUDGET + 8))
    assert seen == [(BUDGET, BUDGET + 1), (BUDGET + 9, BUDGET + 9)]
    frames = read(copy / "labels.extxyz", ":")
    assert sorted(a.info["number"] for a in frames) == list(range(BUDGET + 9))


def test_only_a_finished_learning_is_extended(tmp_path):
    with pytest.raises(ValueError, match="holds no finished learning"):
        extend_learning(tmp_path / "nothing", [water()])
    assert not (tmp_path / "nothing").exists()


def test_a_reference_that_fails_now_and_then_ends_well_and_is_counted(tmp_path):
    """Of its failures some are raised, others are forces that are no numbers."""
    asked = settings(springs(tmp_path, after=SOME.format(RAISES, NO_NUMBER)))
    result = run_learning(tmp_path / "m", asked)
    last = result.rows[-1]
    assert last.labels + last.failed == last.calls == result.calls == 28 == calls(tmp_path)
    journal = (tmp_path / "m/labels.extxyz.journal").read_text()
    failed = [journal.count(why) for why in ("SCF not converged", "forces are not finite")]
    assert all(failed), "each of both occurs"
    assert sum(failed) == last.failed
    assert len(labels_of(result)) == last.labels


def test_a_reference_that_always_fails_is_said_in_one_line_and_nothing_is_lost(tmp_path):
    asked = settings(springs(tmp_path, after=RAISES))
    for _ in range(2):
        with pytest.raises(ValueError, match="too few structures have labels") as error:
            run_learning(tmp_path / "m", asked)
        assert "SCF not converged" in str(error.value)
        assert "\n" not in str(error.value)
        assert calls(tmp_path) == 20  # those of the first round; the second time none


def test_failed_labels_are_tried_again_when_it_is_asked_for(tmp_path, short_runs):
    """As after a licence server that did not answer; what has labels is not computed again."""
    there = tmp_path / "licence"
    script = springs(
        tmp_path,
        before=f"import os; assert atoms.positions[1, 1] > 0.85 or os.stat({str(there)!r})",
    )
    asked = settings(script, budget=20, members=5, round_steps=4, last_steps=4)
    with pytest.raises(ValueError, match="give the same call with retry_failed=True"):
        learn([water()], tmp_path / "m", asked, jobs=1)
    assert 0 < calls(tmp_path) < 10
    there.touch()
    with pytest.raises(ValueError, match="too few structures have labels"):
        learn([water()], tmp_path / "m", asked, jobs=1)
    told: list[str] = []
    for _ in range(2):
        again = learn([water()], tmp_path / "m", asked, jobs=1, retry_failed=True, tell=told.append)
        assert again.rows[0].labels == calls(tmp_path) == 20
    assert sum("no failed label was tried again" in words for words in told) == 1


def test_damaged_settings_cost_no_labels(tmp_path):
    """The directory holds what was paid for: nobody is told to remove it."""
    (tmp_path / "m").mkdir()
    (tmp_path / "m/learn.json").write_text("{")
    with pytest.raises(ValueError, match=r"learn\.json is damaged .*labels\.extxyz stays") as error:
        run_learning(tmp_path / "m", settings(springs(tmp_path)))
    assert "remove" not in str(error.value)


def test_too_many_members_for_the_budget_are_refused_before_anything_is_written(tmp_path):
    asked = settings(springs(tmp_path), budget=None, members=40)
    with pytest.raises(ValueError, match=r"a budget of 150 structures .* needs 160 for 40 members"):
        learn([water()], tmp_path / "m", asked, jobs=1)
    assert not list((tmp_path / "m").glob("*.json"))


def test_an_ion_is_learnt_and_the_model_knows_its_charge(tmp_path, short_runs):
    ion = water()
    ion.info["charge"] = -2
    script = springs(tmp_path)
    with pytest.raises(InputError, match="takes no charge"):
        learn([ion], tmp_path / "m", settings(script), jobs=1)
    assert not (tmp_path / "m").exists()
    path = tmp_path / "springs.py"
    path.write_text(f"{path.read_text()}\ndef charged(charge=0):\n    return Springs()\n")
    asked = settings(f"{path}:charged", budget=20, round_steps=4, last_steps=4)
    result = learn([ion], tmp_path / "m", asked, jobs=1)
    assert result.model.card["charge"] == -2
    assert {a.info["charge"] for a in labels_of(result)} == {-2}
    neutral = water()
    neutral.info["charge"] = 0
    neutral.calc = SchNetCalculator(tmp_path / "m")
    with pytest.raises(InputError, match="charge"):
        neutral.get_forces()


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("self.results['forces'] *= -1", "the forces look like gradients"),
        ("self.results['forces'] *= 0.529177", "the forces look like eV/Bohr"),
    ],
)
def test_a_script_whose_forces_are_not_the_slope_of_its_energies_is_refused(tmp_path, after, said):
    """It was learnt to the end of the budget, with small errors, since the same labels judged it."""
    asked = settings(springs(tmp_path, after=after))
    for _ in range(2):  # the same call again comes to the same, and computes nothing
        with pytest.raises(ValueError, match=f"cannot be right: .*{said}[^(]*learn in another"):
            run_learning(tmp_path / "m", asked)
        assert calls(tmp_path) == 20
    assert not (tmp_path / "m/rounds/0/model").exists()

"""Reports of learnings, finished or not."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from report_pages import files_below, outcomes

from ase_schnet.learning.reading import read_learning
from ase_schnet.learning.rounds import Row
from ase_schnet.model_directories import find_model
from ase_schnet.report.viewer import Structures
from ase_schnet.report.write import page_of


@pytest.fixture
def learning(tmp_path):
    """A learning after its third round, as its files lie on disk."""
    directory = tmp_path / "my_water"
    rng = np.random.default_rng(0)
    labels = []
    for k in range(3):
        row = Row(k, 10 * (k + 1), 9 * (k + 1), k + 1, 3, 30.0 / (k + 1), 5.0, 8 - (k == 1), 8)
        place = directory / "rounds" / str(k)
        place.mkdir(parents=True)
        (place / "round.json").write_text(json.dumps(asdict(row)))
        atoms = molecule("H2O")
        atoms.rattle(0.05, rng=rng)
        atoms.calc = EMT()
        results = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces()}
        atoms.calc = SinglePointCalculator(atoms, **results)
        atoms.info = {"round": k, "number": k, "share": "random", "kind": "run 500 K"}
        labels.append(atoms)
    settings = {"reference": "gfn2-xtb", "temperature_K": 500.0}
    (directory / "learn.json").write_text(json.dumps(settings))
    asked = {"budgets": [100], "goal_force_meV_per_Ang": 20.0}
    (directory / "asked_for.json").write_text(json.dumps(asked))
    write(directory / "labels.extxyz", labels)
    return directory


def finish(directory: Path, ended: str) -> None:
    """Add a model of the end, and the lives of its runs."""
    plan = {"temperature_K": 500.0, "time_ps": 5.0, "at_goal": True, "bias": 0.0}
    lives = [{"number": k, **plan, "life_ps": 5.0, "ended": ended * (k == 0)} for k in range(8)]
    place = directory / "rounds" / "last_30"
    place.mkdir()
    (place / "lives.json").write_text(json.dumps(lives))
    for name in ("model.json", "weights.safetensors"):
        shutil.copy(find_model("ethanol") / name, directory / name)


def test_an_unfinished_learning_is_shown_as_far_as_it_is_and_not_touched(learning):
    before = files_below(learning), sorted(learning.rglob("*"))
    page = page_of(learning)
    assert outcomes(page) == {"Goal": "INCONCLUSIVE"}
    assert "the same command goes on" in page.verdicts[0].words
    (shown,) = (b for s in page.sections for b in s.blocks if isinstance(b, Structures))
    assert shown.properties["round"].values.tolist() == [0, 1, 2]
    assert (files_below(learning), sorted(learning.rglob("*"))) == before


def test_a_finished_learning_is_judged_by_its_goal_and_the_lives_of_its_model(learning):
    finish(learning, "H1 and O0 0.5 Å apart")
    page = page_of(learning, structures=False)
    found = outcomes(page)
    assert found["Goal"] == "FAIL"  # in round 1 a run had been ended
    assert "the same command goes on" in page.verdicts[0].words  # with two of five rounds
    (learning / "asked_for.json").write_text(
        json.dumps({"budgets": [36], "goal_force_meV_per_Ang": 20.0})
    )
    assert "a larger --budget goes on" in page_of(learning, structures=False).verdicts[0].words
    assert found["Life"] == "FAIL"
    assert "H1 and O0" in page.html("")
    assert found["Training"] == "PASS"  # of the model
    row = json.loads((learning / "rounds/1/round.json").read_text())
    (learning / "rounds/1/round.json").write_text(json.dumps(row | {"runs_whole": 8}))
    assert read_learning(learning).reached


def test_before_its_first_round_there_is_nothing_to_report(learning):
    shutil.rmtree(learning / "rounds")
    with pytest.raises(ValueError, match="the same ase-schnet learn command goes on"):
        page_of(learning)

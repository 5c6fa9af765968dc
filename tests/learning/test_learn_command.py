"""The command: what it refuses, in one line and without a trace, and what its exit codes say."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import write
from learning_cases import LIFE_PS, few_short_runs, springs, water

from ase_schnet.cli import main
from ase_schnet.learning.rounds import Row
from ase_schnet.plotting import plot_learning, save_figure


def refusal(capsys, *arguments):
    """Return what the command says that refuses its input, in one line."""
    assert main(["learn", *map(str, arguments)]) == 2
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    lines = [line for line in said.err.splitlines() if not line.startswith("usage")]
    assert len(lines) == 1
    return lines[0]


@pytest.fixture
def files(tmp_path):
    """Structures in files, by name, and what else lies there."""
    write(tmp_path / "water.xyz", water())
    write(tmp_path / "cell.extxyz", bulk("Si", cubic=True))
    write(tmp_path / "radical.xyz", Atoms("CH3", molecule("CH3").positions))
    ion = Atoms("OH3", molecule("NH3").positions, info={"charge": 1})
    write(tmp_path / "ion.xyz", ion)
    write(tmp_path / "heavy.xyz", Atoms("UO", [[0, 0, 0], [1.8, 0, 0]]))
    write(tmp_path / "atom.xyz", Atoms("He"))
    write(tmp_path / "ammonia.xyz", molecule("NH3"))
    write(tmp_path / "clash.xyz", Atoms("H2", [[0, 0, 0], [0.02, 0, 0]]))
    (tmp_path / "broken.py").write_text("raise RuntimeError('no licence')\n")
    return tmp_path


REFUSED = [
    ([], "give the STRUCTURE"),
    (["water.xyz"], "-o DIR"),
    (["water.xyz", "-o", "m", "--reference", "orca"], "known are gfn2-xtb, .*FILE.py:NAME"),
    (["water.xyz", "-o", "m", "--reference", "nothing.py:calc"], "nothing.py"),
    (["water.xyz", "-o", "m", "--reference", "broken.py:calc"], "no licence"),
    (["heavy.xyz", "-o", "m"], "structure 0: GFN2-xTB has no parameters for U"),
    (["atom.xyz", "-o", "m"], "structure 0 is one atom"),
    (["radical.xyz", "-o", "m"], "structure 0: CH3 has 9 electrons"),
    (["water.xyz", "-o", "m", "--charge", "1", "--multiplicity", "1"], "cannot have multiplicity"),
    (["ion.xyz", "-o", "m", "--charge", "0"], r"ion.xyz states charge \+1: leave --charge 0 out"),
    (["water.xyz", "cell.extxyz", "-o", "m"], "some structures are molecules and some are cells"),
    (["water.xyz", "ammonia.xyz", "-o", "m"], "different molecules: learn them apart"),
    (["clash.xyz", "-o", "m"], "structure 0 has two atoms far too near"),
    (["water.xyz", "-o", "m", "--toward", "scan 0 1 90 200"], "from 90 to 200 Å"),
    (["water.xyz", "-o", "m", "--budget", "0"], "budget must be a whole number of at least 1"),
    (["water.xyz", "-o", "m", "--budget", "19"], "budget of 19 structures is smaller"),
    (["water.xyz", "-o", "m", "--members", "1"], "members must be a whole number of at least 2"),
    (["water.xyz", "-o", "m", "--temperature", "0"], "temperature must be above 0"),
    (["water.xyz", "-o", "m", "--goal-force", "-3"], "--goal-force must be above 0"),
    (["water.xyz", "-o", "m", "--hours", "0"], "hours must be above 0"),
    (["water.xyz", "-o", "m", "--jobs", "0"], "jobs must be"),
    (["water.xyz", "-o", "m", "--time-limit", "-1"], "--time-limit must be above 0"),
    (["water.xyz", "-o", "m", "--toward", "ir"], "needs dipoles"),
    (["water.xyz", "-o", "m", "--toward", "scan 0 7 1 2"], "atom 7 does not exist"),
    (["water.xyz", "-o", "m", "--toward", "sing"], "no aim 'sing'; known are"),
    (["ammonia.xyz", "-o", "m", "--start-from", "methanol"], "not trained on N; it knows H, C, O"),
    (["water.xyz", "-o", "m", "--start-from", "nothing"], "no model 'nothing'"),
    (["nowhere.xyz", "-o", "m"], "nowhere.xyz"),
    (["--continue", "m"], "--continue DIR and --collect FILE belong together"),
    (["--collect", "water.xyz"], "belong together"),
    (["--continue", "m", "--collect", "water.xyz", "-o", "n"], "writes into its DIR"),
    (["--continue", "m", "--collect", "water.xyz"], "holds no finished learning"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_bad_input_is_one_line_and_leaves_nothing_behind(
    files, monkeypatch, capsys, arguments, said
):
    monkeypatch.chdir(files)
    monkeypatch.setattr("ase_schnet.learning.loop.Loop.run", lambda *_: 1 / 0)  # it gets so far
    before = sorted(files.rglob("*"))
    found = refusal(capsys, *arguments)
    assert re.search(said, found), found
    assert [p for p in sorted(files.rglob("*")) if "__pycache__" not in str(p)] == before


def test_a_cheap_method_that_is_unknown_is_refused_for_a_dear_reference(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    asked = ["water.xyz", "-o", "m", "--reference", springs(files), "--cheap", "pm6"]
    assert "'pm6' is no reference method" in refusal(capsys, *asked)
    assert not (files / "m").exists()


def test_a_directory_with_another_model_is_left_alone(files, monkeypatch, capsys):
    monkeypatch.chdir(files)
    (files / "m").mkdir()
    (files / "m/model.json").write_text("{}")
    assert "holds another model" in refusal(capsys, "water.xyz", "-o", "m")
    assert [path.name for path in (files / "m").iterdir()] == ["model.json"]


def test_help_names_the_aims_and_the_exit_codes(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["learn", "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for text in ("normal-modes", "scan I J FROM TO", "md T PS", "exit code: 0", "--time-limit"):
        assert text in said


@pytest.mark.slow
@pytest.mark.parametrize(("goal", "code"), [(1e9, 0), (1e-9, 1)])
def test_the_exit_code_says_whether_the_goal_was_met(files, monkeypatch, capsys, goal, code):
    monkeypatch.chdir(files)
    few_short_runs(monkeypatch)
    # a model of few steps leaves its data at once, which is no question here
    monkeypatch.setattr("ase_schnet.learning.explore.StructureWatch.find", lambda *_: {})
    monkeypatch.setattr("ase_schnet.learning.fit.MOST_EPOCHS", 5)
    options = ["--members", "2", "--life", LIFE_PS, "--jobs", "1", "--goal-force", goal]
    options += ["--budget", "36", "--cheap", "none", "--reference", springs(files)]
    assert main(["learn", "water.xyz", "-o", "m", *map(str, options)]) == code
    said = capsys.readouterr().out
    assert ("the goal was met 2 times in a row" in said) == (code == 0)
    assert ("the budget of 36 structures is spent" in said) == (code == 1)
    assert (files / "m/learning.png").stat().st_size > 10_000
    assert "SchNetCalculator('m')" in said


# the picture


def row(k, error):
    calls = 20 + 8 * k
    return Row(k, calls, calls, 0, 2, error, error, 8 - k, 8 if k else 0)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_picture_shows_each_model_where_its_labels_ended(n, tmp_path):
    rows = [row(k, 100.0 / k if k else float("nan")) for k in range(n)]
    figure = plot_learning(rows, 20.0, (20 + 8 * n, 15.0, 1.0))
    errors, lives = figure.axes
    judged, end, goal = (line.get_xydata() for line in errors.lines)
    # row k judges the model of round k - 1
    expected = [(20 + 8 * (k - 1), 100.0 / k) for k in range(1, n)]
    np.testing.assert_allclose(judged, np.reshape(expected, (-1, 2)))
    np.testing.assert_allclose(end, [[20 + 8 * n, 15.0]])
    assert set(goal[:, 1]) == {20.0}
    shares = [(20 + 8 * (k - 1), 100 * (8 - k) / 8) for k in range(1, n)]
    np.testing.assert_allclose(lives.lines[0].get_xydata(), np.reshape(shares, (-1, 2)))
    assert save_figure(figure, tmp_path / "learning.png").stat().st_size > 10_000

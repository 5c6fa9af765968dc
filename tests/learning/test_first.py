"""Structures of aims from calculators that fail, and where runs begin."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from learning_cases import RAISES, calls, few_short_runs, run_learning, settings, springs, water

from ase_schnet import LearnSettings, learn
from ase_schnet.labelling.reference import read_reference
from ase_schnet.learning import loop
from ase_schnet.learning.aims import read_aim
from ase_schnet.learning.explore import RunPlan, _looked_at
from ase_schnet.learning.first import (
    check_starts,
    evaluated,
    first_candidates,
    structures_of_aims,
)
from ase_schnet.learning.settings import Methods

AIMS = [read_aim("scan 0 1 0.9 1.3"), read_aim("normal-modes")]


def found(reference, aims=AIMS):
    return structures_of_aims(aims, water(), reference, np.random.default_rng(0))


def test_structures_of_aims_say_what_they_are_for_and_carry_no_constraint(tmp_path):
    rest = water()
    rest.info["charge"] = 0
    frames = structures_of_aims(
        AIMS, rest, read_reference(springs(tmp_path)), np.random.default_rng(0)
    )
    assert len(frames) == 128 + 40
    assert {a.info["aim"] for a in frames} == {"scan 0 1 0.9 1.3", "normal-modes"}
    assert all(not a.constraints and not a.info["at_goal"] for a in frames)
    assert all(a.info["charge"] == 0 for a in frames)


def test_a_calculator_that_fails_on_the_way_to_an_aim_ends_nothing(tmp_path):
    far = "if np.linalg.norm(atoms.positions[1] - atoms.positions[0]) > 1.1: " + RAISES
    assert len(found(read_reference(springs(tmp_path, after=far)))) == 168
    always = read_reference(springs(tmp_path, after="raise RuntimeError('licence expired')"))
    with pytest.warns(UserWarning, match="no structures toward .*licence expired"):
        assert found(always) == []


def test_structures_on_which_a_method_fails_are_told_from_the_others(tmp_path):
    far = "if np.linalg.norm(atoms.positions[1] - atoms.positions[0]) > 1.1: " + RAISES
    frames = [water() for _ in range(3)]
    frames[1].positions[1, 1] += 1.0
    first, failed, last = evaluated(frames, read_reference(springs(tmp_path, after=far)))
    assert failed is None
    np.testing.assert_array_equal(first[1], last[1])
    assert first[1].shape == (3, 3)


def test_the_frame_that_a_monitor_would_stop_is_the_last_and_is_marked(tmp_path, monkeypatch):
    monkeypatch.setattr(
        "ase_schnet.learning.explore.StructureWatch.find",
        lambda _, atoms: {"bond": "apart"} if atoms.get_distance(0, 1) > 3 else {},
    )
    frames = [water() for _ in range(4)]
    frames[2].positions[1, 1] += 4.0
    plan = RunPlan(0, 300.0, 0.1, True)
    seen, why = _looked_at(frames, read_reference(springs(tmp_path))(water()), plan)
    assert why == "apart"
    assert [a.info.get("stopped", False) for a in seen] == [False, False, True]


@pytest.mark.slow
def test_displaced_structures_are_no_higher_in_energy_than_the_hottest_runs(tmp_path, monkeypatch):
    """The most different structures had forces of 60 eV/Å, and were a quarter of all labels."""
    pytest.importorskip("tblite", reason="tblite is not installed")
    few_short_runs(monkeypatch)
    asked = settings("gfn2-xtb")
    methods = Methods.of(asked, periodic=False)
    start = molecule("CH3CH2OH")
    frames = first_candidates([start], methods, asked, 40, tmp_path / "parts", 1, False)
    energies, kinds = [], [atoms.info["kind"] for atoms in frames]
    for atoms in frames:
        atoms.calc = methods.sampler(atoms)
        energies.append(atoms.get_potential_energy())
    of_runs = [e for e, kind in zip(energies, kinds, strict=True) if kind.startswith("md ")]
    assert len(of_runs) > 50
    assert {"displaced", "rotated"} <= set(kinds)
    assert max(energies) == max(of_runs)
    assert len(frames) < 120  # as many were sampled


@pytest.mark.slow
def test_with_a_pretraining_the_first_round_has_runs_alone(tmp_path, monkeypatch):
    """The pool of the cheap method has what is displaced, turned and stretched."""
    pytest.importorskip("tblite", reason="tblite is not installed")
    few_short_runs(monkeypatch)
    asked = settings(springs(tmp_path), cheap="gfn2-xtb")
    methods = Methods.of(asked, periodic=False)
    assert methods.pretrains
    frames = first_candidates([water()], methods, asked, 10, tmp_path / "parts", 1, False)
    kinds = {atoms.info["kind"] for atoms in frames}
    assert len(kinds) == 3
    assert all(kind.startswith("md ") for kind in kinds)
    assert {atoms.info["kind"] for atoms in frames if atoms.info["at_goal"]} == {
        f"md {asked.temperature_K:g} K"
    }


@pytest.mark.slow
def test_hours_end_it_between_two_rounds_and_the_same_call_goes_on(tmp_path, monkeypatch):
    few_short_runs(monkeypatch)
    asked = settings(springs(tmp_path), round_steps=4, last_steps=4)
    first = learn([water()], tmp_path / "m", asked, hours=1e-9, jobs=1)
    assert first.ended == "1e-09 h are over"
    assert (len(first.rows), first.calls, first.reached) == (1, 20, False)
    second = learn([water()], tmp_path / "m", asked, jobs=1)
    assert (len(second.rows), second.calls) == (2, 28)
    assert second.model.checksum != first.model.checksum
    assert calls(tmp_path) == 28


@pytest.mark.slow
def test_a_model_asked_for_in_the_middle_of_a_round_is_that_of_its_end(tmp_path, monkeypatch):
    """It rests on as many structures; which of them judge may not depend on how many rounds are done."""
    few_short_runs(monkeypatch)
    asked = settings(springs(tmp_path), budget=92, life_ps=0.4, round_steps=4, last_steps=4)
    label = loop.labels_of

    def stopped(frames, *rest):
        if frames[-1].info["round"] == 2:
            raise KeyboardInterrupt
        return label(frames, *rest)

    monkeypatch.setattr(loop, "labels_of", stopped)
    with pytest.raises(KeyboardInterrupt):
        learn([water()], tmp_path / "m", asked, jobs=1)
    monkeypatch.setattr(loop, "labels_of", label)
    early = learn([water()], tmp_path / "m", asked, hours=1e-9, jobs=1)
    whole = learn([water()], tmp_path / "m", asked, jobs=1)
    assert (len(early.rows), len(whole.rows)) == (2, 3)
    assert early.calls == whole.calls == calls(tmp_path)
    assert early.model.checksum == whole.model.checksum


@pytest.mark.slow
def test_a_round_that_finds_nothing_new_ends_nothing(tmp_path, monkeypatch):
    """Later ones may, also those of a raised budget."""
    few_short_runs(monkeypatch)
    found = loop.choose
    monkeypatch.setattr(
        loop,
        "choose",
        lambda frames, known, *a, **k: [] if known else found(frames, known, *a, **k),
    )
    asked = settings(springs(tmp_path), budget=40, round_steps=4, last_steps=4)
    for _ in range(2):
        result = learn([water()], tmp_path / "m", asked, jobs=1)
        assert result.ended == "all rounds are done, and found 20 structures of a budget of 40"
        assert result.calls == calls(tmp_path) == 20
    monkeypatch.setattr(loop, "choose", found)
    raised = learn([water()], tmp_path / "m", replace(asked, budget=48), jobs=1)
    assert raised.calls == calls(tmp_path) == 28


@pytest.mark.slow
def test_a_spent_budget_may_be_raised_and_the_goal_changed(tmp_path):
    """The rounds of before stay what they are; no label is computed again."""
    reference = springs(tmp_path)
    first = run_learning(tmp_path / "m", settings(reference, round_steps=4, last_steps=4))
    assert (len(first.rows), first.calls, first.reached) == (2, 28, False)
    more = {"budget": 36, "goal_force_meV_per_Ang": 1e9}
    raised = run_learning(tmp_path / "m", settings(reference, round_steps=4, last_steps=4, **more))
    assert raised.calls == calls(tmp_path) == 36
    assert raised.rows[1].forces_mae_meV_per_Ang == first.rows[1].forces_mae_meV_per_Ang
    whole = [row.runs_whole == row.runs for row in raised.rows[1:]]
    assert [row.goal_met for row in raised.rows[1:]] == whole
    with pytest.raises(ValueError, match="36 structures already and can only be raised, not be 28"):
        run_learning(tmp_path / "m", settings(reference, round_steps=4, last_steps=4))


def test_a_learning_goes_on_from_another_folder(tmp_path, monkeypatch):
    """A script that was named from where the user stood is found again."""
    springs(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ase_schnet.learning.loop.Loop.run", lambda *_: None)
    learn([water()], tmp_path / "m", settings("springs.py:Springs"), jobs=1)
    monkeypatch.chdir(tmp_path.parent)
    again = settings(f"{tmp_path / 'springs.py'}:Springs")
    learn([water()], tmp_path / "m", again, jobs=1)  # the same, or an error


@pytest.mark.parametrize(
    ("start", "aim", "breaks"),
    [
        ("CH3CH2OH", "scan 2 3 0.9 3.0", True),
        ("CH3CH2OH", "scan 2 3 0.8 1.4", False),
        ("CH3CH2OH", "scan 1 0 3.0 1.4", True),
        ("CH3CH2OH", "scan 1 0 2 60 180", False),
        ("CH3CH2OH", "normal-modes", False),
        ("CH3CH2OH", "md 700 5", False),
        ("enol", "scan 4 6 0.9 1.7", False),
        ("C3H6_D3h", "scan 0 1 1.4 3.0", True),
        ("C3H6_D3h", "scan 0 1 1.4 1.7", False),
    ],
)
def test_an_aim_says_whether_it_breaks_a_bond_and_a_transfer_is_none(start, aim, breaks):
    enol = Atoms(
        "CCOCOHHHH",
        [
            [-1.677, 1.248, 1.047],
            [-3.106, 1.331, 1.074],
            [-0.984, 1.560, 0.081],
            [-3.776, 1.780, -0.021],
            [-3.197, 2.156, -1.137],
            [-1.198, 0.877, 1.967],
            [-2.211, 2.045, -1.013],
            [-3.638, 1.037, 1.961],
            [-4.858, 1.858, -0.039],
        ],
    )
    atoms = enol if start == "enol" else molecule(start)
    assert read_aim(aim).breaks_a_bond(atoms) == breaks


def test_a_restricted_method_is_said_not_to_break_bonds():
    starts, aims = [molecule("CH3CH2OH")], [read_aim("scan 2 3 0.9 3.0")]
    for reference in ("pyscf:PBE/def2-SVP", "pyscf:PBE/def2-SVP:uks"):
        methods = Methods.of(LearnSettings(reference=reference), periodic=False)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            check_starts(starts, aims, methods)
        said = [str(w.message) for w in caught if "breaks a bond" in str(w.message)]
        assert bool(said) == (not reference.endswith(":uks"))
        assert all("pyscf:PBE/def2-SVP:uks lets them part" in words for words in said)


def test_unpaired_electrons_are_no_restricted_ones():
    reference = read_reference("pyscf:PBE/def2-SVP")
    atoms = molecule("CH3CH2OH")
    assert reference.keeps_spins_paired(atoms)
    atoms.info["multiplicity"] = 3
    assert not reference.keeps_spins_paired(atoms)
    assert not reference.keeps_spins_paired(molecule("CH3CH2O"))
    assert not read_reference("gfn2-xtb").keeps_spins_paired(molecule("CH3CH2OH"))

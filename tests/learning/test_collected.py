"""What a later run ran into: which structures are learnt, and what is done with them."""

from dataclasses import replace

import numpy as np
import pytest
from ase.calculators.calculator import InputError
from learning_cases import calls, few_short_runs, settings, springs, water

from ase_schnet import learn
from ase_schnet.learning.asked import add, apart
from ase_schnet.learning.learn import extend_learning
from ase_schnet.learning.result import spent
from ase_schnet.training.description import origin_lines


def met(by_Ang=0.1, **info):
    atoms = water()
    atoms.positions[1, 1] += by_Ang
    atoms.info |= info
    return atoms


def test_structures_whose_atoms_collide_are_left_out():
    """Forces of 10¹⁰ eV/Å spoilt the model, and every call after it ended in an error."""
    together = water()
    together.positions[1] = together.positions[0] + [1e-4, 0, 0]
    assert apart([met(), together]) == [met()]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_positions_that_are_no_numbers_are_refused_before_anything_is_written(value):
    wrong = water()
    wrong.positions[2, 0] = value
    with pytest.raises(InputError, match=r"structure 1 of those collected .* not numbers"):
        apart([met(), wrong])


@pytest.mark.parametrize(
    ("info", "said"),
    [
        ({"charge": 1, "multiplicity": 2}, "has charge [+]1, not 0"),
        ({"total_charge": -1}, "has charge -1, not 0"),
        ({"multiplicity": 3}, "has multiplicity 3, not 1"),
    ],
)
def test_structures_of_another_charge_or_spin_are_refused(tmp_path, info, said):
    """They were labelled with those of what is learnt."""
    with pytest.raises(ValueError, match=f"structure 1 of those collected {said}"):
        add(tmp_path, [met(charge=0), met(**info)], water())
    assert not list(tmp_path.rglob("*.extxyz"))


def test_a_budget_that_found_too_few_structures_is_not_called_spent():
    assert spent(40, 40) == "the budget of 40 structures is spent"
    assert spent(32, 40) == "all rounds are done, and found 32 structures of a budget of 40"


@pytest.mark.slow
def test_an_extension_begins_no_round_that_hours_had_left_undone(tmp_path, monkeypatch):
    few_short_runs(monkeypatch)
    asked, told = settings(springs(tmp_path), round_steps=4, last_steps=4), []
    first = learn([water()], tmp_path / "m", asked, hours=1e-9, jobs=1, tell=told.append)
    assert "the same call goes on with the next round" in first.summary()
    assert "larger budget" not in first.summary()
    kept_out = first.model.card["kept_out"]
    assert f"energy {kept_out['energy_mae_meV']:.1f} meV on" in first.summary()
    bad = {"error_over_spread": {"energy": 6.7}, "reasons": ["energies are wrong by 726 meV/atom"]}
    failed = replace(first.model, card={**first.model.card, "verdict": bad})
    assert "\nFAIL: energies are wrong" in replace(first, model=failed).summary()
    assert origin_lines(first.model.card)[0] == "data        20 structures, in eV, Ang"
    assert any("left, without the runs of its models" in line for line in told)
    together = water()
    together.positions[1] = together.positions[0] + [1e-4, 0, 0]
    extended = extend_learning(tmp_path / "m", [met(), together], jobs=1, tell=told.append)
    assert "1 of 2 structures left out: their atoms collide" in told
    assert (len(extended.rows), extended.rounds_left, extended.calls) == (1, 1, 21)
    assert extended.ended == "rounds are left"
    told.clear()
    last = learn([water()], tmp_path / "m", replace(asked, budget=28), jobs=1, tell=told.append)
    assert (len(last.rows), last.rounds_left) == (2, 0)
    assert calls(tmp_path) == last.calls == 29
    # no model was trained in this call: nobody knows how long that of the end takes
    assert not any(line.startswith("round 1 took") for line in told)

"""What may be asked for: settings, rounds, aims."""

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from learning_cases import water

from ase_schnet.learning.aims import FORMS, read_aim
from ase_schnet.learning.asked import identity_of
from ase_schnet.learning.fit import Fitted, _pretraining, divided
from ase_schnet.learning.rounds import agreed_budgets, least_of_many
from ase_schnet.learning.settings import (
    LEAST_LATER,
    LEAST_OF_MANY,
    SMALLEST_ROUND,
    LearnSettings,
    Methods,
    sizes_of_rounds,
)


@pytest.mark.parametrize("budget", [*range(20, 130), 150, 333, 1000, 4321])
def test_rounds_spend_the_budget_and_none_is_too_small_to_judge(budget):
    sizes = sizes_of_rounds([budget], 5)
    assert sum(sizes) == budget
    assert sizes[0] >= SMALLEST_ROUND
    assert min(sizes[1:], default=8) >= 8  # two of them are random
    assert max(sizes[1:], default=0) - min(sizes[1:], default=0) <= 1
    assert len(sizes) <= 5


def test_no_more_rounds_than_are_worth_the_training_of_their_models():
    assert sizes_of_rounds([1000], 5) == [333, 167, 167, 167, 166]
    assert sizes_of_rounds([150], 5) == [50, 50, 50]


def test_a_learning_of_an_older_version_keeps_its_rounds(tmp_path):
    """Its directory does not say how the budget was divided, into rounds of at least eight."""
    assert sizes_of_rounds([150], 5, LEAST_LATER) == [50, 25, 25, 25, 25]
    assert least_of_many(tmp_path) == LEAST_OF_MANY
    (tmp_path / "asked_for.json").write_text('{"budgets": [150]}')
    assert least_of_many(tmp_path) == LEAST_LATER
    agreed_budgets(tmp_path, 200, 150, 10.0)
    assert least_of_many(tmp_path) == LEAST_LATER


def test_the_first_round_has_four_structures_for_each_member():
    assert sizes_of_rounds([60], 12) == [48, 12]
    assert sizes_of_rounds([150], 30)[0] == 120
    with pytest.raises(ValueError, match="needs 160 for 40 members"):
        sizes_of_rounds([150], 40)


def test_a_raised_budget_adds_rounds_behind_those_of_before():
    assert sizes_of_rounds([150, 250], 5) == [50, 50, 50, 50, 50]
    assert sizes_of_rounds([30, 31, 40], 5) == [20, 10, 1, 9]


def test_a_budget_is_kept_raised_and_never_lowered(tmp_path):
    assert agreed_budgets(tmp_path, None, 150, 20.0) == [150]
    assert agreed_budgets(tmp_path, None, 1000, 20.0) == [150]
    assert agreed_budgets(tmp_path, 200, 150, 10.0) == [150, 200]
    assert agreed_budgets(tmp_path, 200, 150, 10.0) == [150, 200]
    with pytest.raises(
        ValueError, match="is 200 structures already and can only be raised, not be 150"
    ):
        agreed_budgets(tmp_path, 150, 150, 10.0)


def test_for_a_last_training_random_structures_of_earlier_rounds_are_kept_out_too():
    """Its members begin anew; nine are needed for error bars."""
    frames = [water() for _ in range(28)]
    for number, atoms in enumerate(frames):
        round_ = 0 if number < 20 else 5
        share = "random" if number < 5 or number in (20, 21) else "chosen"
        atoms.info = {"number": number, "round": round_, "share": share}
    assert len(divided(frames, 2, 5)[0].kept_out) == 2
    assert len(divided(frames, 2, 5, at_least=7)[0].kept_out) == 7


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (
            {"budget": 19},
            "a budget of 19 structures is smaller than the first round, which needs 20",
        ),
        ({"budget": 39, "members": 10}, "needs 40 for 10 members"),
        ({"budget": 40, "members": 12}, "needs 48 for 12 members"),
        ({"budget": 100.5}, "budget must be a whole number"),
        ({"temperature_K": 0}, "temperature_K must be above 0"),
        ({"temperature_K": float("nan")}, "temperature_K must be above 0"),
        ({"goal_force_meV_per_Ang": 0}, "goal_force_meV_per_Ang must be above 0"),
        ({"life_ps": -1}, "life_ps must be above 0"),
        ({"members": 1}, "members must be a whole number of at least 2"),
        ({"round_steps": 0}, "round_steps"),
        ({"seed": -1}, "seed"),
        ({"toward": ("ir",)}, "dipoles"),
    ],
)
def test_impossible_settings_are_refused_by_name(wrong, said):
    with pytest.raises(ValueError, match=said):
        LearnSettings(**wrong)


def test_a_quick_reference_is_its_own_sampler_and_a_dear_one_has_help(tmp_path):
    (tmp_path / "emt.py").write_text("from ase.calculators.emt import EMT\n")
    script = f"{tmp_path}/emt.py:EMT"
    quick = Methods.of(LearnSettings(), periodic=False)
    assert quick.is_quick
    assert not quick.pretrains
    dear = Methods.of(LearnSettings(reference=script), periodic=False)
    assert dear.sampler.text == "gfn2-xtb"
    assert dear.pretrains
    assert not dear.is_quick
    assert dear.random_share > quick.random_share > 0
    assert quick.chooses_by_doubt
    assert not dear.chooses_by_doubt
    for settings, periodic in (
        (LearnSettings(reference=script, cheap=None), False),
        (LearnSettings(reference=script), True),
    ):
        alone = Methods.of(settings, periodic=periodic)
        assert alone.sampler is None
        assert not alone.pretrains
    with pytest.raises(ValueError, match=r"the cheap method is the reference, .*emt.py:EMT: give"):
        Methods.of(LearnSettings(reference=script, cheap=script), periodic=False)
    with pytest.raises(ValueError, match="no reference method; known are gfn2-xtb"):
        Methods.of(LearnSettings(reference="orca"), periodic=False)


def test_a_temperature_at_which_nothing_stays_bound_is_refused():
    with pytest.raises(ValueError, match=r"twice temperature_K is 2e\+09 K, above 20000 K"):
        LearnSettings(temperature_K=1e9)


def test_the_second_cheap_method_is_never_the_first(tmp_path):
    (tmp_path / "emt.py").write_text("from ase.calculators.emt import EMT\n")
    for cheap, second in (
        ("gfn2-xtb", "gfn1-xtb"),
        ("gfn1-xtb", "gfn2-xtb"),
        ("gfn1-xtb:5000", "gfn2-xtb"),
        (f"{tmp_path}/emt.py:EMT", "gfn1-xtb"),
    ):
        settings = LearnSettings(reference="pyscf:PBE/def2-SVP", cheap=cheap)
        methods = Methods.of(settings, periodic=False)
        assert _pretraining(settings, methods, last=True).second == second


def test_a_cheap_script_is_found_again_from_another_folder(tmp_path, monkeypatch):
    """Also where it pretrains nothing, and only moves the atoms of the first round."""
    (tmp_path / "emt.py").write_text("from ase.calculators.emt import EMT\n")
    monkeypatch.chdir(tmp_path)
    settings = LearnSettings(
        reference="pyscf:PBE/def2-SVP", cheap="emt.py:EMT", start_from="ethanol"
    )
    told = identity_of([molecule("CH3CH2OH")], settings, Methods.of(settings, periodic=False))
    assert told["cheap"] == f"{tmp_path.resolve()}/emt.py:EMT"


# aims


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            " ",
            "md",
            "md 500",
            "md x 1",
            "md -5 1",
            "md 500 0",
            "md nan 1",
            "md 1 2 3",
            "md 1e6 1",
        ),
        *("scan", "scan 0 1", "scan 0 1 2", "scan a b 1 2", "scan 0 1 x 2", "scan 0 1 2 3 4 5 6"),
        *("scan 0.5 1 1 2", "normal-modes 3", "modes", "MD 500 1", "raman", "scan 0 1 1 inf"),
    ],
)
def test_a_text_that_is_no_aim_is_refused_with_the_known_forms(text):
    with pytest.raises(ValueError, match="known are") as refusal:
        read_aim(text)
    assert FORMS in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_infrared_spectrum_is_refused_with_its_reason():
    with pytest.raises(ValueError, match=r"needs dipoles, which are not learnt here.*train-dipole"):
        read_aim("ir")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("scan 0 9 1 2", "atom 9 does not exist"),
        ("scan -1 0 1 2", "atom -1 does not exist"),
        ("scan 0 0 1 2", "two different atoms"),
        ("scan 0 1 0 2", "positive"),
        ("scan 1 0 2 90 200", "at most 180"),
        ("scan 1 0 2 90 180", "between 5 and 175"),
        ("scan 0 1 1 1", "FROM and TO must differ"),
    ],
)
def test_a_scan_that_the_structure_does_not_allow_is_refused(text, said):
    with pytest.raises(ValueError, match=f"the aim '{text}'.*{said}"):
        read_aim(text).check(molecule("H2O"))


@pytest.mark.parametrize(
    ("text", "measure", "first", "last"),
    [
        ("scan 0 1 0.9 1.4", lambda a: a.get_distance(0, 1), 0.9, 1.4),
        ("scan 1 0 2 95 120", lambda a: a.get_angle(1, 0, 2), 95, 120),
        ("scan 2 0 1 3 60 120", lambda a: a.get_dihedral(2, 0, 1, 3), 60, 120),
    ],
)
def test_the_structures_of_a_scan_go_from_its_first_value_to_its_last(text, measure, first, last):
    rest = molecule("H2O2" if "3" in text.split()[:-2] else "H2O")
    frames = read_aim(text).structures(rest, EMT(), np.random.default_rng(0))
    assert len(frames) == 2 * 16 * 4  # rigid and relaxed, points, each with three displaced copies
    on_path = sorted(measure(a) for a in frames[::4])
    np.testing.assert_allclose(on_path, np.repeat(np.linspace(first, last, 16), 2), atol=0.1)
    moved = [np.abs(a.positions - frames[0].positions).max() for a in frames[1:4]]
    assert 0.01 < min(moved) < max(moved) < 0.3


def test_normal_modes_want_small_displacements_about_the_structure_at_rest():
    rest, rng = molecule("H2O"), np.random.default_rng(0)
    rest.positions[1] += 0.2
    frames = read_aim("normal-modes").structures(rest, EMT(), rng)
    mean = np.mean([a.positions for a in frames], axis=0)
    rest.positions, rest.calc = mean, EMT()
    assert np.abs(rest.get_forces()).max() < 0.5  # eV/Å; it was 5 where the user put it
    assert np.std([a.positions for a in frames], axis=0).mean() == pytest.approx(0.03, rel=0.2)


def test_dynamics_wants_runs_and_no_structures():
    aim = read_aim("md 700 20")
    assert (aim.temperature_K, aim.time_ps) == (700, 20)
    assert aim.structures(molecule("H2O"), EMT(), np.random.default_rng(0)) == []


def test_ctrl_c_in_a_scan_ends_it_all():
    class Stopped(EMT):
        calls = 0

        def calculate(self, *arguments):
            Stopped.calls += 1
            if Stopped.calls > 5:
                raise KeyboardInterrupt
            super().calculate(*arguments)

    with pytest.raises(KeyboardInterrupt):  # the scan itself returns what it has
        read_aim("scan 0 1 0.9 1.4").structures(
            molecule("H2O"), Stopped(), np.random.default_rng(0)
        )


# how labels are divided


def labelled(n, rounds, random_share=4):
    frames = []
    for k in range(n * rounds):
        atoms = molecule("H2")
        share = "random" if k % random_share == 0 else "chosen"
        atoms.info = {"number": k, "round": k // n, "share": share}
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("members", [2, 5])
def test_no_member_is_ever_trained_on_what_validated_it(members):
    frames = labelled(20, 4)
    validated, judged = [set() for _ in range(members)], set()
    for round_ in range(4):
        now = [a for a in frames if a.info["round"] <= round_]
        if round_ > 1:
            now = now[1:]  # one failed, as it seems later
        plan, split = divided(now, members, round_)
        kept = {now[k].info["number"] for k in plan.kept_out}
        assert kept == {
            a.info["number"]
            for a in now
            if a.info["share"] == "random" and a.info["round"] >= round_ - 1
        }
        judged |= kept
        for f in range(members):
            validated[f] |= {now[k].info["number"] for k in plan.validation(f)}
            trained = {now[k].info["number"] for k in plan.training(f)}
            assert not trained & validated[f]
            assert not trained & kept
        everything = np.concatenate([*plan.folds, plan.kept_out])
        assert sorted(everything) == list(range(len(now)))
        assert split.training + split.validation + split.random == len(now)


def test_of_many_random_structures_a_quarter_of_each_round_is_kept_out():
    frames = labelled(20, 3)
    for atoms in frames:
        atoms.info["share"] = "random" if atoms.info["number"] % 2 else "chosen"
    plan, split = divided(frames, 2, 2, 1)
    assert split.random == 5
    assert {frames[k].info["round"] for k in plan.kept_out} == {2}
    assert divided(frames, 2, 2, 1, at_least=9)[1].random == 10
    # the same ones, and no others, when they are of the round before
    earlier = divided(frames[:40], 2, 1, 1)[0].kept_out
    assert set(earlier) < set(divided(frames, 2, 2, 2)[0].kept_out)


def test_without_random_structures_of_late_the_last_ones_judge():
    frames = labelled(20, 4)
    late = [a for a in frames if a.info["round"] < 2 or a.info["share"] != "random"]
    plan, split = divided(late, 2, 3)
    assert {late[k].info["round"] for k in plan.kept_out} == {1}
    assert split.random == 5


@pytest.mark.parametrize(
    ("reference", "expected_s"),
    [("pyscf:PBE/def2-SVP", 3.4 * (10 + 5 * 6)), ("gfn2-xtb", 4.75 * 6)],
)
def test_the_last_training_is_told_by_what_a_round_took(reference, expected_s):
    """Its pool is 3.4 times as large, and its members learn it for five times as many epochs."""
    settings = LearnSettings(reference=reference)
    fitted = Fitted(model=None, preparing_s=10, training_s=6)
    assert fitted.last_s(settings, Methods.of(settings, periodic=False)) == pytest.approx(
        expected_s
    )

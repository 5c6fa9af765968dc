"""Which runs a round sends its model on."""

from collections import Counter

import pytest
from learning_cases import settings, springs

from ase_schnet.learning.explore import HOTTER_RUNS, RUNS, plan_runs
from ase_schnet.learning.settings import Methods


def kinds(plans):
    return Counter((p.temperature_K, p.bias > 0) for p in plans if not p.at_goal)


def test_the_model_is_run_as_it_will_be_used_and_biased_and_hotter():
    plans = plan_runs([(300.0, 5.0), (400.0, 10.0)])
    wanted = Counter((p.temperature_K, p.time_ps, p.bias) for p in plans if p.at_goal)
    assert wanted == {(300.0, 5.0, 0.0): RUNS, (400.0, 10.0, 0.0): RUNS}
    assert kinds(plans) == dict.fromkeys(
        [(400.0, True), (600.0, True), (800.0, False)], HOTTER_RUNS
    )
    assert [p.number for p in plans] == list(range(len(plans)))


@pytest.mark.parametrize(
    ("goals", "temperatures"),
    [
        ([(500.0, 5.0)], (750.0, 1000.0)),
        ([(500.0, 5.0), (1000.0, 5.0)], (750.0, 1250.0)),
    ],
)
def test_structures_are_drawn_from_hotter_runs_without_bias(goals, temperatures):
    plans = plan_runs(goals, biased=False)
    assert kinds(plans) == {(kelvin, False): HOTTER_RUNS for kelvin in temperatures}


def test_the_words_say_what_is_done(tmp_path):
    script = springs(tmp_path)
    chosen = Methods.of(settings(script), periodic=False)
    drawn = Methods.of(settings(script, cheap="gfn2-xtb"), periodic=False)
    assert "25 % are drawn at random" in chosen.how_chosen
    assert "teach most" in chosen.how_chosen
    assert "50 % are drawn at random" in drawn.how_chosen
    assert "hotter runs" in drawn.how_chosen

"""Error bars from a few members hold the truth as often as they say."""

import numpy as np
import pytest

from ase_schnet.uncertainty.bars import half_width, overconfidence, student_quantile


@pytest.mark.parametrize("n_members", [2, 5])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_one_more_member_lies_inside_as_often_as_the_level_says(n_members, level):
    draws = np.random.default_rng(0).normal(3.0, 0.7, size=(100_000, n_members + 1))
    members, truth = draws[:, 1:], draws[:, 0]
    width = half_width(members.std(axis=1, ddof=1), n_members, level)
    assert np.mean(np.abs(truth - members.mean(axis=1)) < width) == pytest.approx(level, abs=0.005)


def test_members_that_err_as_they_disagree_are_not_overconfident_and_others_are():
    draws = np.random.default_rng(1).normal(size=(100_000, 6))
    members, truth = draws[:, 1:], draws[:, 0]
    z = (truth - members.mean(axis=1)) / members.std(axis=1, ddof=1)
    scale = np.sqrt(np.mean(z**2))  # 1.55, although nothing is wrong
    assert overconfidence(scale / 1.03, 5) == 1.0
    assert overconfidence(4 * scale, 5) == pytest.approx(4, rel=0.02)
    assert overconfidence(7.0, 3) == 1.0  # of three it has no rms


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, float("nan")])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="level must be between 0 and 1"):
        student_quantile(4, level)

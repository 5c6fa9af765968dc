"""Calibration against errors whose law is known."""

import numpy as np
import pytest

from ase_schnet.uncertainty.committee import (
    calibrate_std,
    can_judge,
    committee_mean_std,
    coverage,
    miscalibration_area,
)


@pytest.fixture
def honest():
    """Errors drawn from the stated std."""
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 2.0, size=20_000)
    return rng.normal(scale=std), std


def test_mean_and_std_of_a_committee():
    mean, std = committee_mean_std(np.array([[1.0, 2.0], [3.0, 2.0]]))
    assert mean.tolist() == [2.0, 2.0]
    assert std.tolist() == pytest.approx([np.sqrt(2.0), 0.0])
    with pytest.raises(ValueError, match="at least 2 members"):
        committee_mean_std(np.ones((1, 3)))


def test_an_honest_std_needs_no_scaling(honest):
    c = calibrate_std(*honest)
    assert c.scale == pytest.approx(1.0, abs=0.02)
    assert c.miscalibration_area < 0.01
    assert c.spearman > 0.4


def test_overconfidence_is_found_and_mended(honest):
    error, std = honest
    c = calibrate_std(error, std / 3)
    assert c.scale == pytest.approx(3.0, rel=0.02)
    assert c.miscalibration_area_raw > 0.2
    assert c.miscalibration_area < 0.01


def test_a_std_that_knows_nothing(honest):
    error, std = honest
    shuffled = np.random.default_rng(1).permutation(std)
    assert abs(calibrate_std(error, shuffled).spearman) < 0.05


def test_coverage_of_the_normal_law():
    z = np.random.default_rng(0).normal(size=100_000)
    assert coverage(z, np.array([0.6827, 0.9545])) == pytest.approx([0.6827, 0.9545], abs=0.005)
    assert miscalibration_area(1e-9 * z) == pytest.approx(0.5, abs=0.02)  # absurdly underconfident


@pytest.mark.parametrize(
    ("errors", "stds", "message"),
    [([1.0], [1.0], "fewer than 2"), ([1, 2], [1], "must be equal"), ([1, 2], [1, -1], "negative")],
)
def test_bad_input(errors, stds, message):
    with pytest.raises(ValueError, match=message):
        calibrate_std(np.array(errors), np.array(stds))


@pytest.mark.parametrize(("errors", "stds"), [([1, 1, -1], [1, 2, 3]), ([1, 2, 3], [1, 1, 1])])
def test_what_is_all_alike_has_no_rank(errors, stds):
    with pytest.raises(ValueError, match="cannot be ranked"):
        calibrate_std(np.array(errors), np.array(stds))
    assert not can_judge(np.repeat(errors, 5), np.repeat(stds, 5))


def test_a_std_is_judged_by_ten_predictions_or_not_at_all(honest):
    error, std = (part[:10] for part in honest)
    assert can_judge(error, std)
    assert not can_judge(error[:9], std[:9])
    assert not can_judge(error, np.r_[std[:9], 0.0])


def test_what_vanishes_by_symmetry_is_left_out(honest):
    error, std = honest
    zeros = np.zeros(500)
    assert calibrate_std(np.r_[error, zeros], np.r_[std, zeros]) == calibrate_std(error, std)

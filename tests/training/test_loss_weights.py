"""What a change of units does to loss weights (docs/sources.md, units and transformations)."""

import math

import pytest

from ase_schnet.training.loss_weights import (
    effective_loss_weights,
    equivalent_loss_weights,
)

KCAL_PER_HARTREE = 627.50947406248  # the value of the source
BOHR = 0.529177


def test_weights_from_kcal_to_hartree_are_those_of_the_source():
    weights = equivalent_loss_weights(0.01, 0.99, energy_factor=1 / KCAL_PER_HARTREE)
    assert weights == pytest.approx((3937.68, 389830.46), abs=5e-3)


@pytest.mark.parametrize(
    ("energy_weight", "forces_weight", "expected"),
    [
        (1 / 10.9, 9.9 / 10.9, (0.26509165861, 0.73490834139)),  # the slip of the source, 9.9
        (0.01, 0.99, (0.0348155, 0.9651845)),  # what 0.01 and 0.99 really give
    ],
)
def test_weights_from_atomic_units_keep_ratio_and_sum(energy_weight, forces_weight, expected):
    weights = equivalent_loss_weights(
        energy_weight,
        forces_weight,
        energy_factor=KCAL_PER_HARTREE,
        length_factor=BOHR,
        normalise=True,
    )
    assert weights == pytest.approx(expected, abs=1e-7)
    assert sum(weights) == pytest.approx(energy_weight + forces_weight)


def test_the_ratio_moves_by_the_square_of_the_length_factor():
    energy, forces = effective_loss_weights(
        0.01, 0.99, energy_factor=KCAL_PER_HARTREE, length_factor=BOHR
    )
    assert forces / energy == pytest.approx(353.5357, rel=1e-6)  # the source prints 3535.36


def test_a_loss_with_equivalent_weights_has_the_same_value_in_new_units():
    energy_error, force_error = 0.37, 1.9  # in old units
    a, b = KCAL_PER_HARTREE, BOHR
    old = 0.01 * energy_error**2 + 0.99 * force_error**2
    energy_weight, forces_weight = equivalent_loss_weights(
        0.01, 0.99, energy_factor=a, length_factor=b
    )
    new = energy_weight * (a * energy_error) ** 2 + forces_weight * (a / b * force_error) ** 2
    assert new == pytest.approx(old, rel=1e-12)


@pytest.mark.parametrize("function", [equivalent_loss_weights, effective_loss_weights])
@pytest.mark.parametrize("bad", [0.0, -1.0, math.inf, math.nan])
def test_factors_must_be_positive_and_finite(function, bad):
    with pytest.raises(ValueError, match="energy_factor"):
        function(0.01, 0.99, energy_factor=bad)
    with pytest.raises(ValueError, match="length_factor"):
        function(0.01, 0.99, energy_factor=1.0, length_factor=bad)


@pytest.mark.parametrize("bad", [-0.01, math.inf, math.nan])
def test_weights_must_not_be_negative(bad):
    with pytest.raises(ValueError, match="energy_weight"):
        equivalent_loss_weights(bad, 0.99, energy_factor=2.0)
    with pytest.raises(ValueError, match="forces_weight"):
        effective_loss_weights(0.01, bad, energy_factor=2.0)


def test_two_zero_weights_have_no_ratio_to_keep():
    with pytest.raises(ValueError, match="both loss weights are zero"):
        equivalent_loss_weights(0.0, 0.0, energy_factor=2.0, normalise=True)

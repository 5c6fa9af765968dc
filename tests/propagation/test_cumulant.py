"""Averages expanded from one run: laws of normal distributions, correlated frames, and what is refused."""

import numpy as np
import pytest
from ase import units

from ase_schnet.propagation.cumulant import expanded_averages, statistical_inefficiency
from ase_schnet.propagation.result import Spread

T_K = 300.0
KT = units.kB * T_K


@pytest.fixture(scope="module")
def x():
    """Positions of an oscillator with the energy kT x²/2, at equilibrium."""
    return np.random.default_rng(0).normal(size=40_000)


def close(found, exact, n=4.0):
    """Within n standard errors, which are small."""
    errors = found.replicas - found.replicas.mean(axis=0)
    errors = np.sqrt(0.95 * (errors**2).sum(axis=0))[1:]
    assert errors.max() < 0.02
    assert (np.abs(found.members - exact) < n * errors + 1e-3).all(), (found.members, exact)


def test_a_constant_force_moves_an_oscillator_as_hooke_says(x):
    force = np.array([0.3, -0.3, 0.1, -0.1])
    energies = KT * (0.5 * x[:, None] ** 2 - force * x[:, None])
    close(expanded_averages(x, None, energies, T_K), force)


def test_a_stiffer_oscillator_is_narrower(x):
    stiffer = np.array([0.02, -0.02])
    energies = KT * 0.5 * (1 + stiffer) * x[:, None] ** 2
    close(expanded_averages(x**2, None, energies, T_K), 1 - stiffer)


def test_the_energy_of_each_member_is_its_own_and_equipartition_holds(x):
    stiffer = np.array([0.05, -0.05])
    energies = KT * 0.5 * (1 + stiffer) * x[:, None] ** 2
    found = expanded_averages(energies.mean(axis=1) / KT, energies / KT, energies, T_K)
    close(found, np.array([0.5, 0.5]))
    plain = expanded_averages(energies.mean(axis=1) / KT, None, energies, T_K)
    assert plain.members[0] == pytest.approx(0.475, abs=0.002)  # of the mean potential, as it moves


def test_a_member_that_differs_by_a_constant_changes_nothing_but_its_energy(x):
    energies = KT * (0.5 * x[:, None] ** 2 + np.array([1.0, -1.0]))
    found = expanded_averages(x**2, None, energies, T_K)
    np.testing.assert_allclose(found.members, found.value, rtol=1e-12)
    own = expanded_averages(energies.mean(axis=1), energies, energies, T_K)
    np.testing.assert_allclose(own.members - own.value, KT * np.array([1.0, -1.0]), rtol=1e-9)
    assert found.sampling.n_effective.min() == pytest.approx(len(x) / found.sampling.inefficiency)


def test_arrays_keep_their_shape_and_are_averaged_one_by_one(x):
    energies = KT * (0.5 * x[:, None] ** 2 + np.array([0.2, -0.2, 0.0]) * x[:, None])
    both = expanded_averages(np.stack([x, x**2], 1).reshape(-1, 2, 1), None, energies, T_K)
    assert both.members.shape == (3, 2, 1)
    assert both.replicas.shape == (20, 4, 2, 1)
    one = expanded_averages(x, None, energies, T_K)
    np.testing.assert_allclose(both.members[:, 0, 0], one.members, rtol=1e-12)


def test_few_or_correlated_frames_are_refused_with_the_cure(x):
    energies = KT * np.array([0.1, -0.1]) * x[:, None]
    with pytest.raises(ValueError, match=r"Make it .* times longer, .* a run of its own"):
        expanded_averages(x[:18], None, energies[:18], T_K)
    slow = np.repeat(x[:15], 100)
    with pytest.raises(ValueError, match="20 are needed"):
        expanded_averages(slow, None, KT * np.array([0.1, -0.1]) * slow[:, None], T_K)


def test_large_weights_cost_frames_and_raw_boltzmann_weights_cost_more(x):
    energies = KT * 3 * np.array([1.0, -1.0]) * x[:, None]
    told = expanded_averages(x, None, energies, T_K).sampling
    independent = told.n_frames / told.inefficiency
    np.testing.assert_allclose(told.n_effective, independent / (1 + 9 * x.var()), rtol=1e-9)
    assert told.n_effective_weights.max() < 0.02 * told.n_effective.min()


def test_members_too_far_for_an_expansion_are_refused(x):
    energies = KT * np.array([1.0, -1.0]) * (x[:, None] ** 2) * 2
    with pytest.raises(ValueError, match="too far from the mean potential"):
        expanded_averages(x**2, None, energies, T_K)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
def test_the_inefficiency_of_a_decaying_correlation_is_its_sum(r):
    noise = np.random.default_rng(1).normal(size=20_000)
    series = np.zeros_like(noise)
    for k in range(1, len(noise)):
        series[k] = r * series[k - 1] + noise[k]
    # of twenty blocks the scatter is known to a third
    assert (
        (1 + r) / (1 - r) * 0.85 < statistical_inefficiency(series[:, None]) < (1 + r) / (1 - r) * 2
    )


def test_an_oscillation_does_not_hide_a_slow_drift():
    t = np.arange(4000)
    slow = np.repeat(np.random.default_rng(2).normal(size=20), 200)
    assert statistical_inefficiency((slow + 3 * np.cos(2.0 * t))[:, None]) > 30
    assert statistical_inefficiency(np.ones((50, 1))) == 1


def test_an_interval_has_both_the_spread_and_the_error_of_the_run(x):
    energies = KT * (0.5 * x[:, None] ** 2 + np.array([0.01, -0.01]) * x[:, None])
    value, members, replicas, sampling = expanded_averages(x, None, energies, T_K)
    found = Spread(value[()], members, sampling=sampling, replicas=replicas)
    assert found.statistical_error == pytest.approx(x.std() / len(x) ** 0.5, rel=0.5)
    alone = Spread(value[()], members)
    assert found.half_width > alone.half_width
    doubled = found.map(lambda v: 2 * v + 1)
    assert doubled.value == pytest.approx(2 * found.value + 1)
    assert doubled.half_width == pytest.approx(2 * found.half_width)
    assert "statistical error" in str(found)

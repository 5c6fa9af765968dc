"""No few structures of large forces may outweigh all others where few labels are learnt."""

from dataclasses import replace

import numpy as np
from factory import ethanol

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import energies_about_their_composition
from ase_schnet.pretraining.difference import LOUD, LOUD_ENERGY, quiet_weights, quieted


def dataset(n, loud=(), scale=30.0, seed=0):
    """Structures with forces of 1 eV/Å, and of `scale` eV/Å for the loud ones."""
    rng = np.random.default_rng(seed)
    found = Dataset.from_atoms([ethanol(0.05, k) for k in range(n)])
    size = np.where(np.isin(np.arange(n), loud), scale, 1.0)
    forces = rng.normal(size=(found.R.shape)) * np.repeat(size, found.n_atoms)[:, None]
    return replace(found, E=np.zeros(n), F=forces)


def mean_squares(data):
    return np.add.reduceat((data.F**2).mean(axis=1), data.ptr[:-1]) / data.n_atoms


def test_structures_of_runs_keep_their_weights():
    data = dataset(20)
    assert quieted(data) is data
    assert (quiet_weights(data) == 1).all()


def test_a_loud_structure_has_the_part_of_one_at_the_limit():
    data = dataset(21, loud=(3, 8))
    weights = quiet_weights(data)
    assert (np.delete(weights, (3, 8)) == 1).all()
    parts = weights * mean_squares(data)
    np.testing.assert_allclose(parts[[3, 8]], LOUD**2 * np.median(mean_squares(data)))
    np.testing.assert_array_equal(quieted(data).weight, weights)


def test_weights_of_the_data_are_kept_and_hidden_components_do_not_count():
    own = np.linspace(0.5, 1.5, 21)
    data = replace(dataset(21, loud=(3,)), weight=own)
    np.testing.assert_allclose(quieted(data).weight, own * quiet_weights(data))
    mask = np.ones(data.F.shape, bool)
    mask[data.ptr[3] : data.ptr[4]] = False
    assert (quiet_weights(replace(data, force_mask=mask)) == 1).all()


def test_without_any_force_all_count():
    data = dataset(4)
    assert (quiet_weights(replace(data, F=np.zeros_like(data.F))) == 1).all()


def test_an_energy_far_from_the_others_of_its_composition_counts_less():
    data = dataset(41)
    energies = np.random.default_rng(1).normal(0, 0.1, 41)
    energies[7] = 7.0  # a bond that a restricted method breaks
    data = replace(data, E=energies)
    far = energies_about_their_composition(data)
    limit = LOUD_ENERGY * np.median(np.abs(far))
    weights = quiet_weights(data)
    assert (np.delete(weights, 7) == 1).all()
    np.testing.assert_allclose(weights[7] * far[7] ** 2, limit**2)

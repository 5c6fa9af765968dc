"""Shifts and scales of labels count structures as the loss does."""

from dataclasses import replace

import numpy as np
import pytest
from factory import TINY, small_dataset

from ase_schnet.data.dataset import join
from ase_schnet.data.statistics import energies_about_their_composition, label_statistics
from ase_schnet.model.potential import Potential
from ase_schnet.training.offsets import fit_offsets

FIELDS = ("energy_shift", "energy_std", "forces_std")


@pytest.fixture(scope="module")
def data():
    """Methanol and water in turn."""
    return small_dataset(24, names=("CH3OH", "H2O"))


def assert_equal(one, other, rtol=1e-6):
    for name in FIELDS:
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=rtol)


def test_equal_weights_change_nothing_whatever_they_are(data):
    assert_equal(label_statistics(replace(data, weight=np.full(24, 0.3))), label_statistics(data))


def test_a_weight_of_two_is_a_structure_twice(data):
    weight = np.ones(24)
    weight[:6] = 2.0
    twice = join(data, data.subset(np.arange(6)))
    assert_equal(label_statistics(replace(data, weight=weight)), label_statistics(twice))


def test_what_hardly_counts_in_the_loss_does_not_set_its_scale(data):
    wrong = replace(data, E=data.E.copy(), F=data.F.copy(), weight=np.ones(24))
    wrong.E[4] += 50.0
    wrong.F[wrong.ptr[4] : wrong.ptr[5]] *= 100.0
    wrong.weight[4] = 1e-12
    rest = data.subset(np.delete(np.arange(24), 4))
    assert_equal(label_statistics(wrong), label_statistics(rest))
    loud = label_statistics(replace(wrong, weight=None))
    assert loud.energy_std.max() > 10 * label_statistics(rest).energy_std.max()


def test_offsets_are_fitted_with_the_weights(data):
    wrong = replace(data, E=data.E.copy(), weight=np.ones(24))
    wrong.E[4] += 50.0
    wrong.weight[4] = 1e-12
    shifts = []
    for dataset in (wrong, data.subset(np.delete(np.arange(24), 4))):
        potential = Potential.create(TINY, np.zeros(100), 1.0, seed=0)
        fit_offsets(potential, dataset)
        shifts.append(potential.shift.numpy())
    np.testing.assert_allclose(*shifts, atol=1e-4)


def test_energies_are_taken_about_the_others_of_their_composition(data):
    about = energies_about_their_composition(data)
    for k in (0, 1):
        own = data.E[k::2]
        others = np.array([np.delete(own, i).mean() for i in range(12)])
        np.testing.assert_allclose(about[k::2], own - others)

"""Duplicates are seen whatever the frame of reference; the choice is the greedy farthest-point selection."""

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import InputError

from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.features import ModelFeatures
from ase_schnet.modelfile import load_model
from ase_schnet.neighbors import half_list
from ase_schnet.sampling.spread import MOST_PER_PAIR, farthest_points, fingerprint, sorted_distances


def turned_and_permuted(atoms):
    other = atoms.copy()
    other.rotate(50, (1, 2, 3))
    other.translate([3, -1, 2])
    return other[np.random.default_rng(0).permutation(len(other))]


def test_farthest_points_are_those_of_the_plain_algorithm(monkeypatch):
    monkeypatch.setattr("ase_schnet.sampling.spread.BATCH", 32)  # many batches
    points = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
    centred = points - points.mean(axis=0)
    chosen = [int((centred**2).sum(axis=1).argmin())]
    nearest = ((centred - centred[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < 300:
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, ((centred - centred[chosen[-1]]) ** 2).sum(axis=1))
    assert farthest_points(points, 300).tolist() == chosen


def test_all_points_can_be_chosen_also_where_some_are_equal():
    points = np.repeat(np.eye(3), 4, axis=0)
    assert sorted(farthest_points(points, 12)) == list(range(12))
    first = farthest_points(points, 3)
    assert len(np.unique(points[first], axis=0)) == 3


def test_descriptor_and_fingerprint_do_not_depend_on_the_frame_of_reference():
    ethanol = molecule("CH3CH2OH")
    other = ethanol.copy()
    other.set_distance(0, 1, 1.6)
    same = turned_and_permuted(ethanol)
    a, b, c = sorted_distances([ethanol, same, other])
    np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(a - c).max() > 0.01
    assert fingerprint(ethanol) == fingerprint(same) != fingerprint(other)


def test_structures_with_other_atoms_and_cells_have_vectors_of_one_length():
    vectors = sorted_distances([molecule("H2O"), molecule("CH3CH2OH"), molecule("N2")])
    assert vectors.shape[0] == 3
    assert np.isfinite(vectors).all()
    cells = [bulk("Si", cubic=True) * (2, 1, 1), bulk("Si", a=5.6, cubic=True) * (2, 1, 1)]
    vectors = sorted_distances(cells)
    assert vectors.shape == (2, MOST_PER_PAIR)
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_features_of_a_model_give_its_energies_and_do_not_depend_on_the_frame_of_reference():
    ethanol = molecule("CH3CH2OH")
    vectors = ModelFeatures("ethanol")([ethanol, turned_and_permuted(ethanol)])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-4)
    model = load_model("ethanol")
    engine = Ensemble(model)
    pairs = half_list(ethanol.positions, model.config["cutoff"])
    energies = engine.evaluate(ethanol.numbers, ethanol.positions, pairs).atomic_energies
    x, w = engine.features()[0], model.weights
    by_element = [x[ethanol.numbers == z].mean(axis=0) for z in (1, 6, 8)]
    np.testing.assert_allclose(vectors[0], np.concatenate(by_element), atol=1e-3)
    *names, last = model.network.readout_layers
    for name in names:
        x = x @ w[f"{name}.weight"][0].T + w[f"{name}.bias"][0]
        x = np.logaddexp(0, x) - np.log(2) if model.network.readout_activation == "ssp" else None
    by_hand = (x @ w[f"{last}.weight"][0].T + w[f"{last}.bias"][0])[:, 0]
    difference = np.diff(energies[0][ethanol.numbers == 1])  # without the offset of the element
    np.testing.assert_allclose(
        difference, model.scale[0] * np.diff(by_hand[ethanol.numbers == 1]), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda a: (a.set_cell([5.0] * 3), a.set_pbc(True)), "near a periodic image"),
        (lambda a: a.positions.__setitem__(0, np.nan), r"atoms \[0\] are not finite"),
    ],
)
def test_structures_that_the_model_does_not_support_have_no_features(spoil, message):
    """A molecule in a narrow box had those of a crystal of molecules, NaN gave NaN."""
    atoms = molecule("CH3CH2OH")
    spoil(atoms)
    with pytest.raises(InputError, match=message):
        ModelFeatures("ethanol")([atoms])

"""The compiled engine gives the network's own answer: against torch by hand and against autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import molecule
from engine_cases import (
    CONFIGS,
    PERIODIC,
    assert_same,
    by_autograd,
    cluster,
    evaluate,
)
from factory import TINY, ethanol, potentials, random_model

from ase_schnet.inference.ensemble import CHUNK, Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.model.potential import Potential
from ase_schnet.modelfile import load_model
from ase_schnet.neighbors import Pairs, half_list
from ase_schnet.schnet_config import SchNetConfig


@pytest.fixture(scope="module", params=CONFIGS)
def case(request):
    """A network's shape, its random ensemble, and the compiled engine of that."""
    members = 1 if request.param == "large" else 3
    model = random_model(CONFIGS[request.param], members=members, pbc=True)
    return CONFIGS[request.param], model, Ensemble(model)


def test_a_molecule_as_torch_and_autograd_have_it(case):
    config, model, engine = case
    atoms = ethanol()
    got = evaluate(engine, atoms)
    assert np.abs(got.forces).max() > 1e-3  # or there is nothing to compare
    assert_same(got, evaluate(TorchEnsemble(model), atoms))
    for m, potential in enumerate(potentials(config, members=model.n_members)):
        energy, forces, virial = by_autograd(potential, atoms)
        assert got.energies[m] == pytest.approx(energy, rel=0, abs=1e-6)
        np.testing.assert_allclose(got.forces[m], forces, rtol=0, atol=1e-6)
        np.testing.assert_allclose(got.virials[m], virial, rtol=0, atol=1e-5)


def test_float32_is_near(case):
    _, model, engine = case
    single = evaluate(Ensemble(model, dtype="float32"), ethanol())
    double = evaluate(engine, ethanol())
    assert_same(single, double, tolerance=1e-4)
    assert single.energies.dtype == single.forces.dtype == np.float64
    assert not np.array_equal(single.atomic_energies, double.atomic_energies)


@pytest.mark.parametrize("name", PERIODIC)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_periodic_structures_as_torch_has_them(name, dtype):
    model = random_model(members=2, pbc=True)
    got = evaluate(Ensemble(model, dtype), PERIODIC[name])
    expected = evaluate(TorchEnsemble(model), PERIODIC[name])
    assert np.abs(got.virials).max() > 1e-2
    assert_same(got, expected, 1e-6 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("name", ["its own images", "triclinic"])
def test_periodic_structures_as_autograd_has_them(name):
    got = evaluate(Ensemble(random_model(members=2, pbc=True)), PERIODIC[name])
    for m, potential in enumerate(potentials()):
        energy, forces, virial = by_autograd(potential, PERIODIC[name])
        assert got.energies[m] == pytest.approx(energy, rel=0, abs=1e-6)
        np.testing.assert_allclose(got.forces[m], forces, rtol=0, atol=1e-6)
        np.testing.assert_allclose(got.virials[m], virial, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", [TINY, CONFIGS["odd widths"]], ids=["tiny", "odd widths"])
def test_any_number_of_atoms(config):
    """Rows are taken several at a time and chunks end somewhere: no remainder is forgotten."""
    model = random_model(config)
    engine, direct = Ensemble(model), TorchEnsemble(model)
    # up and down again: buffers of another size must not shine through
    for n in (1, 2, 3, 4, 5, 6, 7, 9, CHUNK - 1, CHUNK, CHUNK + 1, CHUNK + 3, 2 * CHUNK + 2, 8, 1):
        assert_same(evaluate(engine, cluster(n)), evaluate(direct, cluster(n)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("filters", [16, 32, 48, 64, 80, 112, 128])
def test_any_number_of_filters(filters, dtype):
    """Columns are taken several registers at a time, and what is left one by one."""
    model = random_model(replace(TINY, n_filters=filters), members=2)
    got = evaluate(Ensemble(model, dtype), cluster(20))
    tolerance = 1e-8 if dtype == "float64" else 1e-4
    assert_same(got, evaluate(TorchEnsemble(model), cluster(20)), tolerance)


def test_pairs_in_another_order_are_refused():
    """A chunk would hand out sums that the chunk of its partner has used already."""
    atoms, engine = ethanol(), Ensemble(random_model())
    pairs = half_list(atoms.positions, 5.0)
    backwards = Pairs(*(np.ascontiguousarray(part[::-1]) for part in pairs))
    turned = Pairs(pairs.idx_j, pairs.idx_i, -pairs.shifts)
    for wrong in (backwards, turned):
        with pytest.raises(ValueError, match="canonical order"):
            engine.evaluate(atoms.numbers, atoms.positions, wrong)
    engine.evaluate(atoms.numbers, atoms.positions, pairs)


def test_the_order_of_the_atoms_does_not_matter():
    """Which pairs lie in one chunk and which between two is another matter in every order."""
    engine, atoms = Ensemble(random_model(pbc=True)), PERIODIC["three chunks"]
    order = np.random.default_rng(0).permutation(len(atoms))
    got, moved = evaluate(engine, atoms), evaluate(engine, atoms[order])
    np.testing.assert_allclose(moved.energies, got.energies, rtol=0, atol=1e-8)
    np.testing.assert_allclose(moved.forces, got.forces[:, order], rtol=0, atol=1e-10)
    np.testing.assert_allclose(moved.virials, got.virials, rtol=0, atol=1e-9)
    np.testing.assert_allclose(got.forces.sum(axis=1), 0.0, atol=1e-10)


def test_members_do_not_see_each_other():
    model = random_model(members=3)
    together = evaluate(Ensemble(model), ethanol())
    for m in range(3):
        weights = {name: w[m : m + 1] for name, w in model.weights.items()}
        alone = replace(
            model,
            weights=weights,
            scale=model.scale[m : m + 1],
            energy_shift=model.energy_shift[m : m + 1],
        )
        got = evaluate(Ensemble(alone), ethanol())
        np.testing.assert_array_equal(got.energies[0], together.energies[m])
        np.testing.assert_array_equal(got.forces[0], together.forces[m])


def test_each_member_has_its_own_scale_and_shift():
    model = random_model(members=2)
    shift = model.energy_shift * np.array([[1.0], [0.5]])
    model = replace(model, scale=np.array([0.7, 2.0]), energy_shift=shift)
    assert_same(evaluate(Ensemble(model), ethanol()), evaluate(TorchEnsemble(model), ethanol()))


@pytest.mark.parametrize("gain", [0.0, 1e-3, 30.0, 1e3])
def test_softplus_far_from_zero(gain):
    """Atom-wise layers whose activations are tiny, or hundreds, where eˣ overflows in a naive form."""
    model = random_model(members=1)
    louder = {n: w * np.float32(gain) if "atomwise" in n else w for n, w in model.weights.items()}
    model = replace(model, weights=louder)
    for dtype, tolerance in (("float64", 1e-7), ("float32", 1e-4)):
        got = evaluate(Ensemble(model, dtype), ethanol())
        expected = evaluate(TorchEnsemble(model), ethanol())
        assert np.isfinite(got.forces).all()
        size = max(1.0, np.abs(expected.forces).max())
        np.testing.assert_allclose(got.forces, expected.forces, rtol=0, atol=tolerance * size)


def test_the_shipped_ethanol():
    model = load_model("ethanol")
    engine, direct = Ensemble(model), TorchEnsemble(model)
    config = SchNetConfig(**model.config)
    single = Ensemble(model, dtype="float32")
    for seed, rattle in ((0, 0.0), (1, 0.05), (2, 0.15)):
        atoms = ethanol(rattle, seed)
        got = evaluate(engine, atoms)
        assert_same(got, evaluate(direct, atoms))
        grain = (
            1e-6 * np.abs(got.forces).max()
        )  # up to 186 eV/Å; a sum without FMA is rounded twice
        assert_same(evaluate(single, atoms), got, tolerance=1e-4 + grain)
    for m in range(model.n_members):
        potential = Potential(config, model.energy_shift[m], model.scale[m])
        weights = {name: torch.from_numpy(w[m].copy()) for name, w in model.weights.items()}
        potential.schnet.load_state_dict(weights)
        energy, forces, _ = by_autograd(potential, atoms)
        assert got.energies[m] == pytest.approx(energy, rel=0, abs=1e-6)
        np.testing.assert_allclose(got.forces[m], forces, rtol=0, atol=1e-6)


def test_atomic_energies_add_up_to_the_energy():
    got = evaluate(Ensemble(random_model()), ethanol())
    np.testing.assert_allclose(got.atomic_energies.sum(axis=1), got.energies, rtol=0, atol=1e-11)


def test_a_used_engine_answers_as_a_fresh_one():
    """Whatever it did before: other sizes, other lists, more and fewer pairs."""
    model = random_model(pbc=True)
    used = Ensemble(model)
    for atoms in (molecule("H"), *PERIODIC.values(), ethanol(), cluster(70), ethanol(seed=1)):
        got, fresh = evaluate(used, atoms), evaluate(Ensemble(model), atoms)
        for a, b in zip(got, fresh, strict=True):
            np.testing.assert_array_equal(a, b)

"""Every shape of network that a model file can describe: both engines give what autograd makes of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from engine_cases import PERIODIC, assert_same, by_autograd, evaluate
from factory import TINY, ethanol, potentials, random_model
from shapes import SHAPES

from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.prediction import Engine
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import MAX_ELEMENTS, load_model, save_model


def members_that_differ(config, members=2):
    """Random potentials and their model; trainable Gaussians are others in each member."""
    made = potentials(config, members)
    rng = np.random.default_rng(0)
    for potential in made:
        with torch.no_grad():
            for name, p in potential.named_parameters():
                if name.endswith((".centres", ".widths", "bias")):
                    p += torch.from_numpy(rng.uniform(0, 0.1, p.shape)).float()
    model = random_model(config, members, pbc=True)
    states = [p.schnet.state_dict() for p in made]
    weights = {k: np.stack([s[k].numpy() for s in states]) for k in states[0]}
    return made, replace(model, weights={k: w.copy() for k, w in weights.items()})


@pytest.mark.parametrize("config", SHAPES.values(), ids=SHAPES)
def test_both_engines_give_what_autograd_makes_of_it(config):
    made, model = members_that_differ(config)
    compiled, direct = Ensemble(model), TorchEnsemble(model)
    for atoms in (ethanol(), PERIODIC["triclinic"]):
        got, expected = evaluate(compiled, atoms), evaluate(direct, atoms)
        assert np.abs(got.forces).max() > 1e-3
        assert_same(got, expected)
    single = evaluate(Ensemble(model, dtype="float32"), atoms)
    assert_same(single, got, tolerance=1e-4)
    for m, potential in enumerate(made):
        energy, forces, virial = by_autograd(potential, ethanol())
        got = evaluate(direct, ethanol())
        assert got.energies[m] == pytest.approx(energy, rel=0, abs=1e-8)
        np.testing.assert_allclose(got.forces[m], forces, rtol=0, atol=1e-8)
        np.testing.assert_allclose(got.virials[m], virial, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", ["all at once", "deep readout", "no hidden layer"])
def test_a_saved_model_of_this_shape_answers_as_before(name, tmp_path):
    _, model = members_that_differ(SHAPES[name])
    again = load_model(save_model(tmp_path / "model", model))
    for engine in (Ensemble, TorchEnsemble):
        before, after = evaluate(engine(model), ethanol()), evaluate(engine(again), ethanol())
        np.testing.assert_array_equal(after.forces, before.forces)


@pytest.mark.parametrize("config", [TINY, SHAPES["deep readout"]], ids=["one", "three"])
def test_a_scale_for_each_element(config, tmp_path):
    """E = Σ scale · s(Z) · ε + shift(Z): the engines agree, and forces are the slope of the energy."""
    factors = np.ones((2, MAX_ELEMENTS))
    factors[:, [1, 6, 8]] = [[0.5, 2.0, 3.0], [1.5, 0.3, 1.0]]
    _, plain = members_that_differ(config)
    model = load_model(save_model(tmp_path / "model", replace(plain, element_scale=factors)))
    np.testing.assert_array_equal(model.element_scale, factors)
    atoms = ethanol()
    got = evaluate(Ensemble(model), atoms)
    assert_same(got, evaluate(TorchEnsemble(model), atoms))
    shift = model.energy_shift[:, atoms.numbers]
    interaction = evaluate(Ensemble(plain), atoms).atomic_energies - shift
    expected = factors[:, atoms.numbers] * interaction + shift
    np.testing.assert_allclose(got.atomic_energies, expected, rtol=0, atol=1e-9)
    step, energies = 1e-4, []
    for sign in (1, -1):
        moved = atoms.copy()
        moved.positions[2, 0] += sign * step
        energies.append(evaluate(Ensemble(model), moved).energies)
    slope = (energies[0] - energies[1]) / (2 * step)
    np.testing.assert_allclose(got.forces[:, 2, 0], -slope, rtol=0, atol=1e-6)


@pytest.mark.parametrize("gain", [0.0, 30.0, 1e3])
def test_silu_far_from_zero(gain):
    _, model = members_that_differ(SHAPES["silu everywhere"], members=1)
    louder = {n: w * np.float32(gain) if "atomwise" in n else w for n, w in model.weights.items()}
    model = replace(model, weights=louder)
    for dtype, tolerance in (("float64", 1e-7), ("float32", 1e-4)):
        got = evaluate(Ensemble(model, dtype), ethanol())
        expected = evaluate(TorchEnsemble(model), ethanol())
        assert np.isfinite(got.forces).all()
        size = max(1.0, np.abs(expected.forces).max())
        np.testing.assert_allclose(got.forces, expected.forces, rtol=0, atol=tolerance * size)


def test_both_engines_are_engines():
    for engine in (Ensemble(random_model()), TorchEnsemble(random_model())):
        assert isinstance(engine, Engine)
        assert str(engine.device) == "cpu"

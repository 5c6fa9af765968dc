"""SchNets of NeuralForceField, which pip cannot install, against their function in plain torch."""

import numpy as np
import pytest
import torch
from ase import Atoms

from ase_schnet import ConversionHints, convert_model
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.neighbors import half_list
from ase_schnet.units import ENERGY_UNITS
from benchmarks.foreign.nff_plain import energies_and_forces, weights_of

KCAL = ENERGY_UNITS["kcal/mol"]
ETHANOL = np.array([6, 6, 8, 1, 1, 1, 1, 1, 1])


def state_dict(features=6, gaussians=5, blocks=2, seed=0):
    """Return random tensors as the package names them, Gaussians of each block its own."""
    generator = torch.Generator().manual_seed(seed)

    def dense(name, n_out, n_in):
        weight = torch.randn(n_out, n_in, generator=generator) / n_in**0.5
        bias = 0.1 * torch.randn(n_out, generator=generator)
        return {f"{name}.weight": weight, f"{name}.bias": bias}

    tensors = {"atom_embed.weight": torch.randn(100, features, generator=generator)}
    for t in range(blocks):
        at = f"convolutions.{t}.moduledict."
        spread = torch.rand(2, gaussians, generator=generator)
        tensors[f"{at}message_edge_filter.0.width"] = 0.3 + 0.5 * spread[0]
        tensors[f"{at}message_edge_filter.0.offsets"] = 5.0 * spread[1]
        tensors |= dense(f"{at}message_edge_filter.1", gaussians, gaussians)
        tensors |= dense(f"{at}message_edge_filter.3", features, gaussians)
        tensors |= dense(f"{at}message_node_filter", features, features)
        tensors |= dense(f"{at}update_function.0", features, features)
        tensors |= dense(f"{at}update_function.2", features, features)
    tensors |= dense("atomwisereadout.readout.energy.linear0", 4, features)
    return tensors | dense("atomwisereadout.readout.energy.linear2", 1, 4)


def answers(engine, numbers, positions, cutoff):
    found = [engine.evaluate(numbers, r, half_list(r, cutoff)) for r in positions]
    return np.array([p.energies[0] for p in found]), np.array([p.forces[0] for p in found])


@pytest.mark.parametrize(("listed", "times"), [("once", 1.0), ("twice", 2.0)])
def test_a_state_dict_becomes_its_function(tmp_path, listed, times):
    path, cutoff = tmp_path / "state_dict", 3.0
    torch.save(state_dict(), path)
    hints = ConversionHints(cutoff=cutoff, pair_list=listed)
    model = convert_model(path, tmp_path / "model", elements=["H", "C", "O"], hints=hints).model
    positions = np.random.default_rng(0).uniform(0.0, 4.0, (3, 9, 3))
    atoms = [Atoms(ETHANOL, r) for r in positions]
    assert max(a.get_all_distances().max() for a in atoms) > cutoff  # some pairs are not listed
    energies, forces = energies_and_forces(weights_of(path), ETHANOL, positions, cutoff, times)
    assert np.abs(forces).max() > 0.1
    found = answers(TorchEnsemble(model), ETHANOL, positions, cutoff)
    np.testing.assert_allclose(found[0], KCAL * energies, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found[1], KCAL * forces, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_the_published_ethanol_model_is_its_function_and_fits_its_labels(shared_data, tmp_path):
    file = shared_data("foreign-schnets", "nff_cco_1.best_model")
    data = np.load(shared_data("nff-ethanol", "ethanol_ccsd_t-train.npz"))
    numbers, positions = data["z"].astype(int), data["R"].astype(float)
    few = positions[::20]
    expected = energies_and_forces(weights_of(file), numbers, few)
    hints = ConversionHints(cutoff=5.0, pair_list="twice")
    model = convert_model(file, tmp_path / "model", elements=["H", "C", "O"], hints=hints).model
    for engine, tolerance in ((TorchEnsemble(model), 1e-12), (Ensemble(model), 1e-7)):
        found = answers(engine, numbers, few, 5.0)
        np.testing.assert_allclose(found[0], KCAL * expected[0], rtol=0, atol=tolerance)
        np.testing.assert_allclose(found[1], KCAL * expected[1], rtol=0, atol=tolerance)
    energies, forces = answers(Ensemble(model), numbers, positions, 5.0)

    def correlation(n):
        labels = (data["E"][:n], data["F"][:n])
        pairs = zip((energies[:n], forces[:n]), labels, strict=True)
        return [np.corrcoef(np.ravel(a), np.ravel(b))[0, 1] for a, b in pairs]

    assert correlation(60) == pytest.approx(
        [0.976, 0.981], abs=6e-4
    )  # benchmarks/foreign/foreign.md
    assert correlation(1000) == pytest.approx([0.971, 0.981], abs=6e-4)

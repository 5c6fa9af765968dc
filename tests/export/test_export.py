"""What other programs run is the same function as our engine, with the repulsion and all members."""

import json

import numpy as np
import pytest
import torch
from engine_cases import crystal
from factory import ethanol, random_model

from ase_schnet import export_model
from ase_schnet.cli import main
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.neighbors import half_list
from ase_schnet.schnet_config import SchNetConfig

SHAPES = {
    "as trained here": SchNetConfig(16, 16, n_interactions=2, n_rbf=20, cutoff=4.0, gamma=4.0),
    "as others are": SchNetConfig(
        12,
        16,
        n_interactions=2,
        n_rbf=8,
        cutoff=4.0,
        envelope="mollifier",
        trainable_gaussians=True,
        activation="silu",
        readout_widths=(8, 4),
        readout_activation="silu",
    ),
    "a hard cutoff, no hidden readout": SchNetConfig(
        12, 12, n_interactions=1, n_rbf=8, cutoff=4.0, envelope="none", readout_widths=()
    ),
}


def of_module(module, atoms, dtype, cutoff=4.0):
    pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
    positions = torch.tensor(atoms.positions, dtype=dtype, requires_grad=True)
    i, j = (torch.tensor(np.asarray(x, dtype=np.int64)) for x in (pairs.idx_i, pairs.idx_j))
    vectors = positions[j] - positions[i] + torch.tensor(pairs.shifts, dtype=dtype)
    energies = module(torch.tensor(atoms.numbers), vectors, i, j)  # (M, N)
    forces = [
        -torch.autograd.grad(e.sum(), positions, retain_graph=True)[0].numpy() for e in energies
    ]
    return energies.detach().numpy(), np.array(forces)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("repulsion", ["zbl", None])
def test_a_module_of_torchscript_is_the_same_function(tmp_path, shape, repulsion):
    model = random_model(SHAPES[shape], pbc=True)
    save_model(tmp_path / "model", model)
    pressed = ethanol()
    pressed.positions[8] = pressed.positions[2] + [0.0, 0.0, 0.45]  # O-H far below its onset
    for dtype, tolerance in (("float64", 1e-9), ("float32", 2e-4)):
        path = tmp_path / f"{dtype}.pt"
        export_model(tmp_path / "model", path, "torchscript", dtype=dtype, repulsion=repulsion)
        said = {"ase_schnet.json": ""}
        module = torch.jit.load(path, _extra_files=said)
        about = json.loads(said["ase_schnet.json"])
        assert about["cutoff_Ang"] == 4.0
        assert (about["charge"], about["multiplicity"]) == (0, "lowest")
        for atoms in (ethanol(), crystal((2, 1, 1)), pressed):
            pairs = half_list(atoms.positions, 4.0, atoms.cell.array, atoms.pbc)
            engine = TorchEnsemble(model, repulsion=repulsion)
            wanted = engine.evaluate(atoms.numbers, atoms.positions, pairs)
            energies, forces = of_module(module, atoms, getattr(torch, dtype))
            size = np.abs(wanted.forces).max()
            np.testing.assert_allclose(forces, wanted.forces, rtol=0, atol=tolerance * (1 + size))
            if dtype == "float64":
                np.testing.assert_allclose(energies, wanted.atomic_energies, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")
def test_members_differ_in_float32_as_in_float64(tmp_path):
    """Ethanol has -4200 eV, of which float32 keeps 0.5 meV, and members differ by less."""
    path = export_model("ethanol", tmp_path / "f32.pt", "torchscript", dtype="float32")
    model, atoms = load_model("ethanol"), ethanol()
    cutoff = model.config["cutoff"]
    pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
    wanted = TorchEnsemble(model).evaluate(atoms.numbers, atoms.positions, pairs)
    energies, _ = of_module(torch.jit.load(path), atoms, torch.float32, cutoff)
    expected = np.asarray(wanted.atomic_energies).sum(axis=1)
    assert np.abs(expected).min() > 4000
    np.testing.assert_allclose(energies.sum(axis=1), expected, rtol=0, atol=2e-5)


def test_the_command_writes_says_and_refuses_in_one_line(tmp_path, capsys):
    save_model(tmp_path / "model", random_model())
    output = tmp_path / "model.pt"
    said = ["export", str(tmp_path / "model"), "--to"]
    assert main([*said, "torchscript", "-o", str(output)]) == 0
    assert "torchscript, float64, 2 members, H, C, O, cutoff 4 Å" in capsys.readouterr().out
    assert output.exists()
    assert main([*said, "torchscript", "-o", str(tmp_path / "no folder" / "m.pt")]) == 2
    assert capsys.readouterr().err.count("\n") == 1

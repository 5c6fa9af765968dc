"""Evaluate structures with a network's own package: a script for a Python in which that package is.

``PYTHON maker.py FOLDER`` reads ``request.json`` and ``structures.npz`` in the folder and writes
``answers.npz``. It imports nothing of ours. It loads the files as their package does, which runs whatever
they say.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

#: Returns energy and forces in the units of the file, of a structure in its unit of length.
Evaluate = Callable[[Atoms], tuple[float, np.ndarray]]


def schnetpack_2(file: str, member: int, cutoff: float, request: dict) -> Evaluate:
    """Return the evaluation by schnetpack 2."""
    interfaces, transform = (
        import_module("schnetpack.interfaces"),
        import_module("schnetpack.transform"),
    )
    atomistic, utils = import_module("schnetpack.atomistic"), import_module("schnetpack.utils")
    model = utils.load_model(file, device=torch.device("cpu"))
    key = model.output_modules[0].output_key
    forces = [m.force_key for m in model.output_modules if type(m).__name__ == "Forces"]
    if not forces:
        model.output_modules.append(atomistic.Forces(energy_key=key, force_key="forces"))
        model.collect_derivatives()
        model.collect_outputs()
    calculator = interfaces.SpkCalculator(
        model=model,
        neighbor_list=transform.ASENeighborList(cutoff=cutoff),
        energy_key=key,
        force_key=forces[0] if forces else "forces",
        energy_unit="eV",  # no conversion
        position_unit="Angstrom",
        dtype=torch.float64,
    )
    return _by_calculator(calculator)


def schnetpack_1(file: str, member: int, cutoff: float, request: dict) -> Evaluate:
    """Return the evaluation by schnetpack 0.2 to 1.0."""
    vars(np).update(int=int, float=float)  # it is of 2021, when numpy had these names
    environment = import_module("schnetpack.environment")
    data = import_module("schnetpack.data")
    model = torch.load(file, map_location="cpu", weights_only=False).double()
    converter = data.AtomsConverter(environment_provider=environment.AseEnvironmentProvider(cutoff))
    output = model.output_modules[0]

    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray]:
        inputs = {
            k: v.double() if v.is_floating_point() else v for k, v in converter(atoms).items()
        }
        # its converter has rounded them to float32
        inputs["_positions"] = torch.tensor(atoms.positions)[None]
        inputs["_cell"] = torch.tensor(atoms.cell.array)[None]
        results = model(inputs)
        return float(results[output.property]), results[output.derivative].detach().numpy()[0]

    return evaluate


def graph_pes(file: str, member: int, cutoff: float, request: dict) -> Evaluate:
    """Return the evaluation by graph-pes."""
    models, graphs = import_module("graph_pes.models"), import_module("graph_pes.atomic_graph")
    model = models.load_model(file).double().eval()

    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray]:
        graph = graphs.AtomicGraph.from_ase(atoms, cutoff)  # its calculator would round to float32
        results = model.predict(graph, properties=["energy", "forces"])
        return float(results["energy"]), results["forces"].numpy()

    return evaluate


class KnownPairs(torch.nn.Module):
    """List pairs that are known, in place of PyTorch Geometric's own graph, which needs torch_cluster."""

    index: torch.Tensor

    def forward(
        self, positions: torch.Tensor, _: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the pairs (2, P), and their distances at positions (N, 3)."""
        j, i = self.index
        return self.index, (positions[j] - positions[i]).norm(dim=-1)


def pyg(file: str, member: int, cutoff: float, request: dict) -> Evaluate:
    """Return the evaluation by PyTorch Geometric, with all neighbours within the cutoff."""
    nn = import_module("torch_geometric.nn")
    loaded = torch.load(file, map_location="cpu", weights_only=False)
    if isinstance(loaded, dict):
        model = _of_state_dict(nn.SchNet, loaded, cutoff)
        unit = request["energy_unit_eV"]
        model.std = request["scale_eV"][member] / unit
        shift = np.array(request["shift_eV"][member]) / unit
    else:
        model, shift = loaded, None
    model.double().eval()
    model.interaction_graph = graph = KnownPairs()
    if shift is not None:  # atomref and mean are both in it
        model.atomref, model.mean = None, 0.0

    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray]:
        if atoms.pbc.any():
            raise SystemExit("PyTorch Geometric's SchNet has no periodic structures")
        i, j = map(torch.from_numpy, neighbor_list("ij", atoms, cutoff))
        graph.index = torch.stack([j, i])
        positions = torch.tensor(atoms.positions, requires_grad=True)
        energy = model(torch.tensor(atoms.numbers), positions).sum()
        forces = -torch.autograd.grad(energy, positions)[0].numpy()
        return float(energy) + (0.0 if shift is None else shift[atoms.numbers].sum()), forces

    return evaluate


def _of_state_dict(kind: type, state: dict, cutoff: float) -> torch.nn.Module:
    """Return a SchNet of PyTorch Geometric with the weights of a ``state_dict``."""
    model = kind(
        hidden_channels=state["embedding.weight"].shape[1],
        num_filters=state["interactions.0.mlp.0.weight"].shape[0],
        num_interactions=len(
            {name.split(".")[1] for name in state if name.startswith("interactions.")}
        ),
        num_gaussians=len(state["distance_expansion.offset"]),
        cutoff=cutoff,
    )
    left = {name for name in state if name.startswith(("atomref.", "initial_atomref"))}
    model.load_state_dict({name: value for name, value in state.items() if name not in left})
    return model


def _by_calculator(calculator) -> Evaluate:
    def evaluate(atoms: Atoms) -> tuple[float, np.ndarray]:
        atoms.calc = calculator
        return float(atoms.get_potential_energy()), np.array(atoms.get_forces())

    return evaluate


MAKERS = {
    "schnetpack_2": schnetpack_2,
    "schnetpack_1": schnetpack_1,
    "graph_pes": graph_pes,
    "pyg": pyg,
}


def main(folder: Path) -> None:
    """Answer the request in a folder."""
    torch.set_default_dtype(torch.float64)  # this process is the package's alone
    torch.set_num_threads(1)
    request = json.loads((folder / "request.json").read_text())
    data = np.load(folder / "structures.npz")
    energy_unit, length_unit = request["energy_unit_eV"], request["length_unit_Ang"]
    cutoff = request["cutoff_Ang"] / length_unit
    energies, forces = [], []
    for member, file in enumerate(request["files"]):
        evaluate = MAKERS[request["maker"]](file, member, cutoff, request)
        for s in range(len(data["ptr"]) - 1):
            part = slice(data["ptr"][s], data["ptr"][s + 1])
            positions, cell = data["R"][part] / length_unit, data["cells"][s] / length_unit
            energy, force = evaluate(
                Atoms(data["Z"][part], positions, cell=cell, pbc=data["pbc"][s])
            )
            energies.append(energy * energy_unit)
            forces.append(force * energy_unit / length_unit)
    members = len(request["files"])
    np.savez(
        folder / "answers.npz",
        energies=np.reshape(energies, (members, -1)),
        forces=np.concatenate(forces).reshape(members, -1, 3),
        package=_package(request["maker"]),
    )


def _package(maker: str) -> str:
    """Return name and version of the package."""
    name = {"pyg": "torch_geometric"}.get(maker, maker.rstrip("_12"))
    version = import_module("importlib.metadata").version(name.replace("_", "-"))
    return f"{name} {version}"


if __name__ == "__main__":
    main(Path(sys.argv[1]))

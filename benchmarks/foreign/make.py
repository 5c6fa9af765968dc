"""Make small models with their own packages, and keep what those say: run by a Python of each package.

    PYTHON make.py KIND DATA OUTPUT [--steps N] [--frames N]

KIND is schnetpack-2, schnetpack-1, pyg or graph-pes, with "-periodic" behind it for boxes of water. DATA is
../shared/data. The models are trained for some steps on real energies and forces, saved as their packages
save them, and their own answers are written beside them (`reference.npz`): in float64, of the model loaded
again and cast, and in float32 as it is. Imports what the package's environment has, nothing of ours.
"""

from __future__ import annotations

import argparse
import sys
from importlib.metadata import version
from pathlib import Path

import ase.units
import numpy as np
import torch
from ase import Atoms
from ase.neighborlist import neighbor_list

FEATURES, LAYERS, GAUSSIANS, CUTOFF = 8, 2, 16, 4.0
KCAL = ase.units.kcal / ase.units.mol


def ethanol(data: Path, n: int) -> tuple[list[Atoms], np.ndarray, list[np.ndarray]]:
    """rMD17: structures, energies in kcal/mol, forces in kcal/mol/Å."""
    file = np.load(data / "rmd17-npz/rmd17_ethanol_train_01.npz")
    frames = [Atoms(file["nuclear_charges"], r) for r in file["coords"][:n]]
    return frames, file["energies"][:n].astype(float), list(file["forces"][:n])


def water(data: Path, n: int) -> tuple[list[Atoms], np.ndarray, list[np.ndarray]]:
    """DeePMD's boxes of 64 waters: structures, energies in eV, forces in eV/Å."""
    folder = data / "deepmd-water/data/data_0"
    symbols = np.array((folder / "type_map.raw").read_text().split())
    symbols = symbols[np.array((folder / "type.raw").read_text().split(), dtype=int)]
    part = {
        k: np.load(folder / f"set.000/{k}.npy")[:n] for k in ("coord", "box", "energy", "force")
    }
    frames = [
        Atoms(symbols, r.reshape(-1, 3), cell=c.reshape(3, 3), pbc=True)
        for r, c in zip(part["coord"], part["box"], strict=True)
    ]
    return frames, part["energy"].ravel().astype(float), [f.reshape(-1, 3) for f in part["force"]]


class Schnetpack2:
    """schnetpack 2: `best_model` as its trainer saves it, offsets in a postprocessor."""

    file, distribution = "best_model", "schnetpack"

    def __init__(self, mean: float, periodic: bool):
        import schnetpack as spk
        from schnetpack import transform

        self._spk, self._transform = spk, transform
        self.model = spk.model.NeuralNetworkPotential(
            representation=spk.representation.SchNet(
                n_atom_basis=FEATURES,
                n_interactions=LAYERS,
                n_filters=FEATURES + 4,
                radial_basis=spk.nn.GaussianRBF(
                    n_rbf=GAUSSIANS, cutoff=CUTOFF, trainable=not periodic
                ),
                cutoff_fn=(spk.nn.MollifierCutoff if periodic else spk.nn.CosineCutoff)(CUTOFF),
                shared_interactions=periodic,
            ),
            input_modules=[spk.atomistic.PairwiseDistances()],
            output_modules=[
                spk.atomistic.Atomwise(n_in=FEATURES, n_layers=3, output_key="energy"),
                spk.atomistic.Forces(energy_key="energy", force_key="forces"),
            ],
            postprocessors=[
                transform.CastTo64(),
                transform.AddOffsets("energy", add_mean=True, property_mean=torch.tensor([mean])),
            ],
        )
        self.model.do_postprocessing = False  # while it is trained

    def energy_and_forces(self, frames: list[Atoms], dtype: torch.dtype):
        converter = self._spk.interfaces.AtomsConverter(
            neighbor_list=self._transform.ASENeighborList(cutoff=CUTOFF), dtype=dtype
        )
        results = self.model(converter(frames))
        return results["energy"].view(-1), results["forces"]

    def save(self, path: Path) -> None:
        self.model.do_postprocessing = True
        torch.save(self.model.eval(), path)

    def load(self, path: Path, dtype: torch.dtype) -> None:
        self.model = self._spk.utils.load_model(path, device=torch.device("cpu")).to(dtype).eval()


class Schnetpack1:
    """schnetpack 1: pickled AtomisticModel, mean and stddev in its output module."""

    file, distribution = "best_model", "schnetpack"

    def __init__(self, mean: float, periodic: bool):
        vars(np).update(int=int, float=float)  # it is of 2021, when numpy had these names
        import schnetpack as spk
        from schnetpack import environment
        from schnetpack.data.atoms import AtomsConverter

        provider = environment.AseEnvironmentProvider(CUTOFF)
        self._converter = AtomsConverter(environment_provider=provider)
        representation = spk.representation.SchNet(
            n_atom_basis=FEATURES,
            n_filters=FEATURES,
            n_interactions=LAYERS,
            cutoff=CUTOFF,
            n_gaussians=GAUSSIANS,
            cutoff_network=spk.nn.cutoff.CosineCutoff,
        )
        output = spk.atomistic.Atomwise(
            n_in=FEATURES,
            mean=torch.tensor([mean]),
            stddev=torch.tensor([2.5]),
            property="energy",
            derivative="forces",
            negative_dr=True,
        )
        self.model = spk.atomistic.AtomisticModel(representation, output)

    def energy_and_forces(self, frames: list[Atoms], dtype: torch.dtype):
        energies, forces = [], []
        for atoms in frames:
            inputs = self._converter(atoms)
            inputs = {k: v.to(dtype) if v.is_floating_point() else v for k, v in inputs.items()}
            # its converter has rounded them to float32
            inputs["_positions"] = torch.tensor(atoms.positions, dtype=dtype)[None]
            inputs["_cell"] = torch.tensor(atoms.cell.array, dtype=dtype)[None]
            results = self.model(inputs)
            energies.append(results["energy"].view(1))
            forces.append(results["forces"][0])
        return torch.cat(energies), torch.cat(forces)

    def save(self, path: Path) -> None:
        torch.save(self.model.eval(), path, _use_new_zipfile_serialization=False)

    def load(self, path: Path, dtype: torch.dtype) -> None:
        self.model = torch.load(path, weights_only=False).to(dtype).eval()


class Graph(torch.nn.Module):
    """Pairs that are known beforehand, for PyTorch Geometric."""

    def __init__(self, index: torch.Tensor):
        super().__init__()
        self.index = index

    def forward(self, positions, batch):
        j, i = self.index
        return self.index, (positions[j] - positions[i]).norm(dim=-1)


class PyG:
    """PyTorch Geometric: the whole module; all neighbours within the cutoff, as in molecules."""

    file, distribution = "model.pt", "torch_geometric"

    def __init__(self, mean: float, periodic: bool):
        from torch_geometric.nn import SchNet

        self.model = SchNet(
            hidden_channels=FEATURES,
            num_filters=FEATURES,
            num_interactions=LAYERS,
            num_gaussians=GAUSSIANS,
            cutoff=CUTOFF,
            mean=mean,
            std=2.5,
            atomref=torch.linspace(-1.0, 1.0, 100)[:, None],
        )

    def energy_and_forces(self, frames: list[Atoms], dtype: torch.dtype):
        whole, first, edges = [], 0, []
        for k, atoms in enumerate(frames):
            i, j = neighbor_list("ij", atoms, CUTOFF)
            edges.append(np.stack([j, i]) + first)
            whole.append(np.full(len(atoms), k))
            first += len(atoms)
        index = torch.from_numpy(np.concatenate(edges, axis=1))
        own = self.model.interaction_graph  # needs torch_cluster; this one has the same pairs
        self.model.interaction_graph = Graph(index)
        positions = torch.tensor(np.concatenate([a.positions for a in frames]), dtype=dtype)
        positions.requires_grad_()
        numbers = torch.from_numpy(np.concatenate([a.numbers for a in frames]))
        batch = torch.from_numpy(np.concatenate(whole))
        energies = self.model(numbers, positions, batch).view(-1)
        gradient = torch.autograd.grad(energies.sum(), positions, create_graph=self.model.training)[
            0
        ]
        self.model.interaction_graph = own
        return energies, -gradient

    def save(self, path: Path) -> None:
        torch.save(self.model.eval(), path)

    def load(self, path: Path, dtype: torch.dtype) -> None:
        self.model = torch.load(path, weights_only=False).to(dtype).eval()


class GraphPes:
    """graph-pes: a sum of energies of atoms and a SchNet, as its trainings make."""

    file, distribution = "model.pt", "graph-pes"

    def __init__(self, mean: float, periodic: bool):
        from graph_pes.models import AdditionModel, LearnableOffset, SchNet

        self.model = AdditionModel(
            offset=LearnableOffset(H=mean, C=mean, O=mean),
            many_body=SchNet(
                cutoff=CUTOFF, channels=FEATURES, expansion_features=GAUSSIANS, layers=LAYERS
            ),
        )

    def energy_and_forces(self, frames: list[Atoms], dtype: torch.dtype):
        from graph_pes import AtomicGraph
        from graph_pes.atomic_graph import to_batch

        torch.set_default_dtype(dtype)
        graph = to_batch([AtomicGraph.from_ase(atoms, CUTOFF) for atoms in frames])
        results = self.model.predict(graph, properties=["energy", "forces"])
        return results["energy"].view(-1), results["forces"]

    def save(self, path: Path) -> None:
        torch.save(self.model.eval(), path)

    def load(self, path: Path, dtype: torch.dtype) -> None:
        from graph_pes.models import load_model

        self.model = load_model(path).to(dtype).eval()


KINDS = {
    "schnetpack-2": Schnetpack2,
    "schnetpack-1": Schnetpack1,
    "pyg": PyG,
    "graph-pes": GraphPes,
}


def train(kind, frames, energies, forces, steps: int, batch: int, seed: int) -> None:
    """Fit energies and forces for some steps of Adam, from energies without their mean."""
    kind.model.train()
    optimizer = torch.optim.Adam(kind.model.parameters(), lr=3e-3)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        chosen = rng.choice(len(frames), size=batch, replace=False)
        e, f = kind.energy_and_forces([frames[k] for k in chosen], torch.float32)
        target = torch.tensor(energies[chosen], dtype=torch.float32)
        truth = torch.tensor(np.concatenate([forces[k] for k in chosen]), dtype=torch.float32)
        loss = 1e-3 * ((e - target) ** 2).mean() + ((f - truth) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0 or step == steps - 1:
            print(
                f"step {step}: rms force error {((f - truth) ** 2).mean().item() ** 0.5:.3f}",
                file=sys.stderr,
            )


def answers(kind, path: Path, frames: list[Atoms]) -> dict[str, np.ndarray]:
    """What the saved model says, loaded anew, in both precisions."""
    found = {}
    for dtype in (torch.float64, torch.float32):
        kind.load(path, dtype)
        each = [kind.energy_and_forces([atoms], dtype) for atoms in frames]
        name = str(dtype).removeprefix("torch.")
        found[f"energies_{name}"] = np.array([float(e.detach()) for e, _ in each])
        found[f"forces_{name}"] = np.concatenate([f.detach().numpy() for _, f in each])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind")
    parser.add_argument("data", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--frames", type=int, default=200)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    periodic = options.kind.endswith("-periodic")
    read = water if periodic else ethanol
    frames, energies, forces = read(options.data, options.frames)
    per_atom = energies.mean() / len(frames[0])
    # schnetpack 2 adds its mean in float64 behind the network; the others carry it in float32
    kind_class = KINDS[options.kind.removesuffix("-periodic")]
    kind = kind_class(per_atom, periodic)
    target = energies - energies.mean() if kind_class is Schnetpack2 else energies
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / kind.file
    train(kind, frames, target, forces, options.steps, 2 if periodic else 10, seed=0)
    kind.save(path)
    np.savez_compressed(
        options.output / "reference.npz",
        numbers=np.concatenate([a.numbers for a in frames]),
        positions=np.concatenate([a.positions for a in frames]),
        sizes=np.array([len(a) for a in frames]),
        cells=np.array([a.cell.array for a in frames]),
        pbc=np.array([a.pbc for a in frames]),
        package=f"{kind.distribution} {version(kind.distribution)}, torch {torch.__version__}",
        units="eV" if periodic else "kcal/mol",
        **answers(kind, path, frames),
    )


if __name__ == "__main__":
    main()

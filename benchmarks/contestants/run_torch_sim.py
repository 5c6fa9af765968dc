"""torch-sim: replicas of ethanol at constant energy with the same SchNet, in torch, forces by autograd.

    PYTHON run_torch_sim.py MODEL REPLICAS STEPS THREADS PAIRS

in an environment with torch-sim-atomistic, ase and safetensors, and this repository in PYTHONPATH. PAIRS is
"lists": at every step a list of pairs of every molecule, as torch-sim's own models make them (vesin_nl_ts);
or "once": all pairs, made once. Members are evaluated one after the other. Prints molecule-steps per second.
"""

import sys
import time

import numpy as np
import torch
import torch_sim
from ase.build import molecule
from torch_sim.integrators.nve import nve
from torch_sim.models.interface import ModelInterface
from torch_sim.neighbors import vesin_nl_ts
from torch_sim.units import MetalUnits

from ase_schnet.model.batch import AtomsBatch
from ase_schnet.model.potential import Potential, properties_of
from ase_schnet.modelfile import load_model


class Network(ModelInterface):
    """An ensemble as torch-sim wants it."""

    def __init__(self, name: str, replicas: int, numbers: np.ndarray, pairs: str):
        super().__init__()
        self._device, self._dtype = torch.device("cpu"), torch.float64
        self._compute_stress, self._compute_forces = False, True
        model = load_model(name)
        self.pairs, self.cutoff = pairs, torch.tensor(model.config["cutoff"], dtype=torch.float64)
        self.members = []
        for m in range(model.n_members):
            one = Potential(model.network, model.energy_shift[m], float(model.scale[m]))
            state = {k: torch.as_tensor(v[m]).double() for k, v in model.weights.items()}
            one.schnet.double().load_state_dict(state)
            self.members.append(one)
        n = len(numbers)
        i, j = np.triu_indices(n, k=1)
        first = n * np.arange(replicas)[:, None]
        self.batch = AtomsBatch(
            Z=torch.as_tensor(np.tile(numbers, replicas)),
            R=torch.empty(0),
            idx_i=torch.as_tensor((first + i).ravel()),
            idx_j=torch.as_tensor((first + j).ravel()),
            shifts=torch.zeros((replicas * len(i), 3), dtype=torch.float64),
            idx_m=torch.as_tensor(np.repeat(np.arange(replicas), n)),
            n_structures=replicas,
        )

    def forward(self, state, **_):
        """Return energies (S,) and forces (N, 3)."""
        positions = state["positions"] if isinstance(state, dict) else state.positions
        batch = self.batch._replace(R=positions)
        if self.pairs == "lists":
            batch = batch._replace(**self._listed(state))
        found = [properties_of(one, batch) for one in self.members]
        return {
            "energy": torch.stack([one.energies for one in found]).mean(dim=0),
            "forces": torch.stack([one.forces for one in found]).mean(dim=0),
        }

    def _listed(self, state) -> dict:
        """Return the pairs of every molecule, of which torch-sim lists both directions."""
        n, found = len(self.batch.Z) // self.batch.n_structures, []
        for k in range(self.batch.n_structures):
            own = state.positions[k * n : (k + 1) * n]
            pairs, _ = vesin_nl_ts(own, state.row_vector_cell[k], state.pbc, self.cutoff)
            found.append(pairs[:, pairs[0] < pairs[1]] + k * n)
        i, j = torch.cat(found, dim=1)
        return {"idx_i": i, "idx_j": j, "shifts": torch.zeros((len(i), 3), dtype=torch.float64)}


def main() -> None:
    """Time the steps, after some that are not."""
    name, replicas, steps, threads = sys.argv[1], *map(int, sys.argv[2:5])
    torch.set_num_threads(threads)
    atoms = molecule("CH3CH2OH", vacuum=8.0)
    network = Network(name, replicas, atoms.numbers, sys.argv[5])
    state = torch_sim.io.atoms_to_state([atoms] * replicas, torch.device("cpu"), torch.float64)
    begin, step = nve(
        model=network,
        dt=torch.tensor(0.0005 * MetalUnits.time, dtype=torch.float64),
        kT=torch.tensor(300 * MetalUnits.temperature, dtype=torch.float64),
    )
    state = begin(state)
    for _ in range(3):
        state = step(state)
    start = time.perf_counter()
    for _ in range(steps):
        state = step(state)
    print(replicas * steps / (time.perf_counter() - start))


if __name__ == "__main__":
    main()

"""Run many copies of ethanol at once with torch-sim, on a GPU if there is one.

    pip install torch-sim-atomistic "vesin-torch<0.5" && python md_examples/torch_sim_replicas.py 64 100

Use a separate environment, because this vesin-torch needs torch 2.9. torch-sim moves all systems of a batch
together and evaluates one model for all of them, which uses a GPU well even for small molecules.
`SchNetModel` is its model interface over the members of a model directory. It has not been tested on a GPU.
"""

import sys
import time

import numpy as np
import torch
import torch_sim as ts
from ase.build import molecule
from torch_sim.models.interface import ModelInterface

from ase_schnet import SchNetCalculator, load_model
from ase_schnet.model.batch import AtomsBatch
from ase_schnet.model.potential import Potential
from ase_schnet.model.schnet import SchNetConfig
from ase_schnet.neighbors import all_pairs

REPLICAS = int(sys.argv[1]) if len(sys.argv) > 1 else 64
STEPS = int(sys.argv[2]) if len(sys.argv) > 2 else 100
TIMESTEP_PS, TEMPERATURE_K = 0.0005, 300


class SchNetModel(ModelInterface):
    """The ensemble of a model of molecules; all pairs of a molecule are looked at."""

    def __init__(self, model: str, device: torch.device, dtype: torch.dtype = torch.float32):
        super().__init__()
        self._device, self._dtype = device, dtype
        self._compute_forces, self._compute_stress = True, False
        trained = load_model(model)
        self.members = torch.nn.ModuleList()
        for k in range(trained.n_members):
            config = SchNetConfig(**trained.config)
            member = Potential(config, trained.energy_shift[k], trained.scale[k])
            state = {name: torch.as_tensor(w[k]) for name, w in trained.weights.items()}
            member.schnet.load_state_dict(state)
            member.schnet.to(dtype)
            self.members.append(member.to(device))
        self._pairs = None  # idx_i, idx_j of the batch; who is in it does not change

    def forward(self, state, **_) -> dict[str, torch.Tensor]:
        """Mean energies and forces of the members, and their standard deviations."""
        n_atoms = torch.bincount(state.system_idx, minlength=state.n_systems)
        idx_i, idx_j = self._pairs_of(n_atoms.tolist())
        batch = AtomsBatch(
            Z=state.atomic_numbers.long(),
            R=state.positions.to(self._dtype),
            idx_i=idx_i,
            idx_j=idx_j,
            shifts=torch.zeros(len(idx_i), 3, dtype=self._dtype, device=self._device),
            idx_m=state.system_idx.long(),
            n_structures=state.n_systems,
        )
        answers = [member.properties(batch) for member in self.members]
        energies = torch.stack([a.energies for a in answers])  # (M, S)
        forces = torch.stack([a.forces for a in answers])  # (M, N, 3)
        return {
            "energy": energies.mean(dim=0).detach().to(self._dtype),
            "forces": forces.mean(dim=0).detach(),
            "energy_std": energies.std(dim=0).detach(),
            "forces_std": forces.std(dim=0).detach(),
        }

    def _pairs_of(self, n_atoms: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        if self._pairs is None or self._pairs[0] != n_atoms:
            first = np.cumsum([0, *n_atoms])
            lists = [all_pairs(n) for n in n_atoms]
            both = (
                np.concatenate([idx + a for a, idx in zip(first, column, strict=False)])
                for column in ([p.idx_i for p in lists], [p.idx_j for p in lists])
            )
            self._pairs = n_atoms, tuple(torch.as_tensor(x, device=self._device) for x in both)
        return self._pairs[1]


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = SchNetModel("ethanol", device)
ethanol = molecule("CH3CH2OH")
replicas = ts.initialize_state([ethanol] * REPLICAS, device=device, dtype=torch.float32)
ethanol.calc = SchNetCalculator("ethanol")
first = model(replicas)
difference = abs(first["energy"][0].item() - ethanol.get_potential_energy())
print(f"energy differs from the calculator's by {1000 * difference:.3f} meV (float32)")

start = time.perf_counter()
final = ts.integrate(
    replicas,
    model,
    integrator=ts.integrators.nvt_langevin,
    n_steps=STEPS,
    temperature=TEMPERATURE_K,
    timestep=TIMESTEP_PS,
)
seconds = time.perf_counter() - start
std = model(final)["energy_std"]
print(
    f"{REPLICAS} replicas, {STEPS} steps on {device}: {REPLICAS * STEPS / seconds:.0f} steps of a molecule "
    f"a second; energy std {1000 * std.mean():.2f} meV on average, {1000 * std.max():.2f} at most"
)

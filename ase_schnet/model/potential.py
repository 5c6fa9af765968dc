"""From the network's unit-free atomic energies to energies in eV and forces in eV/Å."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from ase_schnet.model.batch import AtomsBatch, sum_per_structure
from ase_schnet.model.schnet import SchNet, SchNetConfig
from ase_schnet.modelfile import MAX_ELEMENTS


class Potential(nn.Module):
    """E = Σ_i (scale · ε_i + shift[Z_i]): one shift per species, one scale for all.

    Energy and forces share the scale, since F = −∇E (SCIENCE: units and transformations). The shift
    stays in float64: a total energy of −4200 eV has a grain of 0.5 meV in float32.

    Parameters
    ----------
    config : the network's shape.
    shift : (100,) array, eV per atom of each atomic number.
    scale : eV.
    """

    def __init__(self, config: SchNetConfig, shift: np.ndarray, scale: float):
        super().__init__()
        self.config = config
        self.schnet = SchNet(config)
        shift = torch.as_tensor(np.asarray(shift), dtype=torch.float64)
        if shift.shape != (MAX_ELEMENTS,):
            raise ValueError(f"shift has shape {tuple(shift.shape)}, expected ({MAX_ELEMENTS},)")
        self.register_buffer("shift", shift, persistent=False)
        self.scale = float(scale)

    @classmethod
    def create(cls, config, shift, scale, *, seed: int, dtype: torch.dtype = torch.float32):
        """A new potential with seeded weights; touches no global random state or dtype."""
        with torch.random.fork_rng(devices=[]):  # torch's layers draw weights when they are made
            potential = cls(config, shift, scale)
        potential.schnet.to(dtype)
        potential.schnet.reset_parameters(torch.Generator().manual_seed(seed))
        return potential

    def forward(self, batch: AtomsBatch) -> Tensor:
        """Energies (S,) in eV, float64."""
        interaction = sum_per_structure(self.schnet(batch), batch)  # (S,)
        shift = sum_per_structure(self.shift[batch.Z], batch)  # (S,)
        return self.scale * interaction.to(torch.float64) + shift


def energy_and_forces(
    potential: Potential, batch: AtomsBatch, *, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Energies (S,) in eV and forces F = −∂E/∂R (N, 3) in eV/Å.

    The one place where energy becomes forces. `create_graph=True` keeps the graph of the forces, without
    which a force loss trains nothing. The batch handed in is not changed.
    """
    batch = batch._replace(R=batch.R.detach().requires_grad_(True))
    energies = potential(batch)  # (S,)
    (gradient,) = torch.autograd.grad(energies.sum(), batch.R, create_graph=create_graph)
    return (energies if create_graph else energies.detach()), -gradient

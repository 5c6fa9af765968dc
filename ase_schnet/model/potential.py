"""From the network's unit-free atomic energies to energies in eV, forces in eV/Å, stress in eV/Å³."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ase_schnet.model.batch import AtomsBatch, sum_per_structure
from ase_schnet.model.dropout import Dropout
from ase_schnet.model.schnet import SchNet
from ase_schnet.schnet_config import MAX_ELEMENTS, SchNetConfig


class Potential(nn.Module):
    """Give E = Σ_i (scale · ε_i + shift[Z_i]) in eV: one shift per species, one scale for all.

    Energy and forces share the scale, since F = −∇E (docs/sources.md, units and transformations). The shift
    stays in float64: a total energy of −4200 eV has a grain of 0.5 meV in float32.

    Parameters
    ----------
    config
        Shape of the network.
    shift
        (100,) array, eV per atom of each atomic number.
    scale
        eV.
    """

    def __init__(self, config: SchNetConfig, shift: np.ndarray, scale: float):
        super().__init__()
        self.config = config
        self.schnet = SchNet(config)
        shifts = torch.as_tensor(np.asarray(shift), dtype=torch.float64)
        if shifts.shape != (MAX_ELEMENTS,):
            raise ValueError(f"shift has shape {tuple(shifts.shape)}, expected ({MAX_ELEMENTS},)")
        self.register_buffer("shift", shifts, persistent=False)
        self.scale = float(scale)

    @classmethod
    def create(
        cls,
        config: SchNetConfig,
        shift: np.ndarray,
        scale: float,
        *,
        seed: int,
        dtype: torch.dtype = torch.float32,
    ) -> Potential:
        """Return a new potential with weights drawn from `seed`; no global random state is touched."""
        with torch.random.fork_rng(devices=[]):  # torch's layers draw weights when they are made
            potential = cls(config, shift, scale)
        potential.schnet.to(dtype)
        potential.schnet.reset_parameters(torch.Generator().manual_seed(seed))
        return potential

    def forward(self, batch: AtomsBatch, dropout: Dropout | None = None) -> Tensor:
        """Return energies (S,) in eV, float64."""
        interaction = sum_per_structure(self.schnet(batch, dropout), batch)  # (S,)
        shift = sum_per_structure(self.shift[batch.Z], batch)  # (S,)
        return self.scale * interaction.to(torch.float64) + shift

    def properties(self, batch: AtomsBatch, **wanted: bool) -> Properties:
        """Return what :func:`properties_of` does."""
        return properties_of(self, batch, **wanted)


class Properties(NamedTuple):
    """Hold energies (S,) in eV, forces (N, 3) in eV/Å and stress (S, 3, 3) in eV/Å³ of a batch.

    Forces and stress are None unless asked for. Stress has ASE's sign: positive under tension.
    """

    energies: Tensor
    forces: Tensor | None = None
    stress: Tensor | None = None


def properties_of(
    potential: Potential,
    batch: AtomsBatch,
    *,
    forces: bool = True,
    stress: bool = False,
    create_graph: bool = False,
    dropout: Dropout | None = None,
) -> Properties:
    """Return energies, F = −∂E/∂R and σ = (1/V) ∂E/∂ε from one differentiation.

    ε strains every pair vector: positions and lattice shifts alike, r → r (1 + ε). σ is symmetrised and
    V is |det cell|, so left-handed cells are right; a molecule, of infinite volume, has σ = 0.
    This is the one place where autograd makes forces and stress. ``create_graph=True`` keeps their graph,
    without which a loss of them trains nothing. The batch handed in is not changed. With `dropout`, all are
    those of the network that has hidden units left out.
    """
    if not (forces or stress):
        with torch.set_grad_enabled(create_graph):
            return Properties(potential(batch, dropout))
    R = batch.R.detach().requires_grad_(forces)
    strain = R.new_zeros((batch.n_structures, 3, 3)).requires_grad_(stress)
    batch = batch._replace(R=R)
    energies = potential(_strained(batch, strain) if stress else batch, dropout)  # (S,)
    wanted = [x for x in (R, strain) if x.requires_grad]
    gradients = list(torch.autograd.grad(energies.sum(), wanted, create_graph=create_graph))
    minus_forces = gradients.pop(0) if forces else None
    return Properties(
        energies if create_graph else energies.detach(),
        -minus_forces if forces else None,
        symmetric(gradients.pop()) / batch.volumes[:, None, None] if stress else None,
    )


def _strained(batch: AtomsBatch, strain: Tensor) -> AtomsBatch:
    """Return the batch with every vector r of structure s as r + r ε_s, of a strain ε (S, 3, 3)."""
    of_atoms = strain[batch.idx_m]  # (N, 3, 3)
    of_pairs = of_atoms[batch.idx_i]  # (P, 3, 3)
    return batch._replace(
        R=batch.R + torch.einsum("na,nab->nb", batch.R, of_atoms),
        shifts=batch.shifts + torch.einsum("pa,pab->pb", batch.shifts, of_pairs),
    )


def symmetric(matrices: Tensor) -> Tensor:
    """Return matrices (..., 3, 3) averaged with their transposes."""
    return 0.5 * (matrices + matrices.mT)

"""What tests do with batches of structures: join them, ask a potential for energy and forces."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ase_schnet.model.batch import AtomsBatch
from ase_schnet.model.potential import Potential, properties_of


def collate(parts: list[AtomsBatch]) -> AtomsBatch:
    """Join batches into one, renumbering atoms and structures."""
    n_atoms = [0, *torch.tensor([len(p.Z) for p in parts]).cumsum(0).tolist()]
    n_structures = [0, *torch.tensor([p.n_structures for p in parts]).cumsum(0).tolist()]
    return AtomsBatch(
        Z=torch.cat([p.Z for p in parts]),
        R=torch.cat([p.R for p in parts]),
        idx_i=torch.cat([p.idx_i + a for p, a in zip(parts, n_atoms, strict=False)]),
        idx_j=torch.cat([p.idx_j + a for p, a in zip(parts, n_atoms, strict=False)]),
        shifts=torch.cat([p.shifts for p in parts]),
        idx_m=torch.cat([p.idx_m + s for p, s in zip(parts, n_structures, strict=False)]),
        n_structures=n_structures[-1],
        volumes=None
        if any(p.volumes is None for p in parts)
        else torch.cat([p.volumes for p in parts]),
    )


def energy_and_forces(
    potential: Potential, batch: AtomsBatch, *, create_graph: bool = False
) -> tuple[Tensor, Tensor]:
    """Energies (S,) in eV and forces (N, 3) in eV/Å."""
    return properties_of(potential, batch, create_graph=create_graph)[:2]


def count_parameters(module: nn.Module) -> int:
    """Number of trainable parameters."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)

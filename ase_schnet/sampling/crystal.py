"""Strain a cell, and take an atom out of it."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.random import Generator

from ase_schnet.sampling.displace import add_noise
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.topology import Topology

#: Smallest cell in which a vacancy is not its own neighbour everywhere.
SMALLEST_WITH_VACANCY = 8


def apply_strain(atoms: Atoms, largest: float, rng: Generator) -> None:
    """Strain the periodic directions in place: half of the strain is isotropic, half of any kind."""
    periodic = atoms.pbc & atoms.cell.any(axis=1)
    strain = rng.uniform(-largest, largest, size=(3, 3)) / 2
    strain = (strain + strain.T) / 2 + np.eye(3) * rng.uniform(-largest, largest) / 2
    cell = atoms.cell.array.copy()
    cell[periodic] = cell[periodic] @ (np.eye(3) + strain)
    atoms.set_cell(cell, scale_atoms=True)


def strain(atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator) -> Atoms | None:
    """Return the cell strained at random, and noise on all atoms; None for a molecule."""
    if not atoms.pbc.any():
        return None
    moved = atoms.copy()
    apply_strain(moved, plan.strain, rng)
    add_noise(moved, plan.noise_Ang, rng)
    return moved


def vacancy(atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator) -> Atoms | None:
    """Return the cell without one atom, and noise on all others; None for a molecule or a small cell."""
    if not atoms.pbc.any() or len(atoms) < SMALLEST_WITH_VACANCY:
        return None
    moved = atoms.copy()
    del moved[int(rng.integers(len(moved)))]
    add_noise(moved, plan.noise_Ang, rng)
    return moved

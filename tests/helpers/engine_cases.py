"""Structures and networks on which the engines are held against each other."""

import numpy as np
import torch
from ase import Atoms
from ase.build import bulk
from factory import TINY, preset

from ase_schnet.model.batch import AtomsBatch
from ase_schnet.model.potential import properties_of
from ase_schnet.neighbors import half_list
from ase_schnet.schnet_config import SchNetConfig

CONFIGS = {
    "tiny": TINY,
    "small": preset("small"),
    "default": preset("default"),
    "large": preset("large"),
    "fast": preset("fast"),
    "accurate": preset("accurate"),
    "no envelope": preset("fast", envelope="none"),
    "odd widths": SchNetConfig(13, 10, n_interactions=3, n_rbf=23, cutoff=4.5, gamma=7.0),
    "narrow": SchNetConfig(3, 21, n_interactions=2, n_rbf=7, cutoff=3.0, gamma=5.0),
    "one of each": SchNetConfig(1, 1, n_interactions=1, n_rbf=1, cutoff=2.0, gamma=1.0),
}


def crystal(repeat=(1, 1, 1), cell=None, seed=3):
    """Rattled diamond lattice of all three elements, some atoms outside the cell."""
    rng = np.random.default_rng(seed)
    atoms = bulk("C", cubic=True).repeat(repeat)
    atoms.numbers = rng.choice([1, 6, 8], size=len(atoms))
    if cell is not None:
        atoms.set_cell(atoms.cell.array @ cell, scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    atoms.positions[0] += atoms.cell[1] * 5 - atoms.cell[2]
    return atoms


def primitive():
    """Two atoms, 2.5 Å from their own images."""
    atoms = bulk("C")
    atoms.numbers[1] = 8
    atoms.rattle(0.1, seed=1)
    return atoms


def cluster(n, seed=0):
    """n atoms that are not periodic, at the density of a liquid."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(*[np.arange(7)] * 3), axis=-1).reshape(-1, 3)
    sites = grid[np.lexsort((rng.random(len(grid)), (grid**2).sum(axis=1)))][:n]
    positions = 1.5 * sites + rng.normal(scale=0.15, size=(n, 3))
    return Atoms(rng.choice([1, 6, 8], size=n), positions)


def slab():
    atoms = crystal((2, 2, 1))
    atoms.pbc = (True, True, False)
    return atoms


def diamond():
    """As silicon crystallises; displaced, so that no component of the stress is zero by symmetry."""
    atoms = bulk("C", "diamond", a=3.6, cubic=True)
    atoms.rattle(0.1, seed=2)
    return atoms


PERIODIC = {
    "crystal": crystal(),
    "its own images": primitive(),
    "triclinic": crystal(cell=np.array([[1.0, 0.2, 0.1], [0.0, 1.1, -0.3], [0.0, 0.0, 0.9]])),
    "left-handed": crystal(cell=np.array([[0, 1.0, 0], [1.0, 0, 0], [0, 0, 1.1]])),
    "slab": slab(),
    "three chunks": crystal((4, 3, 3)),
}


def batch_of(atoms, cutoff=TINY.cutoff, dtype=torch.float64) -> AtomsBatch:
    pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
    return AtomsBatch(
        Z=torch.tensor(atoms.numbers),
        R=torch.tensor(atoms.positions, dtype=dtype),
        idx_i=torch.tensor(pairs.idx_i),
        idx_j=torch.tensor(pairs.idx_j),
        shifts=torch.tensor(pairs.shifts, dtype=dtype),
        idx_m=torch.zeros(len(atoms), dtype=torch.int64),
        n_structures=1,
    )


def evaluate(engine, atoms):
    cutoff = engine.model.config["cutoff"]
    pairs = half_list(atoms.positions, cutoff, atoms.cell.array, atoms.pbc)
    return engine.evaluate(atoms.numbers, atoms.positions, pairs)


def by_autograd(potential, atoms):
    """Energy, forces and virial −∂E/∂ε of a torch potential, in float64."""
    batch = batch_of(atoms, potential.config.cutoff)
    batch = batch._replace(volumes=torch.ones(1, dtype=torch.float64))  # so that stress is ∂E/∂ε
    got = properties_of(potential.double(), batch, stress=True)
    return got.energies.item(), got.forces.numpy(), -got.stress[0].numpy()


def assert_same(got, expected, tolerance=1e-6):
    """Every member's energies, forces and virial, in eV and eV/Å."""
    np.testing.assert_allclose(got.energies, expected.energies, rtol=0, atol=tolerance)
    np.testing.assert_allclose(got.forces, expected.forces, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        got.atomic_energies, expected.atomic_energies, rtol=0, atol=tolerance
    )
    # a sum over all pairs, of forces times distances
    allowed = tolerance * np.sqrt(got.forces.shape[1]) * 5.0
    np.testing.assert_allclose(got.virials, expected.virials, rtol=0, atol=allowed)

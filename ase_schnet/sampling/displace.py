"""Displace all atoms by Gaussian noise."""

from __future__ import annotations

from ase import Atoms
from numpy.random import Generator

from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.topology import Topology


def add_noise(atoms: Atoms, widths_Ang: tuple[float, float], rng: Generator) -> None:
    """Displace the atoms in place, by a Gaussian of a width drawn uniformly between two, Å."""
    width = rng.uniform(*widths_Ang)
    atoms.positions += rng.normal(scale=width, size=atoms.positions.shape)


def displace(atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator) -> Atoms | None:
    """Return the structure with all atoms displaced."""
    moved = atoms.copy()
    add_noise(moved, plan.noise_Ang, rng)
    return moved

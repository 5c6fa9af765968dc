"""Stretch and squeeze one bond or two."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.random import Generator

from ase_schnet.sampling.displace import add_noise
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.topology import Topology
from ase_schnet.scan.coordinate import Coordinate

#: Largest factor of a bond in a ring. One atom and what hangs on it move, so two bonds of the ring change.
LONGEST_IN_RING = 1.4


def stretch_one(
    atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator
) -> Atoms | None:
    """Return the structure with one bond stretched or squeezed; None without a bond."""
    return _stretched(atoms, topology, plan, rng, 1)


def stretch_two(
    atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator
) -> Atoms | None:
    """Return the structure with two bonds stretched or squeezed; None if it has fewer."""
    return _stretched(atoms, topology, plan, rng, 2)


def _stretched(
    atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator, count: int
) -> Atoms | None:
    if len(topology.bonds) < count:
        return None
    moved = atoms.copy()
    for k in rng.choice(len(topology.bonds), count, replace=False):
        side = topology.side(*topology.bonds[k])
        low, high = plan.stretch_factors
        longest = max(low, min(high, LONGEST_IN_RING)) if side.in_ring else high
        factor = np.exp(rng.uniform(np.log(low), np.log(longest)))
        bond = Coordinate.of(moved, (side.fixed, side.moving), side.piece)
        try:
            bond.place(moved, factor * bond.measure(moved))
        except ValueError:  # longer than the periodic cell allows
            return None
    add_noise(moved, plan.stretch_noise_Ang, rng)
    return moved

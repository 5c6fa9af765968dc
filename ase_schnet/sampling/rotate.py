"""Turn parts of a molecule about its rotatable bonds."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.random import Generator
from scipy.spatial.transform import Rotation

from ase_schnet.bonds import vectors_to
from ase_schnet.sampling.displace import add_noise
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.topology import Side, Topology

#: Chance that a second bond is turned, where there are two.
SECOND_BOND = 0.3


def turn(atoms: Atoms, side: Side, angle_deg: float) -> None:
    """Turn one side of a bond about the bond, in place, as a rigid piece."""
    axis = atoms.get_distance(side.fixed, side.moving, mic=True, vector=True)
    rotation = Rotation.from_rotvec(angle_deg * axis / np.linalg.norm(axis), degrees=True)
    vectors = vectors_to(atoms, side.moving, side.piece)
    atoms.positions[side.piece] = atoms.positions[side.moving] + rotation.apply(vectors)


def turn_at_random(atoms: Atoms, topology: Topology, rng: Generator) -> bool:
    """Turn one or two rotatable bonds by random angles, in place; return False if there are none."""
    bonds = topology.rotatable
    if not bonds:
        return False
    count = 2 if len(bonds) > 1 and rng.random() < SECOND_BOND else 1
    for k in rng.choice(len(bonds), count, replace=False):
        turn(atoms, topology.side(*bonds[k]), rng.uniform(0, 360))
    return True


def rotate(atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator) -> Atoms | None:
    """Return the structure with one or two rotatable bonds turned at random, and noise on all atoms."""
    moved = atoms.copy()
    if not turn_at_random(moved, topology, rng):
        return None
    add_noise(moved, plan.noise_Ang, rng)
    return moved

"""Bring atoms together that are not bonded: two molecules, or two parts of one."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from ase_schnet.sampling.displace import add_noise
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.rotate import turn
from ase_schnet.sampling.topology import Topology

#: Bonds between two atoms of one molecule that may collide: a dihedral or more.
FEWEST_BONDS = 3
#: Random conformers among which two atoms of one molecule are looked for that are near to each other.
CONFORMERS = 3
#: Longest way, Å, that the two atoms are pushed; an atom n bonds further goes PASSED_ON ** n of it.
LONGEST_PUSH_ANG, PASSED_ON = 1.2, 0.5


def collide(atoms: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator) -> Atoms | None:
    """Return the structure with two molecules, or two parts of one molecule, in contact.

    The nearest two atoms come to a distance of ``plan.contact_factors`` times the sum of their covalent
    radii. None for cells, and for molecules of which no two atoms are three bonds apart.
    """
    if atoms.pbc.any():
        return None
    molecules = topology.molecules()
    factor = rng.uniform(*plan.contact_factors)
    if len(molecules) > 1:
        moved = _molecules_met(atoms, molecules, factor, rng)
    else:
        moved = _folded(atoms, topology, factor, rng)
    if moved is not None:
        add_noise(moved, plan.stretch_noise_Ang, rng)
    return moved


def _molecules_met(
    atoms: Atoms, molecules: list[list[int]], factor: float, rng: Generator
) -> Atoms | None:
    """Turn two molecules at random, and move the second along a random line to contact with the first."""
    moved = atoms.copy()
    first, second = (molecules[k] for k in rng.choice(len(molecules), 2, replace=False))
    for piece in (first, second):
        centre = moved.positions[piece].mean(axis=0)
        turned = Rotation.random(rng=rng).apply(moved.positions[piece] - centre)
        moved.positions[piece] = centre + turned
    direction = rng.normal(size=3)
    direction /= np.linalg.norm(direction)
    centres = [moved.positions[piece].mean(axis=0) for piece in (first, second)]
    moved.positions[second] += centres[0] - centres[1]
    way = moved.positions[second][None] - moved.positions[first][:, None]  # (A, B, 3)
    radii = covalent_radii[moved.numbers]
    contact = factor * (radii[first][:, None] + radii[second][None])  # (A, B) Å
    moved.positions[second] += _path_to_contact(way, direction, contact) * direction
    return moved


def _path_to_contact(way: NDArray, direction: NDArray, contact: NDArray) -> float:
    """Return how far to go along ``direction`` until no pair is nearer than ``contact`` (A, B), Å."""
    along = way @ direction  # (A, B)
    across = (way**2).sum(axis=-1) - along**2
    room = contact**2 - across
    return float(np.where(room > 0, np.sqrt(np.maximum(room, 0)) - along, -np.inf).max())


def _folded(atoms: Atoms, topology: Topology, factor: float, rng: Generator) -> Atoms | None:
    """Turn bonds at random, then push two near atoms together; others go along the less, the further."""
    steps = np.array([topology.bonds_between(k) for k in range(len(atoms))])  # (N, N)
    radii = covalent_radii[atoms.numbers]
    wanted = factor * (radii[:, None] + radii)  # (N, N) Å
    found = []
    for one in _conformers(atoms, topology, rng):
        push = one.get_all_distances() - wanted
        near = (steps >= FEWEST_BONDS) & (push > 0) & (push <= LONGEST_PUSH_ANG)
        found += [(one, a, b, push[a, b]) for a, b in np.argwhere(np.triu(near))]
    if not found:
        return None
    one, a, b, push = found[rng.integers(len(found))]
    line = one.get_distance(a, b, vector=True)
    line /= np.linalg.norm(line)
    weight = PASSED_ON ** steps[a] - PASSED_ON ** steps[b]  # (N,), near 1 at a and -1 at b
    weight /= weight[a]
    one.positions += 0.5 * push * weight[:, None] * line
    return one


def _conformers(atoms: Atoms, topology: Topology, rng: Generator) -> list[Atoms]:
    """Return the structure itself and some with all rotatable bonds turned at random."""
    found = [atoms.copy()]
    for _ in range(CONFORMERS if topology.rotatable else 0):
        one = atoms.copy()
        for bond in topology.rotatable:
            turn(one, topology.side(*bond), rng.uniform(0, 360))
        found.append(one)
    return found

"""Check before the first step that many processes give the answer of one.

A system that one process can evaluate in one or two seconds is compared as a whole: energy and every force.
In a larger one every process takes its own atom with most ghosts as neighbours, because a wrong plan, message
or pair shows there first. It cuts out the sphere on which the force on this atom depends, and evaluates that
as a cluster. The radius is two cutoffs per layer: the energy of an atom depends on what is within one cutoff
per layer, and the force on it is made of the energies of all atoms that depend on it.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.lammps.domain import Domain
from ase_schnet.lammps.mpi import Refusal
from ase_schnet.lammps.reduce import GlobalPrediction
from ase_schnet.neighbors import half_list

#: Atoms times members that one process evaluates as a whole: one or two seconds, 1 GiB.
WHOLE = 60_000
#: eV/Å, and eV per atom.
TOLERANCE = {"float64": 1e-8, "float32": 1e-3}


def require_rank_independence(
    comm: Any, engine: Ensemble, domain: Domain, positions, cell, pbc, answer: GlobalPrediction
) -> None:
    """Compare ``answer`` with that of one process; raise Refusal, in all of them, where it differs.

    ``positions`` (n_all, 3), Å, have the own atoms first; ``cell`` (3, 3) and ``pbc`` (3,) are LAMMPS's.
    """
    n = domain.n_own
    mine = (domain.numbers[:n], np.array(positions[:n]), answer.forces)
    if comm.allreduce(n) * engine.model.n_members <= WHOLE:
        gathered = comm.gather(mine)
        off = _of_all(engine, gathered, cell, pbc, answer.energy) if comm.rank == 0 else 0.0
    else:
        gathered = comm.allgather(mine[:2])
        off = _of_one(engine, gathered, domain, mine[1], cell, pbc, answer) if n else 0.0
    worst = comm.allreduce(off if np.isfinite(off) else np.inf, op=max)
    allowed = TOLERANCE[engine.dtype]
    if worst > allowed:
        raise Refusal(
            f"the forces of {comm.size} processes differ from those of one by {worst:.1e} eV/Å (allowed "
            f"{allowed:.0e}): the MPI or LAMMPS of this machine exchanges atoms wrongly; compare with "
            "mpiexec -n 1"
        )


def _of_all(engine: Ensemble, gathered: list, cell, pbc, energy: float) -> float:
    """Return the largest error of a force (eV/Å), or of the energy per atom (eV)."""
    numbers, positions, forces = (np.concatenate(parts) for parts in zip(*gathered, strict=True))
    pairs = half_list(positions, engine.model.config["cutoff"], cell, pbc)
    serial = engine.evaluate(numbers, positions, pairs)
    off = np.abs(serial.forces.mean(axis=0) - forces).max()
    return max(off, abs(serial.energies.mean() - energy) / len(numbers))


def _of_one(engine: Ensemble, gathered: list, domain: Domain, own, cell, pbc, answer) -> float:
    """Return the larger error of the force (eV/Å) and the energy (eV) of one atom."""
    numbers, positions = (np.concatenate(parts) for parts in zip(*gathered, strict=True))
    pairs, cutoff = domain.pairs(cell), engine.model.config["cutoff"]
    foreign = np.bincount(pairs.idx_i, pairs.idx_j >= domain.n_own, domain.n_own)
    chosen = int(foreign.argmax())
    radius = 2 * engine.model.config["n_interactions"] * cutoff
    cluster, atoms = _sphere(positions, cell, pbc, own[chosen], radius)
    # half_list is quicker in a box, with vacuum
    box = np.diag(np.ptp(cluster, axis=0) + 2 * cutoff)
    serial = engine.evaluate(numbers[atoms], cluster, half_list(cluster, cutoff, box, True))
    centre = int(((cluster - own[chosen]) ** 2).sum(axis=1).argmin())
    off = np.abs(serial.forces[:, centre].mean(axis=0) - answer.forces[chosen]).max()
    return max(off, abs(serial.atomic_energies[:, centre].mean() - answer.energies[chosen]))


def _sphere(positions, cell, pbc, centre, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Return positions (n, 3) of all atoms and images within ``radius``, and the atoms' indices (n,)."""
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)  # (3,) between opposite faces
    most = np.where(pbc, np.ceil(radius / heights).astype(int) + 1, 0)
    found, atoms = [], []
    for image in itertools.product(*(range(-k, k + 1) for k in most)):
        moved = positions + np.array(image) @ cell
        near = np.flatnonzero(((moved - centre) ** 2).sum(axis=1) < radius**2)
        found.append(moved[near])
        atoms.append(near)
    return np.concatenate(found), np.concatenate(atoms)

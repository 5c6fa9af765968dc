"""Energy and forces of moved structures from springs, none of them computed from electrons.

Each labelling takes a labelled structure, a move and springs, and returns an energy E(Δ) in eV and forces
(N, 3) in eV/Å, which are the exact −∂E/∂Δ: no label contradicts another.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.augment.moves import Move
from ase_schnet.augment.springs import Springs
from ase_schnet.bonds import pair_name


def nearest_spring(atoms: Atoms, move: Move, springs: Springs) -> tuple[float, NDArray]:
    """The paper's rule: ΔE = Σ ½ k |Δr_i|² over the moved atoms, which always rises.

    k of an atom is that of the Gaussian nearest to its distance from its nearest neighbour. A moved atom is
    taken to have been at rest: its force becomes −k Δr. The paper adds that to the force it had, which
    its energy knows nothing of; its assumption, frames at or near equilibrium, makes both the same.
    """
    return _tethered(atoms, move, springs, nearest=True)


def weighted_spring(atoms: Atoms, move: Move, springs: Springs) -> tuple[float, NDArray]:
    """As `nearest_spring` with k averaged over the Gaussians by responsibility."""
    return _tethered(atoms, move, springs, nearest=False)


def first_order(atoms: Atoms, move: Move, springs: Springs) -> tuple[float, NDArray]:
    """ΔE = −F·Δr + ½ Δrᵀ K Δr: the energy may fall, and the forces still sum to zero.

    K is the Hessian of springs between atoms at their present distances, k by responsibility.
    """
    first, second = np.triu_indices(len(atoms), k=1)
    vectors = atoms.positions[second] - atoms.positions[first]  # (P, 3)
    distances = np.linalg.norm(vectors, axis=1)
    directions = vectors / distances[:, None]
    k = _constants(atoms, first, second, distances, springs, nearest=False)  # (P,)
    between = move.displacement[second] - move.displacement[first]
    stretch = (between * directions).sum(axis=1)  # (P,) Å, to first order
    pull = (k * stretch)[:, None] * directions  # (P, 3) eV/Å
    forces = atoms.get_forces()
    energy = atoms.get_potential_energy() - (forces * move.displacement).sum()
    np.add.at(forces, first, pull)
    np.subtract.at(forces, second, pull)
    return float(energy + 0.5 * (k * stretch**2).sum()), forces


def _tethered(atoms: Atoms, move: Move, springs: Springs, nearest: bool) -> tuple[float, NDArray]:
    """Every moved atom on a spring to where it was; the others keep the forces they had."""
    moved = np.concatenate(move.pieces)
    apart = atoms.get_all_distances()[moved]  # (M, N)
    apart[np.arange(len(moved)), moved] = np.inf
    partner = apart.argmin(axis=1)
    k = _constants(atoms, moved, partner, apart.min(axis=1), springs, nearest)  # (M,)
    steps = move.displacement[moved]  # (M, 3)
    forces = atoms.get_forces()
    forces[moved] = -k[:, None] * steps
    return float(atoms.get_potential_energy() + 0.5 * (k * (steps**2).sum(axis=1)).sum()), forces


def _constants(
    atoms: Atoms,
    first: NDArray,
    second: NDArray,
    distances: NDArray,
    springs: Springs,
    nearest: bool,
) -> NDArray:
    """K of the pairs (first, second) at their distances, eV/Å²."""
    Z = atoms.numbers
    names = np.array([pair_name(Z[a], Z[b]) for a, b in zip(first, second, strict=True)])
    k = np.zeros(len(names))
    for name in np.unique(names):
        chosen, pair = names == name, springs.pairs[str(name)]
        k[chosen] = (pair.nearest if nearest else pair.weighted)(distances[chosen])
    return k

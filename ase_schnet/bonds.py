"""Find bonds by covalent radii, the fragment on one end of a bond, and the names of pairs of elements."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols, covalent_radii
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

# All are factors of the sum of two covalent radii. Bonds at rest have 0.77 (N₂) to 1.24 (F₂).

#: Bonded in a structure near rest. Large enough for F₂, too small for a hydrogen bond.
BOND_FACTOR = 1.2
#: Still bonded in a frame of a hot run: a bond that vibrates is longer than one at rest.
STRETCHED_BOND = 1.3
#: Not bonded beyond this in any frame. Between the two a pair may pass for either.
BROKEN_BOND = 1.6
#: Shortest and longest distance of a bond that raise no doubt about units: Bohr taken for Å multiplies it by
#: 1.89, Å taken for Bohr by 0.53.
SHORTEST_BOND, LONGEST_BOND = 0.6, 1.4


def pair_name(z_i: int, z_j: int) -> str:
    """Return the name of a pair of elements, alphabetical: "H-O"."""
    return "-".join(sorted((chemical_symbols[z_i], chemical_symbols[z_j])))


def fragment_of(atoms: Atoms, i: int, j: int) -> list[int]:
    """Return the atoms on the side of ``j`` of the bond i-j, found from covalent radii.

    This is ``j`` alone where the bond lies in a ring or does not exist.
    """
    first, second, _ = bonded_pairs(atoms)
    is_cut = ((first == i) & (second == j)) | ((first == j) & (second == i))
    if not is_cut.any():
        return [j]
    graph = _graph(first[~is_cut], second[~is_cut], len(atoms))
    component = connected_components(graph, directed=False)[1]
    if component[i] == component[j]:
        return [j]
    return np.flatnonzero(component == component[j]).tolist()


def vectors_to(atoms: Atoms, centre: int, members: Sequence[int]) -> NDArray:
    """Return the vectors (K, 3) in Å from the atom ``centre`` to ``members``, as one whole piece.

    In a periodic structure the nearest image of the nearest member is taken. From there every
    bond is followed, however far the piece reaches over the boundaries.

    Raises
    ------
    ValueError
        If the members are bonded to their own periodic images: there is no whole piece.
    """
    chosen = np.asarray(members)
    vectors = atoms.get_distances(centre, chosen, mic=True, vector=True)  # (K, 3)
    if not atoms.pbc.any():
        return vectors
    place = np.full(len(atoms), -1)
    place[chosen] = np.arange(len(members))
    first, second, bonds = bonded_pairs(atoms)
    inside = (place[first] >= 0) & (place[second] >= 0)
    first, second, bonds = place[first[inside]], place[second[inside]], bonds[inside]
    between = {(a, b): bond for a, b, bond in zip(first, second, bonds, strict=True)}
    graph = _graph(first, second, len(members))
    component = connected_components(graph, directed=False)[1]
    distance = np.linalg.norm(vectors, axis=1)
    for piece in range(component.max() + 1):
        root = min(np.flatnonzero(component == piece), key=lambda k: distance[k])
        order, before = breadth_first_order(graph, root)
        for k in order[1:]:
            vectors[k] = vectors[before[k]] + between[before[k], k]
    if not np.allclose(vectors[second] - vectors[first], bonds, rtol=0, atol=1e-6):
        raise ValueError(
            "the moving atoms are bonded to their own periodic images and cannot be turned: "
            "name the atoms that move"
        )
    return vectors


def bonded_pairs(atoms: Atoms, factor: float = BOND_FACTOR) -> tuple[NDArray, NDArray, NDArray]:
    """Return first and second atom (B,) of every bond, each bond twice, and the vectors (B, 3) in Å."""
    return neighbor_list("ijD", atoms, natural_cutoffs(atoms, mult=factor))


def bonds_of(atoms: Atoms) -> list[tuple[int, int]]:
    """Return the two atoms of every bond, each bond once and the smaller index first."""
    first, second, _ = bonded_pairs(atoms)
    return sorted({(int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j})


def overlapping(atoms: Atoms, fraction: float) -> bool:
    """Return whether two atoms are nearer than ``fraction`` of the sum of their covalent radii."""
    if not atoms.pbc.any():
        radii = covalent_radii[atoms.numbers]
        first, second = np.triu_indices(len(atoms), k=1)
        distances = np.linalg.norm(atoms.positions[second] - atoms.positions[first], axis=1)
        return bool((distances < fraction * (radii[first] + radii[second])).any())
    return len(neighbor_list("i", atoms, natural_cutoffs(atoms, mult=fraction))) > 0


def _graph(first: NDArray, second: NDArray, n: int) -> csr_array:
    return coo_array((np.ones(len(first)), (first, second)), shape=(n, n)).tocsr()

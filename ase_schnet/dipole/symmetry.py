"""Which exchanges of identical atoms leave the bonds of a molecule as they are."""

from __future__ import annotations

import numpy as np
from ase.data import covalent_radii

BOND_STRETCH = 1.3  # bonded below this times the sum of the covalent radii


def bonds(numbers: np.ndarray, distances: np.ndarray) -> np.ndarray:
    """Bonded pairs, (N, N) bool, of typical distances (N, N) in Å."""
    radii = covalent_radii[numbers]
    bonded = distances < BOND_STRETCH * (radii[:, None] + radii)
    np.fill_diagonal(bonded, False)
    return bonded


def equivalent_orders(numbers: np.ndarray, bonded: np.ndarray, limit: int) -> np.ndarray:
    """Automorphisms of the graph of bonds, (G, N): each row is an order of the atoms; the identity is first.

    Exchanging identical nuclei changes no property, so a model may average over any group of such
    exchanges. This one is of those that a molecule can reach without breaking bonds, or by reflection:
    6 for methanol, 24 for methane, 12 for benzene. A group of more than `limit` is not used: the
    identity alone is returned.
    """
    numbers = np.asarray(numbers)
    found: list[list[int]] = []
    order: list[int] = []

    def extend() -> None:
        """Depth-first: the next atom may be any unused one of its element with the same bonds so far."""
        if len(found) > limit:
            return
        k = len(order)
        if k == len(numbers):
            found.append(list(order))
            return
        for candidate in np.flatnonzero(numbers == numbers[k]):
            if candidate not in order and (bonded[candidate, order] == bonded[k, :k]).all():
                order.append(int(candidate))
                extend()
                order.pop()

    extend()
    if len(found) > limit:
        return np.arange(len(numbers))[None]
    return np.array(sorted(found))


def orbits(orders: np.ndarray) -> np.ndarray:
    """Number of the set of equivalent atoms that each atom belongs to, (N,), from 0."""
    return np.unique(orders.min(axis=0), return_inverse=True)[1]

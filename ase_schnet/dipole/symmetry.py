"""Orders of the atoms of a molecule that have the same bonds: exchanges of identical atoms, other orders."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
from ase.data import covalent_radii

from ase_schnet.bonds import STRETCHED_BOND


def bonds(
    numbers: np.ndarray, distances: np.ndarray, stretch: float = STRETCHED_BOND
) -> np.ndarray:
    """Return the bonded pairs, (N, N) bool, for typical distances (N, N) in Å."""
    radii = covalent_radii[numbers]
    bonded = distances < stretch * (radii[:, None] + radii)
    np.fill_diagonal(bonded, False)
    return bonded


def orders_like(
    numbers: np.ndarray,
    near: np.ndarray,
    reach: np.ndarray,
    like_numbers: np.ndarray,
    like_bonded: np.ndarray,
) -> Iterator[list[int]]:
    """Yield every order in which atoms are those of another molecule with its bonds.

    The search is depth-first: the next atom may be any unused one of its element with the same bonds so far.

    Parameters
    ----------
    numbers
        Atomic numbers, (N,).
    near
        Pairs that must be bonded in the other molecule, (N, N).
    reach
        Pairs that may be bonded there, (N, N).
    like_numbers, like_bonded
        Atomic numbers (N,) and bonds (N, N) of the other molecule.
    """
    order: list[int] = []

    def extend() -> Iterator[list[int]]:
        k = len(order)
        if k == len(like_numbers):
            yield list(order)
            return
        bonded = like_bonded[k, :k]
        for candidate in np.flatnonzero(numbers == like_numbers[k]):
            if candidate in order:
                continue
            if (bonded <= reach[candidate, order]).all() and (
                near[candidate, order] <= bonded
            ).all():
                order.append(int(candidate))
                yield from extend()
                order.pop()

    if len(numbers) == len(like_numbers):
        yield from extend()


def equivalent_orders(numbers: np.ndarray, bonded: np.ndarray, limit: int) -> np.ndarray:
    """Return the automorphisms of the graph of bonds, (G, N); each row is an order, the identity is first.

    An exchange of identical nuclei changes no property, so a model may average over any group of such
    exchanges. This group has those that a molecule can reach without breaking bonds, or by reflection:
    6 for methanol, 24 for methane, 12 for benzene. A group of more than `limit` is not used: the
    identity alone is returned.
    """
    numbers = np.asarray(numbers)
    found = list(islice(orders_like(numbers, bonded, bonded, numbers, bonded), limit + 1))
    if len(found) > limit:
        return np.arange(len(numbers))[None]
    return np.array(sorted(found))


def orbits(orders: np.ndarray) -> np.ndarray:
    """Return the number of the set of equivalent atoms for each atom, (N,), from 0."""
    return np.unique(orders.min(axis=0), return_inverse=True)[1]

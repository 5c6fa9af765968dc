"""Compute the work of the forces from one structure to another of the same atoms, to compare with energies.

W = −∫ F·dx by the trapezoidal rule. Straight lines give poor results: if a methyl group turns between two
frames of a trajectory, a straight line compresses its bonds. The path is therefore straight in powers q = r⁻ᵖ
of the distances: p = 1 suits molecules (as in sGDML, arXiv:1611.04678), larger p suits steep repulsion.
Forces in those coordinates are not unique; the shortest ones are taken: F = Bᵀ Q with
B = ∂q/∂x, Q = B (BᵀB)⁻¹ F.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from ase_schnet.neighbors import Pairs, half_list

REACH = 6.0
"""Å. In large or periodic structures, pairs farther apart than this define no coordinate."""
SMALL = 40  # atoms of a molecule all of whose pairs are coordinates
RIDGE = 1e-10  # of the largest diagonal element: for translation and rotation, along which no force acts
NET_FORCE = 0.05  # of the sum of the lengths of the forces; more means that something outside pulls


def work_between(
    first: tuple[NDArray, NDArray],
    second: tuple[NDArray, NDArray],
    cell: NDArray,
    pbc: NDArray,
    power: int = 1,
) -> float:
    """Return the energy of the second structure minus that of the first in eV, from the forces.

    For forces with a resultant (frozen atoms, a field), and where all atoms are far from each other, the path
    is a straight line, for any power.

    Parameters
    ----------
    first, second
        Positions (N, 3) in Å and forces (N, 3) in eV/Å of the same atoms in the same order.
    cell
        (3, 3) Å, the same for both.
    pbc
        (3,) bool.
    power
        p of the coordinates.
    """
    start, forces = first
    end = start + least_image(second[0] - start, cell, pbc)
    reach = np.ptp(start, axis=0).sum() + 1.0 if len(start) <= SMALL and not pbc.any() else REACH
    pairs = half_list(start, reach, cell, pbc)
    if _has_resultant(forces) or _has_resultant(second[1]) or not len(pairs.idx_i):
        return -0.5 * float(((forces + second[1]) * (end - start)).sum())
    ends = [_coordinates(x, pairs, power) for x in (start, end)]
    pull = [_shortest(f, pairs, g) for f, (_, g) in zip((forces, second[1]), ends, strict=True)]
    return -0.5 * float((pull[0] + pull[1]) @ (ends[1][0] - ends[0][0]))


def least_image(moved: NDArray, cell: NDArray, pbc: NDArray) -> NDArray:
    """Return displacements (..., 3) in Å to the nearest images along the periodic axes."""
    if not pbc.any():
        return moved
    whole = np.rint(moved @ np.linalg.pinv(cell)) * pbc
    return moved - whole @ cell


def _has_resultant(forces: NDArray) -> bool:
    lengths = np.linalg.norm(forces, axis=1).sum()
    return bool(np.linalg.norm(forces.sum(axis=0)) > NET_FORCE * lengths)


def _coordinates(positions: NDArray, pairs: Pairs, power: int) -> tuple[NDArray, NDArray]:
    """Return q = r⁻ᵖ (P,) and ∂q/∂x (P, 3) for the first atom of each pair; the second has minus that."""
    vectors = positions[pairs.idx_i] - positions[pairs.idx_j] - pairs.shifts
    distances = np.linalg.norm(vectors, axis=1)
    return distances ** float(-power), -power * vectors * distances[:, None] ** (-power - 2.0)


def _shortest(forces: NDArray, pairs: Pairs, gradient: NDArray) -> NDArray:
    """Return the shortest Q (P,) with F = Bᵀ Q for the forces F."""
    n = len(forces)
    i, j = pairs.idx_i, pairs.idx_j
    outer = gradient[:, :, None] * gradient[:, None, :]  # (P, 3, 3)
    gram = np.zeros((n, n, 3, 3))
    for a, b, sign in ((i, i, 1.0), (j, j, 1.0), (i, j, -1.0), (j, i, -1.0)):
        np.add.at(gram, (a, b), sign * outer)
    gram = gram.transpose(0, 2, 1, 3).reshape(3 * n, 3 * n)
    gram[np.diag_indices(3 * n)] += RIDGE * gram.diagonal().max()
    y = cho_solve(cho_factor(gram), forces.ravel()).reshape(n, 3)
    return ((y[i] - y[j]) * gradient).sum(axis=1)

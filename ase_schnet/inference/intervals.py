"""Whether any pair stands at a distance where something has to be done; asked at every evaluation.

Nearly always the answer is no, and it must cost next to nothing: below 1 µs for a molecule. Repulsion, the
watch over what training has seen and error bars ask the same question with other intervals.
"""

from __future__ import annotations

import numpy as np

from ase_schnet.inference.compilation import compiled, inner


@compiled
def any_pair_within(idx_i, idx_j, shifts, numbers, positions, squares):
    """Return whether a pair's squared distance lies in one of the intervals of its elements.

    `squares` (100, 100, K, 2) are the ends in Å² by atomic numbers, both excluded; without an interval both
    are 0.
    """
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        if _within(_square(i, j, shifts[p], positions), squares[numbers[i], numbers[j]]):
            return True
    return False


@compiled
def force_half_widths(
    idx_i, idx_j, shifts, numbers, positions, squares, bounds, forces_std, factors, widths
):
    """Fill `widths` (N, 3), eV/Å, the half-widths of the forces.

    Return whether all are finite, and the root mean square of all stds, eV/Å.

    They are `factors` (100,), by atomic number, times the root mean square of `forces_std` (N, 3) over x, y
    and z. `bounds` are a length in Å and a std in eV/Å: infinite are those of atoms with a larger std, and
    of atoms within that length of a pair that stands in one of the intervals `squares`, see
    `any_pair_within`.
    """
    cutoff, largest = bounds
    finite, total = True, 0.0
    for i in range(len(numbers)):
        x, y, z = forces_std[i, 0], forces_std[i, 1], forces_std[i, 2]
        square = (x * x + y * y + z * z) / 3.0
        std, total = np.sqrt(square), total + square
        width = factors[numbers[i]] * std
        if std > largest:
            width, finite = np.inf, False
        widths[i, 0] = widths[i, 1] = widths[i, 2] = width
    mean = np.sqrt(total / max(1, len(numbers)))
    if not any_pair_within(idx_i, idx_j, shifts, numbers, positions, squares):
        return finite, mean
    odd = np.zeros(len(numbers), np.bool_)
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        if _within(_square(i, j, shifts[p], positions), squares[numbers[i], numbers[j]]):
            odd[i] = odd[j] = True
    for i in range(len(numbers)):
        if odd[i]:
            widths[i] = np.inf
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        near = _square(i, j, shifts[p], positions) < cutoff * cutoff
        if near and (odd[i] or odd[j]):
            widths[i] = widths[j] = np.inf
    return False, mean


@inner
def _square(i, j, shift, positions):
    """Return the squared distance of a pair in Å²."""
    x = positions[j, 0] - positions[i, 0] + shift[0]
    y = positions[j, 1] - positions[i, 1] + shift[1]
    z = positions[j, 2] - positions[i, 2] + shift[2]
    return x * x + y * y + z * z


@inner
def _within(square, ends):
    """Return whether a squared distance lies in one of the intervals (K, 2) of its elements."""
    for k in range(len(ends)):  # noqa: SIM110  (numba has no generators)
        if ends[k, 0] < square and square < ends[k, 1]:
            return True
    return False

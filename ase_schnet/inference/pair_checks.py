"""Whether any pair stands at a distance where something has to be done; asked at every evaluation.

Nearly always the answer is no, and it must cost next to nothing: below 1 µs for a molecule. Repulsion, the
watch over what training has seen and error bars ask the same question with other intervals. The latter two
also ask whether the atoms hang together, since atoms farther apart than the cutoff have no distance. They
share one answer for all that is ordinary (`survey.py`), and look closer only at the rest. What follows from
it for the half-widths of forces is here as well.
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
def pairs_within(idx_i, idx_j, shifts, numbers, positions, squares, largest):
    """Return for which pairs that is so, int64 indices; no end in `squares` is beyond `largest`, Å²."""
    found, n = np.empty(16, np.int64), 0
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        square = _square(i, j, shifts[p], positions)
        if square < largest and _within(square, squares[numbers[i], numbers[j]]):
            if n == len(found):
                longer = np.empty(2 * n, np.int64)
                for k in range(n):  # numba takes two seconds to compile a slice
                    longer[k] = found[k]
                found = longer
            found[n] = p
            n += 1
    return found[:n]


@compiled
def is_ordinary(idx_i, idx_j, shifts, kinds, positions, squares, cutoff):
    """Return whether `any_pair_within` is false, and all atoms are one piece, see `pieces_of`.

    `kinds` (N,) are what `squares` is counted by: atomic numbers, or anything shorter.
    """
    piece = np.full(len(kinds), -1)
    # one for each piece beyond the first, and one for each atom without a neighbour
    missing = 2 * len(kinds) - 1
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        square = _square(i, j, shifts[p], positions)
        if _within(square, squares[kinds[i], kinds[j]]):
            return False
        if missing > 0 and square < cutoff * cutoff:
            missing -= _join(piece, i, j)
    return missing <= 0


@compiled
def pieces_of(idx_i, idx_j, shifts, positions, cutoff):
    """Return the first atom of the piece of each atom, (N,) int64; -1 for an atom without a neighbour.

    Atoms are in one piece if pairs nearer than `cutoff` (Å) lead from one to the other.
    """
    piece = np.full(len(positions), -1)
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        if _square(i, j, shifts[p], positions) < cutoff * cutoff:
            _join(piece, i, j)
    for i in range(len(piece)):
        if piece[i] >= 0:
            piece[i] = _first(piece, i)
    return piece


@compiled
def force_half_widths(forces_std, factors, widths):
    """Fill `widths` (N, 3), eV/Å, the half-widths of the forces.

    Return whether all are finite, and the root mean square of all stds, eV/Å.

    They are a factor times the root mean square of `forces_std` (N, 3) over x, y and z. `factors` (N, 2) are
    this factor for each atom, and the largest std (eV/Å) that has a finite half-width.
    """
    finite, total = True, 0.0
    for i in range(len(factors)):
        x, y, z = forces_std[i, 0], forces_std[i, 1], forces_std[i, 2]
        square = (x * x + y * y + z * z) / 3.0
        std, total = np.sqrt(square), total + square
        width = factors[i, 0] * std
        if std > factors[i, 1]:
            width, finite = np.inf, False
        widths[i, 0] = widths[i, 1] = widths[i, 2] = width
    return finite, np.sqrt(total / max(1, len(factors)))


@compiled
def widen_around(idx_i, idx_j, shifts, numbers, positions, squares, cutoff, widths):
    """Make `widths` (N, 3) infinite of atoms within `cutoff` (Å) of a pair in one of its intervals."""
    odd = np.zeros(len(numbers), np.bool_)
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        if _within(_square(i, j, shifts[p], positions), squares[numbers[i], numbers[j]]):
            odd[i] = odd[j] = True
    for i in range(len(numbers)):
        if odd[i]:
            widths[i, 0] = widths[i, 1] = widths[i, 2] = np.inf
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        near = _square(i, j, shifts[p], positions) < cutoff * cutoff
        if near and (odd[i] or odd[j]):
            widths[i, 0] = widths[i, 1] = widths[i, 2] = np.inf
            widths[j, 0] = widths[j, 1] = widths[j, 2] = np.inf


@inner
def _join(piece, i, j):
    """Put two neighbours into one piece. Return how many had no neighbour, plus one if two pieces met."""
    had_none = (piece[i] < 0) + (i != j and piece[j] < 0)
    if piece[i] < 0:
        piece[i] = i
    if piece[j] < 0:
        piece[j] = j
    a, b = _first(piece, i), _first(piece, j)
    piece[max(a, b)] = min(a, b)
    return had_none + (a != b)


@inner
def _first(piece, i):
    """Return the first atom of a piece; atoms lead to it, and on the way their path is made shorter."""
    while piece[i] != i:
        piece[i] = piece[piece[i]]
        i = piece[i]
    return i


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

"""Whether any pair stands at a distance where something has to be done; asked at every evaluation.

Nearly always the answer is no, and it must cost next to nothing: below 1 µs for a molecule. Repulsion and the
watch over what training has seen ask the same question with other intervals.
"""

from __future__ import annotations

from ase_schnet.inference.compilation import compiled


@compiled
def any_pair_within(idx_i, idx_j, shifts, numbers, positions, squares):
    """Return whether a pair's squared distance lies in one of the intervals of its elements.

    `squares` (100, 100, K, 2) are the ends in Å² by atomic numbers, both excluded; without an interval both
    are 0.
    """
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        x = positions[j, 0] - positions[i, 0] + shifts[p, 0]
        y = positions[j, 1] - positions[i, 1] + shifts[p, 1]
        z = positions[j, 2] - positions[i, 2] + shifts[p, 2]
        square = x * x + y * y + z * z
        a, b = numbers[i], numbers[j]
        for k in range(squares.shape[2]):
            if squares[a, b, k, 0] < square and square < squares[a, b, k, 1]:
                return True
    return False

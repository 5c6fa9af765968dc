"""The iteration of `orthogonal.py`, compiled: all matrices of a vector, one after the other.

Two of the three products of a step are symmetric, and of those only the tiles that reach the diagonal are
computed. Matrices are worked on with at least as many rows as columns, padded with zeros, which no product
notices.
"""

from __future__ import annotations

from ase_schnet.inference.compilation import compiled, inner
from ase_schnet.inference.loops import add_dense
from ase_schnet.inference.simd import BYTES, add_products, mirror

N_WORK = 5  # working matrices
PADDED_TO = 16  # columns: a multiple of a tile's rows and of its columns
# Narrow tiles, since of one on the diagonal almost half is computed in vain; of eight sums, which hide
# the time of a multiplication.
VECTORS = 1 if BYTES == 64 else 2
ROWS = 8 // VECTORS
add_part = add_products(ROWS, VECTORS)
add_overlaps = add_products(ROWS, VECTORS, transposed=True)


@compiled
def orthogonalise(directions, places, coefficients, work, updates):
    """Fill `updates` with U Vᵀ of every matrix U S Vᵀ in `directions`, both (n,).

    places (B, 3) says where a matrix starts and its rows and columns, row by row. coefficients (K, 3) are
    those of the K steps. work (N_WORK, W) with room for the largest matrix in each of its rows.
    """
    real = directions.dtype.type
    for b in range(len(places)):
        start, rows, cols = places[b]
        height, width = max(rows, cols), min(rows, cols)
        padded = (width + PADDED_TO - 1) // PADDED_TO * PADDED_TO
        x = work[0, : height * padded].reshape(height, padded)
        y = work[1, : height * padded].reshape(height, padded)
        a = work[2, : padded * padded].reshape(padded, padded)
        square = work[3, : padded * padded].reshape(padded, padded)
        m = work[4, : padded * padded].reshape(padded, padded)
        down, along = (cols, 1) if rows >= cols else (1, cols)  # of x, as strides in the vector

        total = 0.0
        for k in range(start, start + rows * cols):
            total += directions[k] * directions[k]
        inverse = real(1.0 / (total**0.5 + 1e-30))  # singular values are at most one
        x[:] = real(0.0)
        for i in range(height):
            for j in range(width):
                x[i, j] = directions[start + i * down + j * along] * inverse
        for k in range(len(coefficients)):
            alpha, beta, gamma = coefficients[k]
            _symmetric(x, a, True)
            _symmetric(a, square, False)
            for i in range(padded):
                for j in range(padded):
                    m[i, j] = real(beta) * a[i, j] + real(gamma) * square[i, j]
            for i in range(height):
                for j in range(padded):
                    y[i, j] = real(alpha) * x[i, j]
            add_dense(x, m, y)
            x, y = y, x
        for i in range(height):
            for j in range(width):
                updates[start + i * down + j * along] = x[i, j]


@inner
def _symmetric(x, out, overlaps):
    """Out = xᵀ x, or x x of a symmetric x: tiles on and below the diagonal, then their mirror images."""
    n, lanes = len(out), BYTES // out.itemsize
    out[:] = 0
    for c in range(0, n, VECTORS * lanes):
        for i in range(c, n, ROWS):
            if overlaps:
                add_overlaps(x, x, out, i, c)
            else:
                add_part(x, x, out, i, c)
    for c in range(0, n, lanes):
        for i in range(c + lanes, n, lanes):
            mirror(out, i, c)

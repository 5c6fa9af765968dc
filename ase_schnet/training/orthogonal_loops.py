"""The iteration of `orthogonal.py`, compiled: all matrices of a vector, one after the other.

Two of the three products of a step are symmetric, and of those only the tiles that reach the diagonal are
computed. Matrices have at least as many rows as columns, if need be transposed, and are padded with zeros,
which change no product.
"""

from __future__ import annotations

from ase_schnet.inference.compilation import compiled, inner
from ase_schnet.inference.loops import add_dense
from ase_schnet.inference.simd import BYTES, add_products, mirror

N_WORK = 5  # working matrices
PADDED_TO = 16  # columns: a multiple of a tile's rows and of its columns
#: Added to the Frobenius norm, so that a matrix without a gradient stays where it is: its direction is noise,
#: and squares of what is below 1e-19 are no numbers of float32 (benchmarks/defaults.md).
SMALLEST_NORM = 1e-10
# Narrow tiles: almost half of a tile on the diagonal is computed in vain. Eight sums hide the time of a
# multiplication.
VECTORS = 1 if BYTES == 64 else 2
ROWS = 8 // VECTORS
add_part = add_products(ROWS, VECTORS)
add_overlaps = add_products(ROWS, VECTORS, transposed=True)


@compiled
def orthogonalise(directions, places, coefficients, work, updates):
    """Fill `updates` with U Vᵀ of every matrix U S Vᵀ in `directions`, both (n,).

    Parameters
    ----------
    directions
        Vector (n,) of matrices.
    places
        (B, 3): start, rows and columns of each matrix, which lies row by row.
    coefficients
        (K, 3), of the K steps.
    work
        (N_WORK, W), with room for the largest matrix in each row.
    updates
        Vector (n,) for the results.
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
        inverse = real(1.0 / (total**0.5 + SMALLEST_NORM))  # singular values are at most one
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
    """Fill `out` with xᵀ x, or x x of a symmetric x: tiles up to the diagonal, then their mirror images."""
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

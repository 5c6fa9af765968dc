"""Sums over the pairs of a batch and what differentiates them, compiled for the CPU.

Six loops, each the counterpart of one function of `pair_ops.py`, which says what they mean. They are read
row by row, so that the compiler sees one plain loop over features; arrays are contiguous.
"""

from __future__ import annotations

from ase_schnet.inference.compilation import compiled

TAPS = 6  # rows of the table under one reading


@compiled
def read(table, first, weights, values, slopes):
    """Fill values_p = Σ_k w_pk table[first_p + k], and slopes_p likewise with w_p,k+6."""
    for p in range(len(first)):
        r = first[p]
        v0, v1, v2 = weights[p, 0], weights[p, 1], weights[p, 2]
        v3, v4, v5 = weights[p, 3], weights[p, 4], weights[p, 5]
        s0, s1, s2 = weights[p, 6], weights[p, 7], weights[p, 8]
        s3, s4, s5 = weights[p, 9], weights[p, 10], weights[p, 11]
        for f in range(table.shape[1]):
            t0, t1, t2 = table[r, f], table[r + 1, f], table[r + 2, f]
            t3, t4, t5 = table[r + 3, f], table[r + 4, f], table[r + 5, f]
            values[p, f] = v0 * t0 + v1 * t1 + v2 * t2 + v3 * t3 + v4 * t4 + v5 * t5
            slopes[p, f] = s0 * t0 + s1 * t1 + s2 * t2 + s3 * t3 + s4 * t4 + s5 * t5


@compiled
def read_back(first, weights, values_bar, slopes_bar, table_bar):
    """Add w_pk values_bar_p + w_p,k+6 slopes_bar_p to table_bar[first_p + k]."""
    for p in range(len(first)):
        for k in range(TAPS):
            r, v, s = first[p] + k, weights[p, k], weights[p, k + TAPS]
            for f in range(table_bar.shape[1]):
                table_bar[r, f] += v * values_bar[p, f] + s * slopes_bar[p, f]


@compiled
def convolve(x, filters, idx_i, idx_j, y):
    """Add x_j ∘ W_p to y_i and x_i ∘ W_p to y_j."""
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        for f in range(x.shape[1]):
            w = filters[p, f]
            y[i, f] += w * x[j, f]
            y[j, f] += w * x[i, f]


@compiled
def products(x, y, idx_i, idx_j, out):
    """Fill out_p = x_j ∘ y_i + x_i ∘ y_j."""
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        for f in range(x.shape[1]):
            out[p, f] = x[j, f] * y[i, f] + x[i, f] * y[j, f]


@compiled
def contract(x, y, filters, idx_i, idx_j, out):
    """Fill out_p = Σ_f (x_j ∘ y_i + x_i ∘ y_j) W_p."""
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        total = x[i, 0] * 0
        for f in range(x.shape[1]):
            total += (x[j, f] * y[i, f] + x[i, f] * y[j, f]) * filters[p, f]
        out[p] = total


@compiled
def contract_back(x, y, filters, idx_i, idx_j, out_bar, x_bar, y_bar, filters_bar):
    """Evaluate the adjoint of `contract`: add to x_bar and y_bar, fill filters_bar."""
    for p in range(len(idx_i)):
        i, j, o = idx_i[p], idx_j[p], out_bar[p]
        for f in range(x.shape[1]):
            w = o * filters[p, f]
            xi, xj, yi, yj = x[i, f], x[j, f], y[i, f], y[j, f]
            x_bar[j, f] += w * yi
            x_bar[i, f] += w * yj
            y_bar[i, f] += w * xj
            y_bar[j, f] += w * xi
            filters_bar[p, f] = o * (xj * yi + xi * yj)

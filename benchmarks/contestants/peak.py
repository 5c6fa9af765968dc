"""Floating point operations per second of matrix products: `peak.py float32 THREADS` prints GFLOP/s.

A process of its own, because the number of threads of the BLAS library is fixed by the environment.
"""

from __future__ import annotations

import sys
import time

import numba
import numpy as np

from ase_schnet.inference.loops import add_dense

LARGE = 1536
SMALL, REPEATS = 48, 200  # rows; three arrays of 64 columns in the nearest cache
MEASURE_SECONDS = 3.0  # long enough to meet a quiet moment


def best_seconds(function) -> float:
    """The shortest of as many calls as fit into MEASURE_SECONDS."""
    function()
    seconds = []
    while sum(seconds) < MEASURE_SECONDS:
        tick = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - tick)
    return min(seconds)


def blas_gflops(dtype: str) -> float:
    """A product of two LARGE × LARGE matrices, 2 LARGE³ operations."""
    a, b = np.random.default_rng(0).normal(size=(2, LARGE, LARGE)).astype(dtype)
    out = np.empty_like(a)
    return 2e-9 * LARGE**3 / best_seconds(lambda: np.matmul(a, b, out=out))


def tile_gflops(dtype: str) -> float:
    """Our own product of SMALL rows with a 64 × 64 matrix, one thread."""
    x, w, out = (np.ones((rows, 64), dtype) for rows in (SMALL, 64, SMALL))
    return 2e-9 * SMALL * 64 * 64 * REPEATS / best_seconds(lambda: _repeat(x, w, out))


@numba.njit
def _repeat(x, w, out):
    for _ in range(REPEATS):
        add_dense(x, w, out)


if __name__ == "__main__":
    dtype, threads = sys.argv[1], int(sys.argv[2])
    print(max(blas_gflops(dtype), threads * tile_gflops(dtype)))

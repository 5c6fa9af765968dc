"""Least squares with a penalty, in folds, and the choice of width and penalty."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from ase_schnet.dipole.basis import Basis

WIDTHS = (1.0, 1.7, 3.0, 5.0, 8.0)  # times the width of the given basis
# see `Gram.solve`; for labels of unit mean square
PENALTIES = (1e-3, 1e-5, 1e-7, 1e-8, 1e-9, 1e-10)
SEARCH_CENTRES = 300  # for the choice of the width
BLOCK = 64  # structures at a time


class Gram(NamedTuple):
    """Hold sums over the n rows of a design matrix F: FᵀF, Fᵀy and yᵀy. Least squares needs no more."""

    ff: np.ndarray
    fy: np.ndarray
    yy: float
    n: int

    @classmethod
    def total(cls, parts: list[Gram]) -> Gram:
        """Return the sums over the rows of all parts."""
        return cls(*(sum(terms) for terms in zip(*parts, strict=True)))

    def without(self, part: Gram) -> Gram:
        """Return the sums over the rows that are not in `part`."""
        return Gram(*(whole - less for whole, less in zip(self, part, strict=True)))

    def solve(self, penalty: float) -> np.ndarray:
        """Return the w that minimises |F w − y|² + penalty · (mean square of a row) · |w|²."""
        matrix = self.ff.copy()
        # a single atom has no functions at all, and then any penalty is right
        matrix[np.diag_indices(len(matrix))] += penalty * (np.trace(matrix) / self.n or 1.0)
        return cho_solve(cho_factor(matrix, overwrite_a=True), self.fy)

    def squared_error(self, w: np.ndarray) -> float:
        """Return |F w − y|²."""
        return float(self.yy - 2 * w @ self.fy + w @ self.ff @ w)


class Whitening:
    """Transform φ into functions that are orthonormal in the norm of the kernel, and back.

    The transformation is the inverse of L with L Lᵀ = κ(z_c, z_c').
    """

    def __init__(self, basis: Basis):
        self.n_axes = basis.n_per_centre
        kernel = basis.gaussians(basis.centres[None])[0]
        kernel[np.diag_indices(len(kernel))] += 1e-14 * len(kernel)  # for centres that coincide
        self.lower = np.linalg.cholesky(kernel)

    def rows(self, phi: np.ndarray, linear: np.ndarray) -> np.ndarray:
        """Return the design matrix (S K, m A + B) of φ (S, K, m, A) and the linear functions (S, K, B)."""
        n_rows, m = phi.shape[0] * phi.shape[1], phi.shape[2]
        by_centre = phi.reshape(n_rows, m, -1).swapaxes(0, 1).reshape(m, -1)
        white = solve_triangular(self.lower, by_centre, lower=True, check_finite=False)
        white = white.reshape(m, n_rows, -1).swapaxes(0, 1).reshape(n_rows, -1)
        return np.concatenate((white, linear.reshape(n_rows, -1)), axis=1)

    def back(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the coefficients (m, A, M) and (B, M) of weights (m A + B, M)."""
        m, a = len(self.lower), self.n_axes
        by_centre = w[: m * a].reshape(m, -1)
        coefficients = solve_triangular(self.lower, by_centre, lower=True, trans="T")
        return coefficients.reshape(m, a, -1), w[m * a :]


def gram(basis: Basis, whiten: Whitening, positions: np.ndarray, labels: np.ndarray) -> Gram:
    """Return the sums over all components of `labels` (S, K) at positions (S, N, 3)."""
    parts = []
    for start in range(0, len(positions), BLOCK):
        block = slice(start, start + BLOCK)
        rows = whiten.rows(*basis.functions(positions[block]))
        y = labels[block].ravel()
        weight = np.ones(labels.shape[1])
        weight[3:] = 2**0.5  # an off-diagonal component counts twice
        weight = np.tile(weight, len(labels[block]))
        rows, y = rows * weight[:, None], y * weight
        parts.append(Gram(rows.T @ rows, rows.T @ y, float(y @ y), len(y)))
    return Gram.total(parts)


def best_penalty(
    folds: list[Gram], at_most: float = PENALTIES[0]
) -> tuple[float, float, np.ndarray]:
    """Return the penalty with the least squared error on held-out folds, the error, weights (columns, M)."""
    total = Gram.total(folds)
    found = []
    for penalty in (p for p in PENALTIES if p <= at_most):
        try:
            weights = [total.without(fold).solve(penalty) for fold in folds]
        except np.linalg.LinAlgError:
            break  # too small for the round-off of FᵀF; larger penalties come first
        error = sum(fold.squared_error(w) for fold, w in zip(folds, weights, strict=True))
        found.append((penalty, error, np.stack(weights, axis=1)))
    return min(found, key=lambda trial: trial[1])


def best_width(
    basis: Basis, positions: np.ndarray, labels: np.ndarray, n_folds: int
) -> tuple[float, float]:
    """Return the width with the least squared error on the folds left out, and its penalty.

    The search uses some of the centres. With all centres larger penalties need not be tried: more centres
    describe more of the labels.
    """
    folds = np.array_split(np.arange(len(positions)), n_folds)
    small = replace(basis, centres=basis.centres[:SEARCH_CENTRES])
    found = []
    for factor in WIDTHS:
        trial = replace(small, width=basis.width * factor)
        whiten = Whitening(trial)
        grams = [gram(trial, whiten, positions[f], labels[f]) for f in folds]
        penalty, error, _ = best_penalty(grams)
        found.append((error, trial.width, penalty))
    return min(found)[1:]

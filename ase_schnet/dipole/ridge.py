"""Least squares with a penalty, in folds: what `fit` solves, and how width and penalty are chosen."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_factor, cho_solve, solve_triangular

from ase_schnet.dipole.basis import Basis

WIDTHS = (1.0, 1.7, 3.0, 5.0, 8.0)  # times the width of the basis that comes in
PENALTIES = (
    1e-3,
    1e-5,
    1e-7,
    1e-8,
    1e-9,
    1e-10,
)  # see `Gram.solve`; for labels of unit mean square
SEARCH_CENTRES = 300  # what the width is chosen with
BLOCK = 64  # structures at a time


class Gram(NamedTuple):
    """Sums over n rows of a design matrix F: FᵀF, Fᵀy and yᵀy, all that least squares needs."""

    ff: np.ndarray
    fy: np.ndarray
    yy: float
    n: int

    @classmethod
    def total(cls, parts: list[Gram]) -> Gram:
        """The rows of all parts."""
        return cls(*(sum(terms) for terms in zip(*parts, strict=True)))

    def without(self, part: Gram) -> Gram:
        """The rows that are not in `part`."""
        return Gram(*(whole - less for whole, less in zip(self, part, strict=True)))

    def solve(self, penalty: float) -> np.ndarray:
        """Argmin |F w − y|² + penalty · (mean square of a row) · |w|²."""
        matrix = self.ff.copy()
        # a single atom has no functions at all: any penalty will do
        matrix[np.diag_indices(len(matrix))] += penalty * (np.trace(matrix) / self.n or 1.0)
        return cho_solve(cho_factor(matrix, overwrite_a=True), self.fy)

    def squared_error(self, w: np.ndarray) -> float:
        """|F w − y|²."""
        return self.yy - 2 * w @ self.fy + w @ self.ff @ w


class Whitening:
    """From φ to functions that are orthonormal in the norm of the kernel, and back; L Lᵀ = κ(z_c, z_c')."""

    def __init__(self, basis: Basis):
        self.n_axes = basis.n_per_centre
        kernel = basis.gaussians(basis.centres[None])[0]
        kernel[np.diag_indices(len(kernel))] += 1e-14 * len(kernel)  # for centres that coincide
        self.lower = np.linalg.cholesky(kernel)

    def rows(self, phi: np.ndarray, linear: np.ndarray) -> np.ndarray:
        """Design matrix (S K, m A + B) of φ (S, K, m, A) and the linear functions (S, K, B)."""
        n_rows, m = phi.shape[0] * phi.shape[1], phi.shape[2]
        by_centre = phi.reshape(n_rows, m, -1).swapaxes(0, 1).reshape(m, -1)
        white = solve_triangular(self.lower, by_centre, lower=True, check_finite=False)
        white = white.reshape(m, n_rows, -1).swapaxes(0, 1).reshape(n_rows, -1)
        return np.concatenate((white, linear.reshape(n_rows, -1)), axis=1)

    def back(self, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (m, A, M) and (B, M) of weights (m A + B, M)."""
        m, a = len(self.lower), self.n_axes
        by_centre = w[: m * a].reshape(m, -1)
        coefficients = solve_triangular(self.lower, by_centre, lower=True, trans="T")
        return coefficients.reshape(m, a, -1), w[m * a :]


def gram(basis: Basis, whiten: Whitening, positions: np.ndarray, labels: np.ndarray) -> Gram:
    """Sums over all components of `labels` (S, K) at positions (S, N, 3)."""
    parts = []
    for start in range(0, len(positions), BLOCK):
        block = slice(start, start + BLOCK)
        rows = whiten.rows(*basis.functions(positions[block]))
        y = labels[block].ravel()
        weight = np.ones(labels.shape[1])
        weight[3:] = 2**0.5  # off-diagonal components stand for two
        weight = np.tile(weight, len(labels[block]))
        rows, y = rows * weight[:, None], y * weight
        parts.append(Gram(rows.T @ rows, rows.T @ y, float(y @ y), len(y)))
    return Gram.total(parts)


def best_penalty(
    folds: list[Gram], at_most: float = PENALTIES[0]
) -> tuple[float, float, np.ndarray]:
    """The penalty with the least squared error on the folds left out, that error, weights (columns, M)."""
    total = Gram.total(folds)
    found = []
    for penalty in (p for p in PENALTIES if p <= at_most):
        try:
            weights = [total.without(fold).solve(penalty) for fold in folds]
        except np.linalg.LinAlgError:  # below the round-off of FᵀF; larger ones come first
            break
        error = sum(fold.squared_error(w) for fold, w in zip(folds, weights, strict=True))
        found.append((penalty, error, np.stack(weights, axis=1)))
    return min(found, key=lambda trial: trial[1])


def best_width(
    basis: Basis, positions: np.ndarray, labels: np.ndarray, n_folds: int
) -> tuple[float, float]:
    """Width with the least squared error on the folds left out, tried with some of the centres.

    Comes with its penalty, above which more centres need not be tried: they describe more of the labels.
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

"""What rotate–predict–rotate is held against: other frames, other regressions, no frame at all.

Each method is a function (positions (n, N, 3), dipoles (n, K), masses, numbers) -> predict, and predict
maps positions (S, N, 3) to values (S, K). Positions come about the centre of mass. Tensors are vectors of
K = 9 components in these hands.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.spatial.distance import cdist, pdist
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor

from ase_schnet.dipole.frame import followed_axes, moments_and_axes, principal_frames

Predict = Callable[[np.ndarray], np.ndarray]
WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0)  # times the root mean square deviation of the inputs
PENALTIES = (1e-4, 1e-6, 1e-8, 1e-10)


def turned(frames: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Vectors (S, 3) or tensors (S, 9) turned into frames (S, 3, 3)."""
    if values.shape[1] == 3:
        return np.einsum("sij,sj->si", frames, values)
    tensors = values.reshape(-1, 3, 3)
    return (frames @ tensors @ frames.swapaxes(1, 2)).reshape(-1, 9)


# ---------------------------------------------------------------- frames: (S, C, 3, 3), the first is enough


def no_rotation(r, masses):
    return np.broadcast_to(np.eye(3), (len(r), 1, 3, 3))


def signs_by_third_moments(r, masses):
    """Principal axes of inertia; the first two point where Σ m x³ is positive."""
    axes = moments_and_axes(r, masses)[1].copy()
    third = np.einsum("n,snk->sk", masses, (r @ axes.swapaxes(1, 2)) ** 3)
    axes[:, :2] *= np.where(third[:, :2] < 0, -1.0, 1.0)[..., None]
    axes[:, 2] *= np.linalg.det(axes)[:, None]
    return axes[:, None]


def eckart(reference, r, masses):
    """The rotation that superposes best on the reference (Kabsch): followed axes, infinitely stiff."""
    a = reference @ moments_and_axes(reference, masses)[1].T
    h = np.einsum("n,ni,snj->sij", masses, a, r)
    return followed_axes(h, 1e6)[:, :1]


# ---------------------------------------------------------------- inputs


def cartesian(r):
    return r.reshape(len(r), -1)


def inverse_distances(r):
    return 1.0 / np.array([pdist(x) for x in r])


def both(r):
    """Positions, and inverse distances times 1.5 Å² to be of their size."""
    return np.hstack((cartesian(r), 1.5 * inverse_distances(r)))


# ---------------------------------------------------------------- regressions


def kernel_ridge(x: np.ndarray, y: np.ndarray) -> Predict:
    """Gaussian kernel; width and penalty by the error on every fifth structure."""
    spread = np.sqrt(np.mean(((x - x.mean(axis=0)) ** 2).sum(axis=1)))
    shift = y.mean(axis=0)
    some = np.arange(min(len(x), 1000))
    train, held = some[some % 5 > 0], some[some % 5 == 0]
    errors = {}
    for width in WIDTHS:
        kernel = np.exp(-cdist(x[some], x[train], "sqeuclidean") / (2 * (width * spread) ** 2))
        for penalty in PENALTIES:
            matrix = kernel[train] + penalty * np.eye(len(train))
            alpha = cho_solve(cho_factor(matrix), y[train] - shift)
            errors[width, penalty] = np.mean((kernel[held] @ alpha + shift - y[held]) ** 2)
    width, penalty = min(errors, key=errors.get)
    scale = 2 * (width * spread) ** 2
    matrix = np.exp(-cdist(x, x, "sqeuclidean") / scale) + penalty * np.eye(len(x))
    alpha = cho_solve(cho_factor(matrix), y - shift)
    return lambda z: np.exp(-cdist(z, x, "sqeuclidean") / scale) @ alpha + shift


def network(x: np.ndarray, y: np.ndarray) -> Predict:
    """Two hidden layers of 64, tanh, fitted by L-BFGS to inputs and targets of unit variance."""
    centre, spread = x.mean(axis=0), x.std(axis=0) + 1e-12
    shift, scale = y.mean(axis=0), y.std()
    model = MLPRegressor(
        hidden_layer_sizes=(64, 64),
        activation="tanh",
        solver="lbfgs",
        alpha=1e-3,
        max_iter=3000,
        max_fun=10**5,
        tol=1e-10,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit((x - centre) / spread, (y - shift) / scale)
    return lambda z: model.predict((z - centre) / spread) * scale + shift


# ---------------------------------------------------------------- methods


def in_frame(frame, inputs=cartesian, regression=kernel_ridge, average=False):
    """Rotate, predict, rotate back; `average` over all frames that `frame` gives."""

    def method(r, y, masses, numbers):
        chosen = frame if frame is not eckart else lambda x, m: eckart(r[0], x, m)

        def copies(x):
            frames = chosen(x, masses)
            frames = frames if average else frames[:, :1]
            repeated = np.repeat(x, frames.shape[1], axis=0)
            flat = frames.reshape(-1, 3, 3)
            return flat, inputs(repeated @ flat.swapaxes(1, 2))

        flat, x = copies(r)
        predict = regression(x, turned(flat, np.repeat(y, len(flat) // len(r), axis=0)))

        def back(new):
            flat, x = copies(new)
            values = turned(flat.swapaxes(1, 2), predict(x))
            return values.reshape(len(new), -1, y.shape[1]).mean(axis=1)

        return back

    return method


def constant_charges(r, y, masses, numbers):
    """μ = Σ q_i r_i with one charge per atom."""
    q = np.linalg.lstsq(r.swapaxes(1, 2).reshape(-1, r.shape[1]), y.ravel(), rcond=None)[0]
    return lambda new: np.einsum("i,sik->sk", q, new)


def latent_charges(r, y, masses, numbers):
    """μ = Σ q_i(inverse distances) r_i, every q_i a kernel expansion: kernel κ(x, x') Σ r_i r'_iᵀ."""
    x = inverse_distances(r)
    spread = np.sqrt(np.mean(((x - x.mean(axis=0)) ** 2).sum(axis=1)))

    def kernel(a, ra, b, rb, width):
        k = np.exp(-cdist(a, b, "sqeuclidean") / (2 * (width * spread) ** 2))
        products = np.einsum("sik,til->sktl", ra, rb, optimize=True)
        return (k[:, None, :, None] * products).reshape(3 * len(a), 3 * len(b))

    some, held = np.arange(0, min(len(x), 500)), np.arange(min(len(x), 500), min(len(x), 700))
    errors = {}
    for width in WIDTHS:
        matrix = kernel(x[some], r[some], x[some], r[some], width)
        across = kernel(x[held], r[held], x[some], r[some], width)
        for penalty in PENALTIES:
            alpha = cho_solve(cho_factor(matrix + penalty * np.eye(len(matrix))), y[some].ravel())
            errors[width, penalty] = np.mean((across @ alpha - y[held].ravel()) ** 2)
    width, penalty = min(errors, key=errors.get)
    matrix = kernel(x, r, x, r, width)
    alpha = cho_solve(cho_factor(matrix + penalty * np.eye(len(matrix))), y.ravel())
    return lambda new: (kernel(inverse_distances(new), new, x, r, width) @ alpha).reshape(-1, 3)


RIVALS = {
    "no rotation, Cartesian, KRR": in_frame(no_rotation),
    "inertia axes, signs by third moments, inverse distances, KRR": in_frame(
        signs_by_third_moments, inverse_distances
    ),
    "inertia axes, signs by third moments, Cartesian, KRR": in_frame(signs_by_third_moments),
    "inertia axes, average over 4 frames, Cartesian, KRR": in_frame(principal_frames, average=True),
    "inertia axes, average over 4 frames, both, KRR": in_frame(
        principal_frames, both, average=True
    ),
    "Eckart axes, inverse distances, KRR": in_frame(eckart, inverse_distances),
    "Eckart axes, Cartesian, KRR": in_frame(eckart),
    "Eckart axes, both, network": in_frame(eckart, both, network),
    "Eckart axes, both, KRR": in_frame(eckart, both),
    "constant charges": constant_charges,
    "latent charges, KRR": latent_charges,
}

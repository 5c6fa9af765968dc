"""Filters of the convolution as splines of the distance: what makes inference fast.

A filter W(d) is a network, but a function of one number. It is evaluated once at equally spaced distances
and interpolated by B-splines of degree 5, four times continuously differentiable. Forces are the exact
gradient of the interpolated energy, so how well energy is conserved does not depend on the spacing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ase_schnet.modelfile import TrainedModel
from ase_schnet.schnet_config import LOG2, SchNetConfig

DEGREE = 5
# By the precision of the network. In float32 a finer grid is worse: a slope is a difference of rounded
# coefficients, over the spacing.
FIRST_SPACING = {"float64": 0.02, "float32": 0.04}  # Å
LEAST_SPACING = 0.005  # Å
SLOPE_TOLERANCE = {"float64": 1e-8, "float32": 3e-7}  # of the largest slope of a layer's filters
# the six B-splines at the fraction t of an interval: coefficients of 1, t, t², ..., and of their slopes
SPLINES = (
    np.array(
        [
            (1, -5, 10, -10, 5, -1),
            (26, -50, 20, 20, -20, 5),
            (66, 0, -60, 0, 30, -10),
            (26, 50, 20, -20, -20, 10),
            (1, 5, 10, 10, 5, -5),
            (0, 0, 0, 0, 0, 1),
        ]
    )
    / 120.0
)
SPLINE_SLOPES = SPLINES[:, 1:] * np.arange(1.0, DEGREE + 1.0)
REACH = 40  # nodes; how far a coefficient looks, since its share fades as 0.43ⁿ


def _interpolation() -> np.ndarray:
    """Return the shares of the values at nodes k - REACH .. k + REACH in the coefficient of node k.

    The middle row of the inverse of the matrix that takes coefficients to values; a B-spline of degree 5 is
    66/120, 26/120 and 1/120 at its centre and its neighbours.
    """
    size = 2 * REACH + 1
    distance = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
    values = np.array([66.0, 26.0, 1.0, 0.0])[np.minimum(distance, 3)] / 120.0
    return np.linalg.inv(values)[REACH]


def filter_tables(model: TrainedModel, dtype: str) -> tuple[np.ndarray, float]:
    """Return spline coefficients (T, M, n + 6, F) of all filters, envelope included; their spacing in Å.

    Between nodes k and k + 1 (at k · spacing) a filter is Σ_a basis_a · coefficients[k + a], a = 0..5.
    The last node is the cutoff, where filter and slope are exactly those of the network. The spacing is
    chosen to meet SLOPE_TOLERANCE: the error of a slope grows as its fifth power.
    """
    cutoff, wanted = model.config["cutoff"], FIRST_SPACING[dtype]
    tolerance = SLOPE_TOLERANCE[dtype]
    while True:
        n = math.ceil(cutoff / wanted)
        spacing = cutoff / n
        tables = np.stack([_layer(model, t, n) for t in range(model.config["n_interactions"])])
        error = _slope_error(model, tables, n)
        if error < tolerance or wanted <= LEAST_SPACING:
            return tables, spacing
        wanted = max(LEAST_SPACING, 0.9 * spacing * (tolerance / error) ** 0.2)


def filters(model: TrainedModel, layer: int, distances: np.ndarray) -> np.ndarray:
    """Return W(d) of the network itself, (M, n, F), also a little beyond both ends.

    The cosine envelope goes on there, without the zero beyond the cutoff.
    """
    config = model.network
    rbf = _gaussians(model, config, layer, distances)  # (M or 1, n, K)
    hidden = _activate(config.activation, _dense(model, layer, "filter_in", rbf))
    raw = _dense(model, layer, "filter_out", hidden)  # (M, n, F)
    return raw if config.envelope == "none" else raw * _envelope(config, distances)[:, None]


def _gaussians(
    model: TrainedModel, config: SchNetConfig, layer: int, distances: np.ndarray
) -> np.ndarray:
    """Return the Gaussians of a block, (1, n, K), or (M, n, K) where each member has its own."""
    if config.trainable_gaussians:
        centres, widths = (
            model.weights[f"gaussians.{layer}.{name}"].astype(np.float64)[:, None]
            for name in ("centres", "widths")
        )
        return np.exp(-0.5 / widths**2 * (distances[:, None] - centres) ** 2)
    centres, gammas = config.gaussians()
    return np.exp(-gammas * (distances[:, None] - centres) ** 2)[None]


def _activate(name: str, x: np.ndarray) -> np.ndarray:
    """Return an activation at x. silu(x) = x / (1 + e⁻ˣ), written with what does not overflow."""
    softplus = np.logaddexp(0.0, x)
    return softplus - LOG2 if name == "ssp" else x * np.exp(x - softplus)


def _envelope(config: SchNetConfig, distances: np.ndarray) -> np.ndarray:
    if config.envelope == "cosine":
        return 0.5 * (np.cos(distances * (math.pi / config.cutoff)) + 1.0)
    rest = np.maximum(1.0 - (distances / config.cutoff) ** 2, 1e-3)  # e⁻¹⁰⁰⁰ is 0
    return np.exp(1.0 - 1.0 / rest)


def _dense(model: TrainedModel, layer: int, name: str, x: np.ndarray) -> np.ndarray:
    """Return x Wᵀ + b of every member in float64, (M, n, out)."""
    weight = model.weights[f"interactions.{layer}.cfconv.{name}.weight"].astype(np.float64)
    bias = model.weights[f"interactions.{layer}.cfconv.{name}.bias"].astype(np.float64)
    return x @ weight.swapaxes(1, 2) + bias[:, None]


def _layer(model: TrainedModel, layer: int, n: int) -> np.ndarray:
    """Return coefficients of one layer's filters, (M, n + 6, F), through n + 1 nodes from 0 to the cutoff."""
    rows = n + DEGREE + 1  # interval k uses the splines centred on the nodes k - 2 .. k + 3
    nodes = np.arange(-2 - REACH, rows - 2 + REACH) * (model.config["cutoff"] / n)
    values = filters(model, layer, nodes)  # (M, rows + 2 REACH, F)
    shares = _interpolation()
    return sliding_window_view(values, len(shares), axis=1) @ shares


def _slope_error(model: TrainedModel, tables: np.ndarray, n: int) -> float:
    """Return the largest error of a slope, over the largest slope of its layer.

    The error of the values is largest halfway between the nodes, nearly e sin²(πx/h), so that of the slopes
    is πe/h.
    """
    spacing = model.config["cutoff"] / n
    halfway = (np.arange(n) + 0.5) * spacing
    basis = np.array([1.0, 237.0, 1682.0, 1682.0, 237.0, 1.0]) / 3840.0
    slope = np.array([-1.0, -75.0, -154.0, 154.0, 75.0, 1.0]) / (384.0 * spacing)
    worst = 0.0
    for t, coefficients in enumerate(tables):
        parts = [coefficients[:, a : a + n] for a in range(DEGREE + 1)]
        values = sum(b * part for b, part in zip(basis, parts, strict=True))
        slopes = sum(s * part for s, part in zip(slope, parts, strict=True))
        error = np.abs(values - filters(model, t, halfway)).max()
        worst = max(worst, math.pi * error / spacing / max(np.abs(slopes).max(), 1e-300))
    return worst

"""The innermost loops of the network: convolution and its adjoint, dense layers, softplus.

Everything here works on C-contiguous 2-D arrays whose rows are padded (`simd.PAD`), with `simd`'s vectors.
Arrays are indexed, not sliced: numba counts references to every slice.
"""

from __future__ import annotations

import math

import numba
import numba.extending
import numpy as np

from ase_schnet.inference.compilation import inner
from ase_schnet.inference.simd import (
    BYTES,
    REGISTERS,
    add,
    add_products,
    loads,
    mul,
    muladd,
    splats,
    store,
    total,
)

EXP = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))  # eʳ for |r| <= ln(2)/2
ATANH = tuple(1.0 / (2 * k + 1) for k in range(15, -1, -1))  # artanh(q)/q in q², q <= 1/3
LOG2_E = 1.0 / math.log(2.0)
LN2_HIGH = 0.693359375  # few bits, so that its multiples are exact
LN2_LOW = math.log(2.0) - LN2_HIGH
# e⁻⁸⁰ is beyond the grain of both precisions, and no denormal number in either
MOST_NEGATIVE = -80.0

SOFTENED_OVER = 0.1  # of an onset: over this length the network stops following the distance
SSP, SILU, LINEAR = range(3)  # activations


def _spline(registers: int):
    """Compile a spline, Σ_a weights_a · table[k + a], for so many registers of columns."""
    load, splat = loads(registers), splats(registers)

    @inner
    def spline(table, k, c, weights, e):
        w_0, w_1, w_2 = splat(weights[e, 0]), splat(weights[e, 1]), splat(weights[e, 2])
        w_3, w_4, w_5 = splat(weights[e, 3]), splat(weights[e, 4]), splat(weights[e, 5])
        low = mul(w_0, load(table, k, c))
        high = mul(w_3, load(table, k + 3, c))
        low = muladd(w_1, load(table, k + 1, c), low)
        high = muladd(w_4, load(table, k + 4, c), high)
        low = muladd(w_2, load(table, k + 2, c), low)
        high = muladd(w_5, load(table, k + 5, c), high)
        return add(low, high)

    return spline


def _convolution(registers: int):
    """Compile `convolve` for so many registers of columns, from c on.

    Entries are counted without a sign: numba would look for a negative one at each array.
    """
    load, spline = loads(registers), _spline(registers)

    @inner
    def convolution(f, table, rows, edges, y, first, last, c):
        for i in range(first, last):
            f_i, y_i = load(f, i, c), load(y, i - first, c)
            for e in range(np.uint64(rows.start[i]), np.uint64(edges.end[i])):
                j, place = edges.partner[e], edges.place[e]
                w = spline(table, edges.node[e], c, edges.basis, e)
                y_i = muladd(load(f, j, c), w, y_i)
                store(y, place, c, muladd(f_i, w, load(y, place, c)))
            store(y, i - first, c, y_i)

    return convolution


def _adjoint(registers: int):
    """Compile `convolve_back` and `pair_slopes` likewise.

    No branch is in them: with one, what they work on no longer fits into the registers.
    """
    load, spline = loads(registers), _spline(registers)

    @inner
    def adjoint(y_bar, f, table, rows, edges, f_bar, pull, first, last, c):
        for i in range(first, last):
            f_i, y_i, f_bar_i = load(f, i, c), load(y_bar, i, c), load(f_bar, i - first, c)
            for e in range(np.uint64(rows.start[i]), np.uint64(edges.end[i])):
                j, place = edges.partner[e], edges.place[e]
                w = spline(table, edges.node[e], c, edges.basis, e)
                w_slope = spline(table, edges.node[e], c, edges.slope, e)
                y_j = load(y_bar, j, c)
                f_bar_i = muladd(y_j, w, f_bar_i)
                store(f_bar, place, c, muladd(y_i, w, load(f_bar, place, c)))
                product = muladd(y_i, load(f, j, c), mul(y_j, f_i))
                pull[e] += total(mul(product, w_slope))
            store(f_bar, i - first, c, f_bar_i)

    @inner
    def slopes(y_bar, f, table, rows, edges, pull, first, last, c):
        for i in range(first, last):
            f_i, y_i = load(f, i, c), load(y_bar, i, c)
            for e in range(np.uint64(rows.start[i]), np.uint64(edges.end[i])):
                j = edges.partner[e]
                w_slope = spline(table, edges.node[e], c, edges.slope, e)
                product = muladd(y_i, load(f, j, c), mul(load(y_bar, j, c), f_i))
                pull[e] += total(mul(product, w_slope))

    return adjoint, slopes


WIDE = 4  # registers: the weights of a spline are read once for so many
convolution_wide, convolution_1 = _convolution(WIDE), _convolution(1)
(adjoint_wide, slopes_wide), (adjoint_1, slopes_1) = _adjoint(WIDE), _adjoint(1)


@inner
def convolve(f, table, rows, edges, y, first, last):
    """Add y_i = Σ_j f_j ∘ W(d_ij) (arXiv:1706.08566, eq. 2), to the rows of both atoms."""
    lanes, c = BYTES // f.itemsize, 0
    while c + WIDE * lanes <= f.shape[1]:
        convolution_wide(f, table, rows, edges, y, first, last, c)
        c += WIDE * lanes
    while c < f.shape[1]:
        convolution_1(f, table, rows, edges, y, first, last, c)
        c += lanes


@inner
def convolve_back(y_bar, f, table, rows, edges, f_bar, pull, first, last):
    """Add f̄_j = Σ_i ȳ_i ∘ W(d_ij); and (ȳ_i ∘ f_j + ȳ_j ∘ f_i) · W'(d_ij) to ∂E/∂d of the pairs."""
    lanes, c = BYTES // f.itemsize, 0
    while c + WIDE * lanes <= f.shape[1]:
        adjoint_wide(y_bar, f, table, rows, edges, f_bar, pull, first, last, c)
        c += WIDE * lanes
    while c < f.shape[1]:
        adjoint_1(y_bar, f, table, rows, edges, f_bar, pull, first, last, c)
        c += lanes


@inner
def pair_slopes(y_bar, f, table, rows, edges, pull, first, last):
    """Add what :func:`convolve_back` adds to ∂E/∂d of the pairs, and nothing else."""
    lanes, c = BYTES // f.itemsize, 0
    while c + WIDE * lanes <= f.shape[1]:
        slopes_wide(y_bar, f, table, rows, edges, pull, first, last, c)
        c += WIDE * lanes
    while c < f.shape[1]:
        slopes_1(y_bar, f, table, rows, edges, pull, first, last, c)
        c += lanes


@inner
def softened_distance(d, onset):
    """Return the distance (Å) at which the network sees a pair at d, and its derivative by d; C².

    It is d itself beyond the onset. Below, the derivative falls from 1 to 0 over w = 0.1 onset, and so the
    distance ends at onset − w/2. (:func:`repulsion.softened_distances` is the same for arrays.)
    """
    if d >= onset:
        return d, 1.0
    w = SOFTENED_OVER * onset
    u = min((onset - d) / w, 1.0)
    return onset - w * u * (1.0 - u * u * (1.0 - 0.5 * u)), 1.0 - u * u * (3.0 - 2.0 * u)


@inner
def dense(x, w, bias, out):
    """Fill out = x w + bias, rows (n, K) -> (n, F)."""
    for i in range(len(out)):
        for c in range(out.shape[1]):
            out[i, c] = bias[c]
    add_dense(x, w, out)


def _strip(vectors: int):
    """Compile `add_dense` for a strip of `vectors` vectors of columns, from column c on.

    A tile of 6 rows needs (6 + 1) · vectors + 1 registers: for its sums, its part of w and a number of x.
    """
    six, three, one = (add_products(rows, vectors) for rows in (6, 3, 1))

    @inner
    def strip(x, w, out, c):
        n = len(x)
        threes, ones = n // 6 * 6, n // 3 * 3
        for i in range(0, threes, 6):
            six(x, w, out, i, c)
        for i in range(threes, ones, 3):
            three(x, w, out, i, c)
        for i in range(ones, n):
            one(x, w, out, i, c)

    return strip


WIDEST = 4 if REGISTERS >= 32 else 2  # vectors
strips = {vectors: _strip(vectors) for vectors in {WIDEST, 2, 1}}
strip_widest, strip_2, strip_1 = strips[WIDEST], strips[2], strips[1]


@inner
def add_dense(x, w, out):
    """Add x w to out, in tiles that fit into the registers. Every sum runs in the order of w's rows."""
    width, lanes = w.shape[1], BYTES // out.itemsize
    c = 0
    while c + WIDEST * lanes <= width:
        strip_widest(x, w, out, c)
        c += WIDEST * lanes
    while c + 2 * lanes <= width:
        strip_2(x, w, out, c)
        c += 2 * lanes
    while c < width:
        strip_1(x, w, out, c)
        c += lanes


@inner
def activate(kind, x, out, gate):
    """Fill the values of an activation (SSP, SILU or LINEAR) and its slopes, the gates, at x (n, F).

    For SSP this is the softplus: the −ln 2 of the shifted one is in the biases that follow. The kernels call
    `softplus` themselves where they can, which the compiler merges into them.
    """
    softplus(x, out, gate)
    if kind == SSP:
        return
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            s, number = gate[i, c], x[i, c]
            if kind == SILU:
                out[i, c] = number * s
                gate[i, c] = s + number * (s - s * s)
            else:
                out[i, c] = number
                gate[i, c] = 1.0


@inner
def softplus(x, out, gate):
    """Fill ln(1 + eˣ) and its slope, the sigmoid: written out because a call to exp is not vectorised.

    With e = exp(−|x|): eʳ·2ᵏ by series, ln(1 + e) = 2 artanh(e/(2 + e)).
    """
    real = x.dtype.type
    x, out, gate = x.reshape(x.size), out.reshape(x.size), gate.reshape(x.size)  # one long loop
    for i in range(len(x)):
        a = max(-abs(x[i]), real(MOST_NEGATIVE))
        k = np.floor(a * real(LOG2_E) + real(0.5))
        r = (a - k * real(LN2_HIGH)) - k * real(LN2_LOW)
        p = real(EXP[0])
        for coefficient in EXP[1:]:
            p = p * r + real(coefficient)
        e = p * power_of_two(k)
        inverse = real(1.0) / ((real(1.0) + e) * (real(2.0) + e))
        q = e * (real(1.0) + e) * inverse
        p = real(ATANH[0])
        for coefficient in ATANH[1:]:
            p = p * (q * q) + real(coefficient)
        out[i] = max(x[i], real(0.0)) + real(2.0) * q * p
        sigmoid = (real(2.0) + e) * inverse  # 1/(1 + e), of |x|
        gate[i] = sigmoid if x[i] >= 0 else e * sigmoid


def power_of_two(k):
    """Return 2ᵏ of a whole number k in floating point, made from the bits of its exponent."""
    raise NotImplementedError("only for compiled code")


@numba.extending.overload(power_of_two)
def _power_of_two(k):
    if k == numba.float32:
        return lambda k: np.int32((np.int32(k) + np.int32(127)) << np.int32(23)).view(np.float32)
    return lambda k: np.int64((np.int64(k) + 1023) << 52).view(np.float64)

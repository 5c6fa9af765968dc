"""Sums over the pairs of a batch, as functions that autograd can differentiate once.

    read       filters and their slopes at the distances, from a table on a grid
    convolve   y_i = Σ_j x_j ∘ W(d_ij), SchNet's convolution, which is its own adjoint
    contract   q_p = Σ_f (x_j ∘ y_i + x_i ∘ y_j) W_p, what a pair's distance does to the energy

Their derivatives are written out, since with both directions of a half list in one pass there is nothing to
store. On the CPU the compiled loops of `pair_loops.py` run; elsewhere `_Torch`, which says the same in torch.
Shapes: N atoms, P pairs, F features, G points of the grid; `Pairs` are idx_i and idx_j, each pair once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from ase_schnet.inference.compilation import first_use
from ase_schnet.model import pair_loops
from ase_schnet.model.pair_loops import TAPS


class Pairs(NamedTuple):
    """Hold the atoms i and j of pairs, (P,) int64 both."""

    i: Tensor
    j: Tensor


class Taps(NamedTuple):
    """Hold which rows of a table a pair reads, and with which weights: for values, then for slopes."""

    first: Tensor  # (P,) int64: rows first .. first + TAPS − 1
    weights: Tensor  # (P, 2 TAPS)


def read(table: Tensor, taps: Taps) -> tuple[Tensor, Tensor]:
    """Return values and slopes (P, F) of a table (G, F)."""
    return _Read.apply(table, taps)


def convolve(x: Tensor, filters: Tensor, pairs: Pairs) -> Tensor:
    """Return what every atom gets from its neighbours, (N, F), of features (N, F) and filters (P, F)."""
    return _Convolve.apply(x, filters, pairs)


def contract(x: Tensor, y: Tensor, filters: Tensor, pairs: Pairs) -> Tensor:
    """Return Σ_f (x_j ∘ y_i + x_i ∘ y_j) W_p of every pair, (P,), of x and y (N, F) and filters (P, F)."""
    return _Contract.apply(x, y, filters, pairs)


def prepare(dtype: torch.dtype) -> None:
    """Compile the loops for numbers of this kind, or load them, by a run of each over no pairs."""
    x, none = torch.zeros(1, 1, dtype=dtype), torch.zeros(0, 1, dtype=dtype)
    pairs = Pairs(*torch.zeros(2, 0, dtype=torch.int64))
    taps = Taps(pairs.i, torch.zeros(0, 2 * TAPS, dtype=dtype))
    with first_use(pair_loops):
        _Compiled.read(x, taps)
        _Compiled.read_back(x.shape, taps, none, none)
        _Compiled.convolve(x, none, pairs)
        _Compiled.products(x, x, pairs)
        _Compiled.contract(x, x, none, pairs)
        _Compiled.contract_back(x, x, none, pairs, none[:, 0])


class _Read(Function):
    @staticmethod
    def forward(ctx, table, taps):
        ctx.taps, ctx.shape = taps, table.shape
        return _kernels(table).read(table, taps)

    @staticmethod
    @once_differentiable
    def backward(ctx, values_bar, slopes_bar):
        kernels = _kernels(values_bar)
        return kernels.read_back(ctx.shape, ctx.taps, values_bar, slopes_bar), None


class _Convolve(Function):
    @staticmethod
    def forward(ctx, x, filters, pairs):
        ctx.save_for_backward(x, filters)
        ctx.pairs = pairs
        return _kernels(x).convolve(x, filters, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx, y_bar):
        (x, filters), pairs, kernels = ctx.saved_tensors, ctx.pairs, _kernels(y_bar)
        return kernels.convolve(y_bar, filters, pairs), kernels.products(x, y_bar, pairs), None


class _Contract(Function):
    @staticmethod
    def forward(ctx, x, y, filters, pairs):
        ctx.save_for_backward(x, y, filters)
        ctx.pairs = pairs
        return _kernels(x).contract(x, y, filters, pairs)

    @staticmethod
    @once_differentiable
    def backward(ctx, out_bar):
        return *_kernels(out_bar).contract_back(*ctx.saved_tensors, ctx.pairs, out_bar), None


def _kernels(tensor: Tensor) -> type[_Compiled] | type[_Torch]:
    return _Compiled if tensor.device.type == "cpu" else _Torch


class _Compiled:
    """Run the compiled loops: tensors in, tensors out."""

    @staticmethod
    def read(table: Tensor, taps: Taps) -> tuple[Tensor, ...]:
        values = table.new_empty(len(taps.first), table.shape[1])
        slopes = torch.empty_like(values)
        pair_loops.read(*_arrays(table, *taps, values, slopes))
        return values, slopes

    @staticmethod
    def read_back(shape: torch.Size, taps: Taps, values_bar: Tensor, slopes_bar: Tensor) -> Tensor:
        table_bar = values_bar.new_zeros(shape)
        pair_loops.read_back(*_arrays(*taps, values_bar, slopes_bar, table_bar))
        return table_bar

    @staticmethod
    def convolve(x: Tensor, filters: Tensor, pairs: Pairs) -> Tensor:
        y = torch.zeros_like(x, memory_format=torch.contiguous_format)
        pair_loops.convolve(*_arrays(x, filters, *pairs, y))
        return y

    @staticmethod
    def products(x: Tensor, y: Tensor, pairs: Pairs) -> Tensor:
        out = x.new_empty(len(pairs.i), x.shape[1])
        pair_loops.products(*_arrays(x, y, *pairs, out))
        return out

    @staticmethod
    def contract(x: Tensor, y: Tensor, filters: Tensor, pairs: Pairs) -> Tensor:
        out = x.new_empty(len(pairs.i))
        pair_loops.contract(*_arrays(x, y, filters, *pairs, out))
        return out

    @staticmethod
    def contract_back(
        x: Tensor, y: Tensor, filters: Tensor, pairs: Pairs, out_bar: Tensor
    ) -> tuple[Tensor, ...]:
        bars = [
            new(z, memory_format=torch.contiguous_format)  # the loops fill the arrays themselves
            for new, z in (
                (torch.zeros_like, x),
                (torch.zeros_like, y),
                (torch.empty_like, filters),
            )
        ]
        pair_loops.contract_back(*_arrays(x, y, filters, *pairs, out_bar, *bars))
        return tuple(bars)


def _arrays(*tensors: Tensor) -> Iterator[np.ndarray]:
    return (t.detach().contiguous().numpy() for t in tensors)


class _Torch:
    """Do in torch what the compiled loops do, for a GPU."""

    @staticmethod
    def read(table: Tensor, taps: Taps) -> tuple[Tensor, ...]:
        rows = taps.first[:, None] + torch.arange(TAPS, device=table.device)
        values, slopes = taps.weights.split(TAPS, dim=1)
        return tuple(
            torch.nn.functional.embedding_bag(rows, table, mode="sum", per_sample_weights=w)
            for w in (values.contiguous(), slopes.contiguous())
        )

    @staticmethod
    def read_back(shape: torch.Size, taps: Taps, values_bar: Tensor, slopes_bar: Tensor) -> Tensor:
        table_bar = values_bar.new_zeros(shape)
        for k in range(TAPS):
            values, slopes = taps.weights[:, k, None], taps.weights[:, k + TAPS, None]
            table_bar.index_add_(0, taps.first + k, values * values_bar + slopes * slopes_bar)
        return table_bar

    @staticmethod
    def convolve(x: Tensor, filters: Tensor, pairs: Pairs) -> Tensor:
        y = torch.zeros_like(x)
        y.index_add_(0, pairs.i, x[pairs.j] * filters)
        return y.index_add_(0, pairs.j, x[pairs.i] * filters)

    @staticmethod
    def products(x: Tensor, y: Tensor, pairs: Pairs) -> Tensor:
        return x[pairs.j] * y[pairs.i] + x[pairs.i] * y[pairs.j]

    @staticmethod
    def contract(x: Tensor, y: Tensor, filters: Tensor, pairs: Pairs) -> Tensor:
        return (_Torch.products(x, y, pairs) * filters).sum(dim=1)

    @staticmethod
    def contract_back(
        x: Tensor, y: Tensor, filters: Tensor, pairs: Pairs, out_bar: Tensor
    ) -> tuple[Tensor, ...]:
        weighted = out_bar[:, None] * filters
        products = _Torch.products(x, y, pairs)
        x_bar, y_bar = (_Torch.convolve(z, weighted, pairs) for z in (y, x))
        return x_bar, y_bar, out_bar[:, None] * products

"""What the compiled loops work on: weights, pairs and working arrays, laid out for them.

Shapes: M members, T layers, N atoms, G ghosts (of other processes, if there are any), E pair entries, F
filters, B features per atom, H hidden in the readout; the last three rounded up to a multiple of
`simd.PAD`. "real" is the precision of the network.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ase_schnet.inference.simd import PAD
from ase_schnet.inference.tables import DEGREE, filter_tables
from ase_schnet.modelfile import MAX_ELEMENTS, TrainedModel

LOG2 = np.log(2.0)
CACHE_LINE = 64  # bytes


class Network(NamedTuple):
    """All members' weights, in the precision of the network. `*_back` are transposed: for the adjoint.

    Matrices are (in, out), so that a row of the product is a sum of rows, and float32 as in the model file,
    which loses nothing and halves what has to be fetched. The −ln 2 of the shifted
    softplus is folded into the bias that follows it.
    """

    embedding: np.ndarray  # (M, 100, B)
    start: np.ndarray  # (M, 100, F) atomwise_in of the embedding: the first layer's features
    tables: np.ndarray  # (T, M, n + 6, F) spline coefficients of the filters
    in_w: np.ndarray  # (T, M, B, F)
    in_b: np.ndarray  # (T, M, F)
    in_back: np.ndarray  # (T, M, F, B)
    mid_w: np.ndarray  # (T, M, F, B)
    mid_b: np.ndarray  # (T, M, B)
    mid_back: np.ndarray  # (T, M, B, F)
    out_w: np.ndarray  # (T, M, B, B)
    out_b: np.ndarray  # (T, M, B)
    out_back: np.ndarray  # (T, M, B, B)
    read_w: np.ndarray  # (M, B, H)
    read_b: np.ndarray  # (M, H)
    read_back: np.ndarray  # (M, H, B)
    last_w: np.ndarray  # (M, H)
    last_b: np.ndarray  # (M,)
    scale: np.ndarray  # (M,) float64, eV
    shift: np.ndarray  # (M, 100) float64, eV
    cutoff: float  # Å
    spacing: float  # Å, of the tables' nodes
    onset: np.ndarray  # (100, 100) float64, Å: a nearer pair is seen almost at it; zeros: never


class Rows(NamedTuple):
    """Who is near whom, up to the skin, as rows of a compressed matrix: entries start[i]:start[i + 1]."""

    start: np.ndarray  # (N + 1,) int64
    partner: np.ndarray  # (E,) int32
    shift: np.ndarray  # (E, 3) float64, Å
    both: np.ndarray  # (E,) bool: stands for the partner's entry too, which lies in the same chunk


class Edges(NamedTuple):
    """The entries of `Rows` below the cutoff at the present positions, moved to the front of their row."""

    end: np.ndarray  # (N,) int64: the row is start[i]:end[i]
    partner: np.ndarray  # (E,) int32
    both: np.ndarray  # (E,) bool
    node: np.ndarray  # (E,) int32 first of the six coefficients
    basis: np.ndarray  # (E, 6) their weights for the filter
    slope: np.ndarray  # (E, 6) and for its derivative, 1/Å
    unit: np.ndarray  # (E, 3) float64, from the atom to its partner
    length: np.ndarray  # (E,) float64, Å
    pull: np.ndarray  # (M, E) float64, ∂E/∂d, 1/Å


class State(NamedTuple):
    """What the phases hand to each other, and the answer."""

    x: np.ndarray  # (M, N, B) features
    x_bar: np.ndarray  # (M, N, B) ∂E/∂x
    features: np.ndarray  # (T, M, N + G, F) after atomwise_in
    gates: np.ndarray  # (T, M, N, B) slope of the softplus
    y_bar: np.ndarray  # (T, M, N + G, F) ∂E/∂y, y the sum of the convolution
    energies: np.ndarray  # (M, N) float64, eV
    forces: np.ndarray  # (M, N, 3) float64, eV/Å
    virials: np.ndarray  # (chunks, M, 3, 3) float64, eV
    closest: np.ndarray  # (chunks,) float64, Å²: the shortest distance squared
    closest_pair: np.ndarray  # (chunks, 2) int64: between these atoms


class Scratch(NamedTuple):
    """One thread's working rows, C the size of a chunk."""

    y: np.ndarray  # (C, F)
    a: np.ndarray  # (C, B)
    b: np.ndarray  # (C, B)
    h: np.ndarray  # (C, H)
    i: np.ndarray  # (C, H)
    g: np.ndarray  # (C, H)


def network_arrays(model: TrainedModel, dtype: str, onset: np.ndarray | None = None) -> Network:
    """The weights as `kernels` want them, widths padded with zeros that no energy notices.

    onset : as in `repulsion.Repulsion`; None for no repulsion.
    """
    tables, spacing = filter_tables(model)
    w = {name: array.astype(np.float64) for name, array in model.weights.items()}
    layers = range(model.config["n_interactions"])

    def matrices(name: str) -> np.ndarray:
        """(T, M, in, out)"""
        return np.stack([w[f"interactions.{t}.{name}.weight"].swapaxes(1, 2) for t in layers])

    def biases(name: str) -> np.ndarray:
        """(T, M, out)"""
        return np.stack([w[f"interactions.{t}.{name}.bias"] for t in layers])

    def padded(array: np.ndarray) -> np.ndarray:
        """The last axis is a width."""
        room = [(0, 0)] * (array.ndim - 1) + [(0, -array.shape[-1] % PAD)]
        return aligned(np.pad(array, room), dtype)

    def matrix(array: np.ndarray) -> np.ndarray:
        """The last two axes are widths."""
        room = [(0, 0)] * (array.ndim - 2) + [(0, -n % PAD) for n in array.shape[-2:]]
        return aligned(np.pad(array, room), np.float32)

    into, mid, out = (matrices(f"atomwise_{part}") for part in ("in", "mid", "out"))
    read, last = w["readout_in.weight"].swapaxes(1, 2), w["readout_out.weight"][:, 0]
    return Network(
        embedding=padded(w["embedding.weight"]),
        start=padded(w["embedding.weight"] @ into[0] + biases("atomwise_in")[0][:, None]),
        tables=padded(tables),
        in_w=matrix(into),
        in_b=padded(biases("atomwise_in")),
        in_back=matrix(into.swapaxes(2, 3)),
        mid_w=matrix(mid),
        mid_b=padded(biases("atomwise_mid")),
        mid_back=matrix(mid.swapaxes(2, 3)),
        out_w=matrix(out),
        out_b=padded(biases("atomwise_out") - LOG2 * out.sum(axis=2)),
        out_back=matrix(out.swapaxes(2, 3)),
        read_w=matrix(read),
        read_b=padded(w["readout_in.bias"]),
        read_back=matrix(read.swapaxes(1, 2)),
        last_w=padded(last),
        last_b=np.asarray(w["readout_out.bias"][:, 0] - LOG2 * last.sum(axis=1), dtype=dtype),
        scale=np.ascontiguousarray(model.scale, dtype=np.float64),
        shift=np.ascontiguousarray(model.energy_shift, dtype=np.float64),
        cutoff=float(model.config["cutoff"]),
        spacing=spacing,
        onset=np.zeros((MAX_ELEMENTS, MAX_ELEMENTS)) if onset is None else onset,
    )


def aligned(array: np.ndarray, dtype) -> np.ndarray:
    """A copy that begins at a cache line: a vector across two of them takes twice the time."""
    size = array.size * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    copy = memory[start : start + size].view(dtype).reshape(array.shape)
    copy[:] = array
    return copy


def _room(shape: tuple[int, ...], dtype) -> np.ndarray:
    return aligned(np.broadcast_to(np.zeros(1, dtype), shape), dtype)


def state_arrays(network: Network, n_atoms: int, chunks: int, n_ghosts: int = 0) -> State:
    """For a structure of `n_atoms`, and `n_ghosts` that are only looked at."""
    layers, members, basis, filters = network.in_w.shape
    real = network.tables.dtype
    return State(
        x=_room((members, n_atoms, basis), real),
        x_bar=_room((members, n_atoms, basis), real),
        features=_room((layers, members, n_atoms + n_ghosts, filters), real),
        gates=_room((layers, members, n_atoms, basis), real),
        y_bar=_room((layers, members, n_atoms + n_ghosts, filters), real),
        energies=np.zeros((members, n_atoms)),
        forces=np.zeros((members, n_atoms, 3)),
        virials=np.zeros((chunks, members, 3, 3)),
        closest=np.zeros(chunks),
        closest_pair=np.zeros((chunks, 2), np.int64),
    )


def edge_arrays(network: Network, n_atoms: int, n_entries: int) -> Edges:
    """For rows of `n_entries` in all."""
    real = network.tables.dtype
    return Edges(
        end=np.zeros(n_atoms, np.int64),
        partner=np.zeros(n_entries, np.int32),
        both=np.zeros(n_entries, np.bool_),
        node=np.zeros(n_entries, np.int32),
        basis=_room((n_entries, DEGREE + 1), real),
        slope=_room((n_entries, DEGREE + 1), real),
        unit=np.zeros((n_entries, 3)),
        length=np.zeros(n_entries),
        pull=np.zeros((len(network.scale), n_entries)),
    )


def scratch_arrays(network: Network, chunk: int) -> Scratch:
    """For chunks of so many atoms."""
    _, _, basis, filters = network.in_w.shape
    hidden, real = network.read_w.shape[-1], network.tables.dtype
    return Scratch(
        y=_room((chunk, filters), real),
        a=_room((chunk, basis), real),
        b=_room((chunk, basis), real),
        h=_room((chunk, hidden), real),
        i=_room((chunk, hidden), real),
        g=_room((chunk, hidden), real),
    )

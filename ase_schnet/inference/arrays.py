"""What the compiled loops work on: weights, pairs and working arrays, laid out for them.

Shapes: M members, T layers, N atoms in C chunks of at most A, G ghosts (of other processes, if there are
any), E pair entries, S atoms of all halos (of a chunk: the atoms of later chunks that it meets), F filters,
B features per atom, H hidden in the readout (its widest layer), L hidden layers behind the first of it; F, B
and H rounded up to a multiple of `simd.PAD`. "real" is the precision of the network.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ase_schnet.inference.loops import LINEAR, SILU, SSP
from ase_schnet.inference.simd import PAD
from ase_schnet.inference.tables import DEGREE, filter_tables
from ase_schnet.modelfile import TrainedModel
from ase_schnet.schnet_config import LOG2, MAX_ELEMENTS, SchNetConfig

CACHE_LINE = 64  # bytes
KINDS = {"ssp": SSP, "silu": SILU}
OFFSETS = {"ssp": LOG2, "silu": 0.0}  # what the compiled activation has more than the named one


class Network(NamedTuple):
    """Hold all members' weights, in the precision of the network. `*_back` are transposed: for the adjoint.

    Matrices are (in, out), so that a row of the product is a sum of rows, and float32 as in the model file,
    which loses nothing and halves what has to be fetched. The −ln 2 of the shifted softplus is folded into
    the bias that follows it. Numba unpacks each of these arrays at every call, so they are few.
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
    more_w: np.ndarray  # (L, M, 2, H, H) a matrix, and transposed
    more_b: np.ndarray  # (L + 1, M, H) their biases; then of the atomic energy, in the first place
    last_w: np.ndarray  # (M, H)
    scale: np.ndarray  # (M,) float64, eV
    elements: np.ndarray  # (2, M, 100) float64: factor on `scale`, shift in eV
    activation: int  # of `loops`: SSP, SILU
    readout_activation: int  # SSP, SILU, LINEAR
    cutoff: float  # Å
    spacing: float  # Å, of the tables' nodes
    onset: np.ndarray  # (100, 100) float64, Å: a nearer pair is seen almost at it; zeros: never


class Rows(NamedTuple):
    """Hold who is near whom, up to the skin, as rows of a sparse matrix: entries start[i]:start[i + 1]."""

    start: np.ndarray  # (N + 1,) int64
    partner: np.ndarray  # (E,) int32
    shift: np.ndarray  # (E, 3) float64, Å
    place: np.ndarray  # (E,) int32: the partner's row in `Scratch.sums` of the chunk
    # (2, C + 1) int64: where in `shares` a chunk's halo, and those for its atoms, begin
    halo: np.ndarray
    # (3, S) int32: the atoms of all halos; where in these an atom is, atom by atom, rising; and that atom
    shares: np.ndarray
    # (N,) int64: where in `State.virials` the atom's pairs are added up: that of its chunk, or of its
    # structure where a chunk holds several
    part: np.ndarray


class Edges(NamedTuple):
    """Hold the entries of `Rows` that are below the cutoff now, moved to the front of their row."""

    end: np.ndarray  # (N,) int64: the row is start[i]:end[i]
    partner: np.ndarray  # (E,) int32
    place: np.ndarray  # (E,) int32
    node: np.ndarray  # (E,) int32 first of the six coefficients
    basis: np.ndarray  # (E, 6) their weights for the filter
    slope: np.ndarray  # (E, 6) and for its derivative, 1/Å
    unit: np.ndarray  # (E, 3) float64, from the atom to its partner
    length: np.ndarray  # (E,) float64, Å
    pull: np.ndarray  # (M, E) float64, ∂E/∂d, 1/Å
    # (M, S, F) what chunks have for their halos, where several threads work; else empty
    halo_sums: np.ndarray
    halo_forces: np.ndarray  # (M, S, 3) float64, eV/Å


class State(NamedTuple):
    """Hold what the phases hand to each other, and the answer."""

    x: np.ndarray  # (M, N, B) features
    x_bar: np.ndarray  # (M, N, B) ∂E/∂x
    features: np.ndarray  # (T, M, N + G, F) after atomwise_in
    sums: np.ndarray  # (M, N, F) of a convolution or its adjoint over the pairs; zeros before it
    gates: np.ndarray  # (T, M, N, B) slope of the softplus
    y_bar: np.ndarray  # (T, M, N + G, F) ∂E/∂y, y the sum of the convolution
    energies: np.ndarray  # (M, N) float64, eV
    forces: np.ndarray  # (M, N, 3) float64, eV/Å
    virials: np.ndarray  # (parts, M, 3, 3) float64, eV
    closest: np.ndarray  # (chunks,) float64, Å²: the shortest distance squared
    closest_pair: np.ndarray  # (chunks, 2) int64: between these atoms


class Scratch(NamedTuple):
    """Hold the working rows of one thread, A the atoms of a chunk."""

    # sums over the pairs of a chunk: for its atoms, for its halo, and for what nobody reads
    sums: np.ndarray  # (A + halo + 1, F)
    force_sums: np.ndarray  # (A + halo + 1, 3) float64, eV/Å
    a: np.ndarray  # (A, B)
    b: np.ndarray  # (A, B)
    h: np.ndarray  # (A, H)
    i: np.ndarray  # (A, H)
    g: np.ndarray  # ((L + 1) A, H): of each hidden layer


def network_arrays(model: TrainedModel, dtype: str, onset: np.ndarray | None = None) -> Network:
    """Return the weights as `kernels` wants them, widths padded with zeros that no energy notices.

    Parameters
    ----------
    model
        The ensemble.
    dtype
        "float64" or "float32".
    onset
        As in :class:`repulsion.Repulsion`; None for no repulsion.
    """
    tables, spacing = filter_tables(model, dtype)
    config = model.network
    w = {name: array.astype(np.float64) for name, array in model.weights.items()}

    def matrices(name: str) -> np.ndarray:
        """Return (T, M, in, out)."""
        layers = range(config.n_interactions)
        return np.stack([w[f"interactions.{t}.{name}.weight"].swapaxes(1, 2) for t in layers])

    def biases(name: str) -> np.ndarray:
        """Return (T, M, out)."""
        return np.stack([w[f"interactions.{t}.{name}.bias"] for t in range(config.n_interactions)])

    into, mid, out = (matrices(f"atomwise_{part}") for part in ("in", "mid", "out"))
    offset = OFFSETS[config.activation]
    factors = model.element_scale
    if factors is None:
        factors = np.ones_like(model.energy_shift)
    return Network(
        embedding=_padded(w["embedding.weight"], dtype),
        start=_padded(w["embedding.weight"] @ into[0] + biases("atomwise_in")[0][:, None], dtype),
        tables=_padded(tables, dtype),
        in_w=_matrix(into),
        in_b=_padded(biases("atomwise_in"), dtype),
        in_back=_matrix(into.swapaxes(2, 3)),
        mid_w=_matrix(mid),
        mid_b=_padded(biases("atomwise_mid"), dtype),
        mid_back=_matrix(mid.swapaxes(2, 3)),
        out_w=_matrix(out),
        out_b=_padded(biases("atomwise_out") - offset * out.sum(axis=2), dtype),
        out_back=_matrix(out.swapaxes(2, 3)),
        **_readout_arrays(config, w, dtype),
        scale=np.ascontiguousarray(model.scale, dtype=np.float64),
        elements=np.stack([factors, model.energy_shift]).astype(np.float64),
        activation=KINDS[config.activation],
        cutoff=float(config.cutoff),
        spacing=spacing,
        onset=np.zeros((MAX_ELEMENTS, MAX_ELEMENTS)) if onset is None else onset,
    )


def _readout_arrays(config: SchNetConfig, w: dict[str, np.ndarray], dtype: str) -> dict:
    """Return what `Network` has of the readout.

    All hidden layers but the first are padded to one width. A readout without hidden layers becomes one
    that hands its features on.
    """
    *hidden, last = config.readout_layers
    offset = OFFSETS[config.readout_activation] if hidden else 0.0
    if hidden:
        layers = [(w[f"{k}.weight"].swapaxes(1, 2), w[f"{k}.bias"]) for k in hidden]
    else:
        members, _, basis = w["embedding.weight"].shape
        layers = [(np.stack([np.eye(basis)] * members), np.zeros((members, basis)))]
    widest = max(matrix.shape[2] for matrix, _ in layers)
    members, deeper, weight = len(w[f"{last}.bias"]), layers[1:], w[f"{last}.weight"][:, 0]
    more_w = np.zeros((len(deeper), members, 2, widest, widest))
    more_b = np.zeros((len(deeper) + 1, members, widest))
    for k, (matrix, bias) in enumerate(deeper):
        n_in, n_out = matrix.shape[1:]
        more_w[k, :, 0, :n_in, :n_out] = matrix
        more_w[k, :, 1, :n_out, :n_in] = matrix.swapaxes(1, 2)
        more_b[k, :, :n_out] = bias - offset * matrix.sum(axis=1)
    more_b[-1, :, 0] = w[f"{last}.bias"][:, 0] - offset * weight.sum(axis=1)
    read = _widened(layers[0][0], widest)
    return {
        "read_w": _matrix(read),
        "read_b": _padded(_widened(layers[0][1], widest), dtype),
        "read_back": _matrix(read.swapaxes(1, 2)),
        "more_w": _matrix(more_w),
        "more_b": _padded(more_b, dtype),
        "last_w": _padded(_widened(weight, widest), dtype),
        "readout_activation": KINDS[config.readout_activation] if hidden else LINEAR,
    }


def _widened(array: np.ndarray, width: int) -> np.ndarray:
    """Return an array with zeros behind its last axis, up to `width`."""
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, width - array.shape[-1])])


def _padded(array: np.ndarray, dtype: str) -> np.ndarray:
    """Return an array whose last axis, a width, is padded."""
    return aligned(_widened(array, array.shape[-1] + -array.shape[-1] % PAD), dtype)


def _matrix(array: np.ndarray) -> np.ndarray:
    """Return matrices whose last two axes, both widths, are padded; float32."""
    room = [(0, 0)] * (array.ndim - 2) + [(0, -n % PAD) for n in array.shape[-2:]]
    return aligned(np.pad(array, room), np.float32)


def aligned(array: np.ndarray, dtype: np.typing.DTypeLike) -> np.ndarray:
    """Return a copy that begins at a cache line: a vector across two of them takes twice the time."""
    size = array.size * np.dtype(dtype).itemsize
    memory = np.empty(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    copy = memory[start : start + size].view(dtype).reshape(array.shape)
    copy[:] = array
    return copy


def contiguous(array: np.ndarray, dtype: type) -> np.ndarray:
    """Return an array of the one kind that the loops are compiled for; a copy only if it is of another."""
    if isinstance(array, np.ndarray) and array.dtype == dtype and array.flags.carray:
        return array  # np.require takes microseconds to find that out
    return np.require(array, dtype, ("C_CONTIGUOUS", "ALIGNED", "WRITEABLE"))


def _room(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return aligned(np.broadcast_to(np.zeros(1, dtype), shape), dtype)


def state_arrays(network: Network, n_atoms: int, chunks: int, n_ghosts: int = 0) -> State:
    """Return zeros for a structure of `n_atoms`, and `n_ghosts` atoms of other processes."""
    layers, members, basis, filters = network.in_w.shape
    real = network.tables.dtype
    return State(
        x=_room((members, n_atoms, basis), real),
        x_bar=_room((members, n_atoms, basis), real),
        features=_room((layers, members, n_atoms + n_ghosts, filters), real),
        sums=_room((members, n_atoms, filters), real),
        gates=_room((layers, members, n_atoms, basis), real),
        y_bar=_room((layers, members, n_atoms + n_ghosts, filters), real),
        energies=np.zeros((members, n_atoms)),
        forces=np.zeros((members, n_atoms, 3)),
        virials=np.zeros((chunks, members, 3, 3)),
        closest=np.zeros(chunks),
        closest_pair=np.zeros((chunks, 2), np.int64),
    )


def edge_arrays(network: Network, n_atoms: int, n_entries: int, n_halo: int) -> Edges:
    """Return zeros for rows of `n_entries` in all, and halos of `n_halo`; 0 where one thread works."""
    members, filters, real = len(network.scale), network.tables.shape[-1], network.tables.dtype
    return Edges(
        end=np.zeros(n_atoms, np.int64),
        partner=np.zeros(n_entries, np.int32),
        place=np.zeros(n_entries, np.int32),
        node=np.zeros(n_entries, np.int32),
        basis=_room((n_entries, DEGREE + 1), real),
        slope=_room((n_entries, DEGREE + 1), real),
        unit=np.zeros((n_entries, 3)),
        length=np.zeros(n_entries),
        pull=np.zeros((members, n_entries)),
        halo_sums=_room((members, n_halo, filters), real),
        halo_forces=np.zeros((members, n_halo, 3)),
    )


def scratch_arrays(network: Network, chunk: int, halo: int) -> Scratch:
    """Return zeros for chunks of so many atoms with halos of so many."""
    _, _, basis, filters = network.in_w.shape
    hidden, real = network.read_w.shape[-1], network.tables.dtype
    return Scratch(
        sums=_room((chunk + halo + 1, filters), real),
        force_sums=np.zeros((chunk + halo + 1, 3)),
        a=_room((chunk, basis), real),
        b=_room((chunk, basis), real),
        h=_room((chunk, hidden), real),
        i=_room((chunk, hidden), real),
        g=_room(((1 + len(network.more_w)) * chunk, hidden), real),
    )

"""The network and its adjoint as compiled phases over the atoms of one chunk, all members in turn.

    begin ─► (convolve_chunk ─► interact) of each layer; the last turns around at the energy
          ─► (convolve_chunk_back ─► pull_back) of each layer but the first, downwards
          ─► force_chunk ─► add_up_forces

Each of these phases works on the chunk of atoms first:last. A pair is evaluated once, by the chunk of its
first atom, which sums over pairs in rows of its own: one for each of its atoms, and one for each atom of a
later chunk that it meets, its halo. A thread that works alone adds these rows to the sums of the atoms at
once. Several threads may run chunks side by side once all chunks of the phase before are done: then a chunk
leaves the rows of its halo to the next phase, which adds them up in the order of the chunks. Either way sums
run in one order, and the bits are the same.

The arrays and their shapes are in `arrays.py`, rows and halos in `rows.py`, the way from positions to pairs
and back in `geometry.py`, the innermost loops in `loops.py`. Inside the network energies have no unit;
`scale` (eV) comes in where atomic energies and pair forces leave it.
How they are compiled is in `compilation.py`.
"""

from __future__ import annotations

import numpy as np

from ase_schnet.inference.compilation import compiled, inlined, inner
from ase_schnet.inference.geometry import add_forces, find_edges
from ase_schnet.inference.loops import (
    SSP,
    activate,
    add_dense,
    convolve,
    convolve_back,
    dense,
    pair_slopes,
    softplus,
)
from ase_schnet.inference.rows import collect, hand_out


@compiled
def run(phases, chunks, net, rows, edges, state, scratch, numbers, positions, chunk_size):
    """Run the phases from phases[0] to before phases[1], of the chunks from chunks[0] to before chunks[1].

    Phase 0 is `begin`, then come two for each of the T layers upwards and two downwards: 4 T + 1 in all.
    """
    for half in range(
        phases[0] // 2, phases[1] // 2 + 1
    ):  # a chunk's two phases of a layer in turn
        for chunk in range(chunks[0], chunks[1]):
            for phase in range(max(2 * half - 1, phases[0]), min(2 * half + 1, phases[1])):
                _run_chunk(
                    phase, chunk, net, rows, edges, state, scratch, numbers, positions, chunk_size
                )


@inlined
def _run_chunk(phase, chunk, net, rows, edges, state, scratch, numbers, positions, chunk_size):
    layers = len(net.out_w)
    up, down = (phase - 1) // 2, 2 * layers - 1 - (phase - 1) // 2  # layers
    first = chunk * chunk_size
    last = min(first + chunk_size, len(rows.start) - 1)
    if phase == 0:
        begin(net, rows, edges, state, numbers, positions, chunk, first, last)
    elif up < layers:
        if phase % 2 == 1:
            convolve_chunk(net, rows, edges, state, scratch, up, chunk, first, last)
        else:
            interact(net, rows, edges, state, scratch, numbers, up, chunk, first, last)
    elif down > 0:
        if phase % 2 == 1:
            convolve_chunk_back(net, rows, edges, state, scratch, down, chunk, first, last)
        else:
            pull_back(net, rows, edges, state, scratch, down, chunk, first, last)
    elif phase % 2 == 1:
        force_chunk(net, rows, edges, state, scratch, chunk, first, last)
    else:
        add_up_forces(rows, edges, state, scratch, chunk)


@inlined
def begin(net, rows, edges, state, numbers, positions, chunk, first, last):
    """Find the chunk's edges, embed its atoms, clear its answers."""
    find_edges(net, rows, edges, state, numbers, positions, chunk, first, last)
    for m in range(len(net.scale)):
        for e in range(rows.start[first], rows.start[last]):
            edges.pull[m, e] = 0.0
        for i in range(first, last):
            z = numbers[i]
            if i == first or rows.part[i] != rows.part[i - 1]:
                for a in range(3):
                    for b in range(3):
                        state.virials[rows.part[i], m, a, b] = 0.0
            for a in range(3):
                state.forces[m, i, a] = 0.0
            for c in range(state.sums.shape[2]):
                state.sums[m, i, c] = 0.0
            for c in range(net.embedding.shape[2]):
                state.x[m, i, c] = net.embedding[m, z, c]
            for c in range(net.start.shape[2]):
                state.features[0, m, i, c] = net.start[m, z, c]


@inlined
def convolve_chunk(net, rows, edges, state, scratch, layer, chunk, first, last):
    """Sum the convolution of a block over the pairs of a chunk."""
    for m in range(len(net.scale)):
        features, table, y = state.features[layer, m], net.tables[layer, m], scratch.sums
        _clear(y, rows, chunk, last - first)
        convolve(features, table, rows, edges, y, first, last)
        hand_out(y, state.sums[m], edges.halo_sums[m], rows, chunk, first, last)


@inner
def _clear(sums, rows, chunk, size):
    """Set the rows of a chunk's sums to zero: of its atoms, of its halo, and the one that nobody reads."""
    for row in range(size + rows.halo[0, chunk + 1] - rows.halo[0, chunk] + 1):
        for c in range(sums.shape[1]):
            sums[row, c] = 0.0


@inlined
def interact(net, rows, edges, state, scratch, numbers, layer, chunk, first, last):
    """Evaluate the rest of an interaction block; the last one goes on to the energy and turns around."""
    n, last_layer = last - first, layer == len(net.out_w) - 1
    mid, act = scratch.a[:n], scratch.b[:n]
    for m in range(len(net.scale)):
        collect(state.sums[m], edges.halo_sums[m], rows, scratch.sums, chunk)
        y = state.sums[m, first:last]
        dense(y, net.mid_w[layer, m], net.mid_b[layer, m], mid)
        y[:] = 0.0  # for the next convolution
        if net.activation == SSP:
            softplus(mid, act, state.gates[layer, m, first:last])
        else:
            activate(net.activation, mid, act, state.gates[layer, m, first:last])
        x = state.x[m, first:last]
        add_dense(act, net.out_w[layer, m], x)
        for i in range(n):
            for c in range(x.shape[1]):
                x[i, c] += net.out_b[layer, m, c]
        if not last_layer:
            features = state.features[layer + 1, m, first:last]
            dense(x, net.in_w[layer + 1, m], net.in_b[layer + 1, m], features)
            continue
        _read_out(net, state, scratch, numbers, m, first, last)
        _to_convolution(net, state, scratch, layer, m, first, last)


@inlined
def _read_out(net, state, scratch, numbers, m, first, last):
    """Fill the atomic energies (eV) of member m, and ∂E/∂x."""
    n = last - first
    h, act, gate = scratch.h[:n], scratch.i[:n], scratch.g[:n]
    x_bar = state.x_bar[m, first:last]
    dense(state.x[m, first:last], net.read_w[m], net.read_b[m], h)
    if net.readout_activation == SSP:
        softplus(h, act, gate)
    else:
        activate(net.readout_activation, h, act, gate)
    if len(net.more_w) == 0:
        _end_readout(net, state, numbers, act, gate, m, first)
    else:
        _read_deeper(net, state, scratch, numbers, m, first, n)
    x_bar[:] = 0.0
    add_dense(gate, net.read_back[m], x_bar)


@inlined
def _end_readout(net, state, numbers, act, gate, m, first):
    """Fill the atomic energies (eV) of the last hidden layer; turn its slopes into ∂E/∂h."""
    weight, bias = net.last_w[m], net.more_b[len(net.more_w), m, 0]
    for i in range(len(act)):
        energy, z = np.float64(bias), numbers[first + i]
        factor = net.elements[0, m, z]
        rounded = weight.dtype.type(factor)
        for c in range(len(weight)):
            energy += act[i, c] * weight[c]
            gate[i, c] *= weight[c] * rounded
        state.energies[m, first + i] = net.scale[m] * (energy * factor) + net.elements[1, m, z]


@inner
def _read_deeper(net, state, scratch, numbers, m, first, n):
    """Go through the hidden layers behind the first to the energies, and back to ∂E/∂h of the first."""
    deeper, size = len(net.more_w), len(scratch.h)
    h, act = scratch.h[:n], scratch.i[:n]
    for k in range(deeper):
        dense(act, net.more_w[k, m, 0], net.more_b[k, m], h)
        gate = scratch.g[(k + 1) * size : (k + 1) * size + n]
        activate(net.readout_activation, h, act, gate)
    _end_readout(net, state, numbers, act, scratch.g[deeper * size : deeper * size + n], m, first)
    for k in range(deeper, 0, -1):
        act[:] = 0.0
        add_dense(scratch.g[k * size : k * size + n], net.more_w[k - 1, m, 1], act)
        for i in range(n):
            for c in range(act.shape[1]):
                scratch.g[(k - 1) * size + i, c] *= act[i, c]


@inner
def _to_convolution(net, state, scratch, layer, m, first, last):
    """Fill ∂E/∂y of the convolution of block `layer`, from ∂E/∂x behind the block."""
    s_bar, gate = scratch.a[: last - first], state.gates[layer, m, first:last]
    y_bar = state.y_bar[layer, m, first:last]
    s_bar[:] = 0.0
    add_dense(state.x_bar[m, first:last], net.out_back[layer, m], s_bar)
    for i in range(last - first):
        for c in range(gate.shape[1]):
            s_bar[i, c] *= gate[i, c]
    y_bar[:] = 0.0
    add_dense(s_bar, net.mid_back[layer, m], y_bar)


@inlined
def convolve_chunk_back(net, rows, edges, state, scratch, layer, chunk, first, last):
    """Sum the adjoint of a block's convolution over the pairs of a chunk, and add to their slopes."""
    for m in range(len(net.scale)):
        y_bar, features, table = (
            state.y_bar[layer, m],
            state.features[layer, m],
            net.tables[layer, m],
        )
        _clear(scratch.sums, rows, chunk, last - first)
        convolve_back(y_bar, features, table, rows, edges, scratch.sums, edges.pull[m], first, last)
        hand_out(scratch.sums, state.sums[m], edges.halo_sums[m], rows, chunk, first, last)


@inlined
def pull_back(net, rows, edges, state, scratch, layer, chunk, first, last):
    """Take ∂E/∂f of a block to ∂E/∂y of the block before."""
    for m in range(len(net.scale)):
        collect(state.sums[m], edges.halo_sums[m], rows, scratch.sums, chunk)
        f_bar = state.sums[m, first:last]
        add_dense(f_bar, net.in_back[layer, m], state.x_bar[m, first:last])
        f_bar[:] = 0.0  # for the next adjoint
        _to_convolution(net, state, scratch, layer - 1, m, first, last)


@inlined
def force_chunk(net, rows, edges, state, scratch, chunk, first, last):
    """Take the first block to the slopes of the pairs of a chunk, and these to their forces.

    The embedding does not depend on the distances.
    """
    for m in range(len(net.scale)):
        y_bar, features, table = state.y_bar[0, m], state.features[0, m], net.tables[0, m]
        pair_slopes(y_bar, features, table, rows, edges, edges.pull[m], first, last)
        _clear(scratch.force_sums, rows, chunk, last - first)
        add_forces(rows, edges, net.scale[m], state, scratch, m, chunk, first, last)
        hand_out(
            scratch.force_sums, state.forces[m], edges.halo_forces[m], rows, chunk, first, last
        )


@inlined
def add_up_forces(rows, edges, state, scratch, chunk):
    """Complete the forces (eV/Å) on the atoms of a chunk."""
    for m in range(len(edges.pull)):
        collect(state.forces[m], edges.halo_forces[m], rows, scratch.force_sums, chunk)

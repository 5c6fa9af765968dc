"""The network and its adjoint as compiled phases over the atoms of one chunk, all members in turn.

    begin ─► interact (each layer; the last turns around at the energy) ─► pull_back (each layer, downwards)

Each of these phases works on the chunk of atoms first:last and writes to those rows alone, so chunks may run
side by side once all chunks of the phase before are done. A pair inside a chunk is evaluated once and
serves both its atoms; a pair between two chunks is evaluated in each of them. Sums run in one order
whatever the number of threads, so the bits are the same.

The arrays and their shapes are in `arrays.py`, the innermost loops in `loops.py`. Inside the network energies
have no unit; `scale` (eV) comes in where atomic energies and pair forces leave it.
How they are compiled is in `compilation.py`.
"""

from __future__ import annotations

import math

import numpy as np

from ase_schnet.inference.compilation import compiled, inlined, inner
from ase_schnet.inference.loops import (
    SSP,
    activate,
    add_dense,
    convolve,
    convolve_back,
    dense,
    pair_slopes,
    softened_distance,
    softplus,
)


@compiled
def rows_of(idx_i, idx_j, shifts, n_atoms, chunk):
    """Return the arrays of `Rows` of a half list in canonical order; each row is in that order too.

    A partner from `n_atoms` on is a ghost: it has no row, its pair is one entry and no other.
    """
    start = np.zeros(n_atoms + 1, np.int64)
    for p in range(len(idx_i)):
        start[idx_i[p] + 1] += 1
        if _has_own_entry(idx_i[p], idx_j[p], n_atoms, chunk):
            start[idx_j[p] + 1] += 1
    for i in range(n_atoms):
        start[i + 1] += start[i]
    partner = np.empty(start[-1], np.int32)
    shift = np.empty((start[-1], 3))
    reciprocal = np.empty(start[-1], np.bool_)
    filled = start[:-1].copy()
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        twice = _has_own_entry(i, j, n_atoms, chunk)
        e = filled[i]
        filled[i] += 1
        partner[e] = j
        reciprocal[e] = not twice and j < n_atoms
        for k in range(3):
            shift[e, k] = shifts[p, k]
        if twice:
            e = filled[j]
            filled[j] += 1
            partner[e] = i
            reciprocal[e] = False
            for k in range(3):
                shift[e, k] = -shifts[p, k]
    return start, partner, shift, reciprocal


@inner
def _has_own_entry(i, j, n_atoms, chunk):
    """Return whether the partner j of i meets the pair again, in its own row."""
    return j < n_atoms and (i == j or i // chunk != j // chunk)


@compiled
def run(phases, chunks, net, rows, edges, state, scratch, numbers, positions, chunk_size):
    """Run the phases from phases[0] to before phases[1], of the chunks from chunks[0] to before chunks[1].

    Phase 0 is `begin`, 1..T `interact`, T + 1..2T `pull_back`.
    """
    layers = len(net.out_w)
    for phase in range(phases[0], phases[1]):
        for chunk in range(chunks[0], chunks[1]):
            first = chunk * chunk_size
            last = min(first + chunk_size, len(rows.start) - 1)
            if phase == 0:
                begin(net, rows, edges, state, numbers, positions, chunk, first, last)
            elif phase <= layers:
                interact(net, rows, edges, state, scratch, numbers, phase - 1, first, last)
            else:
                pull_back(net, rows, edges, state, scratch, 2 * layers - phase, first, last)


@inlined
def begin(net, rows, edges, state, numbers, positions, chunk, first, last):
    """Find the chunk's edges, embed its atoms, clear its answers."""
    _find_edges(net, rows, edges, state, numbers, positions, chunk, first, last)
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
            for c in range(net.embedding.shape[2]):
                state.x[m, i, c] = net.embedding[m, z, c]
            for c in range(net.start.shape[2]):
                state.features[0, m, i, c] = net.start[m, z, c]


@inlined
def interact(net, rows, edges, state, scratch, numbers, layer, first, last):
    """Evaluate one interaction block; the last one goes on to the energy and turns around."""
    n, last_layer = last - first, layer == len(net.out_w) - 1
    y, mid, act = scratch.y[:n], scratch.a[:n], scratch.b[:n]
    for m in range(len(net.scale)):
        convolve(state.features[layer, m], net.tables[layer, m], rows, edges, y, first, last)
        dense(y, net.mid_w[layer, m], net.mid_b[layer, m], mid)
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
def pull_back(net, rows, edges, state, scratch, layer, first, last):
    """Evaluate the adjoint of a block's convolution: slopes of its pairs, ∂E/∂y of the block before."""
    f_bar = scratch.y[: last - first]
    for m in range(len(net.scale)):
        pull, table = edges.pull[m], net.tables[layer, m]
        y_bar, features = state.y_bar[layer, m], state.features[layer, m]
        if layer > 0:
            convolve_back(y_bar, features, table, rows, edges, f_bar, pull, first, last)
            add_dense(f_bar, net.in_back[layer, m], state.x_bar[m, first:last])
            _to_convolution(net, state, scratch, layer - 1, m, first, last)
        else:  # the embedding does not depend on the distances
            pair_slopes(y_bar, features, table, rows, edges, pull, first, last)
            _add_forces(rows, edges, pull, net.scale[m], state, m, first, last)


@inlined
def _find_edges(net, rows, edges, state, numbers, positions, chunk, first, last):
    """Find the entries below the cutoff, their direction and spline weights, and the shortest distance."""
    cutoff, spacing = net.cutoff, net.spacing
    state.closest[chunk] = np.inf
    for i in range(first, last):
        e = rows.start[i]
        for s in range(rows.start[i], rows.start[i + 1]):
            j = rows.partner[s]
            dx = positions[j, 0] - positions[i, 0] + rows.shift[s, 0]
            dy = positions[j, 1] - positions[i, 1] + rows.shift[s, 1]
            dz = positions[j, 2] - positions[i, 2] + rows.shift[s, 2]
            square = dx * dx + dy * dy + dz * dz
            if square < state.closest[chunk]:
                state.closest[chunk] = square
                state.closest_pair[chunk, 0], state.closest_pair[chunk, 1] = i, j
            if not 0.0 < square < cutoff * cutoff:  # NaN too
                continue
            d = math.sqrt(square)
            edges.partner[e] = j
            edges.reciprocal[e] = rows.reciprocal[s]
            edges.length[e] = d
            edges.unit[e, 0] = dx / d
            edges.unit[e, 1] = dy / d
            edges.unit[e, 2] = dz / d
            seen, rate = softened_distance(d, net.onset[numbers[i], numbers[j]])
            node = int(seen / spacing)
            edges.node[e] = node
            _spline_weights(
                seen / spacing - node, rate / (24.0 * spacing), edges.basis[e], edges.slope[e]
            )
            e += 1
        edges.end[i] = e


@inlined
def _spline_weights(t, per, basis, slope):
    """Fill the six uniform B-splines of degree 5 at the fraction t of an interval, and their slopes.

    Three of them are the mirror images of the other three; `per` is 1/24 of the nodes per Å.
    """
    s = 1.0 - t
    basis[0] = s * s * s * s * s / 120.0
    basis[1] = (1.0 + s * (5.0 + s * (10.0 + s * (10.0 + s * (5.0 - s * 5.0))))) / 120.0
    basis[2] = (26.0 + s * (50.0 + s * (20.0 - s * (20.0 + s * (20.0 - s * 10.0))))) / 120.0
    basis[3] = (26.0 + t * (50.0 + t * (20.0 - t * (20.0 + t * (20.0 - t * 10.0))))) / 120.0
    basis[4] = (1.0 + t * (5.0 + t * (10.0 + t * (10.0 + t * (5.0 - t * 5.0))))) / 120.0
    basis[5] = t * t * t * t * t / 120.0
    slope[0] = -s * s * s * s * per
    slope[1] = -(1.0 + s * (4.0 + s * (6.0 + s * (4.0 - s * 5.0)))) * per
    slope[2] = -(10.0 + s * (8.0 - s * (12.0 + s * (16.0 - s * 10.0)))) * per
    slope[3] = (10.0 + t * (8.0 - t * (12.0 + t * (16.0 - t * 10.0)))) * per
    slope[4] = (1.0 + t * (4.0 + t * (6.0 + t * (4.0 - t * 5.0)))) * per
    slope[5] = t * t * t * t * per


@inlined
def _add_forces(rows, edges, pull, scale, state, m, first, last):
    """Add ∂E/∂d of the pairs as forces (eV/Å) to their atoms, and −Σ ∂E/∂d · d u⊗u (eV) to the virials.

    A pair between two chunks is met in both: half of its virial each time.
    """
    forces = state.forces[m]
    for i in range(first, last):
        virial = state.virials[rows.part[i], m]
        for e in range(rows.start[i], edges.end[i]):
            j, slope = edges.partner[e], scale * pull[e]
            share = slope * edges.length[e] * (1.0 if edges.reciprocal[e] else 0.5)
            for a in range(3):
                forces[i, a] += slope * edges.unit[e, a]
                if edges.reciprocal[e]:
                    forces[j, a] -= slope * edges.unit[e, a]
                for b in range(3):
                    virial[a, b] -= share * edges.unit[e, a] * edges.unit[e, b]

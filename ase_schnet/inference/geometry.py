"""From positions to the pairs below the cutoff, and from the slopes of pairs to forces and virials."""

from __future__ import annotations

import math

import numpy as np

from ase_schnet.inference.compilation import inlined
from ase_schnet.inference.loops import softened_distance
from ase_schnet.inference.simd import store_polynomials
from ase_schnet.inference.tables import SPLINE_SLOPES, SPLINES

store_splines, store_slopes = store_polynomials(SPLINES), store_polynomials(SPLINE_SLOPES)


@inlined
def find_edges(net, rows, edges, state, numbers, positions, chunk, first, last):
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
            edges.partner[e] = j
            edges.place[e] = rows.place[s]
            edges.length[e] = square
            edges.unit[e, 0], edges.unit[e, 1], edges.unit[e, 2] = dx, dy, dz
            # else the next one takes its place; NaN too. A branch would be foretold wrong too often
            e += np.int64(square > 0.0) & np.int64(square < cutoff * cutoff)
        edges.end[i] = e
        for e in range(rows.start[i], edges.end[i]):
            d = math.sqrt(edges.length[e])
            per = 1.0 / d
            edges.length[e] = d
            for a in range(3):
                edges.unit[e, a] *= per
            seen, rate = softened_distance(d, net.onset[numbers[i], numbers[edges.partner[e]]])
            node = int(seen / spacing)
            edges.node[e] = node
            store_splines(edges.basis, e, seen / spacing - node, 1.0)
            store_slopes(edges.slope, e, seen / spacing - node, rate / spacing)


@inlined
def add_forces(rows, edges, scale, state, scratch, m, chunk, first, last):
    """Add ∂E/∂d of the pairs as forces (eV/Å) to their atoms, and −Σ ∂E/∂d · d u⊗u (eV) to the virials.

    A pair that gives its partner nothing is met twice: half of its virial each time.
    """
    forces, pull = scratch.force_sums, edges.pull[m]
    nobody = last - first + rows.halo[0, chunk + 1] - rows.halo[0, chunk]
    for i in range(first, last):
        virial = state.virials[rows.part[i], m]
        for e in range(rows.start[i], edges.end[i]):
            place, slope = edges.place[e], scale * pull[e]
            share = slope * edges.length[e] * (0.5 if place == nobody else 1.0)
            for a in range(3):
                forces[i - first, a] += slope * edges.unit[e, a]
                forces[place, a] -= slope * edges.unit[e, a]
                for b in range(3):
                    virial[a, b] -= share * edges.unit[e, a] * edges.unit[e, b]

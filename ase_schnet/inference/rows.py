"""Pairs as rows of a sparse matrix, and what the rows of one chunk of atoms give to atoms of another."""

from __future__ import annotations

import numpy as np

from ase_schnet.inference.compilation import compiled, inner


@compiled
def rows_of(idx_i, idx_j, shifts, n_atoms, chunk):
    """Return the arrays of `Rows`, but `part`, of a half list in canonical order, which its rows keep.

    A partner from `n_atoms` on is a ghost. An atom and its own image are two entries, one from each of its
    sides. In both cases what the partner would get goes to a row that nobody reads.
    """
    start = np.zeros(n_atoms + 1, np.int64)
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        if j < i or (p > 0 and i < idx_i[p - 1]):
            raise ValueError("the pairs are not in canonical order, see neighbors.half_list")
        start[i + 1] += 2 if i == j else 1
    for i in range(n_atoms):
        start[i + 1] += start[i]
    halo = _halos(idx_i, idx_j, n_atoms, chunk)
    halo_atom = np.empty(halo[0, -1], np.int32)
    partner, shift = np.empty(start[-1], np.int32), np.empty((start[-1], 3))
    place = np.empty(start[-1], np.int32)
    met_by, row, met, e = np.full(n_atoms, -1), np.empty(n_atoms, np.int32), halo[0].copy(), 0
    for p in range(len(idx_i)):
        i, j = idx_i[p], idx_j[p]
        here, first = i // chunk, i // chunk * chunk
        size = min(chunk, n_atoms - first)
        partner[e], place[e] = j, size + halo[0, here + 1] - halo[0, here]
        for k in range(3):
            shift[e, k] = shifts[p, k]
        if i == j:
            partner[e + 1], place[e + 1] = i, place[e]
            for k in range(3):
                shift[e + 1, k] = -shifts[p, k]
            e += 1
        elif j < first + size:
            place[e] = j - first
        elif j < n_atoms:
            if met_by[j] != here:
                met_by[j], row[j] = here, size + met[here] - halo[0, here]
                halo_atom[met[here]] = j
                met[here] += 1
            place[e] = row[j]
        e += 1
    return start, partner, shift, place, halo, _shares(halo_atom, n_atoms)


@inner
def _halos(idx_i, idx_j, n_atoms, chunk):
    """Return where each chunk's halo begins among all of them, and where the shares for its atoms do."""
    halo = np.zeros((2, max(1, -(-n_atoms // chunk)) + 1), np.int64)
    met_by = np.full(n_atoms, -1)
    for p in range(len(idx_i)):
        here, j = idx_i[p] // chunk, idx_j[p]
        if j < n_atoms and j // chunk != here and met_by[j] != here:
            met_by[j] = here
            halo[0, here + 1] += 1
            halo[1, j // chunk + 1] += 1
    for c in range(halo.shape[1] - 1):
        halo[0, c + 1] += halo[0, c]
        halo[1, c + 1] += halo[1, c]
    return halo


@inner
def _shares(halo_atom, n_atoms):
    """Return the atoms of all halos; where in them each atom is, atom by atom, rising; and these atoms."""
    shares, begin = np.empty((3, len(halo_atom)), np.int32), np.zeros(n_atoms + 1, np.int64)
    for i in halo_atom:
        begin[i + 1] += 1
    for i in range(n_atoms):
        begin[i + 1] += begin[i]
    for k in range(len(halo_atom)):
        i = halo_atom[k]
        shares[0, k], shares[1, begin[i]], shares[2, begin[i]] = i, k, i
        begin[i] += 1
    return shares


@inner
def hand_out(own, sums, halo_sums, rows, chunk, first, last):
    """Add a chunk's own sums to those of the atoms; with other threads at work, leave those of its halo.

    An atom's sums are added up in the order of the chunks that have one, its own last.
    """
    for i in range(first, last):
        for c in range(own.shape[1]):
            sums[i, c] += own[i - first, c]
    begin, end = rows.halo[0, chunk], rows.halo[0, chunk + 1]
    row = last - first
    for k in range(begin, end):
        i = rows.shares[0, k]
        if len(halo_sums) == 0:
            for c in range(own.shape[1]):
                sums[i, c] += own[row, c]
        else:
            for c in range(own.shape[1]):
                halo_sums[k, c] = own[row, c]
        row += 1


@inner
def collect(sums, halo_sums, rows, total, chunk):
    """Add to the sums of a chunk's atoms what other chunks have left for them.

    `total` (1, F) is for the work: shares are added up before they meet what the chunk itself has.
    """
    if len(halo_sums) == 0:
        return
    s, end = rows.halo[1, chunk], rows.halo[1, chunk + 1]
    while s < end:
        i = rows.shares[2, s]
        for c in range(sums.shape[1]):
            total[0, c] = 0.0
        while s < end and rows.shares[2, s] == i:
            k = rows.shares[1, s]
            for c in range(sums.shape[1]):
                total[0, c] += halo_sums[k, c]
            s += 1
        for c in range(sums.shape[1]):
            sums[i, c] += total[0, c]

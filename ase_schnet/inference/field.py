"""The forces of one structure for compiled code that moves its atoms, with no Python from step to step.

`forces_at` is what a calculator does at every step: it looks whether the structure is ordinary, runs the
network and averages the members. Whatever is not ordinary (a distance outside training, repulsion, a list of
pairs that is too old, a number that is not finite) it leaves to the calculator, and says so.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ase_schnet.inference import pair_checks
from ase_schnet.inference.arrays import Edges, Network, Rows, Scratch, State
from ase_schnet.inference.compilation import call_at, exact_inner
from ase_schnet.inference.prediction import COINCIDENT


class Field(NamedTuple):
    """Hold what `forces_at` works with, for one structure of N atoms with P pairs."""

    network: Network
    rows: Rows
    edges: Edges
    state: State
    scratch: Scratch
    numbers: np.ndarray  # (N,) int64
    idx_i: np.ndarray  # (P,) int64
    idx_j: np.ndarray  # (P,) int64
    shifts: np.ndarray  # (P, 3) Å
    kinds: np.ndarray  # (N,) int64, what `avoided` is counted by
    avoided: np.ndarray  # (K, K, I, 2) Å²: squared distances that are left to the calculator
    one_piece: bool  # whether atoms that do not hang together are, too
    chunk: int  # atoms
    run: int  # address of `kernels.run`


@exact_inner
def forces_at(field, made_for, reach, positions, forces):
    """Fill the forces (N, 3) in eV/Å of the mean of the members; return False if that is left to Python.

    `made_for` (N, 3) is where the pairs were found, Å, and an atom that has moved by more than `reach` makes
    them too old; (0, 3) if they are all pairs. The arithmetic behind the network is numpy's, to the last bit:
    see `uncertainty.committee_mean_std`.
    """
    if not _is_finite(positions) or _has_moved(made_for, reach, positions):
        return False
    pairs = (field.idx_i, field.idx_j, field.shifts)
    if field.one_piece:
        cutoff = field.network.cutoff
        if not pair_checks.is_ordinary(*pairs, field.kinds, positions, field.avoided, cutoff):
            return False
    elif pair_checks.any_pair_within(*pairs, field.kinds, positions, field.avoided):
        return False
    state, layers = field.state, len(field.network.out_w)
    arrays = (field.network, field.rows, field.edges, state, field.scratch, field.numbers)
    chunks = (0, len(state.closest))
    call_at(field.run, ((0, 4 * layers + 1), chunks, *arrays, positions, field.chunk))
    for chunk in range(len(state.closest)):
        if not state.closest[chunk] >= COINCIDENT**2:
            return False
    members = len(state.forces)
    for i in range(len(positions)):
        for a in range(3):
            total = state.forces[0, i, a]
            for m in range(1, members):
                total += state.forces[m, i, a]
            forces[i, a] = total / members
    return True


@exact_inner
def largest_stds(state, forces):
    """Return the largest std of a force component, and of the force on an atom (rms over x, y, z), eV/Å."""
    members, component, atom = len(state.forces), 0.0, 0.0
    if members < 2:
        return component, atom
    for i in range(len(forces)):
        total = 0.0
        for a in range(3):
            square = 0.0
            for m in range(members):
                off = state.forces[m, i, a] - forces[i, a]
                square += off * off
            variance = square / (members - 1)
            total += variance
            component = max(component, variance)
        atom = max(atom, total)
    return np.sqrt(component), np.sqrt(atom / 3.0)


@exact_inner
def virial_trace(state):
    """Return the trace of the virial of the mean of the members, eV."""
    total = 0.0
    for chunk in range(len(state.virials)):
        for m in range(len(state.forces)):
            for a in range(3):
                total += state.virials[chunk, m, a, a]
    return total / len(state.forces)


@exact_inner
def _is_finite(positions):
    for i in range(len(positions)):
        for a in range(3):
            if not np.isfinite(positions[i, a]):
                return False
    return True


@exact_inner
def _has_moved(made_for, reach, positions):
    for i in range(len(made_for)):
        square = 0.0
        for a in range(3):
            off = positions[i, a] - made_for[i, a]
            square += off * off
        if square > reach * reach:
            return True
    return False

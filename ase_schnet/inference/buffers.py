"""Working arrays of the compiled engine, kept from structure to structure, or from block to block."""

from __future__ import annotations

import numpy as np

from ase_schnet.inference.arrays import (
    Edges,
    Network,
    Rows,
    Scratch,
    State,
    contiguous,
    edge_arrays,
    scratch_arrays,
    state_arrays,
)
from ase_schnet.inference.rows import rows_of
from ase_schnet.neighbors import Pairs

CHUNK = 128  # atoms


class Buffers:
    """Hold working arrays from call to call: fresh memory costs more than the arithmetic on it."""

    def __init__(self, network: Network):
        self.network = network
        self._scratch: list[Scratch] = []
        self._halo = 0  # that they have room for
        self.n_atoms = self.n_ghosts = self._n_entries = self._n_halos = -1

    def fit(self, n_atoms: int, pairs: Pairs, ghosts: np.ndarray, several: bool) -> None:
        """Make room for a structure and its pairs.

        Parameters
        ----------
        n_atoms
            Without ghosts.
        pairs
            Its pairs.
        ghosts
            (G,) atomic numbers of the ghosts.
        several
            Whether several threads will work on it.
        """
        self.pairs = Pairs(
            contiguous(pairs.idx_i, np.int64),
            contiguous(pairs.idx_j, np.int64),
            contiguous(pairs.shifts, np.float64),
        )
        self.rows = Rows(*rows_of(*self.pairs, n_atoms, CHUNK), chunk_of_atoms(n_atoms))
        if (halo := largest_halo(self.rows)) > self._halo:
            self._halo, self._scratch = halo + halo // 10, []
        entries, halos = len(self.rows.partner), several * self.rows.shares.shape[1]
        fits = _fits(entries, self._n_entries) and _fits(halos, self._n_halos)
        if not fits or n_atoms != self.n_atoms:
            self._n_entries, self._n_halos = entries + entries // 10, halos + halos // 10
            self.edges = edge_arrays(self.network, n_atoms, self._n_entries, self._n_halos)
        if n_atoms != self.n_atoms or len(ghosts) != self.n_ghosts:
            chunks = max(1, -(-n_atoms // CHUNK))  # a domain may be empty
            self.state = state_arrays(self.network, n_atoms, chunks, len(ghosts))
            self.n_atoms, self.n_ghosts = n_atoms, len(ghosts)
        if len(ghosts):
            self.state.features[0, :, n_atoms:] = self.network.start[:, ghosts]

    def scratch(self, thread: int) -> Scratch:
        """Return the working rows of one thread."""
        while len(self._scratch) <= thread:
            self._scratch.append(scratch_arrays(self.network, CHUNK, self._halo))
        return self._scratch[thread]


class BlockBuffers:
    """Hold working arrays for blocks of structures; they grow to the largest block and are for one thread.

    Parameters
    ----------
    network
        The weights.
    """

    def __init__(self, network: Network):
        self._network = network
        self._halo = 0  # that there is room for
        self.scratch: Scratch = scratch_arrays(network, CHUNK, 0)
        self._n_atoms, self._n_parts, self._n_entries = 0, 0, -1

    def fit(self, n_atoms: int, pairs: Pairs, part: np.ndarray) -> None:
        """Make room for a block and its pairs; `part` (N,) is that of `Rows`, rising."""
        self.rows = Rows(*rows_of(*pairs, n_atoms, CHUNK), part)
        if (halo := largest_halo(self.rows)) > self._halo:
            self._halo = halo + halo // 10
            self.scratch = scratch_arrays(self._network, CHUNK, self._halo)
        needed = len(self.rows.partner)
        if n_atoms > self._n_atoms or part[-1] >= self._n_parts:
            self._n_atoms = max(n_atoms, CHUNK)
            self._n_parts = max(int(part[-1]) + 1, CHUNK)
            self.state: State = state_arrays(self._network, self._n_atoms, self._n_parts)
        if needed > self._n_entries or n_atoms > len(self.edges.end):
            self._n_entries = max(needed + needed // 10, self._n_entries)
            self.edges: Edges = edge_arrays(self._network, self._n_atoms, self._n_entries, 0)


def largest_halo(rows: Rows) -> int:
    """Return the number of atoms of the largest halo of a chunk."""
    return int(np.diff(rows.halo[0]).max())


def _fits(needed: int, there: int) -> bool:
    """Return whether working arrays are large enough, and not much too large."""
    return needed <= there <= 2 * needed + 100


def chunk_of_atoms(n_atoms: int) -> np.ndarray:
    """Return the number of the chunk of each atom, (N,) int64."""
    return np.arange(n_atoms, dtype=np.int64) // CHUNK

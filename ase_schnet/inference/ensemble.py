"""All members of a SchNet ensemble at once, compiled, on the CPU: no torch, no autograd.

`Ensemble.evaluate` runs the phases of `kernels` over chunks of atoms, in one thread for a molecule and in
several for a large structure. Which thread takes a chunk does not change a bit of the answer.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from ase_schnet.inference import kernels, loops, pair_checks, rows
from ase_schnet.inference.arrays import State, contiguous, network_arrays
from ase_schnet.inference.blocks import evaluate_in_blocks
from ase_schnet.inference.buffers import CHUNK, Buffers
from ase_schnet.inference.compilation import first_use
from ase_schnet.inference.prediction import (
    COINCIDENT,
    ONE_THREAD_BELOW,
    AtomsCoincideError,
    Prediction,
    Structure,
)
from ase_schnet.inference.repulsion import Repulsion
from ase_schnet.inference.threads import Threads
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs
from ase_schnet.runtime.cores import allowed_threads


class Ghosts(Protocol):
    """Give the features of atoms that another process evaluates, neighbours of ours and last in the list.

    Attributes
    ----------
    count
        Number of these atoms.
    """

    count: int

    def update(self, array: np.ndarray) -> None:
        """Fill the last `count` rows of `array`, (M, N, width), with those of the processes that own them.

        All processes call it in the same order.
        """


class Ensemble:
    """Evaluate a :class:`TrainedModel` with compiled loops.

    One Ensemble is for one thread at a time: its working arrays are kept from call to call.

    Parameters
    ----------
    model
        The ensemble.
    dtype
        "float64" or "float32", the precision of the network. Distances are taken in float64 and forces and
        energies added up in float64 whatever it is.
    threads
        The most it may use; None: OMP_NUM_THREADS if that is set, else every core this process may run on.
    repulsion
        "zbl", a repulsion below the distances seen in training, or None (see `repulsion.py`).
    """

    device = "cpu"

    def __init__(
        self,
        model: TrainedModel,
        dtype: str = "float64",
        threads: int | None = None,
        repulsion: str | None = None,
    ):
        if dtype not in ("float64", "float32"):
            raise ValueError(f"dtype is 'float64' or 'float32', got {dtype!r}")
        self.model, self.dtype, self.threads = model, dtype, allowed_threads(threads)
        self.repulsion = None if repulsion is None else Repulsion(repulsion, model)
        onset = None if self.repulsion is None else self.repulsion.onset
        with threadpool_limits(1, user_api="blas"):  # after small products threads spin in vain
            self._network = network_arrays(model, dtype, onset)
        self._pairs: Pairs | None = None
        self._pool: Threads | None = None
        self._pool_of = 0  # process
        self._buffers = Buffers(self._network)
        self._unfinished = False
        self._n_phases = 4 * len(self._network.out_w) + 1
        self._compile()

    def __reduce__(self):
        kind = self.repulsion and self.repulsion.kind
        return (Ensemble, (self.model, self.dtype, self.threads, kind))

    def evaluate(
        self,
        numbers: np.ndarray,
        positions: np.ndarray,
        pairs: Pairs,
        ghosts: Ghosts | None = None,
    ) -> Prediction:
        """Return energies in eV, forces in eV/Å and virials in eV of every member.

        Parameters
        ----------
        numbers
            (N,) atomic numbers.
        positions
            (N, 3), Å.
        pairs
            Half list in canonical order, as :func:`half_list` makes it; pairs beyond the cutoff do no harm.
            The same object is looked at once only.
        ghosts
            Atoms of other processes, which come last and are never the first atom of a pair. The answer is
            then that of the other atoms, N − ghosts.count of them: their energies, their forces, and of a
            pair with a ghost half of the virial. What is left to do is to add up over processes.

        Raises
        ------
        AtomsCoincideError
            If two atoms are nearer than 1e-6 Å.
        """
        numbers, positions = contiguous(numbers, np.int64), contiguous(positions, np.float64)
        n_ghosts = 0 if ghosts is None else ghosts.count
        self.hold(numbers, pairs, n_ghosts)
        if ghosts is not None:
            self._run_with(ghosts, numbers, positions)
        else:
            self._run(0, self._n_phases, numbers, positions)
        self._require_apart(self._buffers.state)
        prediction = self.answer()
        if self.repulsion is not None:
            self.repulsion.add_to(prediction, numbers, positions, self._buffers.pairs)
        return prediction

    def hold(self, numbers: np.ndarray, pairs: Pairs, n_ghosts: int = 0) -> Buffers:
        """Return working arrays for a structure and its pairs, for an evaluation; then comes `answer`."""
        if self._unfinished:  # half done, in a process that was interrupted or forked
            self._buffers, self._pairs = Buffers(self._network), None
        self._unfinished = True
        b, n_atoms = self._buffers, len(numbers) - n_ghosts
        if pairs is not self._pairs or n_atoms != b.n_atoms or n_ghosts != b.n_ghosts:
            b.fit(n_atoms, pairs, numbers[n_atoms:], self._several(n_atoms))
            self._pairs = pairs
        return b

    def answer(self) -> Prediction:
        """Return what the working arrays hold after an evaluation that is complete."""
        state = self._buffers.state
        energies = state.energies.copy()
        self._unfinished = False
        return Prediction(
            energies.sum(axis=1), energies, state.forces.copy(), state.virials.sum(axis=0)
        )

    def evaluate_many(
        self, structures: Iterable[Structure]
    ) -> Iterator[Prediction | AtomsCoincideError]:
        """Yield what `evaluate` returns of each structure, to the same bit, or its AtomsCoincideError.

        Structures are taken ahead of the answers. Several share a call of the compiled loops, and calls are
        spread over the threads. `evaluate` may be called meanwhile.

        Parameters
        ----------
        structures
            Numbers, positions and pairs of each, as for `evaluate`.
        """
        pool = None if self.threads == 1 else self._workers()
        # the working arrays of this engine may be in use, before the last answer or in another thread
        other = self.sibling()
        other.threads, other._pool, other._pool_of = self.threads, self._pool, self._pool_of
        yield from evaluate_in_blocks(other, self._network, self.repulsion, pool, structures)

    def sibling(self) -> Ensemble:
        """Return an engine of one thread, with working arrays of its own, on the same weights."""
        other = object.__new__(Ensemble)  # a copy would read the weights anew, see __reduce__
        vars(other).update(vars(self))
        other.threads = 1
        other._buffers, other._pairs, other._pool = Buffers(self._network), None, None
        other._unfinished = False
        return other

    def features(self) -> np.ndarray:
        """Return the features (M, N, B) of the atoms of the last structure, behind the last interaction."""
        return self._buffers.state.x.copy()

    def _compile(self) -> None:
        """Compile what an evaluation calls, or load it: no phase of one atom, checks of no pairs."""
        none = np.empty(0, np.int64)
        with first_use(rows, kernels, loops, pair_checks):
            self._buffers.fit(1, Pairs(none, none, np.empty((0, 3))), none, False)
            atom = np.zeros(1, np.int64), np.zeros((1, 3))
            self._run_chunks(self._buffers, (0, 0), (0, 0), 0, *atom)
            none_3 = np.empty((0, 3))
            nothing = none, none, none_3, none, none_3, np.empty((0, 0, 0, 2))
            pair_checks.any_pair_within(*nothing)
            pair_checks.pairs_within(*nothing, 1.0)
            pair_checks.is_ordinary(*nothing, 1.0)
            pair_checks.pieces_of(none, none, none_3, none_3, 1.0)
            pair_checks.force_half_widths(none_3, none_3, none_3)
            pair_checks.widen_around(*nothing, 1.0, none_3)

    def _run_with(self, ghosts: Ghosts, numbers: np.ndarray, positions: np.ndarray) -> None:
        """Run phase by phase, and after each fetch its results for the ghosts from their owners.

        A chunk gathers from its partners, in the adjoint too. So data travel in one direction, from owners to
        ghosts: first features, then ∂E/∂y. Nothing travels back to be added up, and every sum runs in one
        process, in one order.
        """
        state, layers = self._buffers.state, len(self._network.out_w)
        self._run(0, 3, numbers, positions)
        for done in range(1, 2 * layers):  # blocks, upwards and downwards
            ghosts.update(
                state.features[done] if done < layers else state.y_bar[2 * layers - 1 - done]
            )
            self._run(2 * done + 1, 2 * done + 3, numbers, positions)

    def _run(self, first: int, last: int, numbers: np.ndarray, positions: np.ndarray) -> None:
        """Run the phases from `first` to before `last`."""
        chunks = len(self._buffers.state.closest)
        if not self._several(self._buffers.n_atoms):
            self._run_chunks(self._buffers, (first, last), (0, chunks), 0, numbers, positions)
            return
        for phase in range(first, last):
            self._run_threaded(phase, numbers, positions)

    def _several(self, n_atoms: int) -> bool:
        """Return whether several threads share a structure."""
        return n_atoms >= ONE_THREAD_BELOW and self.threads > 1

    def _run_threaded(self, phase: int, numbers: np.ndarray, positions: np.ndarray) -> None:
        """Run one phase; each thread takes the next chunk that is left."""
        b = self._buffers

        def work(thread: int) -> None:
            while b is self._buffers:  # else this evaluation was interrupted, and another goes on
                try:
                    # one thread gets it, also where Python has no global lock
                    chunk = left.popleft()
                except IndexError:
                    return
                self._run_chunks(
                    b, (phase, phase + 1), (chunk, chunk + 1), thread, numbers, positions
                )

        left = deque(range(len(b.state.closest)))
        self._workers().run(work)

    def _workers(self) -> Threads:
        """Return the threads beside the caller's, of which there is at least one."""
        if self._pool is None or self._pool_of != os.getpid():  # a fork has none of our threads
            self._pool = Threads(self.threads - 1)
            self._pool_of = os.getpid()
        return self._pool

    def _run_chunks(
        self,
        b: Buffers,
        phases: tuple[int, int],
        chunks: tuple[int, int],
        thread: int,
        numbers: np.ndarray,
        positions: np.ndarray,
    ) -> None:
        """Run the phases from phases[0] to before phases[1] of the chunks likewise, in this thread."""
        kernels.run(
            phases,
            chunks,
            self._network,
            b.rows,
            b.edges,
            b.state,
            b.scratch(thread),
            numbers,
            positions,
            CHUNK,
        )

    @staticmethod
    def _require_apart(state: State) -> None:
        if state.closest.min() < COINCIDENT**2:
            i, j = state.closest_pair[state.closest.argmin()]
            raise AtomsCoincideError(int(min(i, j)), int(max(i, j)))

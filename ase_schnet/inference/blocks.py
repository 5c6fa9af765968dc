"""Many structures at once: consecutive ones share a call of the loops, and calls are spread over threads.

A block is several structures side by side in one chunk of atoms, or one that is larger than a chunk. Each
thread works on a block of its own, from its atoms to its answers, and waits for nobody. No pair leads from
one structure to another and every sum runs in the order that it has for the structure alone, so the bits are
those of `Ensemble.evaluate`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import accumulate
from queue import SimpleQueue

import numpy as np

from ase_schnet.inference import kernels
from ase_schnet.inference.arrays import Network, contiguous
from ase_schnet.inference.buffers import CHUNK, BlockBuffers, chunk_of_atoms
from ase_schnet.inference.prediction import (
    COINCIDENT,
    AtomsCoincideError,
    Engine,
    Prediction,
    Structure,
)
from ase_schnet.inference.repulsion import Repulsion
from ase_schnet.inference.threads import Threads
from ase_schnet.neighbors import Pairs

#: Atoms from which all threads share one structure: side by side, such structures take too much memory.
SHARED_FROM = 8 * CHUNK
#: Blocks that wait for each thread, so that none is idle while structures are read and answers written.
AHEAD = 3

Answer = Prediction | AtomsCoincideError


def evaluate_in_blocks(
    engine: Engine,
    network: Network,
    repulsion: Repulsion | None,
    pool: Threads | None,
    structures: Iterable[Structure],
) -> Iterator[Answer]:
    """Yield the answers of structures in their order.

    Parameters
    ----------
    engine
        Evaluates those from `SHARED_FROM` atoms on, and those without atoms.
    network
        Its weights.
    repulsion
        Its repulsion.
    pool
        Threads beside the caller's; None: there are none.
    structures
        What is evaluated; some are taken ahead of the answers.
    """
    run = _Blocks(engine, network, repulsion)
    most = 0 if pool is None else AHEAD * (pool.number + 1)
    waiting: deque[_Task] = deque()
    try:
        for block in _blocks_of(structures):
            waiting.append(_Task(run, block))
            alone = pool is None or not 0 < len(block[0][0]) < SHARED_FROM
            if not alone:
                pool.give(waiting[-1].work)
            while len(waiting) > (0 if alone else most):
                yield from _next_answers(waiting)
        while waiting:
            yield from _next_answers(waiting)
    finally:  # if nobody wants the other answers
        for task in waiting:
            task.left.clear()


class _Task:
    """A block that is to be evaluated: by the first thread that takes it.

    Parameters
    ----------
    run
        Evaluates it.
    block
        Structures.
    """

    def __init__(self, run: _Blocks, block: list[Structure]):
        self._run = run
        self.left = deque([block])  # taken by one thread, also where Python has no global lock
        self.found: SimpleQueue[list[Answer] | Exception] = SimpleQueue()

    def work(self) -> bool:
        """Evaluate the block; return False if another thread has begun with it."""
        try:
            block = self.left.popleft()
        except IndexError:
            return False
        try:
            self.found.put(self._run(block))
        except Exception as error:
            self.found.put(error)
        return True


def _next_answers(waiting: deque[_Task]) -> list[Answer]:
    """Return the answers of the block that waits for the longest, and work on others until they are there."""
    first = waiting[0]
    while first.found.empty() and any(task.work() for task in waiting):
        pass
    waiting.popleft()
    answers = first.found.get()
    if isinstance(answers, Exception):
        raise answers
    return answers


def _blocks_of(structures: Iterable[Structure]) -> Iterator[list[Structure]]:
    """Divide structures into lists of at most `CHUNK` atoms; one that has more, or none, is alone."""
    block, filled = [], 0
    for structure in structures:
        n_atoms = len(structure[0])
        if block and (filled + n_atoms > CHUNK or n_atoms == 0):
            yield block
            block, filled = [], 0
        block.append(structure)
        filled += n_atoms
        if n_atoms == 0 or filled >= CHUNK:
            yield block
            block, filled = [], 0
    if block:
        yield block


class _Blocks:
    """Evaluate blocks of structures in any thread, each call with working arrays of its own."""

    def __init__(self, engine: Engine, network: Network, repulsion: Repulsion | None):
        self._engine, self._network, self._repulsion = engine, network, repulsion
        self._free: deque[BlockBuffers] = deque()

    def __call__(self, block: list[Structure]) -> list[Answer]:
        """Return the answer of each structure of a block."""
        if not 0 < len(block[0][0]) < SHARED_FROM:
            return [self._alone(block[0])]
        try:
            buffers = self._free.popleft()  # one thread gets them
        except IndexError:
            buffers = BlockBuffers(self._network)
        answers = self._evaluate(buffers, block)
        self._free.append(buffers)
        return answers

    def _alone(self, structure: Structure) -> Answer:
        try:
            return self._engine.evaluate(*structure)
        except AtomsCoincideError as error:
            return error

    def _evaluate(self, buffers: BlockBuffers, block: list[Structure]) -> list[Answer]:
        ends = list(accumulate(len(numbers) for numbers, _, _ in block))
        n_atoms = ends[-1]
        numbers, positions, pairs = _joined(block)
        chunks = -(-n_atoms // CHUNK)
        if len(block) == 1:
            part = chunk_of_atoms(n_atoms)
        else:
            part = np.repeat(np.arange(len(block)), np.diff(ends, prepend=0))
        buffers.fit(n_atoms, pairs, part)
        state = buffers.state
        kernels.run(
            (0, 4 * len(self._network.out_w) + 1),
            (0, chunks),
            self._network,
            buffers.rows,
            buffers.edges,
            state,
            buffers.scratch,
            numbers,
            positions,
            CHUNK,
        )
        closest = state.closest[:chunks]
        if closest.min() < COINCIDENT**2:
            if len(block) > 1:  # the others have answers
                return [self._evaluate(buffers, [structure])[0] for structure in block]
            i, j = state.closest_pair[closest.argmin()]
            return [AtomsCoincideError(int(min(i, j)), int(max(i, j)))]
        if len(block) == 1:
            virials = [state.virials[:chunks].sum(axis=0)]
        else:
            virials = [state.virials[k].copy() for k in range(len(block))]
        answers = []
        for first, last, virial in zip([0, *ends[:-1]], ends, virials, strict=True):
            energies = state.energies[:, first:last].copy()
            forces = state.forces[:, first:last].copy()
            answers.append(Prediction(energies.sum(axis=1), energies, forces, virial))
        if self._repulsion is not None and self._repulsion.acts_on(numbers, positions, pairs):
            for structure, prediction in zip(block, answers, strict=True):
                self._repulsion.add_to(prediction, *_plain(structure))
        return answers


def _joined(block: list[Structure]) -> Structure:
    """Return numbers, positions and pairs of the structures of a block as if they were one."""
    if len(block) == 1:
        return _plain(block[0])
    numbers, positions, pairs = zip(*block, strict=True)
    first = np.repeat(
        list(accumulate(map(len, numbers[:-1]), initial=0)), [len(p.idx_i) for p in pairs]
    )
    both = Pairs(*map(np.concatenate, zip(*pairs, strict=True)))
    both = Pairs(both.idx_i + first, both.idx_j + first, both.shifts)
    return _plain((np.concatenate(numbers), np.concatenate(positions), both))


def _plain(structure: Structure) -> Structure:
    """Return arrays of the types that the loops are compiled for; copies only of others."""
    numbers, positions, pairs = structure
    return (
        contiguous(numbers, np.int64),
        contiguous(positions, np.float64),
        Pairs(
            contiguous(pairs.idx_i, np.int64),
            contiguous(pairs.idx_j, np.int64),
            contiguous(pairs.shifts, np.float64),
        ),
    )

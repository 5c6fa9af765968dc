"""Streams: the chunks of one kind of structure, counted in the order of their numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait

import numpy as np
from ase import Atoms

from ase_schnet.runtime.progress import Tally
from ase_schnet.sampling.chunks import MOVES, Base, Chunk, Frame, Task, chunk_size, ordered
from ase_schnet.sampling.parts import Parts
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.processes import Makers
from ase_schnet.sampling.spread import fingerprint

#: A stream ends, with too few structures, after this many empty chunks at its beginning, or after this many
#: times the chunks that a full yield needs.
EMPTY_CHUNKS, MOST_CHUNKS = 10, 20


class Stream:
    """Count the structures of one kind.

    Only chunks that follow each other count. So the structures do not depend on which chunk was done first.

    Parameters
    ----------
    name, kind, temperature_K
        As of a :class:`~ase_schnet.sampling.chunks.Task`.
    kept, wanted
        Structures that will be kept, and structures to make.
    starts
        The starts, to build structures from frames.
    plan
        Of the sampling.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        temperature_K: float,
        kept: int,
        wanted: int,
        starts: Sequence[Atoms],
        plan: SamplingPlan,
    ):
        self.name, self.kind, self.kept, self.wanted = name, kind, kept, wanted
        self.frames: list[Atoms] = []
        self.reasons: dict[str, int] = {}
        self.submitted = self._counted = 0
        self.temperature_K, self._starts = temperature_K, starts
        self._size = chunk_size(kind, plan)
        if kind in MOVES:
            self._size = min(self._size, max(wanted, 1))
        self._bases: list[Base] = []
        self._waiting: dict[int, Chunk] = {}
        self._seen: set[bytes] = set()

    def begin(self, bases: Sequence[Base], seed: int) -> None:
        """Set the structures that moves begin from."""
        self._bases = ordered(bases, self.name, seed)

    @property
    def done(self) -> bool:
        """Return whether no more chunks are needed, or more would not help."""
        useless = self._counted >= EMPTY_CHUNKS and not self.frames
        limit = MOST_CHUNKS * math.ceil(self.wanted / self._size) + EMPTY_CHUNKS
        return len(self.frames) >= self.wanted or useless or self._counted >= limit

    def wants_more(self) -> bool:
        """Return whether the chunks under way will probably not be enough."""
        rate = float(self._size)
        if self._counted:
            rate = max(len(self.frames) / self._counted, 0.05 * self._size)
        expected = len(self.frames) + (self.submitted - self._counted) * rate
        return not self.done and expected < self.wanted

    def next_task(self) -> Task:
        """Return the next chunk to make."""
        number, count = self.submitted, len(self._bases)
        self.submitted += 1
        per_chunk = self._size if self.kind in MOVES else 1
        places = range(number * per_chunk, (number + 1) * per_chunk)
        bases = [self._bases[k % count] for k in places]
        return Task(self.name, self.kind, self.temperature_K, number, bases, number >= count)

    def add(self, number: int, chunk: Chunk) -> None:
        """Take a finished chunk, and count it once all before it are there."""
        self._waiting[number] = chunk
        while not self.done and self._counted in self._waiting:
            next_one = self._waiting.pop(self._counted)
            self._counted += 1
            if next_one.reason:
                self.reasons[next_one.reason] = self.reasons.get(next_one.reason, 0) + 1
            room, made = self.wanted - len(self.frames), next_one.frames
            if len(made) > room:  # the frames of a run come in the order of time
                made = [made[k] for k in np.linspace(len(made) - 1, 0, room).astype(int)]
            for frame in made:
                self._count(frame)

    def _count(self, frame: Frame) -> None:
        atoms = self._starts[frame.start][frame.atoms]
        atoms.set_cell(frame.cell)
        atoms.positions = frame.positions
        if len(atoms) < len(self._starts[frame.start]):  # it has lost electrons with an atom
            for key in ("multiplicity", "spin_multiplicity", "spin"):
                atoms.info.pop(key, None)
        key = fingerprint(atoms)
        if key in self._seen:
            return
        self._seen.add(key)
        atoms.info |= {"sampled_from": frame.start, "sampled_by": self.name}
        self.frames.append(atoms)


def fill(streams: Sequence[Stream], makers: Makers, parts: Parts | None, bar: Tally) -> None:
    """Make chunks until every stream has its structures; those on disk are read."""
    under_way: dict[Future[Chunk], tuple[Stream, int]] = {}
    most = 1 if makers.jobs == 1 else 2 * makers.jobs
    while True:
        for stream in streams:
            while len(under_way) < most and stream.wants_more():
                task = stream.next_task()
                there = None if parts is None else parts.read(task.name, task.number)
                if there is None:
                    under_way[makers.submit(task)] = stream, task.number
                else:
                    _add(stream, task.number, there, bar)
        if not under_way:
            return
        for future in wait(under_way, return_when=FIRST_COMPLETED).done:
            stream, number = under_way.pop(future)
            chunk = makers.result(future)
            if parts is not None:
                parts.write(stream.name, number, chunk)
            _add(stream, number, chunk, bar)


def _add(stream: Stream, number: int, chunk: Chunk, bar: Tally) -> None:
    before = len(stream.frames)
    stream.add(number, chunk)
    bar.doing(stream.name)
    bar.update(len(stream.frames) - before)

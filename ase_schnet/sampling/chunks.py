"""The work in chunks: what each makes depends on its number and the seed, not on who makes it or when."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.random import Generator
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ase_schnet.bonds import overlapping
from ase_schnet.sampling.collide import collide
from ase_schnet.sampling.crystal import apply_strain, strain, vacancy
from ase_schnet.sampling.displace import add_noise, displace
from ase_schnet.sampling.md import CalculatorFactory, bare, langevin_frames
from ase_schnet.sampling.modes import mode_frames
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.rotate import rotate, turn_at_random
from ase_schnet.sampling.stretch import stretch_one, stretch_two
from ase_schnet.sampling.topology import Topology

Move = Callable[[Atoms, Topology, SamplingPlan, Generator], Atoms | None]
MOVES: dict[str, Move] = {
    "displaced": displace,
    "rotated": rotate,
    "stretched": stretch_one,
    "two stretched": stretch_two,
    "collision": collide,
    "strained": strain,
    "vacancies": vacancy,
}
#: Structures of a chunk that needs no calculator, and of one normal-mode analysis.
MOVES_PER_CHUNK, MODES_PER_CHUNK = 200, 50
#: Random moves of one structure until the atoms do not overlap.
ATTEMPTS = 10
#: Share of repeated starts of a run in which a bond is turned before it.
TURNED = 0.4
#: As ``shortest`` of a plan, for the start of a run: nearer atoms heat it.
CALM_START = 0.75
_PLACE = "place in start"


class Base(NamedTuple):
    """Hold a structure that moves begin from.

    Attributes
    ----------
    start
        Number of the start that it comes from.
    atoms
        The structure.
    bonded_like
        The start itself, near rest, whose bonds count.
    """

    start: int
    atoms: Atoms
    bonded_like: Atoms


class Task(NamedTuple):
    """Hold what one chunk makes.

    Attributes
    ----------
    name
        Name of the stream, such as "md 1000 K". Its random numbers depend on it.
    kind
        One of ``KINDS``.
    temperature_K
        Of a run, K.
    number
        Of the chunk in its stream, from 0.
    bases
        Structures to begin from, one for each frame; one alone for runs and normal modes.
    again
        Whether this structure has been the start of such a run before.
    """

    name: str
    kind: str
    temperature_K: float
    number: int
    bases: list[Base]
    again: bool


class Frame(NamedTuple):
    """Hold a sampled structure as what differs from its start.

    Attributes
    ----------
    start
        Number of the start.
    atoms
        Indices (K,) of the atoms of the start that it has.
    positions, cell
        (K, 3) and (3, 3), Å.
    """

    start: int
    atoms: NDArray
    positions: NDArray
    cell: NDArray


class Chunk(NamedTuple):
    """Hold the structures of one task, and why there are no more ("" if nothing went wrong)."""

    frames: list[Frame]
    reason: str


def chunk_size(kind: str, plan: SamplingPlan) -> int:
    """Return the most structures that a chunk of a kind makes."""
    if kind in MOVES:
        return MOVES_PER_CHUNK
    return MODES_PER_CHUNK if kind == "normal modes" else plan.frames_per_run


def random_numbers(seed: int, *names: str | int) -> Generator:
    """Return a generator of its own for each seed and name."""
    words = [zlib.crc32(n.encode()) if isinstance(n, str) else n for n in names]
    return np.random.default_rng([seed, *words])


def make_chunk(
    task: Task, calculator: CalculatorFactory | None, plan: SamplingPlan, seed: int
) -> Chunk:
    """Make the structures of a task, with one thread.

    Parameters
    ----------
    task
        What to make.
    calculator
        Makes calculators, for runs and normal modes.
    plan
        Settings of the kinds.
    seed
        Of the whole sampling.
    """
    rng = random_numbers(seed, task.name, task.number)
    with threadpool_limits(1):  # threads also change the last bits of a calculator, and so a run
        if task.kind in MOVES:
            frames, reason = _moved(task, plan, rng)
        else:
            frames, reason = _calculated(task, calculator, plan, rng)
    return Chunk([_frame(base, atoms) for base, atoms in frames], reason)


def _moved(task: Task, plan: SamplingPlan, rng: Generator) -> tuple[list[tuple[Base, Atoms]], str]:
    move, frames = MOVES[task.kind], []
    for base in task.bases:
        topology = Topology(base.bonded_like)
        for _ in range(ATTEMPTS):
            moved = move(_with_places(base.atoms), topology, plan, rng)
            if moved is not None and not overlapping(moved, plan.shortest):
                frames.append((base, moved))
                break
    return frames, "" if frames else "the move is impossible, or atoms overlap after it"


def _calculated(
    task: Task, calculator: CalculatorFactory, plan: SamplingPlan, rng: Generator
) -> tuple[list[tuple[Base, Atoms]], str]:
    base = task.bases[0]
    start = _with_places(base.atoms)
    if task.kind == "normal modes":
        made, reason = mode_frames(start, calculator, plan, rng, MODES_PER_CHUNK)
    else:
        if task.again:
            start = _varied(start, Topology(base.bonded_like), plan, rng)
        melt = task.kind == "melt"
        if melt:
            apply_strain(start, plan.strain, rng)
        made, reason = langevin_frames(start, calculator, task.temperature_K, plan, rng, melt=melt)
    return [(base, atoms) for atoms in made], reason


def _varied(start: Atoms, topology: Topology, plan: SamplingPlan, rng: Generator) -> Atoms:
    """Return a start that is used again with noise and, at times, a turned bond; itself if atoms overlap."""
    for _ in range(ATTEMPTS):
        varied = start.copy()
        if rng.random() < TURNED:
            turn_at_random(varied, topology, rng)
        add_noise(varied, plan.noise_Ang, rng)
        if not overlapping(varied, max(plan.shortest, CALM_START)):
            return varied
    return start


def _with_places(atoms: Atoms) -> Atoms:
    """Return a copy that knows the places of its atoms, to see later which a move has taken out."""
    copy = bare(atoms)
    copy.set_array(_PLACE, np.arange(len(atoms)))
    return copy


def _frame(base: Base, atoms: Atoms) -> Frame:
    return Frame(base.start, atoms.arrays[_PLACE], atoms.positions, atoms.cell.array)


def ordered(bases: Sequence[Base], name: str, seed: int) -> list[Base]:
    """Return the bases in the random order in which a stream uses them."""
    order = random_numbers(seed, name, "order").permutation(len(bases))
    return [bases[k] for k in order]

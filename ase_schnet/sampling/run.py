"""Candidate structures from starts, a calculator and a plan."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculatorSetupError
from threadpoolctl import threadpool_limits

from ase_schnet.arguments import whole
from ase_schnet.runs.provenance import describe_calculator
from ase_schnet.runtime.cores import cores
from ase_schnet.runtime.processes import refuse_to_start_again
from ase_schnet.runtime.progress import Tally, duration, say
from ase_schnet.sampling.chunks import Base, random_numbers
from ase_schnet.sampling.md import MELT_INTERVAL, CalculatorFactory, said
from ase_schnet.sampling.parts import Parts
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.processes import Makers
from ase_schnet.sampling.spread import Descriptor, farthest_points, sorted_distances
from ase_schnet.sampling.streams import Stream, fill
from ase_schnet.structures.electrons import INITIAL_CHARGES, INITIAL_MAGMOMS, electrons_in

#: Kinds that need the calculator.
CALCULATED = ("md", "melt", "normal modes")
#: Fewer starts than this are joined by frames of the coolest runs, at most THERMAL, before bonds are moved.
FEW_STARTS, THERMAL = 100, 300
#: From so many seconds of runs on their number of evaluations is said; a call of QUICK_S is not timed again.
LONG_S = 600.0
QUICK_S = 0.1


def sample_structures(
    starts: Sequence[Atoms],
    calculator: CalculatorFactory | None,
    n: int,
    *,
    plan: SamplingPlan | None = None,
    seed: int = 0,
    jobs: int | None = None,
    directory: str | Path | None = None,
    descriptor: Descriptor | None = None,
    progress: bool | None = None,
    take_over: bool = False,
) -> list[Atoms]:
    """Return ``n`` candidate structures of molecules or cells, in random order and without labels.

    Each has in ``info`` the number of its start (``sampled_from``), its kind (``sampled_by``, such as "md
    1000 K" or "stretched"), and charge and multiplicity of its start. They depend on the arguments alone, not
    on the number of processes. If a kind gives too few, a UserWarning says why.

    Parameters
    ----------
    starts
        One structure near rest, or many, such as the frames of a data set. Constraints are left out.
    calculator
        Returns the calculator of a structure and can be pickled, as what `read_reference` returns; on resume
        its ``identity`` tells. None if the plan has no runs and no normal modes.
    n, plan, seed, jobs
        Number of structures; their kinds and settings (None: :meth:`SamplingPlan.for_starts`); seed of all
        random numbers; number of processes (None: all cores).
    directory
        Where finished chunks are kept, so that the same call goes on after a stop. The caller removes it with
        :func:`~ase_schnet.sampling.parts.remove_parts`. None: nothing is written.
    descriptor
        Vectors to choose among more candidates; None: sorted inverse distances.
    progress, take_over
        Draw a bar (None: on a terminal); count a process of another host in ``directory`` as dead.

    Raises
    ------
    ValueError, BrokenProcessPool
        Impossible arguments; parts of other settings or in use (InUseError); a process killed or not started.
    """
    refuse_to_start_again()
    n, seed = whole("n", n, 1), whole("seed", seed, 0)
    jobs = cores() if jobs is None else whole("jobs", jobs, 1)
    starts = [_stripped(atoms, k) for k, atoms in enumerate(starts)]
    if not starts:
        raise ValueError("there is no structure to start from")
    plan = SamplingPlan.for_starts(starts) if plan is None else plan
    streams = _streams(plan, n, starts)
    name, call_s = _checked(calculator, starts[0], [stream.kind for stream in streams])
    settings = _settings(starts, name, n, plan, seed)
    kept = nullcontext() if directory is None else Parts(directory, settings, take_over=take_over)
    _say_of_long(streams, plan, call_s, jobs, progress)
    with kept as parts, Makers(jobs, calculator, plan, seed) as makers:
        _fill(streams, starts, makers, parts, seed, progress)
    _warn_of_few(streams)
    chosen = [atoms for stream in streams for atoms in _spread(stream, descriptor)]
    order = random_numbers(seed, "order of the structures").permutation(len(chosen))
    return [chosen[k] for k in order]


def _fill(
    streams: Sequence[Stream],
    starts: Sequence[Atoms],
    makers: Makers,
    parts: Parts | None,
    seed: int,
    progress: bool | None,
) -> None:
    """Make structures of all kinds, those with a calculator first: their coolest frames are starts too."""
    total = sum(stream.wanted for stream in streams)
    with Tally(total, "sampling", "structure", show=progress) as bar:
        bases = [Base(k, atoms, atoms) for k, atoms in enumerate(starts)]
        runs = [stream for stream in streams if stream.kind in CALCULATED]
        moves = [stream for stream in streams if stream.kind not in CALCULATED]
        for stream in runs:
            stream.begin(bases, seed)
        fill(runs, makers, parts, bar)
        bases += _thermal(runs, starts)
        for stream in moves:
            stream.begin(bases, seed)
        fill(moves, makers, parts, bar)


def _stripped(atoms: Atoms, number: int) -> Atoms:
    """Return a start with what its energy depends on: atoms, masses, cell, charge and multiplicity.

    Raises
    ------
    ValueError
        For a structure that cannot be sampled.
    """
    if len(atoms) < 2:
        what = "no atoms" if len(atoms) == 0 else "one atom, which has no structure to sample"
        if len(atoms) == 0 or not atoms.pbc.any():
            raise ValueError(f"structure {number} has {what}")
    if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
        raise ValueError(f"structure {number} has positions or a cell that are not finite")
    copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    for name in ("masses", INITIAL_CHARGES, INITIAL_MAGMOMS):
        if name in atoms.arrays:
            copy.set_array(name, atoms.arrays[name])
    copy.info = electrons_in(atoms.info)
    return copy


def _checked(
    calculator: CalculatorFactory | None, start: Atoms, kinds: Sequence[str]
) -> tuple[str, float]:
    """Return a name of the calculator, after it has evaluated the first start, and the s of such a call.

    Raises
    ------
    CalculatorSetupError
        If it refuses the structure.
    ValueError
        If there is none, it fails, or its forces are not finite.
    """
    needed = [kind for kind in kinds if kind in CALCULATED]
    if not needed:
        return "none", 0.0
    if calculator is None:
        raise ValueError(f"structures of the kind {needed[0]!r} need a calculator")
    atoms = start.copy()
    try:
        with threadpool_limits(1):
            atoms.calc = calculator(atoms)
            began = time.monotonic()
            finite = np.isfinite(atoms.get_forces()).all()
            call_s = time.monotonic() - began
            if call_s > QUICK_S:  # much of which may have been the loading
                call_s = _call_s(atoms)
    except CalculatorSetupError:
        raise
    except Exception as error:  # calculators raise nearly everything
        raise ValueError(f"the calculator fails on the first structure ({said(error)})") from error
    if not finite:
        raise ValueError("the calculator gives forces of the first structure that are not finite")
    return str(getattr(calculator, "identity", None) or describe_calculator(atoms.calc)), call_s


def _call_s(atoms: Atoms) -> float:
    """Return how long an evaluation takes, s, when the calculator is loaded: of slightly moved atoms."""
    atoms.rattle(1e-3, seed=0)
    began = time.monotonic()
    atoms.get_forces()
    return time.monotonic() - began


def _say_of_long(
    streams: Sequence[Stream], plan: SamplingPlan, call_s: float, jobs: int, progress: bool | None
) -> None:
    """Say how many evaluations a slow calculator will need: the first frames may be hours away."""
    of_frame = {"md": plan.interval, "melt": plan.interval * MELT_INTERVAL}
    calls = sum(stream.wanted * of_frame.get(stream.kind, 0) for stream in streams)
    if progress is not False and calls * call_s / jobs > LONG_S:
        took = duration(calls * call_s / jobs)
        say(
            f"sampling: runs need some {calls} evaluations of {call_s:.2g} s, about {took} with {jobs} "
            "processes; fewer structures, or smaller shares of md and melt, are quicker"
        )


def _settings(
    starts: Sequence[Atoms], calculator: str, n: int, plan: SamplingPlan, seed: int
) -> dict:
    """Return all that the structures depend on, in plain types."""
    digest = hashlib.sha256()
    for atoms in starts:
        for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
            digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr((sorted(atoms.info.items()), atoms.get_masses().tolist())).encode())
    return {
        "starts": f"{len(starts)} structures, sha256 {digest.hexdigest()[:16]}",
        "calculator": calculator,
        "n": n,
        "seed": seed,
        **asdict(plan),
    }


def _streams(plan: SamplingPlan, n: int, starts: Sequence[Atoms]) -> list[Stream]:
    """Return a stream for each kind and, of runs, for each temperature."""
    made = n if plan.candidates is None else plan.candidates
    if made < n:
        raise ValueError(f"candidates={made} are fewer than n={n}")
    shares: list[tuple[str, str, float, float]] = []
    for kind, share in plan.shares.items():
        if kind == "md":
            each = share / len(plan.temperatures_K)
            shares += [(f"md {T:g} K", kind, T, each) for T in plan.temperatures_K]
        else:
            T = plan.melt_temperature_K if kind == "melt" else 0.0
            shares.append((f"melt {T:g} K" if kind == "melt" else kind, kind, T, share))
    kept = _whole_parts([share for *_, share in shares], n)
    wanted = _whole_parts([share for *_, share in shares], made)
    rows = zip(shares, kept, wanted, strict=True)
    return [
        Stream(name, kind, T, keep, max(keep, make), starts, plan)
        for (name, kind, T, _), keep, make in rows
        if keep
    ]


def _whole_parts(shares: Sequence[float], n: int) -> list[int]:
    """Divide n by shares; the largest remainders get what is left."""
    exact = np.array(shares) * n
    parts = np.floor(exact + 1e-9).astype(int)
    for k in np.argsort(parts - exact, kind="stable")[: n - parts.sum()]:
        parts[k] += 1
    return parts.tolist()


def _thermal(runs: Sequence[Stream], starts: Sequence[Atoms]) -> list[Base]:
    """Return frames of the coolest runs if there are few starts: from these alone, moves would be alike."""
    cool = [stream for stream in runs if stream.kind == "md"]
    if len(starts) >= FEW_STARTS or not cool:
        return []
    coolest = min(cool, key=lambda stream: stream.temperature_K)
    frames = coolest.frames[:THERMAL]
    numbers = [atoms.info["sampled_from"] for atoms in frames]
    return [
        Base(k, _stripped(atoms, k), starts[k]) for k, atoms in zip(numbers, frames, strict=True)
    ]


def _spread(stream: Stream, descriptor: Descriptor | None) -> list[Atoms]:
    """Return the structures of a stream that are kept."""
    if len(stream.frames) <= stream.kept:
        return stream.frames
    points = np.asarray((descriptor or sorted_distances)(stream.frames))
    return [stream.frames[k] for k in farthest_points(points, stream.kept)]


def _warn_of_few(streams: Sequence[Stream]) -> None:
    for stream in streams:
        if len(stream.frames) < stream.wanted:
            reason = max(stream.reasons, key=stream.reasons.get, default="duplicates")
            warnings.warn(
                f"only {len(stream.frames)} of {stream.wanted} structures of the kind {stream.name!r} could "
                f"be made (most often: {reason})",
                stacklevel=3,
            )

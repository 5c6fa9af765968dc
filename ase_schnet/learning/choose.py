"""Which structures are worth a label: some at random, which judge, and those that teach most."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.sampling.spread import Descriptor, fingerprint

RANDOM, CHOSEN = "random", "chosen"
#: Part of what is chosen that is kept for the structures of aims, if there are some; and where the rest is
#: drawn: what is learnt of a path there is what a cheap method lacks.
SHARE_OF_AIMS, SHARE_OF_AIMS_DRAWN = 0.4, 0.2


def choose(
    candidates: Sequence[Atoms],
    labelled: Sequence[Atoms],
    n: int,
    descriptor: Descriptor,
    rng: np.random.Generator,
    random_share: float,
    *,
    by_doubt: bool = True,
) -> list[Atoms]:
    """Return structures to label, ``info["share"]`` saying which were drawn and which were chosen.

    A share is drawn at random from those of the dynamics that the model is for (``at_goal``). The others
    are chosen one after the other, each with the largest product of its uncertainty and its distance to all
    that is labelled or chosen; or, but for those of aims, drawn from the hotter runs: where a cheap method
    has taught what is far from rest, a choice by uncertainty is no better (benchmarks/choice.md).

    Parameters
    ----------
    candidates
        Structures with ``at_goal``, and ``uncertainty`` (eV/Å) if there is a model; those of an aim, with
        ``aim``, have a part of the choice for themselves.
    labelled
        Structures that were given to the reference before, whatever came of it.
    n
        How many to return, at most; fewer if there are not as many different candidates.
    descriptor
        Vectors of structures, between which distances are taken.
    rng
        Random numbers.
    random_share
        Part of n that is drawn.
    by_doubt
        Whether the rest is chosen by its uncertainty; else it is drawn.
    """
    known = {fingerprint(atoms) for atoms in labelled}
    different: list[Atoms] = []
    for atoms in candidates:
        if (mark := fingerprint(atoms)) not in known:
            known.add(mark)
            different.append(atoms)
    at_goal = np.array([bool(a.info["at_goal"]) for a in different])
    wanted = min(round(random_share * n), int(at_goal.sum()))
    drawn = rng.permutation(np.flatnonzero(at_goal))[:wanted].tolist()
    left = np.setdiff1d(np.arange(len(different)), drawn)
    seen = [*labelled, *(different[k] for k in drawn)]
    picked = _teaching(different, left, seen, n - wanted, descriptor, None if by_doubt else rng)
    shares = [(k, RANDOM) for k in drawn] + [(k, CHOSEN) for k in picked]
    for k, share in shares:
        different[k].info["share"] = share
    return [different[k] for k, _ in shares]


def _teaching(
    frames: Sequence[Atoms],
    left: NDArray,
    known: Sequence[Atoms],
    n: int,
    descriptor: Descriptor,
    rng: np.random.Generator | None,
) -> list[int]:
    """Return the numbers of n structures among those `left`: first those of aims, then any.

    With random numbers the latter are drawn.
    """
    if not len(left) or n < 1:
        return []
    points = np.asarray(descriptor([*frames, *known]), np.float64)
    of_known = points[len(frames) :]
    doubt = np.array([float(a.info.get("uncertainty", 1.0)) for a in frames])
    of_aims = np.array([k for k in left if "aim" in frames[k].info], int)
    share = SHARE_OF_AIMS if rng is None else SHARE_OF_AIMS_DRAWN
    first = min(len(of_aims), round(share * n))
    picked = greedy(points, doubt, of_aims, of_known, first)
    rest = np.setdiff1d(left, picked)
    if rng is not None:
        return picked + _hotter_first(frames, rest, rng)[: n - first]
    return picked + greedy(points, doubt, rest, np.vstack([of_known, points[picked]]), n - first)


def _hotter_first(frames: Sequence[Atoms], left: NDArray, rng: np.random.Generator) -> list[int]:
    """Return numbers in random order: those of hotter runs, those of the goal, the other ones of aims."""
    kind = [2 if "aim" in a.info else int(bool(a.info["at_goal"])) for a in frames]
    return sorted(rng.permutation(left).tolist(), key=lambda k: kind[k])


def greedy(points: NDArray, doubt: NDArray, among: NDArray, known: NDArray, n: int) -> list[int]:
    """Return numbers among some, each with the largest doubt times distance to all known and taken before.

    Parameters
    ----------
    points
        (S, D), one vector for each structure.
    doubt
        (S,), at least 0.
    among
        Numbers of the structures that may be taken.
    known
        (K, D), vectors of those that are known.
    n
        How many to take, at most.
    """
    taken: list[int] = []
    mean = points[among].mean(axis=0) if len(among) else 0.0
    distance = np.full(len(among), np.inf)
    for vector in known if len(known) else [mean]:
        np.minimum(distance, np.linalg.norm(points[among] - vector, axis=1), out=distance)
    free = np.ones(len(among), bool)
    for _ in range(min(n, len(among))):
        best = int(np.where(free, doubt[among] * distance, -1.0).argmax())
        taken.append(int(among[best]))
        free[best] = False
        np.minimum(
            distance, np.linalg.norm(points[among] - points[among[best]], axis=1), out=distance
        )
    return taken

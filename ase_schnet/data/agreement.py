"""Compare energy differences with the work of the forces.

The energies of two structures of the same atoms differ by the work W of the forces (`_work.py`). For the
nearest such pairs the ratio ΔE/W is 1 if the forces are −dE/dx in the same units, −1 for gradients, and 51
for forces in Hartree/Bohr with energies in eV.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data._work import least_image, work_between
from ase_schnet.data.dataset import Dataset

FRAMES, GROUPS, PAIRS = 1000, 20, 120  # at most so many are compared, of all that there are
WORK_PER_PAIR = 27 * 40**3  # (3N)³ that PAIRS pairs may cost each; larger structures get fewer
LARGEST = 500  # atoms: a linear system of 3N unknowns is solved for every structure of a pair
DESCRIPTORS = 500  # distances by which neighbours are found
ENOUGH = 8  # pairs
POWERS = (1, 3, 6)  # of the coordinates of `work_between`
CORRELATED = 0.8  # of ΔE and W; less where no two frames are near: benchmarks/label_checks.md
RESAMPLES = 200


@dataclass(frozen=True)
class Agreement:
    """Hold how energy differences and the work of the forces agree.

    Attributes
    ----------
    ratio
        ΔE/W, the weighted median.
    low, high
        Interval of the ratio over resampled pairs (1 % to 99 %).
    correlation
        Of ΔE and W, -1 to 1.
    n_pairs
        Number of pairs of structures that were compared.
    """

    ratio: float
    low: float
    high: float
    correlation: float
    n_pairs: int


def agreement(dataset: Dataset) -> Agreement | None:
    """Compare energies with forces; return None if the data do not allow it: too few near pairs, or no work.

    Molecules need the same order of atoms, periodic structures the same cell too. Of the paths in `POWERS`,
    the one with the best correlation of energies and work is used, whatever the units and the sign.
    """
    if dataset.E is None or dataset.F is None:
        return None
    pairs = list(_near_pairs(dataset))
    if len(pairs) < ENOUGH:
        return None
    found = [_along(dataset, pairs, power) for power in POWERS]
    known = [each for each in found if each is not None]
    if not known:
        return None
    best = max(known, key=lambda each: abs(each.correlation))
    return best if abs(best.correlation) >= CORRELATED else None


def _along(dataset: Dataset, pairs: list[tuple[int, int]], power: int) -> Agreement | None:
    rows = [row for row in (_compared(dataset, *pair, power) for pair in pairs) if row is not None]
    if len(rows) < ENOUGH:
        return None
    energy, work = np.array(rows).T
    if not work.any():
        return None
    # one pair must not outweigh the rest: the steepest, longest paths have the largest differences
    share = np.minimum(1.0, np.median(np.abs(energy)) / np.abs(energy))
    energy, work = share * energy, share * work
    correlation = float(energy @ work / np.sqrt((energy @ energy) * (work @ work)))
    rng = np.random.default_rng(0)
    drawn = rng.integers(len(rows), size=(RESAMPLES, len(rows)))
    ratios = [_ratio(energy[k], work[k]) for k in drawn]
    low, high = np.nanquantile(ratios, [0.01, 0.99])
    return Agreement(_ratio(energy, work), float(low), float(high), correlation, len(rows))


def _ratio(energy: NDArray, work: NDArray) -> float:
    """Return the ratio s of least absolute residuals |ΔE − s W|, so that few bad paths do not matter."""
    done = work != 0.0
    if not done.any():
        return np.nan
    ratio, weight = energy[done] / work[done], np.abs(work[done])
    order = np.argsort(ratio)
    share = weight[order].cumsum()
    return float(ratio[order][np.searchsorted(share, 0.5 * share[-1])])


def _compared(dataset: Dataset, i: int, j: int, power: int) -> tuple[float, float] | None:
    """Return ΔE and W of two structures in eV; None where ΔE is rounding."""
    difference = dataset.E[j] - dataset.E[i]
    if abs(difference) <= 1e-7 * abs(dataset.E[i]):  # what float32 leaves of a total energy
        return None
    first, second = (slice(dataset.ptr[s], dataset.ptr[s + 1]) for s in (i, j))
    ends = ((dataset.R[part], dataset.F[part]) for part in (first, second))
    return difference, work_between(*ends, dataset.cells[i], dataset.pbc[i], power)


def _near_pairs(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Yield the nearest pairs of structures with the same atoms, for the most frequent molecules."""
    groups = [g for g in groups_of_frames(dataset).values() if len(g) > 1]
    groups = sorted(groups, key=len, reverse=True)[:GROUPS]
    for members in groups:
        n_atoms = int(dataset.n_atoms[members[0]])
        if 1 < n_atoms <= LARGEST:
            affordable = min(PAIRS, PAIRS * WORK_PER_PAIR // (27 * n_atoms**3))
            wanted = max(2, min(affordable, PAIRS) // len(groups))
            yield from _nearest(dataset, _sampled(members, FRAMES // len(groups)), wanted)


def groups_of_frames(dataset: Dataset) -> dict[tuple, NDArray]:
    """Group structures of the same atoms in the same order (and the same cell, where periodic)."""
    found: dict[tuple, list[int]] = {}
    for s in range(len(dataset)):
        numbers = dataset.Z[dataset.ptr[s] : dataset.ptr[s + 1]].tobytes()
        periodic = dataset.pbc[s]
        cell = dataset.cells[s].round(6).tobytes() if periodic.any() else b""
        found.setdefault((numbers, periodic.tobytes(), cell), []).append(s)
    return {key: np.array(members) for key, members in found.items()}


def _sampled(members: NDArray, n: int) -> NDArray:
    """Choose at most n of them, in pairs of neighbours: in a trajectory these are near."""
    if len(members) <= n:
        return members
    starts = np.linspace(0, len(members) - 2, n // 2).astype(int)
    return members[np.unique([starts, starts + 1])]


def _nearest(dataset: Dataset, members: NDArray, wanted: int) -> list[tuple[int, int]]:
    """Return the `wanted` nearest of all pairs of a structure and its nearest neighbour."""
    points = _descriptors(dataset, members)
    lengths = (points**2).sum(axis=1)
    apart = lengths[:, None] + lengths - 2.0 * points @ points.T
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1)
    pairs = np.unique(np.sort([np.arange(len(members)), nearest], axis=0), axis=1)
    order = np.argsort(apart[pairs[0], pairs[1]], kind="stable")
    return [(int(a), int(b)) for a, b in members[pairs[:, order[:wanted]]].T]


def _descriptors(dataset: Dataset, members: NDArray) -> NDArray:
    """Return inverse distances of atoms, (K, P) in 1/Å: similar for structures that are."""
    n = int(dataset.n_atoms[members[0]])
    positions = dataset.R[dataset.ptr[members][:, None] + np.arange(n)]  # (K, N, 3)
    i, j = np.triu_indices(n, k=1)
    if len(i) > DESCRIPTORS:
        some = np.random.default_rng(0).choice(len(i), DESCRIPTORS, replace=False)
        i, j = i[some], j[some]
    first = members[0]
    vectors = least_image(
        positions[:, i] - positions[:, j], dataset.cells[first], dataset.pbc[first]
    )
    return 1.0 / np.maximum(np.linalg.norm(vectors, axis=2), 0.1)

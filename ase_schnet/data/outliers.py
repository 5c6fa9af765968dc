"""Labels that cannot be what they claim: one frame in another unit, one force of 10⁶ eV/Å.

Energies per atom are compared among frames of one composition, and of rare compositions among all, less a sum
of atomic energies. What stands apart from most frames by a gap that no chemistry fills is named. A gap, not a
distance: along a dissociation or a compression energies go far, but step by step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ase_schnet.data.dataset import Dataset

GAP = (
    3.0  # eV per atom, among frames of one composition. Whole sets: silicon spans 1.2, ethanol 0.2
)
GAP_ACROSS = 10.0  # among all compositions: free atoms lie up to 9 above their solids
ENOUGH = 8  # frames to be compared with
RATIO = 15.0  # times the typical largest force or stress of a structure; in real data at most 10
FORCE_FLOOR = 50.0  # eV/Å. rMD17 has at most 10
STRESS_FLOOR = 1.0  # eV/Å³, 160 GPa
SHOWN = 5


@dataclass(frozen=True)
class Outlier:
    """A label far from those of the other structures.

    structure : its number in the data set, from 0.
    quantity, unit : "energy" in "eV/atom", "forces" in "eV/Å", "stress" in "eV/Å³".
    value, typical : of the energy per atom, or of the largest absolute component.
    """

    structure: int
    quantity: str
    unit: str
    value: float
    typical: float

    def __str__(self) -> str:
        what = (
            "energy" if self.quantity == "energy" else f"largest component of the {self.quantity}"
        )
        return f"{what} {self.value:.6g} {self.unit}, typically {self.typical:.4g}"


def label_outliers(dataset: Dataset) -> list[Outlier]:
    """The labels of `dataset` that are far from typical, by structure."""
    if len(dataset) < ENOUGH:
        return []
    found = [] if dataset.E is None else _energy_outliers(dataset)
    if dataset.F is not None:
        largest = np.maximum.reduceat(np.abs(dataset.F).max(axis=1), dataset.ptr[:-1])
        found += _beyond("forces", "eV/Å", largest, FORCE_FLOOR)
    if dataset.stress is not None:
        found += _beyond("stress", "eV/Å³", np.abs(dataset.stress).max(axis=1), STRESS_FLOOR)
    return sorted(found, key=lambda outlier: outlier.structure)


def refuse_outliers(dataset: Dataset, name: Callable[[int], str] = "frame {}".format) -> None:
    """Raise ValueError that names the outliers of `dataset`, if there are any, and the cure.

    name : of a structure by its number, such as the file it came from.
    """
    found = label_outliers(dataset)
    if not found:
        return
    shown = "; ".join(f"{name(o.structure)}: {o}" for o in found[:SHOWN])
    more = f"; and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    raise ValueError(
        f"labels out of range (another unit? a calculation that failed?): {shown}{more}. "
        "Correct or remove them, or keep them with allow_outliers=True (--allow-outliers)"
    )


def _energy_outliers(dataset: Dataset) -> list[Outlier]:
    counts = dataset.compositions()[:, dataset.elements]  # (S, species)
    per_atom = counts / dataset.n_atoms[:, None]
    energy = dataset.E / dataset.n_atoms  # (S,) eV/atom
    reference = per_atom @ _atomic_energies(per_atom, energy)
    far, typical = _apart(energy - reference, GAP_ACROSS)
    typical = typical + reference
    _, group = np.unique(counts, axis=0, return_inverse=True)
    order = np.argsort(group, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        if len(members) >= ENOUGH:
            far[members], typical[members] = _apart(energy[members], GAP)
    return [
        Outlier(int(s), "energy", "eV/atom", float(energy[s]), float(typical[s]))
        for s in np.flatnonzero(far)
    ]


def _apart(values: np.ndarray, gap: float) -> tuple[np.ndarray, float]:
    """Which values (n,) a gap divides from the largest cluster, and the median of that."""
    order = np.argsort(values)
    cluster = np.empty(len(values), dtype=int)
    cluster[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > gap)])
    most = cluster == np.bincount(cluster).argmax()
    return ~most, float(np.median(values[most]))


def _atomic_energies(per_atom: np.ndarray, energy: np.ndarray, rounds: int = 30) -> np.ndarray:
    """Energies per species (eV) that fit most structures: least absolute residuals, by reweighting."""
    centre, weights = np.median(energy), np.ones(len(energy))
    for _ in range(rounds):
        gram = (per_atom * weights[:, None]).T @ per_atom
        gram += 1e-9 * np.trace(gram) * np.eye(len(gram))
        shift = np.linalg.solve(gram, per_atom.T @ (weights * (energy - centre)))
        residual = np.abs(energy - centre - per_atom @ shift)
        weights = 1.0 / np.maximum(residual, 1e-3)  # eV/atom; nearer than that is a fit
    return centre + shift


def _beyond(quantity: str, unit: str, largest: np.ndarray, floor: float) -> list[Outlier]:
    typical = float(np.nanmedian(largest))
    far = largest > max(floor, RATIO * typical)  # NaN: no label, and not larger
    return [
        Outlier(int(s), quantity, unit, float(largest[s]), typical) for s in np.flatnonzero(far)
    ]

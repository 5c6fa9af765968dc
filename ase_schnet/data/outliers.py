"""Find labels that cannot be right: one frame in another unit, one force of 10⁶ eV/Å.

Energies per atom are compared among frames of one composition. Rare compositions are compared with all
frames, after a sum of atomic energies is subtracted. A label is an outlier if a gap separates it from most
frames. A gap, not a distance: along a dissociation or a compression energies go far, but in small steps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset

# What labelled sets have is in benchmarks/label_checks.md.
GAP = 3.0  # eV per atom, among frames of one composition: more than whole sets span
GAP_ACROSS = 10.0  # eV per atom, among all compositions: free atoms lie up to 9 above their solids
ENOUGH = 8  # frames that a comparison needs
RATIO = 15.0  # times the typical largest force or stress of a structure
FORCE_FLOOR = 50.0  # eV/Å
STRESS_FLOOR = 1.0  # eV/Å³, 160 GPa
SHOWN = 5


@dataclass(frozen=True)
class Outlier:
    """Hold a label that is far from those of the other structures.

    Attributes
    ----------
    structure
        Number in the data set, from 0.
    quantity, unit
        "energy" in "eV/atom", "forces" in "eV/Å" or "stress" in "eV/Å³".
    value, typical
        Energy per atom, or largest absolute component: of this structure, and the median of the others.
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
    """Return the labels of `dataset` that are far from typical, sorted by structure."""
    if len(dataset) < ENOUGH:
        return []
    found = [] if dataset.E is None else _energy_outliers(dataset)
    if dataset.F is not None:
        largest = np.maximum.reduceat(np.abs(dataset.F).max(axis=1), dataset.ptr[:-1])
        found += _beyond("forces", "eV/Å", largest, FORCE_FLOOR)
    if dataset.stress is not None:
        found += _beyond("stress", "eV/Å³", np.abs(dataset.stress).max(axis=1), STRESS_FLOOR)
    return sorted(found, key=lambda outlier: outlier.structure)


def refuse_outliers(dataset: Dataset, name: Callable[[int], str] | None = None) -> None:
    """Raise ValueError that names the outliers of `dataset`, if there are any, and the cure.

    Parameters
    ----------
    dataset
        Labels to check.
    name
        Gives the name of a structure by its number, such as the file it came from; "frame 3" without it.
    """
    found = label_outliers(dataset)
    if not found:
        return
    names = [name(o.structure) if name else f"frame {o.structure}" for o in found[:SHOWN]]
    shown = "; ".join(f"{where}: {o}" for where, o in zip(names, found[:SHOWN], strict=True))
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


def _apart(values: NDArray, gap: float) -> tuple[NDArray, float]:
    """Return which values (n,) a gap separates from the largest cluster, and the median of the cluster."""
    order = np.argsort(values)
    cluster = np.empty(len(values), dtype=int)
    cluster[order] = np.concatenate([[0], np.cumsum(np.diff(values[order]) > gap)])
    most = cluster == np.bincount(cluster).argmax()
    return ~most, float(np.median(values[most]))


def _atomic_energies(per_atom: NDArray, energy: NDArray, rounds: int = 30) -> NDArray:
    """Fit energies per species (eV) by least absolute residuals, so that outliers do not matter."""
    centre, weights = np.median(energy), np.ones(len(energy))
    for _ in range(rounds):
        gram = (per_atom * weights[:, None]).T @ per_atom
        gram += 1e-9 * np.trace(gram) * np.eye(len(gram))
        shift = np.linalg.solve(gram, per_atom.T @ (weights * (energy - centre)))
        residual = np.abs(energy - centre - per_atom @ shift)
        weights = 1.0 / np.maximum(residual, 1e-3)  # eV/atom; below it a fit counts as perfect
    return centre + shift


def _beyond(quantity: str, unit: str, largest: NDArray, floor: float) -> list[Outlier]:
    typical = float(np.nanmedian(largest))
    far = largest > max(floor, RATIO * typical)  # NaN: no label, and not larger
    return [
        Outlier(int(s), quantity, unit, float(largest[s]), typical) for s in np.flatnonzero(far)
    ]

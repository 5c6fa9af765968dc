"""Check that stresses have a size and a sign that solids and liquids can have."""

from __future__ import annotations

import numpy as np
from ase.units import GPa
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ase_schnet.data.dataset import Dataset

LARGEST_RMS = 5.0
"""eV, of V·σ per atom: above labelled sets in the right unit (benchmarks/label_checks.md). Cores of planets
have more than 5 too; where volumes differ, the energies confirm it."""
REACH_OF_FORCES = 3.0
"""Å. A virial is a sum of forces times distances: structures with large forces have large stresses too."""
USUAL_RMS = 0.3  # eV, of V·σ per atom
UNITS = {"GPa": 1.0 / GPa, "kB": 10.0 / GPa}  # factor by which they exceed eV/Å³
VOLUMES_DIFFER = 0.02  # largest over smallest volume, minus 1
ENOUGH = 12  # stresses at different volumes
AGREES = 12.0  # times: a larger ratio of work and energy is a wrong unit, which gives 160 or more
CORRELATED = 0.8


def stress_contradictions(dataset: Dataset) -> list[str]:
    """Return a sentence for each fault in size and sign of the stresses; an empty list without faults."""
    if dataset.stress is None:
        return []
    per_atom = dataset.volumes / dataset.n_atoms  # (S,) Å³
    known = np.flatnonzero(~np.isnan(dataset.stress[:, 0]) & np.isfinite(per_atom))
    if not len(known):
        return []
    rms = float(np.sqrt(((dataset.stress[known] * per_atom[known, None]) ** 2).mean()))
    group = _one_composition(dataset, known)
    too_large = _too_large(dataset, group, rms)
    found = [too_large] if too_large else []
    trace, volume = dataset.stress[group, :3].sum(axis=1), per_atom[group]
    enough = len(group) >= ENOUGH and np.ptp(volume) > VOLUMES_DIFFER * volume.min()
    if enough and np.ptp(trace) > 0:
        rank = float(spearmanr(trace, volume).statistic)
        if rank < -max(0.4, 2.5 / np.sqrt(len(group))):
            found.append(
                f"the stresses have the wrong sign: over {len(group)} structures of one composition they "
                f"fall as the volume grows (rank correlation {rank:.2f}), but tension is positive in ASE. "
                "Put a minus before their unit, as in --units 'eV, Ang, -kB', or change the sign in the file"
            )
    return found


def _one_composition(dataset: Dataset, known: NDArray) -> NDArray:
    """Choose the structures of the most frequent composition, whatever the size of the cell."""
    counts = dataset.compositions()[known]
    shares = (counts / counts.sum(axis=1, keepdims=True)).round(6)
    _, group = np.unique(shares, axis=0, return_inverse=True)
    return known[group == np.bincount(group).argmax()]


def _too_large(dataset: Dataset, group: NDArray, rms: float) -> str | None:
    pull = 0.0 if dataset.F is None else float(np.sqrt((dataset.F**2).mean()))
    if rms <= LARGEST_RMS + REACH_OF_FORCES * pull or _energies_confirm(dataset, group):
        return None
    near = {u: abs(np.log(rms / factor / USUAL_RMS)) for u, factor in UNITS.items()}
    possible = [u for u in sorted(near, key=near.get) if near[u] < np.log(15.0)]
    looks = f"they look like {' or '.join(possible)}" if possible else "another unit?"
    example = (possible or ["GPa"])[0]
    return (
        f"the stresses are too large: volume times stress is {rms:.3g} eV per atom (root mean square); "
        f"0.03 to 0.8 is usual; {looks}. Name the unit, as in --units 'eV, Ang, {example}'"
    )


def _energies_confirm(dataset: Dataset, group: NDArray) -> bool:
    """Tell whether energies rise by the work against such pressures, within an order of magnitude."""
    if dataset.E is None or len(group) < ENOUGH:
        return False
    n_atoms = dataset.n_atoms[group]
    volume, energy = dataset.volumes[group] / n_atoms, dataset.E[group] / n_atoms
    mean_stress = dataset.stress[group, :3].mean(axis=1)
    order = np.argsort(volume)
    half = len(order) // 2
    small, large = order[:half], order[-half:]  # far apart, so that compression exceeds heat
    work = 0.5 * (mean_stress[small] + mean_stress[large]) * (volume[large] - volume[small])
    rise = energy[large] - energy[small]
    norm = np.sqrt((work @ work) * (rise @ rise))
    if norm == 0.0 or work @ rise / norm < CORRELATED:
        return False
    return 1.0 / AGREES < (rise @ work) / (work @ work) < AGREES

"""Are the stresses of a size and a sign that solids and liquids can have?"""

from __future__ import annotations

import numpy as np
from ase.units import GPa
from scipy.stats import spearmanr

from ase_schnet.data.dataset import Dataset

LARGEST_RMS = 5.0
"""eV, of V·σ per atom. Labelled sets have 0.03 to 0.8, in GPa 5 to 127, in kB 54 to 1270. Planets' cores have
more than 5 too; where volumes differ, their energies say so."""
REACH_OF_FORCES = 3.0
"""Å. A virial is a sum of forces times distances: structures with large forces have large stresses too."""
USUAL_RMS = 0.3  # eV
UNITS = {"GPa": 1.0 / GPa, "kB": 10.0 / GPa}  # times too large if eV/Å³ was expected
VOLUMES_DIFFER = 0.02  # of the largest over the smallest, less 1
ENOUGH = 12  # stresses at different volumes
AGREES = (
    12.0  # a ratio of work and energy within it is no confusion of units, of which the least is 160
)
CORRELATED = 0.8


def stress_contradictions(dataset: Dataset) -> list[str]:
    """Name what is wrong with size and sign of the stresses; empty where nothing is, or none is there."""
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
                f"the stresses have the other sign: over {len(group)} structures of one composition they "
                f"fall as the volume grows (rank correlation {rank:.2f}), while in ASE tension is positive. "
                "Say so by a minus before their unit, as in --units 'eV, Ang, -kB', or turn them in the file"
            )
    return found


def _one_composition(dataset: Dataset, known: np.ndarray) -> np.ndarray:
    """Those of the most frequent composition, whatever the size of the cell."""
    counts = dataset.compositions()[known]
    shares = (counts / counts.sum(axis=1, keepdims=True)).round(6)
    _, group = np.unique(shares, axis=0, return_inverse=True)
    return known[group == np.bincount(group).argmax()]


def _too_large(dataset: Dataset, group: np.ndarray, rms: float) -> str | None:
    pull = 0.0 if dataset.F is None else float(np.sqrt((dataset.F**2).mean()))
    if rms <= LARGEST_RMS + REACH_OF_FORCES * pull or _energies_confirm(dataset, group):
        return None
    near = {u: abs(np.log(rms / factor / USUAL_RMS)) for u, factor in UNITS.items()}
    possible = [u for u in sorted(near, key=near.get) if near[u] < np.log(15.0)]
    looks = f"they look like {' or '.join(possible)}" if possible else "another unit?"
    example = (possible or ["GPa"])[0]
    return (
        f"the stresses are too large: volume times stress is {rms:.3g} eV per atom (root mean square), and "
        f"0.03 to 0.8 where it is right; {looks}. Name the unit, as in --units 'eV, Ang, {example}'"
    )


def _energies_confirm(dataset: Dataset, group: np.ndarray) -> bool:
    """Energies rise by the work done against such pressures, within an order of magnitude."""
    if dataset.E is None or len(group) < ENOUGH:
        return False
    n_atoms = dataset.n_atoms[group]
    volume, energy = dataset.volumes[group] / n_atoms, dataset.E[group] / n_atoms
    mean_stress = dataset.stress[group, :3].mean(axis=1)
    order = np.argsort(volume)
    half = len(order) // 2
    small, large = order[:half], order[-half:]  # far apart, so that heat is less than compression
    work = 0.5 * (mean_stress[small] + mean_stress[large]) * (volume[large] - volume[small])
    rise = energy[large] - energy[small]
    norm = np.sqrt((work @ work) * (rise @ rise))
    if norm == 0.0 or work @ rise / norm < CORRELATED:
        return False
    return 1.0 / AGREES < (rise @ work) / (work @ work) < AGREES

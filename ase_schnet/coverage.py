"""How many errors the error bars of a model cover on labelled structures, and how wide the bars are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray
from scipy.special import betaincinv

from ase_schnet.atoms_state import state_of
from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import Comparison
from ase_schnet.inference.error_bars import ErrorBars
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import half_list
from ase_schnet.uncertainty.committee import committee_mean_std
from ase_schnet.uncertainty.conformal import Residuals

RESAMPLES, CONFIDENCE = 1000, 0.95  # of the interval of a coverage


class Coverage(NamedTuple):
    """Hold what the error bars of one quantity did.

    Attributes
    ----------
    name, unit
        "energy" in meV, or meV/atom where structures are periodic or of several sizes; "forces" in meV/Å,
        "stress" in meV/Å³, by components.
    fraction
        Of the errors that have a finite bar, those within it.
    low, high
        Ends of the 95 % interval of `fraction`, from resampled structures: errors of one structure are alike.
        Where all structures have the same fraction, that of as many independent errors as structures.
    median_bar, median_error
        In eV, eV/Å or eV/Å³.
    without
        Fraction of all errors whose bar is infinite.
    """

    name: str
    unit: str
    fraction: float
    low: float
    high: float
    median_bar: float
    median_error: float
    without: float


def coverage_of_bars(
    model: TrainedModel, comparison: Comparison, dataset: Dataset
) -> list[Coverage]:
    """Return how the error bars of a model describe its errors.

    Parameters
    ----------
    model
        The ensemble. Without intervals nothing is returned.
    comparison
        Its predictions for `dataset`.
    dataset
        Labelled structures.
    """
    bars = ErrorBars.of(model)
    if bars is None:
        return []
    found: dict[str, list[tuple[NDArray, NDArray]]] = {name: [] for name in bars.names}
    per_atom = comparison.n_atoms is not None
    for s, residuals in enumerate(comparison.residuals()):
        for name, (error, bar) in _errors_and_bars(bars, dataset.atoms(s), residuals).items():
            size = comparison.n_atoms[s] if per_atom and name == "energy_error" else 1
            found[name].append((error / size, bar / size))
    units = {
        "energy_error": "meV/atom" if per_atom else "meV",
        "forces_error": "meV/Å",
        "stress_error": "meV/Å³",
    }
    return [
        _coverage(name.removesuffix("_error"), units[name], pairs)
        for name, pairs in found.items()
        if any(np.isfinite(bar).any() for _, bar in pairs)
    ]


def error_bars_of(bars: ErrorBars, atoms: Atoms, residuals: Residuals) -> dict:
    """Return the error bars of a structure by name, as `ErrorBars.make`, from the predictions of members."""
    stds = {
        "energy_std": float(committee_mean_std(residuals.energies)[1]),
        "forces_std": committee_mean_std(residuals.member_forces)[1],
    }
    if residuals.stresses is not None:
        stds["stress_std"] = committee_mean_std(residuals.stresses)[1]
    pairs = half_list(atoms.positions, bars.cutoff, atoms.cell.array, atoms.pbc)
    return bars.make(state_of(atoms), pairs, stds)


def _errors_and_bars(
    bars: ErrorBars, atoms: Atoms, residuals: Residuals
) -> dict[str, tuple[NDArray, NDArray]]:
    """Return |errors| and half-widths (K,) of the labels that a structure has."""
    made, r = error_bars_of(bars, atoms, residuals), residuals
    labelled = {
        "energy_error": (r.energies.mean(), r.energy),
        "forces_error": (r.member_forces.mean(axis=0), r.forces),
        "stress_error": (None if r.stresses is None else r.stresses.mean(axis=0), r.stress),
    }
    found = {}
    for name, (predicted, label) in labelled.items():
        if label is None or name not in made:
            continue
        error, bar = np.abs(predicted - label).ravel(), np.ravel(made[name])
        known = np.isfinite(error)  # atoms without a label have NaN
        found[name] = error[known], bar[known]
    return found


def _coverage(name: str, unit: str, pairs: list[tuple[NDArray, NDArray]]) -> Coverage:
    errors, bars = (np.concatenate(part) for part in zip(*pairs, strict=True))
    known = np.isfinite(bars)
    # (S, 2): how many are covered, how many have a bar
    counts = np.array([(((e <= b) & np.isfinite(b)).sum(), np.isfinite(b).sum()) for e, b in pairs])
    rng = np.random.default_rng(0)
    weights = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES)
    covered, all_of = (weights @ counts).T
    tail = 50 * (1 - CONFIDENCE)
    low, high = np.percentile(covered[all_of > 0] / all_of[all_of > 0], [tail, 100 - tail])
    fraction = float((errors[known] <= bars[known]).mean())
    if low == high:  # resampling knows nothing of what no structure showed
        low, high = _exact_interval(fraction, int((counts[:, 1] > 0).sum()))
    return Coverage(
        name,
        unit,
        fraction,
        float(low),
        float(high),
        float(np.median(bars[known])),
        float(np.median(errors[known])),
        float(1 - known.mean()),
    )


def _exact_interval(fraction: float, n: int) -> tuple[float, float]:
    """Return the ends of the interval (Clopper and Pearson) of a fraction that n independent errors have."""
    hits, tail = fraction * n, (1 - CONFIDENCE) / 2
    low = betaincinv(hits, n - hits + 1, tail) if hits > 0 else 0.0
    high = betaincinv(hits + 1, n - hits, 1 - tail) if hits < n else 1.0
    return float(low), float(high)

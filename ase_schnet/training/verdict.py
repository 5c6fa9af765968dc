"""The verdict on a training: errors on the kept-out part in relation to the spread of the labels.

The limits separate useless models from mediocre ones. Good ensembles are far below them, and a potential
that is linear in Gaussians of the pair distances is above (benchmarks/rmd17.md, benchmarks/defaults.md). A
model that predicts the mean energy of a composition has a ratio of 1; at 0.7 half of the variance is
explained. In large cells energies per atom are nearly equal, so good models come near to that limit: see
NEVER_BAD.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import (
    ROUNDING,
    SMALLEST_LABEL,
    energies_about_their_composition,
)

#: Largest RMSE on the kept-out part over the spread of the labels.
MAX_ERROR_OVER_SPREAD = {"energy": 0.7, "forces": 1 / 3, "stress": 0.7}
#: meV/atom, meV/Å, meV/Å³: errors that are good enough for any labels. Electronic structure codes differ by
#: more; for forces see benchmarks/rmd17.md.
NEVER_BAD = {"energy": 1.0, "forces": 10.0, "stress": 0.2}
#: Steps: 50 epochs of 760 frames of rMD17 (benchmarks/defaults.md).
FEW_STEPS = 3800
#: Validation over training loss: errors three times smaller on the own frames than on others.
OVERFITTED = 9.0
#: Error on the kept-out part over that on the folds.
UNLIKE = 3.0


@dataclass(frozen=True)
class TrainingVerdict:
    """Hold the judgement of the errors on the kept-out part.

    Attributes
    ----------
    error_over_spread
        RMSE of "energy", "forces" and "stress", if they were trained on, over the spread of their labels: of
        the energies about the mean of their composition, of the forces about zero, of the stress components
        about their means. None where the labels have no spread.
    reasons
        A line with each fault and its likely cause; empty if there is none.
    """

    error_over_spread: dict[str, float | None]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether there is no fault."""
        return not self.reasons

    def to_dict(self) -> dict:
        """Return plain types, for the card."""
        return {"passed": self.passed, **asdict(self), "reasons": list(self.reasons)}

    def __str__(self) -> str:
        ratios = ", ".join(
            f"{name} error {ratio:.2g} times the labels' spread (allowed "
            f"{MAX_ERROR_OVER_SPREAD[name]:.2g} or {NEVER_BAD[name]:g} {_SPELLED[name]})"
            for name, ratio in self.error_over_spread.items()
            if ratio is not None
        )
        outcome = "PASS" if self.passed else "FAIL: " + "; ".join(self.reasons)
        return "\n".join([*([ratios] if ratios else []), outcome])


def training_verdict(
    dataset: Dataset, metrics: dict, folds: list[dict], recipe: dict
) -> TrainingVerdict:
    """Judge an ensemble.

    Parameters
    ----------
    dataset
        All structures, those of the folds and the kept-out ones.
    metrics
        Errors of the ensemble on the kept-out part (`Comparison.metrics`).
    folds
        Entries of the members in the card (`fold_entry`).
    recipe
        As `Recipe.to_dict` returns it.
    """
    spreads, errors = label_spreads(dataset), _errors(metrics)
    ratios, bad = {}, {}
    for name, spread in spreads.items():
        if name not in errors or not recipe["loss"][name] > 0:
            continue
        ratios[name] = errors[name] / spread if spread > 0 else None
        if not errors[name] <= max(MAX_ERROR_OVER_SPREAD[name] * spread, NEVER_BAD[name]):
            bad[name] = _too_large(name, errors[name], spread)
    if ratios and not any(ratios.values()):
        alike = " and ".join(_ALIKE[name] for name in ratios)
        return TrainingVerdict(ratios, (f"{alike} in the data: there is nothing to learn",))
    reasons = list(bad.values())
    if bad:
        reasons[-1] += f" (likely {_cause(dataset, errors, metrics, folds, recipe, list(bad))})"
    return TrainingVerdict(ratios, tuple(reasons))


def _errors(metrics: dict) -> dict[str, float]:
    """Return the RMSE of each quantity in the units of `NEVER_BAD`, from metrics of ensemble or member."""
    errors = {name: metrics.get(f"{name}_rmse_{unit}") for name, unit in _UNITS.items()}
    if errors["energy"] is None and metrics.get("energy_rmse_meV") is not None:  # all of one size
        size = metrics["n_atoms"] / metrics["n_structures"]
        errors["energy"] = metrics["energy_rmse_meV"] / size
    return {name: error for name, error in errors.items() if error is not None}


_UNITS = {"energy": "meV_per_atom", "forces": "meV_per_Ang", "stress": "meV_per_Ang3"}
_SPELLED = {"energy": "meV/atom", "forces": "meV/Å", "stress": "meV/Å³"}
_SUBJECT = {"energy": "energies are", "forces": "forces are", "stress": "stresses are"}
_SPREAD = {
    "energy": "the spread within a composition",
    "forces": "the rms force",
    "stress": "the spread",
}
_ALIKE = {
    "energy": "energies are all equal",
    "forces": "forces are all zero",
    "stress": "stresses are all equal",
}


def label_spreads(dataset: Dataset) -> dict[str, float]:
    """Return the RMS of the labels about the simplest guess, in meV/atom, meV/Å and meV/Å³.

    It is zero where it is rounding, as of forces that are zero by symmetry.
    """
    found = {}
    if dataset.E is not None:
        per_atom = dataset.E / dataset.n_atoms
        spread = _rms(energies_about_their_composition(dataset) / dataset.n_atoms)
        found["energy"] = spread, ROUNDING * np.abs(per_atom).max()
    if dataset.F is not None:
        counts = slice(None) if dataset.force_mask is None else dataset.force_mask
        found["forces"] = _rms(dataset.F[counts]), SMALLEST_LABEL
    if dataset.stress is not None:
        known = dataset.stress[~np.isnan(dataset.stress[:, 0])]
        largest = np.abs(known).max(initial=0.0)
        found["stress"] = _rms(known - known.sum(axis=0) / max(len(known), 1)), ROUNDING * largest
    return {k: 1000.0 * (spread if spread > least else 0.0) for k, (spread, least) in found.items()}


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _too_large(name: str, error: float, spread: float) -> str:
    wrong = f"{_SUBJECT[name]} wrong by {error:.3g} {_SPELLED[name]} (RMSE)"
    if spread == 0:
        return f"{wrong}, although {_ALIKE[name]} in the data"
    return f"{wrong}, {error / spread:.2g} of {_SPREAD[name]} (allowed {MAX_ERROR_OVER_SPREAD[name]:.2g})"


def _cause(
    dataset: Dataset, errors: dict, metrics: dict, folds: list[dict], recipe: dict, large: list[str]
) -> str:
    """Return the likely cause of the errors in `large`: the first that applies."""
    name = large[-1]
    # of the folds that have such labels: some structures only may have a stress
    beside = float(np.median([_errors(f["validation"]).get(name, np.inf) for f in folds]))
    if errors[name] > UNLIKE * beside:
        return (
            f"the {metrics['n_structures']} kept-out structures are unlike the others, on which the error of "
            f"the members is {beside:.3g}: add more, and more varied, structures"
        )
    known = [(f["validation"]["loss"], f["history"]["training_loss"][-1]) for f in folds]
    ratio = float(np.median([validation / max(training, 1e-12) for validation, training in known]))
    n_folds, n_judging = len(recipe["folds"]), len(recipe["kept_out"])
    n_training = (len(dataset) - n_judging) * (n_folds - 1) // n_folds
    if ratio > OVERFITTED:
        return (
            f"too few structures: the errors of each member on its own {n_training} are {np.sqrt(ratio):.1f} "
            "times smaller than on others"
        )
    # logs of older trainings do not say their steps
    an_epoch = -(-n_training // recipe["settings"]["batch_size"])
    steps = int(np.median([f.get("steps", f["epochs"] * an_epoch) for f in folds]))
    if steps < FEW_STEPS:
        return (
            f"too few epochs: {steps} steps in all, fewer than {FEW_STEPS}; or labels that do not "
            "belong to their structures"
        )
    if large == ["energy"] and recipe["loss"]["forces"] > 0:
        return (
            "energies of another calculation than the forces, or an energy weight that is too small"
        )
    return (
        "labels that contradict each other or are not converged, wrong units, or a cutoff or network "
        "too small"
    )

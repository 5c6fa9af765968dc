"""Whether a training came to anything: errors on the kept-out part beside the spread of the labels.

The limits part what is useless from what is merely mediocre. Ensembles leave 1 to 3 % of rMD17's mean
|force|, ethanol's after 50 epochs 1.7 %, a member trained by Adam 3.5 %; what a potential linear in
Gaussians of the pair distances leaves, no model of a molecule, is 15 to 41 % (benchmarks/rmd17.md,
benchmarks/accuracy.md). To guess the mean energy of a composition leaves its spread, 1 within the noise of
few structures; at 0.7 half of the variance is explained. In large cells energies per atom are nearly alike,
so that good models come near to that limit: see NEVER_BAD.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import ROUNDING

#: RMSE on the kept-out part over the spread of the labels: more is a bad training.
MAX_ERROR_OVER_SPREAD = {"energy": 0.7, "forces": 1 / 3, "stress": 0.7}
#: meV/atom, meV/Å, meV/Å³: never bad, however small the labels. The forces' is the error of the ensembles
#: in benchmarks/rmd17.md, the stress's 0.03 GPa; electronic structure codes differ by more.
NEVER_BAD = {"energy": 1.0, "forces": 10.0, "stress": 0.2}
#: What 50 epochs of rMD17's 760 frames are: ethanol has 0.35 kcal/mol/Å by then, 1 % of its forces.
FEW_STEPS = 3800
#: Validation over training loss of a member that knows its own frames three times better than others.
OVERFITTED = 9.0
#: ... of a kept-out part with three times the error of the folds.
UNLIKE = 3.0


@dataclass(frozen=True)
class TrainingVerdict:
    """What the errors on the kept-out part are worth.

    error_over_spread : RMSE of "energy", "forces" and "stress", as far as they were trained on, over the
        spread of their labels: of the energies about the mean of their composition, of the forces about
        zero, of the stress components about their means. None where the labels have no spread.
    reasons : what is wrong and the likely cause, a line each; empty where nothing is.
    """

    error_over_spread: dict[str, float | None]
    reasons: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Nothing is wrong."""
        return not self.reasons

    def to_dict(self) -> dict:
        """Plain types, for the card."""
        return {"passed": self.passed, **asdict(self), "reasons": list(self.reasons)}

    def __str__(self) -> str:
        told = ", ".join(
            f"{name} error {ratio:.2g} of the labels' spread (allowed {MAX_ERROR_OVER_SPREAD[name]:.2g} or "
            f"{NEVER_BAD[name]:g} {_SPELLED[name]})"
            for name, ratio in self.error_over_spread.items()
            if ratio is not None
        )
        outcome = "PASS" if self.passed else "FAIL: " + "; ".join(self.reasons)
        return "\n".join([*([told] if told else []), outcome])


def training_verdict(
    dataset: Dataset, metrics: dict, folds: list[dict], recipe: dict
) -> TrainingVerdict:
    """Judge an ensemble.

    dataset : all structures, those of the folds and the kept-out ones.
    metrics : of the ensemble on the kept-out part (`Comparison.metrics`).
    folds : the members' entries in the card (`fold_entry`).
    recipe : as `Recipe.to_dict` gives it.
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
    """RMSE of each quantity in the units of `NEVER_BAD`, from the ensemble's metrics or a member's."""
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
    "energy": "energies are all alike",
    "forces": "forces are all zero",
    "stress": "stresses are all alike",
}


def label_spreads(dataset: Dataset) -> dict[str, float]:
    """RMS of what labels there are about the simplest guess, in meV/atom, meV/Å and meV/Å³."""
    found = {}
    if dataset.E is not None:
        spread = _rms(_energies_about_their_composition(dataset) / dataset.n_atoms)
        rounding = ROUNDING * np.abs(dataset.E / dataset.n_atoms).max()
        found["energy"] = spread if spread > rounding else 0.0
    if dataset.F is not None:
        counts = slice(None) if dataset.force_mask is None else dataset.force_mask
        found["forces"] = _rms(dataset.F[counts])
    if dataset.stress is not None:
        known = dataset.stress[~np.isnan(dataset.stress[:, 0])]
        found["stress"] = _rms(known - known.mean(axis=0)) if len(known) else 0.0
    return {name: 1000.0 * spread for name, spread in found.items()}


def _energies_about_their_composition(dataset: Dataset) -> np.ndarray:
    """(S,) eV: E less the mean of the others with its composition, or less a fit, where none has it."""
    compositions = dataset.compositions()[:, dataset.elements]
    kinds, kind, count = np.unique(compositions, axis=0, return_inverse=True, return_counts=True)
    kind = kind.ravel()
    mean = np.bincount(kind, dataset.E) / count
    n = count[kind]
    about_others = (dataset.E - mean[kind]) * n / np.maximum(n - 1, 1)
    per_atom = kinds / kinds.sum(axis=1, keepdims=True)
    fitted = np.linalg.lstsq(per_atom, mean / kinds.sum(axis=1), rcond=None)[0]
    return np.where(n > 1, about_others, dataset.E - compositions @ fitted)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def _too_large(name: str, error: float, spread: float) -> str:
    wrong = f"{_SUBJECT[name]} wrong by {error:.3g} {_SPELLED[name]} (RMSE)"
    if spread == 0:
        return f"{wrong}, though {_ALIKE[name]} in the data"
    return f"{wrong}, {error / spread:.2g} of {_SPREAD[name]} (allowed {MAX_ERROR_OVER_SPREAD[name]:.2g})"


def _cause(
    dataset: Dataset, errors: dict, metrics: dict, folds: list[dict], recipe: dict, large: list[str]
) -> str:
    """Of the errors in `large`: the first cause that applies."""
    name = large[-1]
    # of folds that have labels of it: stress may be known of some structures only
    beside = float(np.median([_errors(f["validation"]).get(name, np.inf) for f in folds]))
    if errors[name] > UNLIKE * beside:
        return (
            f"the {metrics['n_structures']} kept-out structures are unlike the others, where members are "
            f"wrong by {beside:.3g}: more, and more varied, structures"
        )
    known = [(f["validation"]["loss"], f["history"]["training_loss"][-1]) for f in folds]
    ratio = float(np.median([validation / max(training, 1e-12) for validation, training in known]))
    n_folds, n_judging = len(recipe["folds"]), len(recipe["kept_out"])
    n_training = (len(dataset) - n_judging) * (n_folds - 1) // n_folds
    if ratio > OVERFITTED:
        return (
            f"too few structures: each member knows its own {n_training} {np.sqrt(ratio):.1f} times better "
            "than others"
        )
    settings = recipe["settings"]
    steps = -(-n_training // settings["batch_size"]) * int(np.median([f["epochs"] for f in folds]))
    if steps < FEW_STEPS:
        return (
            f"too few epochs: {steps} steps in all, where {FEW_STEPS} are few; or labels that do not "
            "belong to their structures"
        )
    if large == ["energy"] and recipe["loss"]["forces"] > 0:
        return "energies of another calculation than the forces, or too small an energy weight"
    return (
        "labels that contradict each other or are not converged, wrong units, or a cutoff or network "
        "too small"
    )

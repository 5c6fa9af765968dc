"""The card of a finished model in words: the tables of the cross-validation, errors, calibration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase.units import GPa, kcal, mol

from ase_schnet.modelfile import TrainedModel
from ase_schnet.training.verdict import TrainingVerdict
from ase_schnet.uncertainty.bars import LEVEL
from ase_schnet.uncertainty.committee import ENOUGH
from ase_schnet.uncertainty.conformal import Intervals, structures_needed

if TYPE_CHECKING:
    from ase_schnet.coverage import Coverage

# factor and name of the unit that other people use, from that of a metric
OTHER_UNITS = {
    "meV": (1e-3 / (kcal / mol), "kcal/mol"),
    "meV_per_atom": (1e-3 / (kcal / mol), "kcal/mol"),
    "meV_per_Ang": (1e-3 / (kcal / mol), "kcal/mol/Å"),
    "meV_per_Ang3": (1e-3 / GPa, "GPa"),
}


def fold_table(model: TrainedModel) -> str:
    """Return the table of the validation loss of each fold over its structures (docs/sources.md)."""
    lines = [
        "Validation loss per structure, by fold",
        f"{'fold':>4} {'min':>10} {'max':>10} {'mean':>10} {'std':>10}  epoch",
    ]
    for k, row in enumerate(model.card["folds"]):
        numbers = " ".join(f"{row['loss_' + c]:10.3g}" for c in ("min", "max", "mean", "std"))
        lines.append(f"{k + 1:>4} {numbers}  {row['epoch']:>5}/{row['epochs']}")
    return "\n".join(lines)


def fold_notes(model: TrainedModel) -> list[str]:
    """Return a line for every fold that recovered from divergence or was trained twice."""
    notes = []
    for k, row in enumerate(model.card["folds"], start=1):
        notes += [
            f"fold {k}, seed {attempt['seed']}: {_recovered(attempt['recoveries'])}"
            for attempt in row.get("attempts", [row])
            if attempt.get("recoveries")
        ]
        if "attempts" in row:
            notes.append(f"fold {k} {_again(row)}")
    return notes


def _recovered(epochs: list[int]) -> str:
    listed = ", ".join(map(str, epochs))
    return (
        f"epoch{'s' * (len(epochs) > 1)} {listed} diverged and went back; from then on "
        f"{0.5 ** len(epochs):g} of the learning rate"
    )


def _again(row: dict) -> str:
    """Return both attempts of a fold in words, and why there were two."""
    first, second = row["attempts"]
    ends = [
        f"seed {a['seed']} " + ("diverged" if a["diverged"] else f"{a['loss_median']:.3g}")
        for a in (first, second)
    ]
    why = (
        "diverged"
        if first["diverged"]
        else f"ended {row['times_worse']:.1f} times worse than the others"
    )
    return (
        f"{why} and was trained again with another seed. Median validation loss: {ends[0]}, {ends[1]}; "
        f"that of seed {row['seed']} is kept"
    )


def spread_table(model: TrainedModel) -> str:
    """Return the table of the std of the ensemble on the kept-out part (docs/sources.md)."""
    lines = [
        f"Ensemble std on the {model.card['kept_out']['n_structures']} kept-out structures",
        f"{'':<10} {'min':>10} {'max':>10} {'mean':>10}",
    ]
    for name, row in model.card["kept_out_std"].items():
        quantity, unit = name.rsplit("_eV", 1)
        unit = "meV" + unit.replace("_per_Ang3", "/Å³").replace("_per_Ang", "/Å")
        numbers = " ".join(f"{1000 * row[c]:10.2f}" for c in ("min", "max", "mean"))
        lines.append(f"{quantity:<10} {numbers}  {unit}")
    return "\n".join(lines)


def error_lines(metrics: dict) -> list[str]:
    """Return a line for each error with unit, normalisation and number of values."""
    n = metrics["n_structures"]
    n_forces = metrics.get("n_forces", 3 * metrics["n_atoms"])  # older cards do not say it
    rows = (
        ("energy", "meV", "meV per structure", f"{n} structures"),
        ("energy", "meV_per_atom", "meV per atom", f"{n} structures"),
        ("forces", "meV_per_Ang", "meV/Å per component", f"{n_forces} components"),
        (
            "stress",
            "meV_per_Ang3",
            "meV/Å³ per component",
            f"{6 * metrics.get('n_stress', 0)} components",
        ),
    )
    return [_error_line(metrics, *row) for row in rows if f"{row[0]}_mae_{row[1]}" in metrics]


def _error_line(metrics: dict, name: str, unit: str, label: str, n: str) -> str:
    mae, rmse = metrics[f"{name}_mae_{unit}"], metrics[f"{name}_rmse_{unit}"]
    factor, other = OTHER_UNITS[unit]
    return (
        f"{name:<7} MAE {mae:.2f} {label} ({mae * factor:.3f} {other}), RMSE {rmse:.2f}; "
        f"one member alone {metrics[f'{name}_mae_of_a_member_{unit}']:.2f}; n = {n}"
    )


def calibration_lines(calibration: dict[str, dict], metrics: dict) -> list[str]:
    """Return a line for the calibration of each quantity, or for why its std was not judged."""
    lines = [
        f"{name.replace('_', ' '):<16} Spearman ρ(std, |error|) {c['spearman']:.2f}, "
        f"error/std {c['scale']:.2f}, miscalibration area {c['miscalibration_area_raw']:.3f} "
        f"(scaled: {c['miscalibration_area']:.3f}), n = {c['n']}"
        for name, c in calibration.items()
    ]
    known = {name.split("_mae_")[0] for name in metrics if "_mae_" in name}
    left_out = [name for name in ("energy", "forces", "stress") if name in known - set(calibration)]
    return lines + [
        f"{name:<16} std not judged: fewer than {ENOUGH} predictions with a std, or all are equal"
        for name in left_out
    ]


def interval_lines(card: dict) -> list[str]:
    """Return what the error bars of a model rest on, or that it has none."""
    known = card.get("intervals")
    if not known:
        needed = structures_needed(LEVEL)
        few = card.get("kept_out", {}).get("n_structures", needed) < needed
        return [
            "error bars       none: ase-schnet calibrate MODEL DATA fits them to labelled structures that no "
            f"member saw, at least {needed}"
            + ("; or train again with a larger --kept-out" if few else "")
        ]
    intervals = Intervals.from_dict(known)
    names = ("energy", "forces", "stress")
    of = ", ".join(name for name in names if getattr(intervals, name))
    atoms = f", {intervals.n_atoms} atoms" if intervals.n_atoms else ""
    return [
        f"error bars       of {of} cover {100 * intervals.level:.4g} % of the errors: from "
        f"{intervals.n_structures} structures{atoms} that no member saw"
    ]


def coverage_lines(covered: list[Coverage], level: float) -> list[str]:
    """Return for each quantity how many errors its error bars cover, and how wide they are.

    Parameters
    ----------
    covered
        What the error bars did on labelled structures.
    level
        Probability that they state.
    """
    return [
        f"{c.name:<7} {100 * c.fraction:.1f} % of the errors within the {100 * level:.4g} % bars "
        f"({100 * c.low:.1f} to {100 * c.high:.1f}); median bar ±{1000 * c.median_bar:.3g} {c.unit}, median "
        f"error {1000 * c.median_error:.3g}"
        + (f"; {100 * c.without:.1f} % have none: unlike all training" if c.without else "")
        for c in covered
    ]


def _judged(model: TrainedModel) -> list[str]:
    if model.n_members < 2:
        return []
    return calibration_lines(model.card.get("calibration", {}), model.card["kept_out"])


def verdict_of(card: dict) -> TrainingVerdict | None:
    """Return the verdict of a training from its card; None for cards of earlier versions."""
    if "verdict" not in card:
        return None
    return TrainingVerdict(card["verdict"]["error_over_spread"], tuple(card["verdict"]["reasons"]))


def _without_energies(card: dict) -> list[str]:
    """Return what the energies of a model rest on that was trained without energies."""
    if card.get("training", {}).get("loss", {}).get("energy") != 0:
        return []
    if any(fold.get("offsets_fitted") for fold in card.get("folds", [])):
        rest = "their constant was fitted to those of the training part of each member afterwards"
    else:
        rest = "only differences between structures of one composition mean anything"
    return [f"note: trained without energies; {rest}"]


def training_summary(model: TrainedModel) -> str:
    """Return the text that a training prints at its end: tables, errors, calibration, length, verdict.

    Parameters
    ----------
    model
        A model of this package; of a card from elsewhere, the tables that it has are returned.
    """
    card = model.card
    parts = []
    if "folds" in card:
        parts.append("\n".join([fold_table(model), *fold_notes(model)]))
    parts += [spread_table(model)] if "kept_out_std" in card else []
    if "kept_out" in card:
        lines = error_lines(card["kept_out"]) + _judged(model)
        parts.append("\n".join(["Ensemble on the kept-out part", *lines]))
    if model.n_members > 1:
        parts.append("\n".join(interval_lines(card)))
    free = card.get("training", {}).get("species_shifts_undetermined")
    if free:
        parts.append(
            f"note: the compositions leave {free} of {len(model.elements)} species' energies "
            "undetermined; only their sum over a structure is meaningful"
        )
    parts += _without_energies(card)
    if "training_length" in card:
        parts.append(card["training_length"]["words"])
    if verdict := verdict_of(card):
        parts.append(str(verdict))
    return "\n\n".join(parts)

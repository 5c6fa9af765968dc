"""A finished model's card in words: the tables of the cross-validation, errors, calibration."""

from __future__ import annotations

from ase_schnet.modelfile import TrainedModel

KCAL_PER_MOL = 43.3641  # meV


def fold_table(model: TrainedModel) -> str:
    """Table 3 of the implementation report: validation loss of each fold over its structures."""
    lines = [
        "Validation loss per structure, by fold",
        f"{'fold':>4} {'min':>10} {'max':>10} {'mean':>10} {'std':>10}  epoch",
    ]
    for k, row in enumerate(model.card["folds"]):
        numbers = " ".join(f"{row['loss_' + c]:10.3g}" for c in ("min", "max", "mean", "std"))
        lines.append(f"{k + 1:>4} {numbers}  {row['epoch']:>5}/{row['epochs']}")
    return "\n".join(lines)


def spread_table(model: TrainedModel) -> str:
    """Table 4 of the implementation report: std of the ensemble on the kept-out part."""
    lines = [
        f"Ensemble std on the {model.card['kept_out']['n_structures']} kept-out structures",
        f"{'':<10} {'min':>10} {'max':>10} {'mean':>10}",
    ]
    for name, row in model.card["kept_out_std"].items():
        quantity, unit = name.rsplit("_eV", 1)
        unit = "meV" + unit.replace("_per_Ang", "/Å")
        numbers = " ".join(f"{1000 * row[c]:10.2f}" for c in ("min", "max", "mean"))
        lines.append(f"{quantity:<10} {numbers}  {unit}")
    return "\n".join(lines)


def error_lines(metrics: dict) -> list[str]:
    """Errors with unit, normalisation and number of values."""
    lines = []
    n, atoms = metrics["n_structures"], metrics["n_atoms"]
    for name, unit, label, each in (
        ("energy", "meV", "meV per structure", f"{n} structures"),
        ("forces", "meV_per_Ang", "meV/Å per component", f"{3 * atoms} components"),
    ):
        mae = metrics.get(f"{name}_mae_{unit}")
        if mae is None:
            continue
        kcal = "kcal/mol" if name == "energy" else "kcal/mol/Å"
        lines.append(
            f"{name:<7} MAE {mae:.2f} {label} ({mae / KCAL_PER_MOL:.3f} {kcal}), "
            f"RMSE {metrics[f'{name}_rmse_{unit}']:.2f}; "
            f"one member alone {metrics[f'{name}_mae_of_a_member_{unit}']:.2f}; n = {each}"
        )
    return lines


def calibration_lines(calibration: dict[str, dict]) -> list[str]:
    """How far the ensemble std may be believed."""
    return [
        f"{name.replace('_', ' '):<16} Spearman ρ(std, |error|) {c['spearman']:.2f}, "
        f"error/std {c['scale']:.2f}, miscalibration area {c['miscalibration_area_raw']:.3f} "
        f"(scaled: {c['miscalibration_area']:.3f}), n = {c['n']}"
        for name, c in calibration.items()
    ]


def summary(model: TrainedModel) -> str:
    """Everything a training prints at its end."""
    card = model.card
    parts = [
        fold_table(model),
        "",
        spread_table(model),
        "",
        "Ensemble on the kept-out part",
        *error_lines(card["kept_out"]),
        *calibration_lines(card["calibration"]),
    ]
    free = card["training"]["species_shifts_undetermined"]
    if free:
        parts += [
            "",
            f"note: the compositions leave {free} of {len(model.elements)} species' energies "
            "undetermined; only their sum over a structure is meaningful",
        ]
    return "\n".join(parts)

"""What the card of a converted model says, in words."""

from __future__ import annotations

from ase_schnet.training.report import error_lines

#: Energies whose median difference from the labels is so many times their error beside it have another zero.
OTHER_ZERO = 10.0


def label_lines(converted: dict) -> list[str]:
    """Return a line for each error of the labels that the model was held against at its conversion.

    Where all energies are off by one number, as those of atoms are between methods, it is said so.
    """
    metrics = converted.get("labels")
    if metrics is None:
        return ["labels      none: the model was not held against labelled structures"]
    fits = ", ".join(
        f"{name} {metrics[f'{name}_correlation']:.4f}"
        for name in ("energy", "forces")
        if f"{name}_correlation" in metrics
    )
    lines = error_lines(metrics)
    if "energy_offset" in metrics:
        unit, offset = metrics["energy_unit"], metrics["energy_offset"]
        mae = metrics["energy_mae_without_offset"]
        if abs(offset) > OTHER_ZERO * mae:  # the error is nothing but another zero
            lines = [line for line in lines if not line.startswith("energy ")]
        lines.insert(
            0,
            f"energy  MAE {mae:.2f} {unit} without the median difference from the labels, "
            f"{offset:+.2f} {unit}",
        )
    source = f"labels of {metrics['source']}"
    return [
        *lines,
        f"correlation with the {source}: {fits}" if fits else f"{source}: all are equal",
    ]

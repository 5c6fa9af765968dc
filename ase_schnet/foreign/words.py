"""What the card of a converted model says, in words."""

from __future__ import annotations

from ase_schnet.training.report import error_lines


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
        unit = metrics["energy_unit"]
        lines.append(
            f"energies are {metrics['energy_offset']:+.2f} {unit} from the labels in the median; without "
            f"that MAE {metrics['energy_mae_without_offset']:.2f} {unit}"
        )
    return [*lines, f"correlation with the labels of {metrics['source']}: {fits}"]


def check_line(converted: dict) -> str:
    """Return what is known of the network's own package's answers."""
    checked = converted["checked"]
    if checked is None:
        return "checked     not checked against its maker (--check-with PYTHON)"
    return (
        f"checked     against {checked['with']}: {checked['n_structures']} structures, within "
        f"{checked['energy_max_difference_eV']:.0e} eV, "
        f"{checked['forces_max_difference_eV_per_Ang']:.0e} eV/Å in {checked['dtype']}"
    )


def origin_lines(converted: dict) -> list[str]:
    """Return the lines of ``ase-schnet info`` on where a converted model is from."""
    files = ", ".join(
        f"{file['name']} (sha256 {file['sha256'][:12]}…"
        f"{'' if file['has_checksums'] else '; unverified: its container has no checksums'})"
        for file in converted["files"]
    )
    return [
        f"converted   {converted['finished']} from {converted['origin']}, {converted['units']}: {files}",
        check_line(converted),
        *(f"note        {remark}" for remark in converted["remarks"]),
    ]

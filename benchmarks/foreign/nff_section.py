"""The section of foreign.md on NeuralForceField's ethanol model, from what `nff_ethanol.py` measured."""

from __future__ import annotations

import textwrap

STATISTICS = ("correlation", "slope", "mae")


def nff_section(r: dict) -> str:
    """Return what was measured as Markdown."""
    paragraphs = (textwrap.fill(text, 118) for text in (method(r), reading(r)))
    first, last = paragraphs
    heading = "## NeuralForceField's ethanol model"
    return "\n".join(["", heading, "", first, "", *table(r), "", last, ""])


def table(r: dict) -> list[str]:
    """Return the rows of the table."""
    rows = {
        "all 1000 frames": r["all"],
        f"the first {r['first']['n']} frames": r["first"],
        **{f"messages × {times}": r["times"][times] for times in sorted(r["times"], key=float)},
        **{f"pairs below {cutoff} Å only": row for cutoff, row in r["cutoffs"].items()},
        "other labels: MD17, PBE+TS, 1000 frames": r["PBE+TS"],
    }
    lines = [
        "| frames or variant | energies: correlation | slope | MAE | forces: correlation | slope | MAE |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        cells = [f"{row[q][key]:.3f}" for q in ("energy", "forces") for key in STATISTICS]
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return lines


def method(r: dict) -> str:
    """Say what was done, and how far the converted model is from the plain function."""
    network, compiled = r["converted"]["network"], r["converted"]["compiled"]
    return (
        "`tutorials/models/cco_1`, against the 1000 CCSD(T)/cc-pVTZ frames of its tutorial. The package is "
        "not on PyPI; `nff_plain.py` is its function again in plain torch, written from the description of "
        "the layout, without our pair lists, tables and networks. Over all frames the converted model "
        f"differs from it by {network['energy_eV']:.1e} eV and {network['forces_eV_per_Ang']:.1e} eV/Å (our "
        f"network), {compiled['energy_eV']:.1e} eV and {compiled['forces_eV_per_Ang']:.1e} eV/Å (compiled "
        "engine). Correlation with the labels, slope of predicted over labelled, MAE in kcal/mol and "
        "kcal/mol/Å, a constant offset of the energies removed. `python -m benchmarks.foreign.nff_ethanol`"
    )


def reading(r: dict) -> str:
    """Say what the figures mean."""
    draws, forces, energy = (
        r["draws"],
        r["all"]["forces"]["correlation"],
        r["all"]["energy"]["correlation"],
    )
    share = 100 * draws["share_above_0.975"]
    return (
        f"Forces correlate by {forces:.3f}, energies by {energy:.3f}. The correlation of 0.976 (0.86 with "
        "messages counted once, MAE 0.84 kcal/mol) that whoever collected the data noted is that of the "
        f"energies of the first {r['first']['n']} frames. Which frames the authors trained on is not "
        "recorded: their tutorial splits 600 : 200 : 200 without a seed. Of random draws of 200 frames, 95 % "
        f"have {draws['low']:.3f} to {draws['high']:.3f}, and {share:.0f} % have 0.975 or more. No pair is "
        f"longer than {r['largest_distance_Ang']:.2f} Å, so neither the cutoff of 5 Å nor the missing cutoff "
        "function matters; messages counted twice have the smallest errors; labels of another method fit "
        "worse. What is left is the model's own error. It was trained with dropout of 0.2, as its file says, "
        "and both slopes are below 1."
    )

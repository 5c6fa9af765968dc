"""The section of foreign.md on ln 2 in float32, from what `ln2.py` measured."""

from __future__ import annotations

import textwrap

TEXT = (
    "graph-pes and PyTorch Geometric subtract ln 2 from the softplus as float32 has it, 1.9e-9 more than "
    "ln 2, also after a cast to float64. With that constant our network (of torch, float64) gives their "
    "energies to the last digits, so it is all of the difference. Most of it is one constant for each atom: "
    "the third column has it removed. `python -m benchmarks.foreign.ln2 --python PYTHON`"
)


def ln2_section(found: dict) -> str:
    """Return what was measured as Markdown."""
    lines = [
        *("", "## ln 2 in float32", "", textwrap.fill(TEXT, 118), ""),
        "| model | structures × atoms | energy, eV | constant removed | forces, eV/Å "
        "| with their ln 2: energy | forces |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, r in found.items():
        ours, theirs = r["ln 2"], r["ln 2 in float32"]
        values = [
            *(ours["energy_eV"], ours["energy_without_constant_eV"], ours["forces_eV_per_Ang"]),
            *(theirs["energy_eV"], theirs["forces_eV_per_Ang"]),
        ]
        cells = [kind, f"{r['n_structures']} × {r['n_atoms']}", *(f"{x:.1e}" for x in values)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"

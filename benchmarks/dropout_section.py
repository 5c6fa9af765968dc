"""What `benchmarks.dropout` found, as a section of uncertainty.md."""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).resolve().parent
STORE, TARGET = HERE / "dropout.json", HERE / "uncertainty.md"
TITLE = "## Monte Carlo dropout beside an ensemble"


def section(store: Path = STORE) -> str:
    """The section; empty where nothing was measured."""
    if not store.exists():
        return ""
    found = json.loads(store.read_text())
    alone = ", ".join(f"{name} {error:.1f}" for name, error in found["one_network"].items())
    lines = [
        TITLE,
        "",
        "Written by `python -m benchmarks.dropout`. One network of preset fast that was trained with dropout",
        f"({found['epochs']} epochs, 760 frames), with other hidden units left out in each evaluation "
        "(`dropout_samples`;",
        '"by atom": in each atom anew, as in training), beside five networks that were trained apart',
        "(tests/models/ethanol_narrow). std and error as above; calibrated on the same 50 kept-out frames.",
        f"Force MAE on the test set of one network with all its units, meV/Å: {alone}.",
        "",
        "| error bar from | evaluations | force MAE of the mean, meV/Å | std × | error / std, fifths 1 to 5 "
        "| Spearman | AUROC O–H beyond 1.3 Å: energy, force | AUROC 1500 K: energy, force |",
        "|---|---:|---:|---:|---|---:|---|---|",
    ]
    for way in found["ways"]:
        areas = [
            ", ".join(f"{way['auroc'][name][of]:.3f}" for of in ("energy", "forces"))
            for name in ("stretched", "hot")
        ]
        cells = [
            way["name"],
            str(way["evaluations"]),
            f"{way['forces_mae_meV_per_Ang']:.1f}",
            f"{way['scale']:.2f}",
            " ".join(f"{f:.2f}" for f in way["fifths"]),
            f"{way['spearman']:.2f}",
            *areas,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, "", *which_is_better(found["ways"])]) + "\n"


#: What is compared, how it reads, and whether more is better.
MEASURES = {
    "force MAE of the mean, meV/Å": (lambda w: w["forces_mae_meV_per_Ang"], ".1f", False),
    "largest |error / std − 1| of a fifth": (
        lambda w: max(abs(fifth - 1.0) for fifth in w["fifths"]),
        ".2f",
        False,
    ),
    "Spearman": (lambda w: w["spearman"], ".2f", True),
    "AUROC O–H, force": (lambda w: w["auroc"]["stretched"]["forces"], ".3f", True),
    "AUROC 1500 K, force": (lambda w: w["auroc"]["hot"]["forces"], ".3f", True),
}


def which_is_better(ways: list[dict]) -> list[str]:
    """A line for each measure, ensemble against the best of dropout, and how many the ensemble wins."""
    ensemble = next(way for way in ways if way["name"] == "ensemble")
    others = [way for way in ways if way is not ensemble]
    lines, won = [], 0
    for name, (measure, digits, more) in MEASURES.items():
        best = (max if more else min)(others, key=measure)
        ours, theirs = measure(ensemble), measure(best)
        won += ours > theirs if more else ours < theirs
        called = f"{best['name']}, {best['evaluations']} evaluations"
        lines.append(f"- {name}: ensemble {ours:{digits}}, dropout {theirs:{digits}} ({called})")
    lines += [
        "",
        f"The ensemble is better in {won} of {len(MEASURES)}, against the best of dropout in each.",
    ]
    return lines


def placed(text: str, new: str, title: str = TITLE) -> str:
    """Return `text` with its section of that title replaced by `new`, or with `new` at its end."""
    start = text.find(title)
    if start < 0:
        return f"{text.rstrip()}\n\n{new}"
    end = text.find("\n## ", start)
    rest = "" if end < 0 else text[end:]
    return text[:start] + new.rstrip() + "\n" + rest


def write_section() -> Path:
    """Put the section into uncertainty.md; return its path."""
    TARGET.write_text(placed(TARGET.read_text(), section()))
    return TARGET

"""A learning judged from outside: `python -m benchmarks.learning DIR STRUCTURE`.

DIR is what `ase-schnet learn STRUCTURE -o DIR` made. Structures of the reference's own dynamics, which no
part of the learning saw, are labelled by the reference, and the model of the end is held against them:
errors, and how many lie within its error bars. Prints what learning.md keeps.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from pathlib import Path

from ase_schnet import (
    SamplingPlan,
    label_structures,
    load_model,
    read_reference,
    sample_structures,
)
from ase_schnet.coverage import coverage_of_bars
from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.structures.single import read_structure

#: Runs of 5 ps with a frame each 100 fs: Langevin, 0.01/fs; another seed than any learning has by default.
RUN = {"frames_per_run": 50, "interval": 200, "friction_per_fs": 0.01}
SEED = 99


def fresh(structure: str, reference_text: str, kelvin: float, n: int, path: Path, jobs: int | None):
    """Return structures of the reference's own runs with its labels; a stopped call goes on."""
    reference = read_reference(reference_text)
    plan = SamplingPlan(shares={"md": 1.0}, temperatures_K=(kelvin,), **RUN)
    start = read_structure(structure).atoms
    frames = sample_structures(
        [start], reference, n, plan=plan, seed=SEED, jobs=jobs, directory=path.with_suffix(".parts")
    )
    return label_structures(frames, reference, path, jobs=jobs).frames


def main(argv: list[str] | None = None) -> int:
    """Label, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("structure", metavar="STRUCTURE")
    parser.add_argument("--temperature", type=float, default=500.0)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--labels", type=Path, default=Path("fresh.extxyz"))
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args(argv)
    asked = json.loads((options.directory / "learn.json").read_text())
    kelvin = options.temperature
    frames = fresh(
        options.structure, asked["reference"], kelvin, options.n, options.labels, options.jobs
    )
    model = load_model(options.directory)
    data = Dataset.from_atoms(frames)
    found = compare(Ensemble(model), data)
    metrics = found.metrics()
    with (options.directory / "rounds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    print(f"\n{asked['reference']}, {kelvin:g} K, {len(frames)} fresh structures\n")
    print("| round | given to the reference | forces of the model before, meV/Å | whole runs |")
    print("|---:|---:|---:|---:|")
    for row in rows:
        mae = float(row["forces_mae_meV_per_Ang"])
        print(
            f"| {row['round']} | {row['calls']} | {mae:.1f} | {row['runs_whole']}/{row['runs']} |"
        )
    print(f"\nThe model of the end: {metrics['forces_mae_meV_per_Ang']:.1f} meV/Å and", end=" ")
    print(f"{metrics['energy_mae_meV']:.1f} meV on the fresh structures.")
    for bar in coverage_of_bars(model, found, data):
        print(
            f"Error bars of 90 %, {bar.name}: {100 * bar.fraction:.0f} % ({100 * bar.low:.0f} to "
            f"{100 * bar.high:.0f}) of the errors are within them, {bar.median_bar / bar.median_error:.1f} "
            "times the median error; "
            f"{100 * bar.without:.0f} % have none."
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

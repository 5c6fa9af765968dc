"""A learning judged from outside: `python -m benchmarks.learning DIR STRUCTURE`.

DIR is what `ase-schnet learn STRUCTURE -o DIR` made. Structures of the reference's own dynamics (with --own
of the model's), which no part of the learning saw, are labelled by the reference, and the model of the end is
held against them: errors, how many lie within its error bars, and its speed beside that of the reference,
one after the other. Prints what learning.md keeps.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet import (
    SamplingPlan,
    SchNetCalculator,
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


#: Structures that both evaluate in turns, to compare their speed; of energies and forces.
TIMED = 20


def fresh(structure: str, mover: str, reference_text: str, kelvin: float, n: int, path: Path, jobs):
    """Return structures of runs by `mover` with the reference's labels; a stopped call goes on."""
    plan = SamplingPlan(shares={"md": 1.0}, temperatures_K=(kelvin,), **RUN)
    start, reference = read_structure(structure).atoms, read_reference(reference_text)
    frames = sample_structures(
        [start],
        read_reference(mover),
        n,
        plan=plan,
        seed=SEED,
        jobs=jobs,
        directory=path.with_suffix(".parts"),
    )
    return label_structures(frames, reference, path, jobs=jobs).frames


def seconds(calculators: list, frames: list[Atoms]) -> list[float]:
    """Return the median time, s, that each calculator takes for energy and forces, in turns."""
    taken = np.empty((len(frames), len(calculators)))
    for k, atoms in enumerate(frames):
        for j, calculator in enumerate(calculators):
            copy = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
            copy.calc = calculator
            began = time.perf_counter()
            copy.get_forces()
            taken[k, j] = time.perf_counter() - began
    return np.median(taken[1:], axis=0).tolist()


def main(argv: list[str] | None = None) -> int:
    """Label, compare, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learning", description=__doc__)
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("structure", metavar="STRUCTURE")
    parser.add_argument("--temperature", type=float, default=500.0)
    parser.add_argument("-n", type=int, default=200)
    parser.add_argument("--labels", type=Path, default=Path("fresh.extxyz"))
    parser.add_argument("--own", action="store_true", help="structures of the model's own runs")
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args(argv)
    asked = json.loads((options.directory / "learn.json").read_text())
    kelvin = options.temperature
    reference, mover = asked["reference"], asked["reference"]
    if options.own:
        mover = str(options.directory)
    frames = fresh(
        options.structure, mover, reference, kelvin, options.n, options.labels, options.jobs
    )
    model = load_model(options.directory)
    data = Dataset.from_atoms(frames)
    found = compare(Ensemble(model), data)
    metrics = found.metrics()
    with (options.directory / "rounds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    weights = hashlib.sha256((options.directory / "weights.safetensors").read_bytes()).hexdigest()
    whose = "its own runs" if options.own else "runs of the reference"
    print(
        f"\n{reference}, {kelvin:g} K, {len(frames)} fresh structures of {whose}; weights {weights[:12]}\n"
    )
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
    calculators = [
        SchNetCalculator(options.directory, threads=1),
        read_reference(reference).calculator(),
    ]
    ours, theirs = seconds(calculators, frames[: TIMED + 1])
    print(f"Energy and forces: {1e3 * ours:.3g} ms, by the reference {1e3 * theirs:.3g}", end="")
    print(f" ms: {theirs / ours:.0f} times as long.")
    return 0


if __name__ == "__main__":
    sys.exit(main())

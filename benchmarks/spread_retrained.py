"""Propagated bars of an O–H bond over retrainings: `python -m benchmarks.spread_retrained MODEL_DIR ...`.

For each model of ethanol, `spread` gives the energy at 1.3 Å above that at rest, which training (to 1.09 Å)
has not seen, with its 90 % bar; beside it the same of PBE/def2-SVP. Ten trainings with other seeds, and so
other folds, frames and weights:

    for k in $(seq 10); do
        ase-schnet train ../shared/data/rmd17-npz/rmd17_ethanol_train_01.npz -o e$k --epochs 60 --seed $k
    done
    python -m benchmarks.spread_retrained e[0-9]*

Writes spread_retrained.md.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path

import numpy as np
from ase.calculators.calculator import BaseCalculator
from ase.io import read
from scipy.interpolate import CubicSpline

from ase_schnet import spread

HERE = Path(__file__).resolve().parent
REFERENCE = HERE.parent / "md_examples/ethanol_oh_scan_pbe_def2svp.xyz"
OXYGEN, HYDROGEN = 2, 8
DISTANCES = (1.05, 1.15, 1.2, 1.3, 1.4)
HEAD = """# Propagated bars over retrainings

Written by `python -m benchmarks.spread_retrained`; do not edit. Energy of ethanol with the O–H bond at a
distance, above that at rest, by `spread`: error against PBE/def2-SVP and 90 % bar of each of {n} models that
were trained alike with other seeds (`--epochs 60`), without pretraining. Training ends at 1.09 Å.

| O–H, Å | PBE, eV | within the bar | rms error, meV | median bar, meV | median std, meV |
|---:|---:|---:|---:|---:|---:|
"""


def main(argv: list[str] | None = None) -> int:
    """Compute, print and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.spread_retrained")
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL_DIR")
    models = parser.parse_args(argv).models
    frames = read(REFERENCE, ":")
    curve = CubicSpline(
        [a.get_distance(OXYGEN, HYDROGEN) for a in frames],
        [a.get_potential_energy() for a in frames],
    )
    rest = min(frames, key=lambda a: a.get_potential_energy())
    at_rest = rest.get_distance(OXYGEN, HYDROGEN)

    def heights(calculator: BaseCalculator) -> np.ndarray:
        energies = []
        for distance in (at_rest, *DISTANCES):
            atoms = rest.copy()
            atoms.set_distance(OXYGEN, HYDROGEN, distance, fix=0)
            atoms.calc = calculator
            energies.append(atoms.get_potential_energy())
        return np.array(energies[1:]) - energies[0]

    true = curve(np.array(DISTANCES)) - curve(at_rest)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "outside what")  # which is the point
        found = [spread(heights, model, progress=False) for model in models]
    errors = np.array([s.value - true for s in found])
    bars, stds = np.array([s.half_width for s in found]), np.array([s.std for s in found])
    lines = [
        f"| {r:.2f} | {true[k]:.3f} | {(abs(errors[:, k]) <= bars[:, k]).sum()} of {len(found)} | "
        f"{1000 * np.sqrt((errors[:, k] ** 2).mean()):.1f} | {1000 * np.median(bars[:, k]):.1f} | "
        f"{1000 * np.median(stds[:, k]):.1f} |"
        for k, r in enumerate(DISTANCES)
    ]
    text = HEAD.format(n=len(found)) + "\n".join(lines) + "\n"
    (HERE / "spread_retrained.md").write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""How much of what models/silicon gets wrong in the crystal at 300 K is a harmonic force, and of what range?

    python -m benchmarks.silicon_harmonic DATA_DIR        prints the table of benchmarks/silicon.md

Force constants between an atom and the 64 of its cell, with the symmetry of its site, are fitted to what the
model leaves of the forces of the 18 training frames; printed is what they leave of those of the two test
frames, in rms.
"""

from __future__ import annotations

import itertools
import runpy
import sys
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet import load_model
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.evaluation import compare
from ase_schnet.inference.engine import open_engine

RANGES = (2.5, 4.0, 5.0, 6.0, 7.0, 20.0)  # Å
QUARTERS = 8  # of a lattice constant, along an edge of the cell of 2 × 2 × 2
GROUP = "normal structure at 300 K"


def frames_of(data: Path, part: str) -> list[Atoms]:
    """The frames of the crystal at 300 K."""
    correction = runpy.run_path(
        str(Path(__file__).parent.parent / "md_examples" / "silicon_data.py")
    )
    frames = read_labelled(data / "mlearn" / f"Si_{part}.extxyz.gz", "eV")[0]
    return [a for a in correction["put_right"](frames) if GROUP in a.info["description"]]


class Lattice:
    """The sites of the crystal, in quarters of the lattice constant, and the symmetry about a site."""

    def __init__(self, frames: list[Atoms]):
        self.edge = frames[0].cell.lengths()[0]
        positions = np.array([a.get_positions() for a in frames])
        mean = positions[0] + self._least(positions - positions[0]).mean(axis=0)
        quarter = self.edge / QUARTERS
        numbers = np.round((mean - mean[0]) / quarter).astype(int)
        self.sites = numbers * quarter
        self.sites = self.sites + (mean - self.sites).mean(axis=0)
        first = numbers % QUARTERS
        self.other = first[:, 0] % 2  # the sublattice
        self.vectors = [tuple(v) for v in first]
        place = {v: k for k, v in enumerate(self.vectors)}
        # about an atom of the other sublattice everything is inverted
        sign = 1 - 2 * self.other
        self.place = np.array(
            [
                [place[tuple(v)] for v in sign[i] * (first - first[i]) % QUARTERS]
                for i in range(len(first))
            ]
        )
        self.sign = sign
        centred = np.array(self.vectors)
        centred = np.where(centred > QUARTERS // 2, centred - QUARTERS, centred)
        self.distances = np.linalg.norm(centred, axis=1) * quarter
        nearest = {self.vectors[k] for k in np.argsort(self.distances)[1:5]}
        signed = (
            np.eye(3, dtype=int)[list(p)] * np.array(s)[:, None]
            for p in itertools.permutations(range(3))
            for s in itertools.product((1, -1), repeat=3)
        )
        self.operations = [
            (m, [place[tuple(m @ np.array(v) % QUARTERS)] for v in self.vectors])
            for m in signed
            if {tuple(m @ np.array(v) % QUARTERS) for v in nearest} == nearest
        ]

    def _least(self, moved: np.ndarray) -> np.ndarray:
        return moved - self.edge * np.round(moved / self.edge)

    def displacements(self, frames: list[Atoms]) -> np.ndarray:
        """Displacements (S, 64, 3) in Å."""
        moved = self._least(np.array([a.get_positions() for a in frames]) - self.sites)
        return moved - moved.mean(axis=1, keepdims=True)

    def rows(self, moved: np.ndarray, forces: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Displacements about each atom and its force, turned by the first `n` operations."""
        columns, values = [], []
        for u, f in zip(moved, forces, strict=True):
            for i, places in enumerate(self.place):
                about = np.empty_like(u)
                about[places] = self.sign[i] * u
                for turn, order in self.operations[:n]:
                    turned = np.empty_like(u)
                    turned[order] = about @ turn.T
                    columns.append(turned.ravel())
                    values.append(turn @ (self.sign[i] * f[i]))
        return np.array(columns), np.array(values)


def main(data: str) -> None:
    """Fit and print."""
    engine = open_engine(load_model("silicon"))
    parts = {part: frames_of(Path(data), part) for part in ("training", "test")}
    lattice = Lattice(parts["training"])
    rows = {}
    for part, frames in parts.items():
        labels = np.array([a.get_forces() for a in frames])
        predicted = compare(engine, Dataset.from_atoms(frames)).forces.mean(axis=0)
        n = len(lattice.operations) if part == "training" else 1
        residual = labels - predicted.reshape(labels.shape)
        rows[part] = lattice.rows(lattice.displacements(frames), residual, n)
    (x, y), (test_x, test_y) = rows["training"], rows["test"]
    print(
        f"{len(lattice.operations)} operations; residual {1000 * np.sqrt((test_y**2).mean()):.0f} meV/Å"
    )
    for reach in RANGES:
        near = np.repeat(lattice.distances < reach, 3)
        normal = x[:, near].T @ x[:, near]
        normal += 1e-6 * np.trace(normal) / len(normal) * np.eye(len(normal))
        constants = np.linalg.solve(normal, x[:, near].T @ y)
        left = np.sqrt(((test_y - test_x[:, near] @ constants) ** 2).mean())
        print(f"within {reach:4.1f} Å: {1000 * left:.0f} meV/Å left")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])

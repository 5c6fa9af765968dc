"""Dipoles and polarizabilities of many molecules with one model: does rotate–predict–rotate carry that far?

    python -m benchmarks.many_molecules DATA_DIR        writes benchmarks/many_molecules.md

DATA_DIR holds qm7b-dipole/: 1443 molecules of 5 to 23 atoms, CCSD/d-aug-cc-pVDZ. Every molecule is turned at
random first. All methods are ridge regressions on the same atoms' surroundings and differ in where directions
come from: the laboratory, the molecule's axes of inertia, or the atoms themselves.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.linalg import eigh

from benchmarks.surroundings import (
    CUTOFF,
    N_CENTRES,
    N_TRAIN,
    SIGNS,
    Surroundings,
    as_components,
    constant_charges,
    from_atoms,
    in_axes,
    inertia_axes,
    look_around,
    read,
)

HERE = Path(__file__).parent
N_CHECK = 200
PENALTIES = 10.0 ** np.arange(-11, -1)
WIDTHS = (0.5, 1.0, 2.0, 4.0)  # over the median distance of two surroundings


class Ridge:
    """Ridge regression for many penalties from one decomposition."""

    def __init__(self, x: np.ndarray, y: np.ndarray):
        self._scale = np.sqrt((x**2).mean()) or 1.0
        self._x = x / self._scale
        gram = self._x @ self._x.T if len(x) <= x.shape[1] else self._x.T @ self._x
        self._dual = len(x) <= x.shape[1]
        self._values, self._vectors = eigh(gram)
        self._right = self._vectors.T @ (y if self._dual else self._x.T @ y)

    def predict(self, x: np.ndarray, penalty: float) -> np.ndarray:
        """Predictions with a penalty relative to the largest eigenvalue."""
        damped = np.maximum(self._values, 0) + penalty * self._values[-1]
        weights = self._vectors @ (self._right / damped)
        weights = self._x.T @ weights if self._dual else weights
        return x / self._scale @ weights


def predicted(systems: list[np.ndarray], labels: np.ndarray, train: slice, test: slice, penalty):
    """Labels (molecules, components) of `test`, for each penalty: (penalties, test, components)."""
    whole = len(systems) == 1
    parts = []
    for c, x in enumerate(systems):
        y = labels[train].ravel() if whole else labels[train, c]
        ridge = Ridge(x[train].reshape(-1, x.shape[2]), y)
        rows = x[test].reshape(-1, x.shape[2])
        parts.append([ridge.predict(rows, p) for p in np.atleast_1d(penalty)])
    stacked = np.array(parts)  # (systems, penalties, rows)
    if whole:
        return stacked[0].reshape(stacked.shape[1], -1, labels.shape[1])
    return stacked.transpose(1, 2, 0)


def relative(error: np.ndarray, labels: np.ndarray) -> float:
    """|error| over |label|, root mean squares, in percent."""
    return 100 * float(np.sqrt((error**2).sum() / (labels**2).sum()))


def judged(
    features: Callable, s: Surroundings, labels: np.ndarray, tensor: bool
) -> tuple[float, float]:
    """Relative error on the test molecules, and MAE of a component; width and penalty by training ones."""
    inner, check = slice(0, N_TRAIN - N_CHECK), slice(N_TRAIN - N_CHECK, N_TRAIN)
    best = (np.inf, None, None)
    for width in WIDTHS if features is not constant_charges else (1.0,):
        systems = features(s, tensor, width)
        tried = predicted(systems, labels, inner, check, PENALTIES)
        errors = [relative(p - labels[check], labels[check]) for p in tried]
        if min(errors) < best[0]:
            best = (min(errors), PENALTIES[int(np.argmin(errors))], systems)
    test = slice(N_TRAIN, len(labels))
    error = predicted(best[2], labels, slice(0, N_TRAIN), test, best[1])[0] - labels[test]
    return relative(error, labels[test]), float(np.abs(error).mean())


HEAD = """# Dipoles and polarizabilities of many molecules with one model

Written by `python -m benchmarks.many_molecules`; do not edit. {date}; {seconds:.0f} s.

QM7b, {n} molecules of 5 to 23 atoms (H C N O S Cl), CCSD/d-aug-cc-pVDZ, each turned at random; {train} to
train, {test} others to test. Relative error is |error| / |label|, root mean square over the molecules, in
percent (of the polarizability in the Frobenius norm); MAE is of a component, in e·Å and e²Å²/eV. All but
the last are kernel ridge regressions with {centres} surroundings as centres, of radial and angular functions
within {cutoff:g} Å, width and penalty chosen on {check} training molecules.

| where directions come from | dipole % | MAE | polarizability % | MAE |
| --- | ---: | ---: | ---: | ---: |
"""


def main() -> None:
    """Read, judge each method on both quantities, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    args = parser.parse_args()
    start = time.perf_counter()
    molecules = read(args.data)
    s = look_around(molecules)
    axes = inertia_axes(molecules)
    laboratory = np.broadcast_to(np.eye(3), axes.shape)
    methods = {
        "the laboratory: no rotation": in_axes(laboratory, SIGNS[:1]),
        "axes of inertia as they come, one of four": in_axes(axes, SIGNS[:1]),
        "axes of inertia, averaged over four: rotate–predict–rotate": in_axes(axes, SIGNS),
        "the atoms: latent charges and atomic dipoles, atomic tensors": from_atoms,
        "a constant charge or polarizability per element": constant_charges,
    }
    dipoles = np.array([m.dipole for m in molecules])
    in_frame = np.einsum("mab,mb->ma", axes, dipoles)
    alphas = np.array([m.polarizability for m in molecules])
    in_laboratory = dipoles, as_components(alphas)
    in_molecule = in_frame, as_components(axes @ alphas @ axes.swapaxes(1, 2))
    rows = []
    for name, features in methods.items():
        # errors are as long in the molecule's axes as in the laboratory's
        dipole, alpha = in_molecule if "inertia" in name else in_laboratory
        cells = (*judged(features, s, dipole, False), *judged(features, s, alpha, True))
        rows.append(
            f"| {name} | {cells[0]:.1f} | {cells[1]:.4f} | {cells[2]:.2f} | {cells[3]:.4f} |"
        )
        print(rows[-1], f"{time.perf_counter() - start:.0f} s", flush=True)
    head = HEAD.format(
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        seconds=time.perf_counter() - start,
        n=len(molecules),
        train=N_TRAIN,
        test=len(molecules) - N_TRAIN,
        centres=N_CENTRES,
        cutoff=CUTOFF,
        check=N_CHECK,
    )
    (HERE / "many_molecules.md").write_text(head + "\n".join(rows) + "\n")


if __name__ == "__main__":
    main()

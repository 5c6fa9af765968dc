"""Whether error bars cover as often as they say: `python -m benchmarks.intervals [--rmd17 DIR]`.

Shipped models on their test sets, on hot frames and on frames of a 1000 K run; with --rmd17 also the models
DIR/malonaldehyde, ..., here made by `ase-schnet train rmd17_NAME_train_01.npz -o DIR/NAME --epochs E`, E = 80
for malonaldehyde, 60 for uracil and toluene, 50 for naphthalene, 40 for aspirin. Each set is judged with the
intervals of the card, and ten times with intervals fitted to other frames: as many as were kept out of the
training, drawn from the test set. Beside that the scales that were tried, and the cost. Writes intervals.md
and intervals.png. The data of methanol and silicon are made by md_examples/methanol_data.py and
silicon_data.py, here.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase.io import read
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ase_schnet import SchNetCalculator
from ase_schnet.coverage import coverage_of_bars
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.splits import plan_folds
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.plotting import save_figure
from ase_schnet.uncertainty.conformal import (
    ENOUGH_FORCES,
    Intervals,
    Residuals,
    atom_std,
    conformal_quantile,
    fit_intervals,
    rms,
    structures_needed,
)
from benchmarks.processor import instructions

HERE = Path(__file__).resolve().parent
SHARED = HERE.parents[1] / "shared/data"
MOLECULES = ("malonaldehyde", "uracil", "toluene", "naphthalene", "aspirin")
HEAD = """# What the error bars are worth

Written by `python -m benchmarks.intervals`; do not edit. Bars of 90 %. *Coverage*: percent of the errors
within their bars, of the card's intervals, with its 95 % interval from resampled structures. *Width*: median
bar over median error (2.4 for normally distributed errors of one size). *No bar*: percent with an infinite
bar, unlike all training. *Ten splits*: intervals fitted to as many other structures of the test set as the
training kept out, judged on the rest, mean ± standard deviation; and their width.

| model | set | structures | of | coverage | width | no bar | ten splits | width |
|---|---|---:|---|---:|---:|---:|---:|---:|
"""
TRIED = """
![Coverage against level; width against coverage](intervals.png)

## What was tried as the scale of an energy

Coverage of 90 % bars and median bar over median error; means of 300 draws of the kept-out part.

"""
ALSO = """
The distance of an atom's features to the training set does not rank errors within it (ρ 0.07, the std 0.68:
[uncertainty.md](uncertainty.md)), so it is no part of a scale. Errors of single members on the folds that
they did not see are there for 950 frames in place of 50, but without a std (four of five members know the
frame), and they are those of one member. One width for all energies, fitted to them, covers
{folds}.
So 5 % stay kept out. An element has a factor of its own from {enough} components of forces on.

## Cost

Bars are made when they are asked for. Then they add {percent:.1f} % to an evaluation of ethanol ({us:.0f} µs,
one thread, {instructions}); else nothing.
"""
REPETITIONS, LEVELS = 10, np.array([0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
NARROW = HERE.parent / "tests/models/ethanol_narrow"
ELSEWHERE = {
    "1500 K": HERE.parent / "md_examples/ethanol_hot_pbe_def2svp.xyz",
    "1000 K": HERE / "ethanol_1000K_pbe_def2svp.xyz",
}


@dataclass(frozen=True, eq=False)
class Case:
    """A model, a test set drawn like its training, and sets that are not."""

    name: str
    model: TrainedModel
    sets: dict[str, Dataset]

    @property
    def n_kept_out(self) -> int:
        """Structures that the training kept out."""
        return len(self.model.card["training"]["kept_out"])


def cases(rmd17: Path | None) -> list[Case]:
    """Return what there is to judge."""
    test = _rmd17("ethanol", "test")
    elsewhere = {name: Dataset.from_atoms(read(path, ":")) for name, path in ELSEWHERE.items()}
    found = [
        Case("ethanol", load_model("ethanol"), {"test": test, **elsewhere}),
        Case("ethanol, not pretrained", load_model(NARROW), {"test": test, **elsewhere}),
    ]
    for name, file, units in (
        ("methanol", "methanol_test.extxyz", "eV, Ang, e*Ang"),
        ("silicon", "Si_test_corrected.extxyz", "eV"),
    ):
        if Path(file).exists():
            frames, _ = read_labelled(file, units)
            found.append(Case(name, load_model(name), {"test": Dataset.from_atoms(frames)}))
        else:
            print(f"{file} is not here: {name} is left out", file=sys.stderr)
    for molecule in MOLECULES if rmd17 else ():
        for path in sorted(rmd17.glob(f"{molecule}*/model.json")):
            model = load_model(path.parent)
            found.append(
                Case(f"rMD17 {path.parent.name}", model, {"test": _rmd17(molecule, "test")})
            )
    return found


def _rmd17(molecule: str, part: str) -> Dataset:
    path = SHARED / f"rmd17-npz/rmd17_{molecule}_{part}_01.npz"
    return Dataset.from_atoms(read_labelled(path, "kcal/mol")[0], source=path.name)


def repeated(case: Case, level: float) -> dict[tuple[str, str], NDArray]:
    """Return (set, quantity) -> (10, 2), coverage and median bar over median error, of other splits."""
    comparisons = {name: compare(Ensemble(case.model), data) for name, data in case.sets.items()}
    residuals = {name: list(c.residuals()) for name, c in comparisons.items()}
    found: dict[tuple[str, str], list] = {}
    for seed in range(REPETITIONS):
        order = np.random.default_rng(seed).permutation(len(residuals["test"]))
        fitted, rest = order[: case.n_kept_out], order[case.n_kept_out :]
        intervals = fit_intervals([residuals["test"][k] for k in fitted], level)
        for name, structures in residuals.items():
            chosen = [structures[k] for k in rest] if name == "test" else structures
            for quantity, (errors, bars) in _errors_and_bars(intervals, chosen).items():
                ratio = np.median(bars) / np.median(errors)
                found.setdefault((name, quantity), []).append([(errors <= bars).mean(), ratio])
    return {key: np.array(rows) for key, rows in found.items()}


def _errors_and_bars(
    intervals: Intervals, structures: list[Residuals]
) -> dict[str, tuple[NDArray, NDArray]]:
    """Return |errors| and bars of all structures, without the guard."""
    found: dict[str, list] = {"energy": [], "forces": [], "stress": []}
    for s in structures:
        std = atom_std(s.member_forces.std(axis=0, ddof=1))
        mean_std, n = rms(std), len(s.numbers)
        if s.energy is not None:
            bar = intervals.energy_error(s.energies.std(ddof=1), mean_std, n) / n
            found["energy"].append((np.array([abs(s.energies.mean() - s.energy) / n]), [bar]))
        if s.forces is not None:
            error = np.abs(s.member_forces.mean(axis=0) - s.forces)
            bar = np.repeat(intervals.force_factors[s.numbers] * std, 3).reshape(-1, 3)
            known = np.isfinite(error)
            found["forces"].append((error[known], bar[known]))
        if s.stress is not None and intervals.stress:
            error = np.abs(s.stresses.mean(axis=0) - s.stress)
            bar = intervals.stress_error(s.stresses.std(axis=0, ddof=1), mean_std)
            found["stress"].append((error, bar))
    return {
        name: tuple(np.concatenate(part) for part in zip(*pairs, strict=True))
        for name, pairs in found.items()
        if pairs
    }


SCALES: dict[str, Callable[[NDArray, NDArray, float], NDArray]] = {
    "none: one width for all": lambda std, forces, c: np.ones_like(std),
    "σ_E alone": lambda std, forces, c: std,
    "σ_F alone": lambda std, forces, c: forces,
    "√(σ_E² + (c·σ_F)²), c·σ_F = σ_E / 2": lambda std, forces, c: np.hypot(std, 0.5 * c * forces),
    "the same, c·σ_F = σ_E": lambda std, forces, c: np.hypot(std, c * forces),
    "√(σ_E² + median²)": lambda std, forces, c: np.hypot(std, np.median(std)),
}


def tried(case: Case) -> list[str]:
    """Return the table of the scales that were tried for energies, 300 draws of the kept-out part."""
    data = {}
    for name, dataset in case.sets.items():
        rows = [
            (
                abs(s.energies.mean() - s.energy),
                s.energies.std(ddof=1),
                rms(s.member_forces.std(axis=0, ddof=1)),
            )
            for s in compare(Ensemble(case.model), dataset).residuals()
        ]
        data[name] = np.array(rows).T
    lines = []
    for scale_name, scale in SCALES.items():
        results = []
        for seed in range(300):
            order = np.random.default_rng(seed).permutation(data["test"].shape[1])
            fitted, rest = order[: case.n_kept_out], order[case.n_kept_out :]
            errors, std, forces = data["test"][:, fitted]
            c = np.median(std) / np.median(forces)
            q = conformal_quantile(errors / scale(std, forces, c), 0.9)
            row = []
            for name, (errors, std, forces) in data.items():
                part = rest if name == "test" else slice(None)
                bars = q * scale(std, forces, c)[part]
                row += [
                    100 * (errors[part] <= bars).mean(),
                    np.median(bars) / np.median(errors[part]),
                ]
            results.append(row)
        cells = np.mean(results, axis=0)
        spread = np.std(np.array(results)[:, 0])
        texts = [f"{cells[0]:.1f} ± {spread:.1f}, {cells[1]:.1f}"] + [
            f"{cells[k]:.1f}, {cells[k + 1]:.1f}" for k in range(2, len(cells), 2)
        ]
        lines.append(f"| {case.name} | {scale_name} | " + " | ".join(texts) + " |")
    return lines


def fold_residuals(case: Case) -> str:
    """Return what errors of single members on their own folds would give: one width for all energies."""
    training = _rmd17("ethanol", "train")
    plan = plan_folds(len(training), 5, n_kept_out=case.n_kept_out, seed=0)
    if plan.kept_out.tolist() != case.model.card["training"]["kept_out"]:
        raise ValueError("the folds of the model are not those of plan_folds")
    comparison = compare(Ensemble(case.model), training)
    off = [
        np.abs(comparison.energies[k, fold] - training.E[fold]) for k, fold in enumerate(plan.folds)
    ]
    width = conformal_quantile(np.concatenate(off), 0.9)
    test = compare(Ensemble(case.model), case.sets["test"])
    errors = np.abs(test.energies.mean(axis=0) - test.reference_energies)
    return (
        f"{100 * (errors <= width).mean():.1f} % for {case.name}, at {width / np.median(errors):.1f} times "
        "the median error"
    )


def cost(rounds: int = 40, steps: int = 200) -> tuple[float, float]:
    """Return the time of an evaluation of ethanol in µs, and what asking for the bars adds, in per cent.

    Medians of single steps, with and without by turns: other work of the machine slows down some steps only.
    """
    calculator = SchNetCalculator("ethanol", threads=1)
    atoms = _rmd17("ethanol", "test").atoms(0)
    atoms.calc = calculator
    rng = np.random.default_rng(0)
    places = [atoms.positions + 0.01 * rng.normal(size=atoms.positions.shape) for _ in range(steps)]
    times = {False: [], True: []}
    for _ in range(rounds):
        for k, positions in enumerate(places):
            start = time.perf_counter()
            atoms.positions = positions
            atoms.get_forces()
            if k % 2:
                calculator.results["energy_error"]
                calculator.results["forces_error"]
            times[bool(k % 2)].append(time.perf_counter() - start)
    plain, asked = np.median(times[False]), np.median(times[True])
    return 1e6 * plain, 100 * (asked / plain - 1)


def report(found: list[Case]) -> str:
    """Return the file."""
    lines = [line for case in found for line in _rows(case)]
    ethanols = [case for case in found if set(ELSEWHERE) <= set(case.sets)]
    columns = " | ".join(["model", "scale", "test", *ELSEWHERE])
    table = [f"| {columns} |", "|---|---|---:|" + "---:|" * len(ELSEWHERE)]
    table += [line for case in ethanols for line in tried(case)]
    microseconds, percent = cost()
    also = ALSO.format(
        folds="; ".join(map(fold_residuals, ethanols)),
        enough=ENOUGH_FORCES,
        percent=percent,
        us=microseconds,
        instructions=instructions(),
    )
    return HEAD + "\n".join(lines) + "\n" + TRIED + "\n".join(table) + "\n" + also


def _rows(case: Case) -> list[str]:
    """Return the lines of one model."""
    lines, splits = [], repeated(case, 0.9)
    for name, dataset in case.sets.items():
        comparison = compare(Ensemble(case.model), dataset)
        for c in coverage_of_bars(case.model, comparison, dataset):
            fraction, width = splits[name, c.name].T
            lines.append(
                f"| {case.name} | {name} | {len(dataset)} | {c.name} | {100 * c.fraction:.1f} "
                f"({100 * c.low:.1f} to {100 * c.high:.1f}) | {c.median_bar / c.median_error:.1f} | "
                f"{100 * c.without:.1f} | {100 * fraction.mean():.1f} ± "
                f"{100 * fraction.std(ddof=1):.1f} | {width.mean():.1f} |"
            )
    return lines


def draw(found: list[Case]) -> Figure:
    """Draw coverage against level, and width against level, of the ten splits."""
    figure = Figure(figsize=(11, 4.4), layout="constrained")
    axes = figure.subplots(1, 3)
    for k, case in enumerate(found):
        levels = [x for x in LEVELS if structures_needed(float(x)) <= case.n_kept_out]
        at = [repeated(case, float(level)) for level in levels]
        for ax, quantity in zip(axes, ("energy", "forces"), strict=False):
            for name, style in (("test", "-"), ("1500 K", ":"), ("1000 K", "--")):
                if (name, quantity) not in at[0]:
                    continue
                mean = [rows[name, quantity][:, 0].mean() for rows in at]
                label = f"{case.name}, {name}"
                ax.plot(levels, mean, style, color=f"C{k}", marker="o", ms=3, label=label)
        width = [rows["test", "forces"][:, 1].mean() for rows in at]
        axes[2].plot(levels, width, color=f"C{k}", marker="o", ms=3)
    for ax, quantity in zip(axes, ("energy", "forces"), strict=False):
        ax.plot([0.5, 1], [0.5, 1], color="black", lw=0.8)
        ax.set_xlabel("level")
        ax.set_ylabel(f"coverage, {quantity}")
    axes[2].set_xlabel("level")
    axes[2].set_ylabel("median bar / median error, forces, test")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4)
    return figure


def main(argv: list[str] | None = None) -> int:
    """Judge, write, draw."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.intervals")
    parser.add_argument("--rmd17", type=Path, help="folder with models of molecules of rMD17")
    options = parser.parse_args(argv)
    found = cases(options.rmd17)
    (HERE / "intervals.md").write_text(report(found))
    print((HERE / "intervals.md").read_text())
    print(save_figure(draw(found), HERE / "intervals.png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

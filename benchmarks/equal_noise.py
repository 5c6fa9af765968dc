"""Does the standardised loss weigh structures alike, whatever their size and composition?

    python -m benchmarks.equal_noise        writes benchmarks/equal_noise.md and .png, in half a minute

Labels are drawn as papers/pes_loss_functions.txt supposes: an atom of species z has an energy of mean μ_z and
std σ_z, its force components std η_z. The loss's μ, σ and η are estimated from a training set of such labels.
Predictions are labels plus noise of the same strength for every degree of freedom, so a loss that is blind to
size and composition gives every class of structures the same value.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from ase.data import atomic_numbers
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.statistics import label_statistics
from ase_schnet.model.batch import AtomsBatch
from ase_schnet.training.loss import Loss, LossWeights

HERE = Path(__file__).parent
SPECIES = np.array([atomic_numbers[s] for s in ("H", "C", "O")])
MEAN = np.array([-13.6, -1030.0, -2043.0])  # μ, eV
STD = np.array([0.05, 0.20, 0.35])  # σ, eV
FORCE = np.array([0.8, 1.6, 2.2])  # η, eV/Å
SIZES = np.arange(5, 51, 5)
UNIT = "(CH₃O)ₙ"  # the same composition at every size
COMPOSITIONS = {  # how probable an atom is H, C, O
    "mixed": (0.50, 0.35, 0.15),
    "H rich": (0.80, 0.15, 0.05),
    "C rich": (0.20, 0.75, 0.05),
    "O rich": (0.20, 0.20, 0.60),
}
NOISE = 0.05  # of σ and η, or of their mean over the species where it is to be the same for all
N_TRAIN, N_TEST = 6000, 8000  # per training set in all, per class
LIMIT = 0.10


class Sample(NamedTuple):
    """Labelled structures, and the errors of a model of known noise: energy (S,) eV, forces (N, 3) eV/Å."""

    dataset: Dataset
    energy_error: np.ndarray
    forces_error: np.ndarray


def draw(rng: np.random.Generator, sizes: np.ndarray, composition: str, alike: bool) -> Sample:
    """Structures of these sizes; `alike`: the same noise for every atom, else in proportion to σ and η."""
    if composition == UNIT:
        kind = np.tile([0, 0, 0, 1, 2], sizes.sum() // 5)
    else:
        kind = rng.choice(3, size=sizes.sum(), p=COMPOSITIONS[composition])
    ptr = np.append(0, sizes.cumsum())
    n = len(kind)
    energy = np.add.reduceat(MEAN[kind] + STD[kind] * rng.normal(size=n), ptr[:-1])
    forces = FORCE[kind][:, None] * rng.normal(size=(n, 3))
    noise = NOISE * (np.full(3, STD.mean()) if alike else STD)
    forces_noise = NOISE * (np.full(3, FORCE.mean()) if alike else FORCE)
    dataset = Dataset(
        Z=SPECIES[kind],
        R=np.zeros((n, 3)),  # no loss looks at positions
        ptr=ptr,
        E=energy,
        F=forces,
        cells=np.zeros((len(sizes), 3, 3)),
        pbc=np.zeros((len(sizes), 3), dtype=bool),
    )
    return Sample(
        dataset,
        np.add.reduceat(noise[kind] * rng.normal(size=n), ptr[:-1]),
        forces_noise[kind][:, None] * rng.normal(size=(n, 3)),
    )


def contributions(sample: Sample, losses: dict[str, Loss]) -> dict[str, float]:
    """What structures of one class contribute, per structure to the energy and per class to the forces."""
    data = sample.dataset
    none = torch.zeros(0, dtype=torch.int64)
    batch = AtomsBatch(
        Z=torch.as_tensor(data.Z),
        R=torch.as_tensor(data.R),
        idx_i=none,
        idx_j=none,
        shifts=torch.zeros(0, 3),
        idx_m=torch.as_tensor(np.repeat(np.arange(len(data)), data.n_atoms)),
        n_structures=len(data),
    )
    energy, forces = torch.as_tensor(sample.energy_error), torch.as_tensor(sample.forces_error)
    found = {}
    for name, loss in losses.items():
        found[f"energy, {name}"] = float(loss.energy_term(energy, batch))
        found[f"forces, {name}"] = float(loss.forces_term(forces, batch))
    found["energy, MSE per atom"] = float(((sample.energy_error / data.n_atoms) ** 2).mean())
    return found


def by_class(classes: dict, alike: bool, seed: int) -> dict[str, np.ndarray]:
    """Contribution of each class over their mean, by name of the term; (classes,) each.

    classes : name -> (sizes to draw from, composition).
    """
    rng = np.random.default_rng(seed)
    some = [
        draw(rng, rng.choice(sizes, N_TRAIN // len(classes)), composition, alike).dataset
        for sizes, composition in classes.values()
    ]
    statistics = label_statistics(joined(some))
    losses = {
        "standardised": Loss(LossWeights(1.0, 1.0, "standardised"), statistics),
        "MSE": Loss(LossWeights(1.0, 1.0, "schnet"), statistics),
    }
    rows = [
        contributions(draw(rng, rng.choice(sizes, N_TEST), composition, alike), losses)
        for sizes, composition in classes.values()
    ]
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    return {name: column / column.mean() for name, column in columns.items()}


def joined(parts: list[Dataset]) -> Dataset:
    """One data set of several."""
    n_atoms = np.concatenate([p.n_atoms for p in parts])
    return Dataset(
        ptr=np.append(0, n_atoms.cumsum()),
        **{
            k: np.concatenate([getattr(p, k) for p in parts])
            for k in ("Z", "R", "E", "F", "cells", "pbc")
        },
    )


def table(names: list, columns: dict[str, np.ndarray], head: str) -> list[str]:
    """A row per class, a column per term, and how far the worst class is from the mean of all."""
    terms = list(columns)
    lines = [f"| {head} | {' | '.join(terms)} |", f"| ---: |{' ---: |' * len(terms)}"]
    for k, name in enumerate(names):
        lines.append(f"| {name} | {' | '.join(f'{columns[t][k]:.3f}' for t in terms)} |")
    worst = [f"{100 * np.abs(columns[t] - 1).max():.0f} %" for t in terms]
    return [*lines, f"| **largest deviation** | {' | '.join(worst)} |"]


def plot(sizes: dict, compositions: dict, path: Path) -> None:
    """Contributions by size and by composition."""
    figure = Figure(figsize=(10.5, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True)
    styles = {
        "energy, standardised": ("#0072B2", "o", "-"),
        "forces, standardised": ("#56B4E9", "s", "-"),
        "energy, MSE": ("#D55E00", "o", "--"),
        "forces, MSE": ("#E69F00", "s", "--"),
        "energy, MSE per atom": ("#000000", "^", ":"),
    }
    for axes, columns, x in (
        (left, sizes, SIZES),
        (right, compositions, np.arange(len(COMPOSITIONS))),
    ):
        axes.axhspan(1 - LIMIT, 1 + LIMIT, color="#E4E4E4", label=f"± {100 * LIMIT:.0f} %")
        for name, (color, marker, line) in styles.items():
            axes.plot(x, columns[name], color=color, marker=marker, linestyle=line, label=name)
        axes.set_yscale("log")
        axes.set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"], minor=False)
        axes.minorticks_off()
        axes.grid(alpha=0.25)
    left.set_xlabel("atoms in the structure")
    left.set_ylabel("contribution to the loss ÷ mean")
    left.set_title("by size: the same noise for every degree of freedom", fontsize=10)
    right.set_xticks(np.arange(len(COMPOSITIONS)), list(COMPOSITIONS))
    right.set_title("by composition: noise in proportion to σ and η", fontsize=10)
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    figure.savefig(path, dpi=150)


HEAD = """# What structures of different size and composition contribute to the loss

Written by `python -m benchmarks.equal_noise`; do not edit. {date}.

Synthetic labels of H, C and O with known means and spreads per atom; predictions are the labels plus noise of
{noise:.0f} % of the spread. Each number is what {n} structures of one class contribute, divided by the mean
over the classes: 1 means that no class is favoured. The standardised loss (`training/loss.py`) has its μ, σ
and η from {train} other structures; MSE is the loss of the SchNet paper, `--loss schnet`: ΔE² of a structure
and |ΔF|² per atom. Statistical error of a number: 1.6 %.

![by size and by composition](equal_noise.png)

## By size: {unit}, the same noise for every atom and force component
"""
SECOND = """
## By size: random composition (half H), noise in proportion to the spread of each species
"""
MIDDLE = """
## By composition, 5 to 50 atoms, noise in proportion to the spread of each species

This is what the derivation supposes: errors as large as the labels are spread. Where the noise is the same
for all species instead, the standardised loss counts it relative to what there is to learn, so atoms with a
small spread weigh more (the last table): a choice, not a flaw. Scattered compositions then matter at small
sizes too: with them the first table's largest deviation would be {scatter:.0f} %, at 5 atoms.
"""


def main() -> None:
    """Draw, compare, write."""
    each_size = {n: np.array([n]) for n in SIZES.tolist()}
    by_size = by_class({n: (s, UNIT) for n, s in each_size.items()}, alike=True, seed=0)
    by_size_random = by_class({n: (s, "mixed") for n, s in each_size.items()}, alike=False, seed=3)
    scattered = by_class({n: (s, "mixed") for n, s in each_size.items()}, alike=True, seed=4)
    kinds = {name: (SIZES, name) for name in COMPOSITIONS}
    by_kind = by_class(kinds, alike=False, seed=1)
    by_kind_alike = by_class(kinds, alike=True, seed=2)
    plot(by_size, by_kind, HERE / "equal_noise.png")
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    lines = [HEAD.format(date=date, noise=100 * NOISE, n=N_TEST, train=N_TRAIN, unit=UNIT)]
    lines += table(SIZES.tolist(), by_size, "atoms")
    lines += [SECOND, *table(SIZES.tolist(), by_size_random, "atoms")]
    scatter = 100 * np.abs(scattered["energy, standardised"] - 1).max()
    lines += [MIDDLE.format(scatter=scatter), *table(list(kinds), by_kind, "composition"), ""]
    lines += ["The same noise for every atom and component:", ""]
    lines += table(list(kinds), by_kind_alike, "composition")
    worst = max(
        np.abs(columns[f"{term}, standardised"] - 1).max()
        for columns in (by_size, by_size_random)
        for term in ("energy", "forces")
    )
    spread = by_size["energy, MSE"].max() / by_size["energy, MSE"].min()
    lines += [
        "",
        f"Equal within 10 % for 5 to 50 atoms: standardised {'yes' if worst <= LIMIT else 'NO'} "
        f"({100 * worst:.1f} %), MSE no (largest ÷ smallest {spread:.1f}).",
    ]
    text = "\n".join(lines) + "\n"
    (HERE / "equal_noise.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()

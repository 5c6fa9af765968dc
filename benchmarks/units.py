"""Do units matter in training? `python -m benchmarks.units [--data DIR]`, `--report` trains nothing.

The same 200 frames of rMD17 ethanol with their numbers in eV and Å, kcal/mol and Å, Hartree and bohr, and
standardised (no units at all), trained on the raw squared loss with the same two weights everywhere, on that
loss with the weights of `equivalent_loss_weights`, and on the standardised loss; three seeds; two networks.
Results stay in units.json, so an interrupted run goes on; writes units.md and units.png.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from tqdm import tqdm

from ase_schnet.plotting import save_figure
from ase_schnet.runtime.files import write_whole
from benchmarks.unit_trainings import (
    ENERGY_WEIGHT,
    EPOCHS,
    FORCES_WEIGHT,
    FRAMES,
    JOBS,
    LOSSES,
    NETWORKS,
    SEEDS,
    TRAINING,
    UNITS,
    Job,
    read,
    trained,
)

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
RESULTS = HERE / "units.json"
QUANTITIES = {"energy_mae_meV": "energy (meV)", "forces_mae_meV_per_Ang": "forces (meV/Å)"}
HEAD = f"""# Units and the loss

Written by `python -m benchmarks.units`; do not edit. {FRAMES} frames of rMD17 ethanol, {TRAINING} of them
train for %d epochs of 16 steps, tested on 1000 others, one member, preset `fast`. The numbers that
the training sees are in the units of the first column; the errors are MAE brought back to meV and meV/Å,
mean of {len(SEEDS)} seeds and half of their range. *Raw*: λ_E <ΔE²> + λ_F <Σ|ΔF|²/n> with {ENERGY_WEIGHT}
and {FORCES_WEIGHT} in all units. *Transformed*: the same with the weights that `equivalent_loss_weights`
returns for a change from eV and Å. *Standardised*: the default loss. *None (σ)*: E and r divided by the
standard deviations of the training part (`Rescaling.standardising`), F by their quotient. In each unit the
network is the same: its cutoff and Gaussians are converted, as 5 bohr in place of 5 Å would be another
network. The mean energy is removed everywhere.
"""


def errors(done: dict[str, dict], network: str, loss: str, quantity: str) -> dict[str, list[float]]:
    """The errors of all seeds, by unit; of units for which there are all seeds and none diverged."""
    found = {}
    for units in UNITS:
        rows = [done.get(Job(network, loss, units, seed).same_as.key, {}) for seed in SEEDS]
        if all(quantity in row for row in rows):
            found[units] = [row[quantity] for row in rows]
    return found


def factors(by_units: dict[str, list[float]]) -> tuple[float, float]:
    """How much units change an error, and how much seeds do.

    The first is the largest mean over the smallest, the second the largest quotient of two seeds in one unit.
    """
    means = [np.mean(values) for values in by_units.values()]
    seeds = max(max(values) / min(values) for values in by_units.values())
    return float(max(means) / min(means)), float(seeds)


def markdown(done: dict[str, dict], epochs: int) -> str:
    """The page."""
    lines = [HEAD.rstrip() % epochs, ""]
    for network, what in NETWORKS.items():
        lines += [f"## The {network} network", "", what[0].upper() + what[1:] + ".", ""]
        columns = [f"{loss} {label}" for loss in LOSSES for label in ("E", "F")]
        lines += ["| units | " + " | ".join(columns) + " |", "|---|" + "---:|" * len(columns)]
        for units in UNITS:
            cells = [
                _cell(errors(done, network, loss, quantity).get(units))
                for loss in LOSSES
                for quantity in QUANTITIES
            ]
            lines.append(f"| {units} | " + " | ".join(cells) + " |")
        lines += ["", *_sentences(done, network), ""]
    lines += [PROSE.strip(), "", "![Errors by unit and loss](units.png)", ""]
    spent = sum(row.get("processor_s", 0.0) for row in done.values()) / 60
    diverged = sorted(key for key, row in done.items() if "diverged" in row)
    lines += [f"{len(done)} trainings, {spent:.0f} minutes of one core.", ""]
    lines += [f"Diverged: {', '.join(diverged)}.", ""] if diverged else []
    return "\n".join(lines)


def _cell(values: list[float] | None) -> str:
    if values is None:
        return ""
    return f"{np.mean(values):.2f} ± {(max(values) - min(values)) / 2:.2f}"


def _sentences(done: dict[str, dict], network: str) -> list[str]:
    """What units change with each loss, beside what seeds change."""
    lines = []
    for loss in LOSSES:
        told = []
        for quantity, label in QUANTITIES.items():
            by_units = errors(done, network, loss, quantity)
            if len(by_units) > 1:
                units, seeds = factors(by_units)
                told.append(
                    f"{label.split(' ')[0]} × {units:.2f} between units (seeds × {seeds:.2f})"
                )
        if told:
            lines.append(f"- {loss}: " + ", ".join(told))
    return lines


PROSE = """
## What is equal by arithmetic

The notes ask whether a model in other units learns the same function in those units, Ê(b p) = a Ê(p): their
assumption (A). With the lengths and the output scale of the network converted, it is an identity: with
transformed weights, and with the standardised loss, the loss and each of its gradients are the same
numbers, and two trainings differ by rounding alone, which grows with the steps
(`tests/data/test_rescaling.py` compares the first three). So they must agree within the scatter of the
seeds in the table of the scaled network. Raw weights there change two things only: the balance of energies
and forces, by b² (3.6 for bohr), and the size of the loss, which Muon and Adam do not see and clipping
does. The plain network has no output scale: its first energies are of order 1 in whatever the unit is, and
the steps of Adam are as large in any. There (A) is a question of practice, and the table of the plain
network is the answer.

Standardised energies and positions are one more pair of units, σ_E and σ_p. One σ_p for each axis is
refused (`Rescaling`): distances, and with them the energy, would depend on how the molecule is turned.
"""


def plot(done: dict[str, dict], path: Path) -> None:
    """Draw errors by unit: a column of panels a network, a colour a loss, a point a seed."""
    figure = Figure(figsize=(8.4, 6.0), layout="constrained")
    panels = figure.subplots(2, 2, sharex=True, sharey="row")
    for column, network in enumerate(NETWORKS):
        panels[0, column].set_title(f"{network} network")
        for row, (quantity, label) in enumerate(QUANTITIES.items()):
            axes = panels[row, column]
            for k, loss in enumerate(LOSSES):
                by_units = errors(done, network, loss, quantity)
                x = np.array([list(UNITS).index(units) for units in by_units]) + 0.18 * (k - 1)
                y = np.array(list(by_units.values())).reshape(-1, len(SEEDS))
                axes.plot(np.repeat(x, len(SEEDS)), y.ravel(), ".", color=f"C{k}", ms=5)
                axes.plot(x, y.mean(axis=1), "_", color=f"C{k}", ms=16, mew=2, label=loss)
            axes.set_yscale("log")
            _plain_numbers(axes)
            if column == 0:
                axes.set_ylabel(f"MAE of {label}")
            axes.set_xticks(range(len(UNITS)), list(UNITS), fontsize="small")
            axes.grid(axis="y", which="major", alpha=0.3)
    panels[0, 0].legend(frameon=False, fontsize="small")
    save_figure(figure, path)


def _plain_numbers(axes) -> None:
    low, high = axes.get_ylim()
    ticks = [m * 10**e for e in range(-1, 5) for m in (1, 2, 5) if low <= m * 10**e <= high]
    axes.yaxis.set_major_locator(FixedLocator(ticks))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.units", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="of the npz files")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE.json")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help=f"(default: {EPOCHS})")
    parser.add_argument("--report", action="store_true", help="train nothing")
    options = parser.parse_args(argv)
    if options.epochs != EPOCHS and options.results == RESULTS:
        parser.error("another number of epochs belongs into another file: give --results")
    done = json.loads(options.results.read_text()) if options.results.exists() else {}
    left = [job for job in JOBS if job.same_as == job and job.key not in done]
    if not options.report and left:
        torch.set_num_threads(1)
        data, test = read(options.data)
        for job in tqdm(left, desc="trainings", disable=None):
            done[job.key] = trained(job, data, test, options.epochs)
            write_whole(options.results, (json.dumps(done, indent=1) + "\n").encode())
            print(job.key, done[job.key], flush=True)
    write_whole(options.results.with_suffix(".md"), markdown(done, options.epochs).encode())
    plot(done, options.results.with_suffix(".png"))
    return 0


if __name__ == "__main__":
    sys.exit(main())

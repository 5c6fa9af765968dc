"""Does a larger network do better? `python -m benchmarks.presets --work DIR` writes presets.md.

The presets small, default and large (Table 1 of the implementation report), and fast beside them, trained as
the report trains: Adam, 1e-3, ×0.96 every 100 000 steps, batches of 32, SchNet's loss. The rate hardly falls,
so one training gives the losses after 1, 2 and 4 times the same number of steps. Aspirin (rMD17): 800 frames,
validated on 200 others. Solvent clusters (solvent-xtb, 8 to 87 atoms and single ones): 203, validated on 64
of the test file.

Each fit goes on from its checkpoint in DIR; presets.json keeps what is finished. `--time` measures a step of
each, by turns, with all vector instructions and limited to AVX2, each in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset
from ase_schnet.model.potential import Potential
from ase_schnet.runtime.files import write_whole
from ase_schnet.schnet_config import MAX_ELEMENTS, PRESETS
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit
from benchmarks.processor import SETTINGS, machine

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data"
RESULTS = HERE / "presets.json"
KCAL = 23.0605  # kcal/mol in an eV
TIMES = (1, 2, 4)
SMOOTHED = 0.1  # of the epochs up to one that is read: a single validation loss is noisy at a constant rate
BATCH = 32
TIMED, ROUNDS = "ms of a step", 5
NAMES = ("small", "default", "large", "fast")
#: Table 1 of the report: preset, times the epochs, validation loss.
REPORT = (("small", 1, 3.22), ("default", 2, 1.68), ("large", 4, 1.32))


@dataclass(frozen=True)
class Data:
    """A data set, and how many steps are once.

    Attributes
    ----------
    files
        For training; the same or another for validation.
    options
        How they are read.
    counts
        Structures of training and validation.
    steps
        Optimiser steps of the shortest training.
    """

    files: tuple[str, str]
    options: dict
    counts: tuple[int, int]
    steps: int

    def parts(self, folder: Path) -> tuple[Dataset, Dataset]:
        """Training and validation part."""
        first, second = (folder / name for name in self.files)
        n_training, n_validation = self.counts
        whole = read_dataset([first], **self.options)[0]
        if first == second:
            order = np.random.default_rng(0).permutation(len(whole))
            training, rest = whole.subset(order[:n_training]), whole.subset(order[n_training:])
            return training, rest.subset(np.arange(n_validation))
        other = read_dataset([second], **self.options)[0]
        chosen = np.random.default_rng(0).permutation(len(other))[:n_validation]
        return whole, other.subset(np.sort(chosen))


ASPIRIN = "rmd17-npz/rmd17_aspirin_train_01.npz"
XTB = {"units": "eV", "energy_key": "energy_xtb", "forces_key": "forces_xtb"}
SOLVENT = ("solvent-xtb/solvent_xtb_train_200.xyz", "solvent-xtb/solvent_xtb_test.xyz")
SETS = {
    "aspirin": Data((ASPIRIN, ASPIRIN), {}, (800, 200), 2500),
    "solvent": Data(SOLVENT, XTB, (203, 64), 1500),
}


def main(argv: list[str] | None = None) -> int:
    """Train what is missing, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.presets")
    parser.add_argument(
        "--work", type=Path, help="where checkpoints go; without it nothing is trained"
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--time", action="store_true", help="measure how long a step takes")
    parser.add_argument("--time-here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--scale", type=float, default=1.0, help="of the steps, for a trial run")
    options = parser.parse_args(argv)
    done = json.loads(options.results.read_text()) if options.results.exists() else {}
    if options.time_here:
        print(json.dumps(times_of_a_step(options.data)))
        return 0
    if options.time:
        done[TIMED] = {name: timed(setting, options) for name, setting in SETTINGS.items()}
        done[TIMED]["machine"] = machine()
        write_whole(options.results, (json.dumps(done, indent=1) + "\n").encode())
    if options.work is not None:
        torch.set_num_threads(1)
        for key, data, preset in _left(done):
            done[key] = trained(SETS[data], preset, options, options.work / key.replace(" ", "_"))
            write_whole(options.results, (json.dumps(done, indent=1) + "\n").encode())
            print(key, done[key], flush=True)
    write_whole(options.results.with_suffix(".md"), markdown(done).encode())
    return 0


def _left(done: dict) -> list[tuple[str, str, str]]:
    every = [(f"{data} {preset}", data, preset) for data in SETS for preset in NAMES]
    return [one for one in every if one[0] not in done]


def trained(data: Data, preset: str, options: argparse.Namespace, place: Path) -> dict:
    """Losses and errors after each of TIMES, parameters, and seconds in all."""
    training, validation = data.parts(options.data)
    per_epoch = -(-len(training) // BATCH)
    once = max(1, round(options.scale * data.steps / per_epoch))
    fit = fit_of(preset, training, validation, TIMES[-1] * once)
    place.parent.mkdir(parents=True, exist_ok=True)
    log = place.with_suffix(".csv")
    run_fit(fit, place.with_suffix(".safetensors"), log=log, label=place.name)
    return {
        "parameters": parameters(preset),
        "steps": per_epoch * once,
        "loss": [KCAL**2 * _read(fit, "validation_loss", k * once) for k in TIMES],
        "forces_mae_kcal": [
            KCAL / 1000 * _read(fit, "validation_forces_mae_meV_per_Ang", k * once) for k in TIMES
        ],
    }


def fit_of(preset: str, training: Dataset, validation: Dataset, epochs: int) -> Fit:
    """A training as the report's."""
    settings = FitSettings(epochs, BATCH, optimizer="adam", schedule="exponential")
    return Fit(PRESETS[preset], training, validation, LossWeights(kind="schnet"), settings)


def timed(setting: dict[str, str], options: argparse.Namespace) -> dict[str, float]:
    """Times of a step in a process with these vector instructions."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.presets",
        "--time-here",
        "--data",
        str(options.data),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"} | setting
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def times_of_a_step(folder: Path) -> dict[str, float]:
    """Milliseconds of a step in one thread: median over ROUNDS epochs of 4 batches, trainings by turns."""
    torch.set_num_threads(1)
    fits = {}
    for name, data in SETS.items():
        training, validation = data.parts(folder)
        few = training.subset(np.arange(4 * BATCH)), validation.subset(np.arange(1))
        fits |= {f"{name} {preset}": fit_of(preset, *few, ROUNDS + 1) for preset in NAMES}
    taken: dict[str, list[float]] = {key: [] for key in fits}
    for _ in range(ROUNDS + 1):
        for key, fit in fits.items():
            start = time.perf_counter()
            fit.run_epoch()
            taken[key].append(1000 * (time.perf_counter() - start) / 4)
    return {key: float(np.median(times[1:])) for key, times in taken.items()}  # the first compiles


def _read(fit: Fit, column: str, epoch: int) -> float:
    """A column about an epoch: the geometric mean over the last tenth of the epochs up to it."""
    values = [row[column] for row in fit.history[:epoch]]
    return float(np.exp(np.mean(np.log(values[-max(1, round(SMOOTHED * epoch)) :]))))


def parameters(preset: str) -> int:
    """Trainable parameters of a network."""
    potential = Potential.create(PRESETS[preset], np.zeros(MAX_ELEMENTS), 1.0, seed=0)
    return sum(p.numel() for p in potential.parameters())


def markdown(done: dict[str, dict]) -> str:
    """The page."""
    lines = [
        "# Table 1 of the report: a larger network",
        "",
        "Written by `python -m benchmarks.presets --work DIR`; do not edit. Validation loss",
        "0.01 ΔE² + ⟨|ΔF|²⟩ in (kcal/mol)² and (kcal/mol/Å)², trained as the report trains (Adam, 1e-3,",
        "batches of 32, SchNet's loss; energies without their mean) for 1, 2 and 4 times the same number of",
        "steps; geometric mean over the last tenth of the epochs. One seed.",
        "",
        *_how_timed(done.get(TIMED)),
    ]
    for data in SETS:
        rows = {name: done[f"{data} {name}"] for name in NAMES if f"{data} {name}" in done}
        if rows:
            lines += [*_table(data, rows, done.get(TIMED)), "", *_verdict(rows), ""]
    told = ", ".join(f"{name} {loss} after {k} ×" for name, k, loss in REPORT)
    lines += [
        f"The report: {told}, of which data it does not say. Its network is without a cutoff function."
    ]
    return "\n".join(lines) + "\n"


def _how_timed(timed: dict | None) -> list[str]:
    if timed is None:
        return []
    return [
        "*ms*: time of a step of 32 structures, validation of one structure included, in one thread, by",
        "turns (`python -m benchmarks.presets --time`): with all vector instructions / limited to AVX2.",
        f"{timed['machine']}.",
        "",
    ]


def _table(data: str, rows: dict[str, dict], timed: dict | None) -> list[str]:
    n_training, n_validation = SETS[data].counts
    steps = next(iter(rows.values()))["steps"]
    head = " | ".join(f"loss {k} ×" for k in TIMES)

    def step(name: str) -> str:
        return " / ".join(f"{timed[s][f'{data} {name}']:.3g}" for s in SETTINGS) if timed else ""

    return [
        f"## {data}: {n_training} structures, {n_validation} others validate; {steps} steps are once",
        "",
        f"| preset | parameters | {head} | force MAE 4 ×, kcal/mol/Å | ms |",
        "|---|---:|" + "---:|" * (len(TIMES) + 2),
        *(
            f"| {name} | {r['parameters']:,} | "
            + " | ".join(f"{loss:.3g}" for loss in r["loss"])
            + f" | {r['forces_mae_kcal'][-1]:.3g} | {step(name)} |"
            for name, r in rows.items()
        ),
    ]


def _verdict(rows: dict[str, dict]) -> list[str]:
    """Whether the order of the report comes out, by its steps and by equal ones."""
    wanted = [name for name, *_ in REPORT]
    if not set(wanted) <= set(rows):
        return []
    as_told = [rows[name]["loss"][TIMES.index(k)] for name, k, _ in REPORT]
    same = "its order" if as_told == sorted(as_told, reverse=True) else "another order"
    said = [f"By the report's steps (1, 2, 4 ×): {', '.join(f'{x:.3g}' for x in as_told)}, {same}."]
    for k, times in enumerate(TIMES):
        order = sorted(wanted, key=lambda name: rows[name]["loss"][k])
        said.append(f"After {times} × equal steps, best first: {', '.join(order)}.")
    return said


if __name__ == "__main__":
    sys.exit(main())

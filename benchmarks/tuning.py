"""Does a search beat the preset? `python -m benchmarks.tuning --work DIR` writes tuning.md and tuning.png.

The first 200 frames of rMD17's ethanol: `tune` for an hour of one core in the default space, then ensembles
of five on the same frames and folds: preset fast, fast for as long as the tuned one takes, accurate, and what
was found. All are judged on the 1000 frames of the test file. The search goes on from DIR/search, finished
models stay in DIR, results in tuning.json.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset
from ase_schnet.data.splits import default_kept_out, plan_folds
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.plotting import plot_tuning, save_figure
from ase_schnet.runtime.files import write_whole
from ase_schnet.schnet_config import PRESETS
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.hyperparameters import Hyperparameters
from ase_schnet.training.recipe import Recipe
from ase_schnet.tuning.result import SETTINGS, TuneResult
from ase_schnet.tuning.run import tune
from ase_schnet.tuning.settings import TuneSettings
from benchmarks.processor import machine

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
RESULTS = HERE / "tuning.json"
FRAMES = 200
EPOCHS = 500
SEARCH = "search"
FAST, LONGER, ACCURATE, TUNED = "fast", "fast, for the time of tuned", "accurate", "tuned"


def main(argv: list[str] | None = None) -> int:
    """Search, train what is missing, write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tuning")
    parser.add_argument(
        "--work", type=Path, help="where search and models go; without it: page only"
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--hours", type=float, default=1.0, help="of the search (default: 1)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="for a trial run (default: 500)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    options = parser.parse_args(argv)
    done = json.loads(options.results.read_text()) if options.results.exists() else {}

    def keep(name: str, make: Callable[[], dict]) -> None:
        if name not in done:
            done[name] = make()
            write_whole(options.results, (json.dumps(done, indent=1) + "\n").encode())
            write_whole(options.results.with_suffix(".md"), markdown(done).encode())
            print(name, done[name], flush=True)

    if options.work is not None:
        dataset, test = frames(options.data)
        given = recipe(Hyperparameters(PRESETS["fast"]), options.epochs)
        keep(SEARCH, lambda: searched(dataset, given, options))
        found = Hyperparameters.read(options.work / SEARCH / SETTINGS)
        for name, asked in {FAST: given, TUNED: found.applied_to(given)}.items():
            keep(name, lambda n=name, r=asked: trained(n, dataset, test, r, options))
        times = done[TUNED]["minutes"] / done[FAST]["minutes"]
        longer = recipe(Hyperparameters(PRESETS["fast"]), max(1, round(times * options.epochs)))
        keep(LONGER, lambda: trained("longer", dataset, test, longer, options))
        accurate = recipe(Hyperparameters(PRESETS["accurate"]), options.epochs)
        keep(ACCURATE, lambda: trained(ACCURATE, dataset, test, accurate, options))
    if done:
        write_whole(options.results.with_suffix(".md"), markdown(done).encode())
    return 0


def frames(folder: Path) -> tuple[Dataset, Dataset]:
    """The frames to learn and the test file."""
    whole, test = (
        read_dataset([folder / f"rmd17_ethanol_{part}_01.npz"])[0] for part in ("train", "test")
    )
    return whole.subset(np.arange(FRAMES)), test


def recipe(given: Hyperparameters, epochs: int) -> Recipe:
    """What is trained, on the folds that `ase-schnet train` makes."""
    plan = plan_folds(FRAMES, n_kept_out=default_kept_out(FRAMES))
    settings = replace(given.settings, epochs=epochs)
    return Recipe(given.config, given.weights, settings, plan, charge=0, multiplicity=1)


def searched(dataset: Dataset, given: Recipe, options: argparse.Namespace) -> dict:
    """What the search came to, and its picture."""
    folder = options.work / SEARCH
    folder.parent.mkdir(parents=True, exist_ok=True)
    with processor_counted(folder):
        result = tune(
            dataset,
            folder,
            given,
            TuneSettings(),
            hours=options.hours,
            jobs=options.jobs,
            tell=print,
        )
    figure = plot_tuning(result.rows, result.importance, result.first)
    save_figure(figure, options.results.with_suffix(".png"))
    return told(result) | {"processor_hours": processor_s(folder) / 3600, "machine": machine()}


@contextmanager
def processor_counted(folder: Path) -> Iterator[None]:
    """Add up what the processor works in here over all attempts, except those that are killed.

    Other work beside it lengthens the time, and not this.
    """
    before, start = processor_s(folder), sum(os.times()[:4])
    try:
        yield
    finally:
        spent = before + sum(os.times()[:4]) - start
        write_whole(_kept(folder), f"{spent}\n".encode())


def processor_s(folder: Path) -> float:
    """Seconds that the processor has worked for a folder."""
    kept = _kept(folder)
    return float(kept.read_text()) if kept.exists() else 0.0


def _kept(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}_processor_s.txt")


def told(result: TuneResult) -> dict:
    """The result in plain types."""
    return {
        "hours": result.time_s / 3600,
        "trials": result.counts(),
        "epochs_of_a_trial": max(row.epochs for row in result.rows),
        "start": result.start.score,
        "best": result.best.score,
        "number": result.best.number,
        "values": dict(result.best.values),
        "first": dict(result.first),
        "importance": dict(result.importance or {}),
        "summary": result.summary(),
    }


def trained(
    name: str, dataset: Dataset, test: Dataset, asked: Recipe, options: argparse.Namespace
) -> dict:
    """Errors on the test file of the ensemble and of a member, and minutes of processor."""
    folder = options.work / name.replace(" ", "_").replace(",", "")
    with processor_counted(folder):
        model = cross_validate(dataset, folder, asked, jobs=options.jobs, resume=True)
    metrics = compare(Ensemble(model), test).metrics()
    names = ("energy_mae_meV", "forces_mae_meV_per_Ang")
    members = ("energy_mae_of_a_member_meV", "forces_mae_of_a_member_meV_per_Ang")
    return {
        **{key: metrics[key] for key in (*names, *members)},
        "parameters": sum(w[0].size for w in model.weights.values()),
        "epochs": asked.settings.epochs,
        "minutes": processor_s(folder) / 60,
    }


def markdown(done: dict[str, dict]) -> str:
    """The page."""
    lines = [
        "# A search against the preset",
        "",
        "Written by `python -m benchmarks.tuning --work DIR`; do not edit. Ethanol (rMD17), the first 200",
        "frames: 10 kept out, five members of 152 frames each. MAE on the 1000 frames of the test file, meV",
        "and meV/Å. *min*: minutes of processor for all five members.",
        "",
        "| trained | parameters | epochs | ensemble E | F | member E | F | min |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    keys = (
        *("energy_mae_meV", "forces_mae_meV_per_Ang"),
        *("energy_mae_of_a_member_meV", "forces_mae_of_a_member_meV_per_Ang"),
    )
    for name in (FAST, LONGER, ACCURATE, TUNED):
        if r := done.get(name):
            errors = " | ".join(f"{r[key]:.2f}" for key in keys)
            lines.append(
                f"| {name} | {r['parameters']:,} | {r['epochs']} | {errors} | {r['minutes']:.1f} |"
            )
    return "\n".join([*lines, "", *_outcome(done), *_search(done.get(SEARCH))]) + "\n"


def _outcome(done: dict[str, dict]) -> list[str]:
    """By how much what was found is better than each other training."""
    if TUNED not in done:
        return []
    said = []
    for name in (FAST, LONGER, ACCURATE):
        if name in done:
            changes = [
                100 * (done[TUNED][key] / done[name][key] - 1)
                for key in ("energy_mae_meV", "forces_mae_meV_per_Ang")
            ]
            energy, forces = (f"{change:+.0f}".replace("-", "−") for change in changes)
            said.append(f"- Tuned against {name}: energies {energy} %, forces {forces} %.")
    return [*said, ""]


def _search(found: dict | None) -> list[str]:
    if found is None:
        return []
    change = f"{100 * (found['best'] / found['start'] - 1):+.1f}".replace("-", "−")
    changed = [
        f"| {name} | {_short(found['first'][name])} | {_short(value)} | "
        + (f"{100 * found['importance'][name]:.0f} |" if found["importance"] else "|")
        for name, value in found["values"].items()
    ]
    return [
        f"{found['machine']}; one thread a training, beside other work.",
        "",
        f"The search: {found['trials']} in {found['hours']:.2f} h, "
        f"{found['processor_hours']:.2f} h of processor beside other work; at most "
        f"{found['epochs_of_a_trial']} epochs each.",
        f"Best is trial {found['number']}, whose score on the one fold that judges is {change} %; the best",
        "of many is lucky there too.",
        "",
        "| hyperparameter | fast | found | importance, % |",
        "|---|---:|---:|---:|",
        *changed,
        "",
        "![importance and trials](tuning.png)",
    ]


def _short(value: float | str) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())

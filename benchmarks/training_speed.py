"""Structures trained per second, beside schnetpack: `python -m benchmarks.training_speed`.

Ethanol, 950 frames of rMD17, energies and forces, SchNet of 3 interactions, 50 Gaussians, 5 Å; the same
batch size for all, in turns in one session. Ours is `Fit.run_epoch` with everything that `ase-schnet train`
does in an epoch. schnetpack runs in its documented way (ASE database, data module, Lightning) and, for what
its model can do, in a bare loop over structures kept in memory with their pairs. All of it twice: with the
vector instructions that the processor has, and as on an old laptop. Writes training_speed.md.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.environments import ensure_environment
from benchmarks.pool import HERE, Script, Worker
from benchmarks.processor import AS_ON_A_LAPTOP, SETTINGS, machine

DATA = HERE.parents[1] / "shared/data/rmd17-npz/rmd17_ethanol_train_01.npz"
OURS, BARE, DOCUMENTED = "ours", "schnetpack, bare loop", "schnetpack, as documented"
SIZES = ((64, 10), (64, 32), (128, 10), (128, 32))  # features, structures in a batch


def main(argv: list[str] | None = None) -> int:
    """Time and write the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training_speed")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    default = Path.home() / ".cache/ase_schnet/peers"
    parser.add_argument("--venvs", type=Path, default=default, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    load = os.getloadavg()[0]
    python, version = ensure_environment("schnetpack", options.venvs)
    scripts = {
        OURS: (Path(sys.executable), "train_ours.py", "-"),
        BARE: (python, "train_schnetpack.py", "bare"),
        DOCUMENTED: (python, "train_schnetpack.py", "lightning"),
    }
    workers = {
        (setting, name): TrainingWorker(*scripts[name], options, setting)
        for setting in SETTINGS
        for name in scripts
    }
    rows = []
    for features, batch in tqdm(SIZES, unit="size", file=sys.stderr):
        rows.append((features, batch, race(workers, options, features, batch)))
    for worker in workers.values():
        worker.close()
    text = markdown(rows, options, version, load)
    (HERE / "training_speed.md").write_text(text)
    print(text)
    return 0


def race(workers: dict, options: argparse.Namespace, features: int, batch: int) -> dict:
    """Per setting and contestant: structures per second, and ms of a step by what they went into."""
    for worker in workers.values():
        worker.ask(do="setup", data=str(options.data), features=features, batch=batch)
    answers: dict = {key: [] for key in workers}
    for _ in range(options.rounds):
        for key, worker in workers.items():
            answers[key].append(worker.ask(do="epoch"))
    return {key: summary(epochs, batch) for key, epochs in answers.items()}


def summary(epochs: list[dict], batch: int) -> dict[str, float]:
    """Medians over the epochs."""
    steps = math.ceil(epochs[0]["structures"] / batch)
    found = {
        part: 1e3 * statistics.median(e["parts"][part] for e in epochs) / steps
        for part in epochs[0]["parts"]
    }
    rate = statistics.median(e["structures"] / e["seconds"] for e in epochs)
    step = 1e3 * statistics.median(e["seconds"] for e in epochs) / steps
    return {"rate": rate, **found, "rest": step - sum(found.values())}


class TrainingWorker(Worker):
    """A worker of `contestants/train_worker.py`, whose scripts have no models to prepare."""

    def __init__(
        self, python: Path, script: str, mode: str, options: argparse.Namespace, setting: str
    ):
        log = options.venvs / "logs" / f"training-{script}-{mode}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        way = Path(mode)  # where other contestants are told the place of their models
        place = Script(python, HERE / "contestants" / script, way, log)
        super().__init__(place, options.threads, SETTINGS[setting])


def markdown(rows, options: argparse.Namespace, version: str, load: float) -> str:
    """The file."""
    lines = [
        "# Training speed",
        "",
        "Written by `python -m benchmarks.training_speed`; do not edit. "
        f"{time.strftime('%Y-%m-%d %H:%M %Z')}; {machine()}; load before the run {load:.1f}; "
        f"schnetpack {version}; {options.threads} thread; "
        f"medians of {options.rounds} epochs in turns.",
        "",
        "Structures trained per second on ethanol (950 frames of rMD17, energies and forces). SchNet of "
        "3 interactions, 50 Gaussians, 5 Å. Ours is `Fit.run_epoch`: batches, gradient, clipping, Muon "
        "and Adam, running average. schnetpack *as documented* is ASE database, data module, Lightning, "
        "AdamW; its *bare loop* holds structures and pairs in memory and leaves out all but collation, "
        "gradient and AdamW. Both settings of the processor take turns in one run; limited means "
        f"`{' '.join(f'{k}={v}' for k, v in AS_ON_A_LAPTOP.items())}`.",
    ]
    for setting in SETTINGS:
        lines += ["", *_table(rows, setting)]
    lines += [
        "",
        "How a step of ours divides, in ms: the network is forward and backward pass, the optimiser is a "
        "step of Muon and of Adam, the rest is batches, clipping, running average and a validation of two "
        "frames.",
        "",
        "| features | batch | instructions | network | optimiser | rest | optimiser / network |",
        "|---:|---:|---|---:|---:|---:|---:|",
    ]
    for features, batch, found in rows:
        for setting in SETTINGS:
            part = found[setting, OURS]
            lines.append(
                f"| {features} | {batch} | {setting} | {part['network']:.2f} | {part['optimiser']:.2f} | "
                f"{part['rest']:.2f} | {part['optimiser'] / part['network']:.2f} |"
            )
    return "\n".join(lines) + "\n"


def _table(rows, setting: str) -> list[str]:
    head = [
        f"Vector instructions: {setting}.",
        "",
        f"| features | batch | {OURS} | {BARE} | {DOCUMENTED} | ours / bare | ours / documented |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for features, batch, found in rows:
        ours, bare, documented = (found[setting, name]["rate"] for name in (OURS, BARE, DOCUMENTED))
        head.append(
            f"| {features} | {batch} | {ours:.0f} | {bare:.0f} | {documented:.0f} | "
            f"{ours / bare:.1f} | {ours / documented:.1f} |"
        )
    return head


if __name__ == "__main__":
    sys.exit(main())

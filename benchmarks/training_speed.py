"""Structures trained per second, beside schnetpack: `python -m benchmarks.training_speed`.

Ethanol, 950 frames of rMD17, energies and forces, SchNet of 3 interactions, 50 Gaussians, 5 Å; the same
batch size for all, in turns in one session. Ours is `Fit.run_epoch` with everything that `ase-schnet train`
does in an epoch. schnetpack runs in its documented way (ASE database, data module, Lightning) and, for what
its model can do, in a bare loop over structures kept in memory with their pairs. Writes training_speed.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.environments import ensure_environment
from benchmarks.peers import machine
from benchmarks.pool import HERE, Script, Worker

DATA = HERE.parents[1] / "shared/data/rmd17-npz/rmd17_ethanol_train_01.npz"
OURS, BARE, DOCUMENTED = "ours", "schnetpack, bare loop", "schnetpack, as documented"
SIZES = ((64, 10), (64, 32), (128, 10), (128, 32))  # features, structures in a batch


def main(argv: list[str] | None = None) -> int:
    """Time and write the table."""
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
        name: TrainingWorker(path, script, mode, options)
        for name, (path, script, mode) in scripts.items()
    }
    rows = []
    for features, batch in tqdm(SIZES, unit="size", file=sys.stderr):
        for worker in workers.values():
            worker.ask(do="setup", data=str(options.data), features=features, batch=batch)
        rates: dict[str, list[float]] = {name: [] for name in workers}
        for _ in range(options.rounds):
            for name, worker in workers.items():
                answer = worker.ask(do="epoch")
                rates[name].append(answer["structures"] / answer["seconds"])
        rows.append((features, batch, {k: statistics.median(v) for k, v in rates.items()}))
    for worker in workers.values():
        worker.close()
    text = markdown(rows, options, version, load)
    (HERE / "training_speed.md").write_text(text)
    print(text)
    return 0


class TrainingWorker(Worker):
    """A worker of `contestants/train_worker.py`, whose scripts have no models to prepare."""

    def __init__(self, python: Path, script: str, mode: str, options: argparse.Namespace):
        log = options.venvs / "logs" / f"training-{script}-{mode}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("")
        way = Path(mode)  # where other contestants are told the place of their models
        super().__init__(Script(python, HERE / "contestants" / script, way, log), options.threads)


def markdown(rows, options: argparse.Namespace, version: str, load: float) -> str:
    """The file."""
    head = [
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
        "gradient and AdamW.",
        "",
        f"| features | batch | {OURS} | {BARE} | {DOCUMENTED} | ours / bare | ours / documented |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for features, batch, rate in rows:
        ours, bare, documented = (rate[name] for name in (OURS, BARE, DOCUMENTED))
        head.append(
            f"| {features} | {batch} | {ours:.0f} | {bare:.0f} | {documented:.0f} | "
            f"{ours / bare:.1f} | {ours / documented:.1f} |"
        )
    return "\n".join(head) + "\n"


if __name__ == "__main__":
    sys.exit(main())

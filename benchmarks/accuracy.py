"""What a fit's settings are worth: `python -m benchmarks.accuracy [NAME ...]`.

One member on 950 frames of rMD17 ethanol, judged on the 1000 of `rmd17_ethanol_test_01.npz`; each experiment
changes one thing of `BASE`. Results are kept in accuracy.json, so that an interrupted run goes on where it
was, and written as a table to accuracy.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.model.schnet import PRESETS
from ase_schnet.runtime.files import write_whole
from ase_schnet.training import orthogonal
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.metrics import validation_metrics
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
RESULTS, TABLE = HERE / "accuracy.json", HERE / "accuracy.md"
N_TRAINING = 950
BASE = {"preset": "fast", "epochs": 200, "energy_weight": 0.001, "gamma": 4.0, "n_rbf": 32}
# The polynomials of degree 5 that bring singular values from [0.001, 1] nearest to 1 in four steps (N. Amsel
# et al., "The Polar Express", arXiv:2505.16932), against the five of Muon's reference implementation
FOUR_STEPS = (
    (8.4703, -25.1081, 18.6293),
    (4.1828, -3.1087, 0.5806),
    (3.9619, -2.9541, 0.5630),
    (3.2866, -2.4647, 0.5074),
)
EXPERIMENTS = {
    "base": {},
    "energy weight 0.004": {"energy_weight": 0.004},
    "energy weight 0.0003": {"energy_weight": 0.0003},
    "100 epochs": {"epochs": 100},
    "400 epochs": {"epochs": 400},
    "3000 epochs": {"epochs": 3000},
    "batch 5": {"batch_size": 5},
    "batch 20, 400 epochs": {"batch_size": 20, "epochs": 400},
    "learning rate 0.002": {"learning_rate": 2e-3},
    "learning rate 0.0005": {"learning_rate": 5e-4},
    "weight decay 0.01": {"weight_decay": 0.01},
    "running average 0.999": {"ema_decay": 0.999},
    "γ 10 Å⁻², 50 Gaussians": {"gamma": 10.0, "n_rbf": 50},
    "γ 2 Å⁻², 20 Gaussians": {"gamma": 2.0, "n_rbf": 20},
    "γ 1 Å⁻², 12 Gaussians": {"gamma": 1.0, "n_rbf": 12},
    "cutoff 4 Å": {"cutoff": 4.0, "n_rbf": 26},
    "cutoff 6 Å": {"cutoff": 6.0, "n_rbf": 38},
    "2 interactions": {"n_interactions": 2},
    "4 interactions": {"n_interactions": 4},
    "128 features": {"n_atom_basis": 128, "n_filters": 128},
    "Adam": {"optimizer": "adam"},
    "four steps of orthogonalisation": {"coefficients": FOUR_STEPS},
    "SchNet's loss, ρ 0.01": {"loss": "schnet", "energy_weight": 0.01},
}


def main(argv: list[str] | None = None) -> int:
    """Run the experiments that are not done yet and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.accuracy")
    parser.add_argument("names", nargs="*", help="experiments (default: all)")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    done = json.loads(options.results.read_text()) if options.results.exists() else {}
    parts = [_ethanol(options.data, part) for part in ("train", "test")]
    for name in options.names or EXPERIMENTS:
        if name not in done:
            done[name] = experiment(BASE | EXPERIMENTS[name], *parts)
            text = json.dumps(done, indent=1, ensure_ascii=False) + "\n"
            write_whole(options.results, text.encode())
            write_whole(options.results.with_suffix(".md"), markdown(done).encode())
            print(name, done[name], flush=True)
    return 0


def _ethanol(directory: Path, part: str) -> Dataset:
    frames, _ = read_labelled(directory / f"rmd17_ethanol_{part}_01.npz", "kcal/mol")
    return Dataset.from_atoms(frames)


def experiment(choices: dict, training: Dataset, test: Dataset) -> dict:
    """Errors on the test frames, what is left on the training frames, processor time."""
    config = PRESETS[choices.pop("preset")]
    weights = LossWeights(
        energy=choices.pop("energy_weight"), kind=choices.pop("loss", "standardised")
    )
    coefficients = choices.pop("coefficients", orthogonal.COEFFICIENTS)
    shape = {k: choices.pop(k) for k in list(choices) if hasattr(config, k)}
    with mock.patch.object(orthogonal, "COEFFICIENTS", coefficients):
        fit = Fit(
            replace(config, **shape),
            training.subset(np.arange(N_TRAINING)),
            training.subset(np.arange(N_TRAINING, len(training))),
            weights,
            FitSettings(**choices),
        )
    start = time.process_time()
    while not fit.finished:
        record = fit.run_epoch()
    seconds = time.process_time() - start
    source = BatchSource(test, fit.potential.config.cutoff, torch.float32)
    metrics = validation_metrics(fit.result().potential, source, fit.loss, 50)
    return {
        "energy_mae_meV": metrics.energy_mae_meV,
        "forces_mae_meV_per_Ang": metrics.forces_mae_meV_per_Ang,
        "forces_rmse_meV_per_Ang": metrics.forces_rmse_meV_per_Ang,
        "training_loss": record["training_loss"],
        "processor_s": seconds,
        "load": os.getloadavg()[0],
    }


def markdown(done: dict[str, dict]) -> str:
    """The file."""
    base = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in BASE.items())
    lines = [
        "# What settings are worth",
        "",
        "Written by `python -m benchmarks.accuracy`; do not edit. One member, seed 0, 950 frames of",
        "`rmd17_ethanol_train_01.npz`, errors on the 1000 of `rmd17_ethanol_test_01.npz`. Each row changes",
        f"one thing of the base ({base};",
        "the rest is the default). Seconds are processor time of one core that was shared with other work,",
        "so they compare roughly.",
        "",
        "| experiment | energy MAE, meV | kcal/mol | force MAE, meV/Å | kcal/mol/Å | loss in training | s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name in (name for name in EXPERIMENTS if name in done):
        r = done[name]
        energy, force = r["energy_mae_meV"], r["forces_mae_meV_per_Ang"]
        lines.append(
            f"| {name} | {energy:.2f} | {energy * KCAL:.3f} | {force:.2f} | {force * KCAL:.3f} | "
            f"{r['training_loss']:.1e} | {r['processor_s']:.0f} |"
        )
    return "\n".join(lines) + "\n"


KCAL = 0.0230605  # kcal/mol in a meV


if __name__ == "__main__":
    sys.exit(main())

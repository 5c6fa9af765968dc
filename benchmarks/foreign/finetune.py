"""Fine-tuning against training from scratch: `python -m benchmarks.foreign.finetune`.

From two models of rMD17's ethanol (PBE) to ethanol at CCSD(T)/cc-pVTZ (sGDML's data, in NeuralForceField's)
with 50 and 200 frames: a SchNet that schnetpack's own trainer made and `convert` read, and `models/ethanol`;
beside them random weights. Each seed draws other frames and other weights. Errors are of 500 frames that no
training saw. Writes finetune.json and finetune.md; what is done is kept: run it again after a stop.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase.io import write

from ase_schnet import convert_model, load_model, read_dataset, read_labelled
from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.runtime.files import write_whole
from benchmarks.environments import ensure_environment

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared/data"
PBE = DATA / "rmd17-npz/rmd17_ethanol_train_01.npz"
CCSDT = DATA / "nff-ethanol/ethanol_ccsd_t-train.npz"
TEST = 500  # frames, the last ones
SCRATCH = "random weights, --preset fast"  # of the shape of models/ethanol


def main() -> None:
    """Train what is missing, one after the other, and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n", 1)[1])
    parser.add_argument("--frames", nargs="+", type=int, default=[50, 200])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, help="of ours (default: that of train)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of schnetpack's training")
    parser.add_argument("--work", type=Path, default=Path.home() / ".cache/ase_schnet/finetune")
    parser.add_argument("--venvs", type=Path, default=Path.home() / ".cache/ase_schnet/peers")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    starts = {
        "a model of schnetpack, converted": ["--start-from", str(schnetpacks(options))],
        "models/ethanol": ["--start-from", "ethanol"],
        SCRATCH: ["--preset", "fast"],
    }
    path = HERE / "finetune.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    frames, _ = read_labelled(CCSDT, "kcal/mol")
    test = Dataset.from_atoms(frames[-TEST:])
    for n in options.frames:
        for seed in options.seeds:
            data = options.work / f"ccsdt-{n}-{seed}.extxyz"
            chosen = np.random.default_rng(seed).choice(len(frames) - TEST, n, replace=False)
            write(data, [frames[k] for k in sorted(chosen)])
            for name, more in starts.items():
                key = f"{name}, {n} frames, seed {seed}"
                if key not in results:
                    results[key] = trained(options, data, more, seed, test)
                    write_whole(path, (json.dumps(results, indent=1) + "\n").encode())
    write_whole(HERE / "finetune.md", table(results).encode())


def schnetpacks(options: argparse.Namespace) -> Path:
    """Return a model of rMD17's ethanol that schnetpack's own trainer made, converted."""
    output, run = options.work / "converted", options.work / "schnetpack"
    if not (run / "best_model").exists():
        python, _ = ensure_environment("schnetpack", options.venvs)
        script = HERE / "train_schnetpack.py"
        command = [python, script, PBE, run, "--minutes", options.minutes]
        subprocess.run([str(part) for part in command], check=True)
    if not (output / "model.json").exists():
        dataset, _ = read_dataset(PBE)
        known = {"dataset": dataset, "units": "eV", "level_of_theory": "PBE/def2-SVP"}
        convert_model(run / "best_model", output, **known)
    return output


def trained(
    options: argparse.Namespace, data: Path, more: list[str], seed: int, test: Dataset
) -> dict:
    """Train two members and return their errors."""
    output = options.work / f"model-{time.time():.0f}"
    command = [sys.executable, "-m", "ase_schnet", "train", str(data), "-o", str(output)]
    command += ["--folds", "2", "--seed", str(seed), "--no-plot", "--jobs", "1", *more]
    command += ["--level-of-theory", "CCSD(T)/cc-pVTZ"]
    command += ["--epochs", str(options.epochs)] if options.epochs else []
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if not (output / "model.json").exists():
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    metrics = compare(Ensemble(load_model(output)), test).metrics()
    return {**metrics, "seconds": time.perf_counter() - begun, "command": " ".join(command[3:])}


def table(results: dict) -> str:
    """Return means and ranges over the seeds as Markdown."""
    lines = [
        "# Fine-tuning a converted model",
        "",
        f"Ethanol at CCSD(T)/cc-pVTZ, errors of {TEST} frames, two members; mean of the seeds, and the least "
        "and largest of them. `python -m benchmarks.foreign.finetune`",
        "",
        "A good model of the nearer level halves the error. One of five minutes' training does not help: the "
        "converted one is off by 58.7 meV/Å at its own level (`ase-schnet evaluate` on "
        "`rmd17_ethanol_test_01.npz`; models/ethanol by 5.4), both members start from its one, and "
        "fine-tuning takes half the learning rate.",
        "",
        "| start | frames | forces MAE, meV/Å | energy MAE, meV | s of a training |",
        "|---|---|---|---|---|",
    ]
    groups: dict[str, list] = {}
    for key, row in results.items():
        groups.setdefault(key.rpartition(", seed")[0], []).append(row)
    for key, rows in groups.items():
        name, _, frames = key.rpartition(", ")
        cells = [name, frames]
        for quantity in ("forces_mae_meV_per_Ang", "energy_mae_meV"):
            values = [row[quantity] for row in rows]
            cells.append(f"{np.mean(values):.1f} ({min(values):.1f}–{max(values):.1f})")
        cells.append(f"{np.mean([row['seconds'] for row in rows]):.0f}")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

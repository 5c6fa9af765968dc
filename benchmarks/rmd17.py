"""The paper's table: `python -m benchmarks.rmd17 --work DIR [NAME ...]`.

Trains an ensemble, as `ase-schnet train` does, on the 1000 frames of each `rmd17_*_train_01.npz` and judges
it on the 1000 of the test file; of three molecules also with the labels of MD17 (`old_energies`), which the
SchNet paper had, of five with pretraining (`--pretrain gfn2-xtb`), and of ethanol on energies alone, on
forces alone, and for shorter and longer. Finished
models stay in DIR, results in rmd17.json, so an interrupted run goes on where it was. Writes rmd17.md, beside
SchNet's published errors, those of the implementation report's Table 7 and a potential linear in pair
distances.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.splits import plan_folds
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.model.schnet import PRESETS
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.pretraining.run import pretrained
from ase_schnet.pretraining.settings import POOL_FIT, Pretraining
from ase_schnet.runtime.files import write_whole
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.log import read_logs
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from benchmarks.pair_baseline import PairBaseline

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
RESULTS = HERE / "rmd17.json"
PREPARED = "prepared.json"  # how long pool and teacher of a pretraining took
KEPT_OUT = 50
EPOCHS = 200  # of the default 500; what more of them buy is in the second table
CHEAP = "gfn2-xtb"
PRETRAINED = ("ethanol", "malonaldehyde", "aspirin", "toluene", "naphthalene")
KCAL = 23.0605  # kcal/mol in an eV
HEAD = f"""# rMD17, 1000 frames

Written by `python -m benchmarks.rmd17`; do not edit. MAE in kcal/mol and kcal/mol/Å on the 1000 frames of
each `rmd17_*_test_01.npz`. *Ensemble*: five members, preset `fast`, {EPOCHS} epochs, trained on 1000 frames
of which {KEPT_OUT} are kept out and every member sees 760; *member*: one of them, on average. *SchNet*:
arXiv:1706.08566, 1000 frames with the labels of MD17, energies and forces (the forces of benzene from
memory). *Report*: Table 7 of the implementation report, 50,000 frames, energies alone and forces alone.
*Pairs*: a potential linear in Gaussians of the pair distances, same frames. *Pretrained*: the ensemble that
`ase-schnet train --pretrain {CHEAP}` makes of the same frames; its minutes include the cheap labels and
the networks of the difference. Minutes are those of
one core, of all five members together, on a machine busy with other work (the first four molecules: very).
Forces alone leave the constant of the energy free.
"""
CURVE_HEAD = """
## What time buys

Ethanol, rMD17 labels, the same frames, five members. Minutes of one core for all five; members train side
by side, so two cores need little more than half of it. 50 and 500 epochs had a core to themselves (2.3 s an
epoch of all five), 100 and 200 shared it with other work.

| epochs | min | ensemble E | F | member E | F |
|---:|---:|---:|---:|---:|---:|
"""
COLUMNS = (
    *("molecule", "labels", "trained on", "ensemble E", "F", "member E", "F", "SchNet E", "F"),
    *("report E", "F", "pairs E", "F", "min", "pretrained E", "F", "min"),
)


@dataclass(frozen=True)
class Published:
    """Errors of others in kcal/mol and kcal/mol/Å: (energy, forces); None where there are none.

    schnet : the SchNet paper (arXiv:1706.08566, Table 2), labels of MD17, N = 1000, energies and forces; the
    forces of benzene are from memory. report : the implementation report, Table 7, N = 50 000, the model of
    energies alone and the model of forces alone.
    """

    schnet: tuple[float, float] | None
    report: tuple[float, float]


MOLECULES = {
    "ethanol": Published((0.08, 0.39), (114, 0.86)),
    "malonaldehyde": Published((0.13, 0.66), (433, 1.03)),
    "benzene": Published((0.08, 0.31), (174, 0.38)),
    "uracil": Published((0.14, 0.56), (1650, 1.16)),
    "toluene": Published((0.12, 0.57), (936, 0.87)),
    "salicylic": Published((0.20, 0.85), (2180, 1.09)),
    "naphthalene": Published((0.16, 0.58), (2260, 0.80)),
    "aspirin": Published((0.37, 1.35), (1440, 1.25)),
    "paracetamol": Published(None, (980, 1.00)),
    "azobenzene": Published(None, (1020, 1.18)),
}


@dataclass(frozen=True)
class Job:
    """One ensemble: a molecule, which labels, which of them count."""

    molecule: str
    original: bool = False  # the labels of MD17 instead of those recomputed for rMD17
    weights: LossWeights = field(default_factory=LossWeights)
    of: str = "energies and forces"
    epochs: int = EPOCHS
    pretrained: bool = False

    @property
    def name(self) -> str:
        """Of its model directory and its result."""
        parts = [self.molecule, "md17" if self.original else "", self.of if self.alone else ""]
        parts += [f"{self.epochs}_epochs"] if self.of_curve else []
        parts += ["pretrained"] if self.pretrained else []
        return "_".join(part for part in parts if part)

    @property
    def of_curve(self) -> bool:
        """Trained for another time than the molecules of the table."""
        return self.epochs != EPOCHS

    @property
    def alone(self) -> bool:
        """Trained on energies alone or on forces alone."""
        return self.of != "energies and forces"

    def read(self, directory: Path, part: str) -> Dataset:
        """The train or the test file."""
        keys = {"energy_key": "old_energies", "forces_key": "old_forces"} if self.original else {}
        path = directory / f"rmd17_{self.molecule}_{part}_01.npz"
        return Dataset.from_atoms(read_labelled(path, "kcal/mol", **keys)[0], source=path.name)


JOBS = [
    *(Job(molecule) for molecule in MOLECULES),
    *(Job(molecule, original=True) for molecule in ("ethanol", "malonaldehyde", "aspirin")),
    Job("ethanol", weights=LossWeights(energy=1.0, forces=0.0), of="energies"),
    Job("ethanol", weights=LossWeights(energy=0.0), of="forces"),
    *(Job("ethanol", epochs=epochs) for epochs in (50, 100, 500)),
    *(Job(molecule, pretrained=True) for molecule in PRETRAINED),
]


def main(argv: list[str] | None = None) -> int:
    """Train what is not there yet, judge it, write the table."""
    names = [job.name for job in JOBS]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rmd17")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)} (default: all)")
    parser.add_argument("--work", type=Path, required=True, help="where the models go")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--jobs", type=int, default=1, help="members side by side (default: 1)")
    options = parser.parse_args(argv)
    unknown = set(options.names) - set(names)
    if unknown:
        parser.error(f"no {', '.join(sorted(unknown))}: choose from {', '.join(names)}")
    done = json.loads(options.results.read_text()) if options.results.exists() else {}
    for job in JOBS:
        if job.name in done or job.name not in (options.names or names):
            continue
        done[job.name] = run(job, options)
        write_whole(options.results, (json.dumps(done, indent=1) + "\n").encode())
        write_whole(options.results.with_suffix(".md"), markdown(done).encode())
        print(job.name, done[job.name], flush=True)
    return 0


def run(job: Job, options: argparse.Namespace) -> dict:
    """Errors of the ensemble and of its members on average, of the baseline, and what it took."""
    training, test = (job.read(options.data, part) for part in ("train", "test"))
    directory = options.work / job.name
    model = _trained(job, training, directory, options.jobs)
    spent = sum(log["history"]["elapsed_s"][-1] for log in read_logs(directory / "training"))
    if job.pretrained:
        spent += json.loads((directory / PREPARED).read_text())["processor_s"]
    metrics = compare(Ensemble(model), test).metrics()
    energy, forces = PairBaseline(training).errors(test)
    return {
        "energy_mae_kcal": metrics["energy_mae_meV"] * KCAL / 1000,
        "forces_mae_kcal": metrics["forces_mae_meV_per_Ang"] * KCAL / 1000,
        "energy_mae_of_a_member_kcal": metrics["energy_mae_of_a_member_meV"] * KCAL / 1000,
        "forces_mae_of_a_member_kcal": metrics["forces_mae_of_a_member_meV_per_Ang"] * KCAL / 1000,
        "baseline_energy_mae_kcal": energy * KCAL,
        "baseline_forces_mae_kcal": forces * KCAL,
        "minutes": spent / 60,
        "epochs": [fold["epochs"] for fold in model.card["folds"]],
        "validation_loss_of_folds": [fold["loss_mean"] for fold in model.card["folds"]],
    }


def _trained(job: Job, training: Dataset, directory: Path, jobs: int) -> TrainedModel:
    """The model, trained or gone on with where it is not there."""
    if (directory / "model.json").exists():
        return load_model(directory)
    plan = plan_folds(len(training), n_kept_out=KEPT_OUT)
    settings = FitSettings(epochs=job.epochs)
    if job.pretrained:
        settings = FitSettings(**POOL_FIT)
    recipe = Recipe(PRESETS["fast"], job.weights, settings, plan, charge=0, multiplicity=1)
    if job.pretrained:
        start = time.perf_counter()
        recipe, _ = pretrained(training, directory, recipe, Pretraining(CHEAP), jobs=jobs)
        spent = {"processor_s": jobs * (time.perf_counter() - start)}
        if not (directory / PREPARED).exists():  # of the first attempt
            write_whole(directory / PREPARED, json.dumps(spent).encode())
    return cross_validate(training, directory, recipe, jobs=jobs, resume=True)


def markdown(done: dict[str, dict]) -> str:
    """The file."""
    lines = [
        HEAD,
        "| " + " | ".join(COLUMNS) + " |",
        "|---|---|---|" + "---:|" * (len(COLUMNS) - 3),
    ]
    table = [job for job in JOBS if job.name in done and not job.of_curve and not job.pretrained]
    lines += [_row(job, done) for job in table]
    curve = [job for job in JOBS if job.name in done and (job.of_curve or job == Job("ethanol"))]
    rows = [_curve_row(job, done[job.name]) for job in sorted(curve, key=lambda job: job.epochs)]
    return "\n".join(lines) + "\n" + CURVE_HEAD + "\n".join(rows) + "\n"


def _curve_row(job: Job, r: dict) -> str:
    cells = [str(job.epochs), f"{r['minutes']:.0f}", *_errors(r)]
    return "| " + " | ".join(cells) + " |"


def _errors(r: dict) -> list[str]:
    """Energy and forces of the ensemble, energy and forces of a member."""
    names = (f"{label}_mae{of}" for of in ("", "_of_a_member") for label in ("energy", "forces"))
    return [f"{r[name + '_kcal']:.3f}" for name in names]


def _row(job: Job, done: dict[str, dict]) -> str:
    r = done[job.name]
    published = MOLECULES[job.molecule]
    schnet = published.schnet if not job.alone else None
    cells = [job.molecule, "MD17" if job.original else "rMD17", job.of]
    errors = _errors(r)
    if job.weights.energy == 0:
        errors[0] = errors[2] = "free"
    cells += errors
    cells += [f"{x:.2f}" for x in schnet] if schnet else ["", ""]
    cells += [f"{x:g}" for x in published.report]
    cells += [f"{r['baseline_energy_mae_kcal']:.2f}", f"{r['baseline_forces_mae_kcal']:.2f}"]
    cells += [f"{r['minutes']:.0f}"]
    taught = done.get(replace(job, pretrained=True).name)
    cells += ["", "", ""] if taught is None else [*_errors(taught)[:2], f"{taught['minutes']:.0f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    sys.exit(main())

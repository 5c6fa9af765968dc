"""How many frames are needed: `python -m benchmarks.pretraining --work DIR [--molecules ethanol ...]`.

For N dear frames of rMD17, one member each with three seeds (other frames, other weights): trained on them
alone, and pretrained with GFN2-xTB as `ase-schnet train --pretrain gfn2-xtb` does; errors on the 1000
frames of the test file, along bonds against PBE where a curve is in md_examples, and the life at 1000 K as
in `benchmarks.stability`. Everything is kept in DIR and in pretraining.json: an interrupted call goes on.
Writes pretraining.md and pretraining.png.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.pairs import sampled_distances
from ase_schnet.data.splits import plan_folds
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.labelling.reference import read_reference
from ase_schnet.model.schnet import PRESETS, SchNetConfig
from ase_schnet.modelfile import TrainedModel, load_model, save_model
from ase_schnet.pretraining.contrast import Contrasted
from ase_schnet.pretraining.difference import difference_of, frames_of
from ase_schnet.pretraining.head_start import head_start
from ase_schnet.pretraining.pool import label_pool, sample_pool
from ase_schnet.pretraining.settings import (
    POOL_FIT,
    Pretraining,
    teacher_network,
    teacher_settings,
)
from ase_schnet.pretraining.taught import Taught
from ase_schnet.runtime.files import write_whole
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import MemberStart
from ase_schnet.training.trainer import Fit
from benchmarks.curves import errors, references
from benchmarks.stability import Run, live

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "shared/data/rmd17-npz"
RESULTS = HERE / "pretraining.json"
SIZES, SEEDS, N_VALIDATION = (25, 50, 100, 200, 500, 950), (0, 1, 2), 50
KCAL = 23.0605
CONFIG, WEIGHTS = PRESETS["fast"], LossWeights(energy=0.001)
ALONE_STEPS = 38_000  # 500 epochs of 760 frames in batches of ten, for any number of frames
LIFE_K, LIFE_PS = 1000.0, 20.0
HEAD = """# What a cheap method teaches

Written by `python -m benchmarks.pretraining --work DIR`; do not edit. One member of preset `fast`, three
seeds (other frames of rMD17, other weights), alone and pretrained by GFN2-xTB (14,000 + 20,000 structures
around the frames); mean and half of the range. Tested on the 1000 frames of the test file. Curves: RMSE
against PBE along a bond below and above the data, as in [curves.md](curves.md).
Processor time is that of the fit of the member.
"""


@dataclass(frozen=True)
class Case:
    """One row: molecule and number of dear frames."""

    molecule: str
    n: int

    @property
    def key(self) -> str:
        """Name in the results."""
        return f"{self.molecule} {self.n}"


def parts_of(case: Case, seed: int) -> tuple[Dataset, Dataset, Dataset]:
    """Return the dear frames of a seed, frames to validate, and test frames."""
    train, test = (
        Dataset.from_atoms(
            read_labelled(DATA / f"rmd17_{case.molecule}_{part}_01.npz", "kcal/mol")[0]
        )
        for part in ("train", "test")
    )
    most = len(train) - N_VALIDATION
    order = np.random.default_rng([seed, case.n]).permutation(most)
    chosen = np.sort(order[: case.n])
    return train.subset(chosen), train.subset(np.arange(most, len(train))), test


def fitted(
    training: Dataset,
    validation: Dataset,
    settings: FitSettings,
    pool: Dataset | None = None,
    config: SchNetConfig = CONFIG,
    start: MemberStart | None = None,
) -> Fit:
    """Run a fit to its end."""
    fit = Fit(config, training, validation, WEIGHTS, settings, augmented=pool, start=start)
    while not fit.finished:
        fit.run_epoch()
    return fit


def model_of(fits: list[Fit], dataset: Dataset, config: SchNetConfig = CONFIG) -> TrainedModel:
    """Return the averaged networks of fits as an ensemble."""
    potentials = [fit.result().potential for fit in fits]
    states = [p.schnet.state_dict() for p in potentials]
    return TrainedModel(
        config=config.to_dict(),
        elements=dataset.elements,
        energy_shift=np.stack([p.shift.numpy() for p in potentials]),
        scale=np.array([p.scale for p in potentials]),
        weights={name: np.stack([s[name].numpy() for s in states]) for name in states[0]},
        pbc=False,
        distance_ranges=sampled_distances(dataset, config.cutoff),
    )


def prepared(case: Case, work: Path) -> Taught:
    """Make the pool from the frames of the first seed, and the teachers of all seeds."""
    reference = read_reference("gfn2-xtb")
    settings = Pretraining("gfn2-xtb")
    taught = Taught(work, settings, reference.level_of_theory)
    if taught.written:
        return taught
    work.mkdir(parents=True, exist_ok=True)
    first, *_ = parts_of(case, SEEDS[0])
    pool = sample_pool(frames_of(first, 0, 1), reference, settings, work, jobs=1)
    pool = label_pool(pool, reference, work, jobs=1)
    recipe = Recipe(
        teacher_network(CONFIG),
        WEIGHTS,
        FitSettings(),
        plan_folds(case.n, len(SEEDS), n_kept_out=1),
    )
    recipe = replace(recipe, charge=0, multiplicity=1, baseline=reference.text)
    start = head_start(pool, reference, settings, recipe, work / "head_start", {"jobs": 1})
    teachers, differences = [], []
    for seed in SEEDS:
        dear, validation, _ = parts_of(case, seed)
        labels = [
            difference_of(d, reference, work / f"{name}_{seed}.extxyz", electrons=(0, 1), jobs=1)[0]
            for name, d in (("dear", dear), ("validation", validation))
        ]
        steps, started = settings.teacher_steps, start is not None
        own = replace(teacher_settings(FitSettings(), dear, steps, started), seed=seed)
        begin = start and start.of_member(SEEDS.index(seed))
        teachers.append(fitted(*labels, own, config=recipe.config, start=begin))
        differences.append(labels[0])
    contrast = Contrasted(reference, settings.second, work, frames_of(first, 0, 1), (0, 1), jobs=1)
    teacher = model_of(teachers, first, recipe.config)
    taught.write(pool, teacher, differences[0], np.arange(case.n), contrast)
    return taught


def trained(case: Case, seed: int, taught: Taught | None, work: Path) -> dict:
    """Train one member, with or without a pool, and judge it."""
    dear, validation, test = parts_of(case, seed)
    name = f"{'with' if taught else 'alone'}_{seed}"
    start = time.process_time()
    if taught is None:
        epochs = min(max(round(ALONE_STEPS * 10 / len(dear)), 400), 3000)
        fit = fitted(dear, validation, FitSettings(epochs=epochs, seed=seed))
    else:
        pool = taught(dear, np.arange(len(dear)), SEEDS.index(seed))
        settings = FitSettings(**POOL_FIT, seed=seed)
        fit = fitted(dear, validation, settings, pool)
    seconds = time.process_time() - start
    model = replace(
        model_of([fit], dear), trained_on={} if taught is None else taught.trained_on(CONFIG.cutoff)
    )
    path = save_model(work / name, model)
    metrics = compare(Ensemble(load_model(path)), test).metrics()
    write_start(case, work / "start.xyz")
    lived = live(Run(name, str(path), str(work / "start.xyz"), LIFE_K, LIFE_PS, seed), work)
    return {
        "energy_mae_meV": metrics["energy_mae_meV"],
        "forces_mae_meV_per_Ang": metrics["forces_mae_meV_per_Ang"],
        "life_ps": lived["life_ps"],
        "processor_s": seconds,
        **{
            f"curve {bond}": errors(path, *what) for bond, what in references(case.molecule).items()
        },
    }


def write_start(case: Case, path: Path) -> None:
    """Write the structure that runs start from, before its relaxation."""
    if not path.exists():
        dear, *_ = parts_of(case, SEEDS[0])
        dear.atoms(0).write(path)


def run_case(case: Case, work: Path) -> dict:
    """Do all of one row."""
    folder = work / case.key.replace(" ", "_")
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"alone": [], "with": []}
    kept = folder / "rows.json"
    if kept.exists():
        rows = json.loads(kept.read_text())
    for how in rows:
        taught = prepared(case, folder / "pretraining") if how == "with" else None
        for seed in SEEDS[len(rows[how]) :]:
            rows[how].append(trained(case, seed, taught, folder))
            write_whole(kept, json.dumps(rows).encode())
    return rows


def main(argv: list[str] | None = None) -> int:
    """Do the rows that are not done yet and write table and figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretraining")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--molecules", nargs="+", default=["ethanol", "malonaldehyde"])
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args(argv)
    done = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cases = [Case(molecule, n) for n in options.sizes for molecule in options.molecules]
    left = [case for case in cases if case.key not in done]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(run_case, case, options.work): case for case in left}
        for future in as_completed(futures):
            done[futures[future].key] = future.result()
            write_whole(RESULTS, (json.dumps(done, indent=1) + "\n").encode())
            print(futures[future].key, future.result(), flush=True)
            write_whole(RESULTS.with_suffix(".md"), markdown(done).encode())
            plot(done, RESULTS.with_suffix(".png"))
    return 0


def markdown(done: dict[str, dict]) -> str:
    """The file: a line for each molecule, number of frames and way, mean and half range over the seeds."""
    columns = {
        "forces_mae_meV_per_Ang": "F MAE, meV/Å",
        "energy_mae_meV": "E MAE, meV",
        "life_ps": f"life at {LIFE_K:g} K, of {LIFE_PS:g} ps",
        "processor_s": "processor, s",
    }
    bonds = sorted(
        {k for rows in done.values() for r in rows["with"] for k in r if k[:5] == "curve"}
    )
    names = [*columns.values(), *(f"{b[6:]}, kcal/mol" for b in bonds)]
    lines = [HEAD, "| molecule | frames | how | " + " | ".join(names) + " |"]
    lines.append("|---|---:|---|" + "---:|" * len(names))
    for key in sorted(done, key=lambda key: (key.split()[0], int(key.split()[1]))):
        molecule, n = key.split()
        for how, rows in done[key].items():
            cells = [_spread([row[c] for row in rows]) for c in columns]
            for bond in bonds:
                there = [row[bond] for row in rows if bond in row]
                means = (np.mean([r[part] for r in there]) for part in ("below", "above") if there)
                cells.append(", ".join(f"{mean:.1f}" for mean in means))
            lines.append(f"| {molecule} | {n} | {how} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n![Errors against the number of frames](pretraining.png)\n"


def _spread(values: list[float]) -> str:
    return f"{np.mean(values):.3g} ± {np.ptp(values) / 2:.2g}"


def plot(done: dict[str, dict], path: Path) -> None:
    """Draw errors and life against the number of frames."""
    panels = {
        "forces_mae_meV_per_Ang": "force MAE (meV/Å)",
        "energy_mae_meV": "energy MAE (meV)",
        "life_ps": f"life at {LIFE_K:g} K (ps)",
    }
    figure = Figure(figsize=(12, 3.8), layout="constrained")
    FigureCanvasAgg(figure)
    molecules = sorted({key.split()[0] for key in done})
    for axes, (name, label) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for k, molecule in enumerate(molecules):
            sizes = sorted(int(key.split()[1]) for key in done if key.split()[0] == molecule)
            for how, style in (("alone", "--"), ("with", "-")):
                rows = [[row[name] for row in done[f"{molecule} {n}"][how]] for n in sizes]
                axes.plot(
                    sizes,
                    [np.mean(r) for r in rows],
                    style,
                    color=f"C{k}",
                    marker="o",
                    label=f"{molecule}, {'pretrained' if how == 'with' else 'alone'}",
                )
        axes.set_xscale("log")
        axes.set_yscale("linear" if name == "life_ps" else "log")
        axes.set_xlabel("frames of rMD17")
        axes.set_ylabel(label)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside upper center", ncols=4)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    sys.exit(main())

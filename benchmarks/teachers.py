"""What the networks of the difference gain by a head start: `python -m benchmarks.teachers --work DIR`.

PBE minus GFN2-xTB for ethanol, learnt from N frames of rMD17 by one member, three seeds (other frames, other
weights): from random weights with the Gaussians of the members, with wide ones, and from networks of GFN1-xTB
minus GFN2-xTB, as `ase-schnet train --pretrain gfn2-xtb` does. Judged on 200 frames of the test file and on
100 at 1000 K. What is done is kept in DIR. Writes teachers.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.splits import plan_folds
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.labelling.reference import read_reference
from ase_schnet.pretraining.difference import difference_of, frames_of
from ase_schnet.pretraining.head_start import head_start
from ase_schnet.pretraining.pool import label_pool, sample_pool
from ase_schnet.pretraining.settings import Pretraining, teacher_network, teacher_settings
from ase_schnet.runtime.files import write_whole
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import Start
from benchmarks.pretraining import CONFIG, HERE, SEEDS, WEIGHTS, Case, fitted, model_of, parts_of

REFERENCE = read_reference("gfn2-xtb")
SIZES = (50, 150, 950)
#: The pool from which the head start takes its structures; a training has more, of which it takes as many.
POOL = Pretraining("gfn2-xtb", n_thermal=2000, n_far=4000)
HOT = HERE / "ethanol_1000K_pbe_def2svp.xyz"
HEAD = """# Where the networks of the difference begin

Written by `python -m benchmarks.teachers --work DIR`; do not edit. PBE minus GFN2-xTB of ethanol, one member
of preset `fast`, three seeds (other frames of rMD17, other weights): mean and half of the range. Errors of
the forces in meV/Å and of the energy in meV, on 200 frames of the test file (500 K) and on 100 at 1000 K
(`ethanol_1000K_pbe_def2svp.xyz`). *Random*: as the members begin, γ 4 Å⁻². *Wide*: γ 1 Å⁻². *Head start*:
wide, and from networks of GFN1-xTB minus GFN2-xTB on 3000 structures around the first seed's frames.
Processor time is that of the fit; the head start itself takes as long as one.

| frames | begin | forces 500 K | energy | forces 1000 K | energy | s |
|---:|---|---:|---:|---:|---:|---:|
"""


def labels_of(frames: list[Atoms] | Dataset, path: Path) -> Dataset:
    """Return PBE minus GFN2-xTB."""
    dataset = frames if isinstance(frames, Dataset) else Dataset.from_atoms(frames)
    return difference_of(dataset, REFERENCE, path, electrons=(0, 1), jobs=1)[0]


def started(case: Case, work: Path) -> Start | None:
    """Return the networks of GFN1-xTB minus GFN2-xTB, one for each seed."""
    near, *_ = parts_of(case, SEEDS[0])
    pool = sample_pool(frames_of(near, 0, 1), REFERENCE, POOL, work, jobs=1)
    pool = label_pool(pool, REFERENCE, work, jobs=1)
    plan = plan_folds(case.n, len(SEEDS), n_kept_out=1)
    recipe = Recipe(teacher_network(CONFIG), WEIGHTS, FitSettings(), plan, baseline=REFERENCE.text)
    recipe = replace(recipe, charge=0, multiplicity=1)
    return head_start(pool, REFERENCE, POOL, recipe, work / "head_start", {"jobs": 1})


def run_case(n: int, work: Path) -> dict[str, list[list[float]]]:
    """Return the errors of all seeds by how they begin."""
    case, folder = Case("ethanol", n), work / str(n)
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / "errors.json"
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    start = started(case, folder)
    ways = {"random": (CONFIG, None), "wide": (teacher_network(CONFIG), None)}
    ways["head start"] = (teacher_network(CONFIG), start)
    *_, test = parts_of(case, 0)
    tests = [
        labels_of(test.subset(np.arange(0, len(test), 5)), work / "test.extxyz"),
        labels_of(read_labelled(HOT)[0], work / "hot.extxyz"),
    ]
    for seed in SEEDS:
        dear, validation, _ = parts_of(case, seed)
        parts = [
            labels_of(d, folder / f"{name}_{seed}.extxyz")
            for name, d in (("dear", dear), ("validation", validation))
        ]
        for how, (config, begin) in ways.items():
            found = rows.setdefault(how, [])
            if len(found) > seed:
                continue
            own = teacher_settings(FitSettings(), dear, POOL.teacher_steps, begin is not None)
            member = begin and begin.of_member(seed)
            began = time.process_time()
            fit = fitted(*parts, replace(own, seed=seed), config=config, start=member)
            seconds = time.process_time() - began
            model = Ensemble(model_of([fit], dear, config))
            metrics = [compare(model, t).metrics() for t in tests]
            names = ("forces_mae_meV_per_Ang", "energy_mae_meV")
            found.append([m[name] for m in metrics for name in names] + [seconds])
            write_whole(kept, json.dumps(rows).encode())
            print(n, how, seed, np.round(found[-1], 1), flush=True)
    return rows


def main(argv: list[str] | None = None) -> int:
    """Do what is not done yet, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.teachers")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    options = parser.parse_args(argv)
    lines = []
    for n in options.sizes:
        for how, found in run_case(n, options.work).items():
            mean, half = np.mean(found, axis=0), np.ptp(found, axis=0) / 2
            cells = [f"{m:.1f} ± {h:.1f}" for m, h in zip(mean[:-1], half[:-1], strict=True)]
            lines.append(f"| {n} | {how} | {' | '.join(cells)} | {mean[-1]:.0f} |\n")
    write_whole(HERE / "teachers.md", (HEAD + "".join(lines)).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

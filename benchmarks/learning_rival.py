"""What the choice of structures is worth: `python -m benchmarks.learning_rival DIR STRUCTURE -o RIVAL`.

Trains a rival of the model that `ase-schnet learn STRUCTURE -o DIR` made: as many structures, drawn at random
from runs of the cheap method at one temperature, labelled by the same reference, and trained as the last
training of a learning is. Hold both against any labels with `ase-schnet evaluate`.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from ase_schnet import LearnSettings, SamplingPlan, label_structures, sample_structures
from ase_schnet.learning.choose import CHOSEN, RANDOM
from ase_schnet.learning.fit import divided, fit_round
from ase_schnet.learning.settings import Methods
from ase_schnet.structures.single import read_structure
from ase_schnet.uncertainty.bars import LEVEL
from ase_schnet.uncertainty.conformal import structures_needed

#: Runs of ten structures, by default 0.5 ps apart, as independent samples are.
RUN = {"frames_per_run": 10, "friction_per_fs": 0.01}
SEED = 7


def main(argv: list[str] | None = None) -> int:
    """Sample, label, train; what is done is not done again."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning_rival", description=__doc__
    )
    parser.add_argument("directory", type=Path, metavar="DIR")
    parser.add_argument("structure", metavar="STRUCTURE")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RIVAL")
    parser.add_argument("--temperature", type=float, help="K; default: that of the learning")
    parser.add_argument(
        "-n", type=int, help="structures; default: as many as the learning asked for"
    )
    parser.add_argument("--interval", type=int, default=1000, help="steps of 0.5 fs between two")
    parser.add_argument("--seed", type=int, default=SEED, help="of what is drawn, not of weights")
    parser.add_argument("--labels", type=Path, help="file with the labels of an earlier call")
    parser.add_argument("--jobs", type=int)
    options = parser.parse_args(argv)
    told = json.loads((options.directory / "learn.json").read_text())
    settings = LearnSettings(
        **{
            f.name: tuple(told[f.name]) if f.name == "toward" else told[f.name]
            for f in fields(LearnSettings)
            if f.name in told
        }
    )
    methods = Methods.of(settings, periodic=False)
    kelvin = options.temperature or settings.temperature_K
    options.output.mkdir(parents=True, exist_ok=True)
    kept = options.labels
    labelled = read(kept, ":") if kept else drawn(options, methods, kelvin)
    plan_, split = divided(labelled, settings.members, 0, at_least=structures_needed(LEVEL))
    print(f"{len(labelled)} labels at {kelvin:g} K; {split}")
    fitted = fit_round(
        labelled,
        options.output / "model",
        plan_,
        settings,
        methods,
        last=True,
        head_start_in=options.output / "head_start",
        workers={"jobs": options.jobs},
    )
    print(f"{fitted.model.path}")
    return 0


def asked_for(directory: Path) -> int:
    """Return how many structures a learning gave to its reference."""
    rounds = (directory / "rounds.csv").read_text().splitlines()
    return int(rounds[-1].split(",")[rounds[0].split(",").index("calls")])


def drawn(options: argparse.Namespace, methods: Methods, kelvin: float) -> list[Atoms]:
    """Return structures of runs of the cheap method with labels of the reference."""
    n = options.n or asked_for(options.directory)
    plan = SamplingPlan(
        shares={"md": 1.0}, temperatures_K=(kelvin,), interval=options.interval, **RUN
    )
    start = read_structure(options.structure).atoms
    frames = sample_structures(
        [start],
        methods.sampler,
        n,
        plan=plan,
        seed=options.seed,
        jobs=options.jobs,
        directory=options.output / "sampling",
    )
    for number, atoms in enumerate(frames):
        share = RANDOM if number < structures_needed(LEVEL) else CHOSEN
        atoms.info |= {"round": 0, "number": number, "share": share}
    order = np.random.default_rng(options.seed).permutation(len(frames))
    frames = [frames[k] for k in order]
    labels = options.output / "labels.extxyz"
    return label_structures(frames, methods.reference, labels, jobs=options.jobs).frames


if __name__ == "__main__":
    sys.exit(main())

"""Train the ensemble on the frames of DIRECTORY; a stopped training goes on with the same command.

    python models/organic/train.py DIRECTORY MODEL_DIR --epochs 12 [--start-from organic]

Folds and the kept-out part are divided by molecule (`plan_of`), so that no member sees a frame of a molecule
that validates it. Only the extra frames of the smallest molecules, of which there are no others like them,
are divided by frame: each member knows water. They also count more (`WEIGHTS`). A frame of large forces
counts less, w = min(1, (1.2 eV/Å / rms force)²): a few stretched bonds would weigh as much as hundreds of
frames of a molecule at rest.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_schnet import (
    PRESETS,
    Dataset,
    FitSettings,
    LossWeights,
    Recipe,
    cross_validate,
    load_model,
    train_fold,
)
from ase_schnet.data.splits import FoldPlan
from ase_schnet.training.start import Start

#: One molecule in KEPT_OUT is kept out of all members.
SEED, FOLDS, KEPT_OUT = 23, 3, 50
#: Part of the frames -> what is added to the number of a molecule. Those of "small" are in "train" as well.
PARTS = {"train": 0, "small": 0, "dimers": 10_000_000, "rings": 20_000_000}
#: Parts whose frames do not count as one.
WEIGHTS = {"small": 4.0, "rings": 2.0}
#: Root mean square force component up to which a frame counts fully, eV/Å.
FULL_WEIGHT = 1.2


def dataset_of(arrays: dict[str, NDArray], source: str = "") -> Dataset:
    """Return the data set of padded arrays as `frames.py` writes them, with weights."""
    n, there = arrays["N"], np.arange(arrays["Z"].shape[1]) < arrays["N"][:, None]
    ptr = np.concatenate([[0], n.cumsum()])
    forces = arrays["F"][there]
    squares = np.add.reduceat((forces**2).mean(axis=1), ptr[:-1]) / n
    return Dataset(
        Z=arrays["Z"][there],
        R=arrays["R"][there],
        ptr=ptr,
        E=arrays["E"],
        F=forces,
        cells=np.zeros((len(n), 3, 3)),
        pbc=np.zeros((len(n), 3), bool),
        weight=np.minimum(1.0, FULL_WEIGHT**2 / squares),
        source=source,
    )


def read_frames(path: Path) -> dict[str, NDArray]:
    """Return the arrays of a file of frames."""
    with np.load(path) as file:
        return dict(file)


def training_data(directory: Path) -> tuple[Dataset, FoldPlan]:
    """Return all training frames, and how they are divided."""
    parts = []
    for name, first in PARTS.items():
        if (path := directory / f"{name}.npz").exists():
            part = read_frames(path)
            part["molecule"] += first
            part["weight"] = np.full(len(part["N"]), WEIGHTS.get(name, 1.0))
            part["fold"] = np.arange(len(part["N"])) if name == "small" else part["molecule"]
            parts.append(part)
    width = max(part["Z"].shape[1] for part in parts)
    for part in parts:
        for name in ("Z", "R", "F"):
            more = [(0, 0), (0, width - part[name].shape[1])] + [(0, 0)] * (part[name].ndim - 2)
            part[name] = np.pad(part[name], more)
    arrays = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    dataset = dataset_of(arrays, "GFN2-xTB of enumerated molecules")
    dataset = replace(dataset, weight=dataset.weight * arrays["weight"])
    return dataset, plan_of(arrays["molecule"], arrays["fold"])


def plan_of(molecule: NDArray, fold: NDArray) -> FoldPlan:
    """Return the kept-out part by the number of each frame's molecule, and folds by another, (S,) each.

    So they stay what they are when there are more molecules: a training that starts from an earlier model is
    validated and calibrated on molecules that it never saw.
    """
    kept = molecule % KEPT_OUT == 0
    folds = tuple(np.flatnonzero(~kept & (fold % FOLDS == k)) for k in range(FOLDS))
    return FoldPlan(folds, np.flatnonzero(kept))


def main() -> None:
    """Train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--features", type=int, default=128)
    parser.add_argument("--interactions", type=int, default=3)
    parser.add_argument("--cutoff", type=float, default=5.0)
    parser.add_argument("--batch-size", type=int, default=20)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--energy-weight", type=float, default=0.15)
    parser.add_argument("--start-from")
    parser.add_argument("--fold", type=int, help="train this member alone, 1 to 3")
    args = parser.parse_args()
    dataset, plan = training_data(args.directory)
    start = args.start_from and Start(load_model(args.start_from), args.start_from)
    width = args.features
    config = replace(
        PRESETS["fast"],
        n_atom_basis=width,
        n_filters=width,
        n_interactions=args.interactions,
        cutoff=args.cutoff,
    )
    recipe = Recipe(
        config=start.config if start else config,
        weights=LossWeights(energy=args.energy_weight),
        settings=FitSettings(
            epochs=args.epochs,
            batch_size=args.batch_size,
            learning_rate=args.learning_rate,
            seed=SEED,
        ),
        plan=plan,
        start=start or None,
        charge=0,
        multiplicity=1,
        level_of_theory="GFN2-xTB",
    )
    if args.fold:
        train_fold(dataset, args.output, recipe, args.fold)
    else:  # joins what is trained, and trains what is left
        cross_validate(dataset, args.output, recipe, jobs=1, resume=True)


if __name__ == "__main__":
    main()

"""One model for ten molecules of 9 to 24 atoms: errors by size, standardised loss and plain MSE side by side.

    python -m benchmarks.mixed_sizes DATA_DIR        writes benchmarks/mixed_sizes.md

DATA_DIR holds rmd17-npz/. The whole pipeline runs: files into one data set, energies per species from the
labels, folds, ensemble, model card, compiled engine, and errors on frames that nobody trained on.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.data.statistics import label_statistics
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.model.schnet import PRESETS
from ase_schnet.modelfile import TrainedModel
from ase_schnet.training.crossval import Recipe, cross_validate
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.settings import FitSettings

HERE = Path(__file__).parent
MOLECULES = (
    *("ethanol", "malonaldehyde", "benzene", "uracil", "toluene"),
    *("salicylic", "naphthalene", "paracetamol", "aspirin", "azobenzene"),
)
FOLDS = 2
LOSSES = ("standardised", "schnet")


def part(data: Path, split: str, n_frames: int) -> Dataset:
    """The first frames of every molecule, as one data set."""
    files = [data / "rmd17-npz" / f"rmd17_{name}_{split}_01.npz" for name in MOLECULES]
    whole, found = read_dataset(files)
    sizes = np.array([f.n_frames for f in found])
    first = sizes.cumsum() - sizes
    return whole.subset((first[:, None] + np.arange(n_frames)).ravel())


def trained(dataset: Dataset, kind: str, epochs: int, jobs: int) -> TrainedModel:
    """An ensemble."""
    plan = plan_folds(len(dataset), FOLDS, n_kept_out=len(dataset) // 20)
    settings = FitSettings(epochs=epochs)
    recipe = Recipe(PRESETS["fast"], LossWeights(kind=kind), settings, plan)
    with tempfile.TemporaryDirectory() as directory:
        return cross_validate(dataset, Path(directory) / "model", recipe, jobs=jobs)


def errors(model: TrainedModel, test: Dataset, n_frames: int) -> np.ndarray:
    """Per molecule the MAE of energies in meV per molecule and of forces in meV/Å, (molecules, 2)."""
    engine = Ensemble(model)
    rows = []
    for k in range(len(MOLECULES)):
        frames = test.subset(k * n_frames + np.arange(n_frames))
        metrics = compare(engine, frames).metrics()
        rows.append([metrics["energy_mae_meV"], metrics["forces_mae_meV_per_Ang"]])
    return np.array(rows)


HEAD = """# One model for ten molecules

Written by `python -m benchmarks.mixed_sizes`; do not edit. {date}.

{n_train} frames of each of ten rMD17 molecules in one training set ({n} frames, H C N O, {total} atoms),
{folds} folds, {epochs} epochs, preset `fast`, defaults otherwise; tested on {n_test} others of each. The
energies per species come from the labels by least squares, which leaves {misfit:.1f} eV (largest mean over
the frames of a molecule) for the network to learn beside the {within:.2f} eV by which frames of one
molecule differ (mean std). MSE is `--loss schnet`; each loss has its own default energy weight. Energies are
MAE in meV per molecule, forces in meV/Å.

| molecule | atoms | energy, standardised | energy, MSE | forces, standardised | forces, MSE |
| --- | ---: | ---: | ---: | ---: | ---: |
"""


def text_of(args, train: Dataset, test: Dataset, found: dict, cards: dict) -> str:
    """The file that is written."""
    statistics = label_statistics(train)
    residual = (train.E - train.compositions() @ statistics.energy_shift).reshape(
        len(MOLECULES), -1
    )
    sizes = test.n_atoms[:: args.n_test]
    text = HEAD.format(
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        n_train=args.n_train,
        n=len(train),
        total=len(train.Z),
        folds=FOLDS,
        epochs=args.epochs,
        n_test=args.n_test,
        misfit=np.abs(residual.mean(axis=1)).max(),
        within=residual.std(axis=1).mean(),
    )
    for k, name in enumerate(MOLECULES):
        columns = [found[kind][k, which] for which in (0, 1) for kind in LOSSES]
        text += f"| {name} | {sizes[k]} | " + " | ".join(f"{c:.1f}" for c in columns) + " |\n"
    means = [found[kind][:, which].mean() for which in (0, 1) for kind in LOSSES]
    text += "| **mean** | | " + " | ".join(f"**{m:.1f}**" for m in means) + " |\n\n"
    for kind in LOSSES:
        slope = np.polyfit(np.log(sizes), np.log(found[kind][:, 0]), 1)[0]
        kept_out = cards[kind]["kept_out"]
        text += (
            f"- {kind}: energy error ∝ atoms^{slope:.2f}; kept-out part in the card "
            f"{kept_out['energy_mae_meV_per_atom']:.2f} meV/atom, "
            f"{kept_out['forces_mae_meV_per_Ang']:.1f} meV/Å.\n"
        )
    return text


def main() -> None:
    """Train twice, compare, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--n-train", type=int, default=40, help="frames of each molecule [40]")
    parser.add_argument("--n-test", type=int, default=100, help="[100]")
    parser.add_argument("--epochs", type=int, default=80, help="[80]")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "mixed_sizes.md")
    args = parser.parse_args()
    train, test = part(args.data, "train", args.n_train), part(args.data, "test", args.n_test)
    found, cards = {}, {}
    for kind in LOSSES:
        model = trained(train, kind, args.epochs, args.jobs)
        found[kind], cards[kind] = errors(model, test, args.n_test), model.card
        print(kind, found[kind].mean(axis=0), flush=True)
    text = text_of(args, train, test, found, cards)
    args.output.write_text(text)
    print(text)


if __name__ == "__main__":
    main()

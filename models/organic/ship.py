"""Copy a trained model into the checkout: weights, card, learning curves, and how alike its elements are.

    python models/organic/ship.py WORK_DIR/organic

The card loses the numbers of the structures in each fold, which `train.plan_of` gives anew.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from ase_schnet import load_model
from ase_schnet.inference.atomic_energies import element_similarity
from ase_schnet.modelfile import save_model
from ase_schnet.plotting import plot_element_similarity, save_figure

HERE = Path(__file__).resolve().parent
RULE = "by the number of the molecule, of small ones by that of the frame: models/organic/train.py"


def main(directory: str) -> None:
    """Copy."""
    model = load_model(directory)
    training = {k: v for k, v in model.card["training"].items() if k != "folds"}
    training["folds_by"] = RULE
    if start := training.get("start"):  # not where it lay on the machine that trained it
        training["start"] = {**start, "model": Path(start["model"]).name}
    save_model(HERE, replace(model, card={**model.card, "training": training}))
    shutil.copy(Path(directory) / "training.png", HERE / "training.png")
    save_figure(plot_element_similarity(element_similarity(model)), HERE / "elements.png")


if __name__ == "__main__":
    main(sys.argv[1])

"""Train an ensemble of five SchNets on 1000 frames of ethanol: models/ethanol was made like this.

    python md_examples/1_train.py rmd17_ethanol_train_01.npz my_ethanol

The same on the command line: ase-schnet train DATA -o MODEL_DIR. If it was stopped, run the same command
again to continue.
"""

import sys

from ase_schnet import (
    PRESETS,
    Dataset,
    FitSettings,
    LossWeights,
    Recipe,
    cross_validate,
    plan_folds,
    read_labelled,
    training_summary,
)


def main(data: str, model_dir: str, epochs: int = 500) -> None:
    """Read, divide, train, and print the tables."""
    frames, found = read_labelled(data)  # units="kcal/mol" for a file that does not say them
    print(found)
    dataset = Dataset.from_atoms(frames, source=data, units=str(found.units))
    recipe = Recipe(
        config=PRESETS["fast"],  # 3 interactions, 64 features, 5 Å
        weights=LossWeights(),  # the standardised loss: free of units, size and composition
        settings=FitSettings(epochs=epochs),
        plan=plan_folds(len(dataset), n_folds=5, n_kept_out=len(dataset) // 20),
    )
    model = cross_validate(dataset, model_dir, recipe, resume=True)
    print(training_summary(model))


if __name__ == "__main__":  # the members are trained in processes that import this file
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))

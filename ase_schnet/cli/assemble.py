"""ase-schnet assemble MODEL_DIR"""

from __future__ import annotations

import argparse

HELP = "Join the members that `train --fold` has trained, one job each, into a model."
EXAMPLE = """\
example (each line may run on another machine that sees the same directory):
  ase-schnet train DATA -o models/ethanol --folds 2 --fold 1
  ase-schnet train DATA -o models/ethanol --folds 2 --fold 2
  ase-schnet assemble models/ethanol
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL_DIR")
    parser.add_argument("--no-plot", action="store_true", help="do not draw the learning curves")


def run(args: argparse.Namespace) -> int:
    """Join, or say which folds are missing; print the tables."""
    from ase_schnet.training.crossval import assemble

    report(assemble(args.model), args.model, plot=not args.no_plot)
    return 0


def report(model, directory: str, *, plot: bool) -> None:
    """The tables of a new model, its picture, and where it is."""
    from ase_schnet.training.report import summary

    print(summary(model))
    if plot:
        from ase_schnet.plotting import plot_learning_curves, save_figure

        path = save_figure(plot_learning_curves(model.card["folds"]), f"{directory}/training.png")
        print(f"learning curves: {path}")
    print(f"model: {directory}    use it: SchNetCalculator({directory!r})")

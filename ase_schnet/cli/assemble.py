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
    """Join, or say which folds are missing; print the tables. 1 if the training failed."""
    from ase_schnet.training.crossval import assemble_ensemble

    return report(assemble_ensemble(args.model), args.model, plot=not args.no_plot)


def report(model, directory: str, *, plot: bool) -> int:
    """The tables of a new model, its picture, where it is, and the exit code: 1 for a bad verdict."""
    from ase_schnet.training.report import training_summary, verdict_of

    print(training_summary(model))
    if plot:
        _draw(model, directory)
    verdict = verdict_of(model.card)
    if verdict is not None and not verdict.passed:
        print(f"model: {directory}    written, but not fit for use: see FAIL above")
        return 1
    print(f"model: {directory}    use it: SchNetCalculator({directory!r})")
    return 0


def _draw(model, directory: str) -> None:
    """The learning curves; without them the model is there all the same."""
    from ase_schnet.plotting import plot_learning_curves, save_figure

    try:
        path = save_figure(plot_learning_curves(model.card["folds"]), f"{directory}/training.png")
    except OSError as error:
        print(f"learning curves could not be drawn: {error}")
        return
    print(f"learning curves: {path}")

"""Join the trained members of a model: ``ase-schnet assemble MODEL_DIR``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase_schnet.modelfile import TrainedModel

HELP = "Join members that were trained as separate jobs (train --fold K) into one model."
EXAMPLE = """\
example (each job may run on another machine that sees the same directory):
  ase-schnet train DATA -o models/ethanol --folds 2 --fold 1
  ase-schnet train DATA -o models/ethanol --folds 2 --fold 2
  ase-schnet assemble models/ethanol

exit code: 0 success, 1 the model is written but failed its checks, 2 bad input
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL_DIR", help="directory that the jobs wrote to")
    parser.add_argument("--no-plot", action="store_true", help="do not draw the learning curves")
    add_save_data(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    """Join the members and print the tables; return the exit code."""
    from ase_schnet.training.crossval import assemble_ensemble

    return report(assemble_ensemble(args.model), args.model, args)


def report(model: TrainedModel, directory: str, args: argparse.Namespace) -> int:
    """Print the tables of a new model and where it is, and draw it; return 1 for a bad verdict, else 0."""
    from ase_schnet.training.report import training_summary, verdict_of

    print(training_summary(model))
    if not args.no_plot:
        _draw(model, directory, args)
    verdict = verdict_of(model.card)
    if verdict is not None and not verdict.passed:
        print(f"model: {directory}    the model is written, but is not fit for use: see FAIL above")
        return 1
    print(f"model: {directory}    use it: SchNetCalculator({directory!r})")
    return 0


def _draw(model: TrainedModel, directory: str, args: argparse.Namespace) -> None:
    """Draw the learning curves; a picture that cannot be written costs no model."""
    from ase_schnet.plotting import plot_learning_curves

    try:
        figure = plot_learning_curves(model.card["folds"], model.card.get("training_length"))
        lines = draw(figure, f"{directory}/training.png", args, "learning curves")
    except OSError as error:
        print(f"learning curves could not be drawn: {error}")
        return
    print("\n".join(lines))

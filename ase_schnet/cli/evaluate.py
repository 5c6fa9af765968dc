"""Compare a model with labelled structures: ``ase-schnet evaluate MODEL DATA``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import add_label_options, read_labels, refuse_swapped
from ase_schnet.cli.options import (
    add_device,
    add_model,
    add_repulsion,
    refuse_given,
    repulsion_of,
)
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase_schnet.coverage import Coverage
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.modelfile import TrainedModel

HELP = "Compare a model with labelled structures: errors, calibration, parity plot."
EXAMPLE = """\
example:
  ase-schnet evaluate ethanol rmd17_ethanol_test_01.npz -o parity.png
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add_model(parser.add_argument)
    add_label_options(parser)
    add_device(parser.add_argument)
    add_repulsion(parser.add_argument)
    text = "picture to draw (default: %(default)s)"
    parser.add_argument("-o", "--output", default="parity.png", metavar="PLOT", help=text)
    parser.add_argument("--no-plot", action="store_true", help="do not draw a picture")
    add_save_data(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    """Evaluate, print and draw; return the exit code."""
    from ase_schnet.coverage import coverage_of_bars
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.evaluation import compare
    from ase_schnet.inference.engine import open_engine
    from ase_schnet.modelfile import load_model
    from ase_schnet.recalibration import errors_of_something_else
    from ase_schnet.training.report import calibration_lines, error_lines

    refuse_swapped(args.model, args.data, "DATA")
    if args.no_plot:
        refuse_given(
            args, ["output"], "names the picture, and --no-plot draws none: leave one of them out"
        )
    plots = [None if args.no_plot else args.output]
    check_outputs(plots=plots, inputs=[args.data], numbers=args.save_data)
    model = load_model(args.model)
    dataset = Dataset.from_atoms(read_labels(args), source=args.data)
    if dataset.E is None and dataset.F is None and dataset.stress is None:
        raise ValueError(f"{args.data} has neither energies, forces nor stress to compare with")
    comparison = compare(open_engine(model, args.device, repulsion=repulsion_of(args)), dataset)
    odd = errors_of_something_else(model, comparison)
    metrics = comparison.metrics()
    lines, covered = error_lines(metrics), []
    if model.n_members > 1:
        calibration = {k: c.to_dict() for k, c in comparison.calibration().items()}
        lines += calibration_lines(calibration, metrics)
        covered = coverage_of_bars(model, comparison, dataset)
        lines += _bar_lines(model, covered, dataset)
    lines += [f"note: {odd}"] * bool(odd) + _part_lines(model, dataset)
    if not args.no_plot:
        from ase_schnet.plotting import plot_parity

        level = model.card["intervals"]["level"] if covered else 0.9
        lines += draw(plot_parity(comparison, covered, level), args.output, args)
    print("\n".join(lines))
    return 0


def _bar_lines(model: TrainedModel, covered: list[Coverage], dataset: Dataset) -> list[str]:
    """Describe how many errors the error bars cover, and whether the model was trained on the structures."""
    from ase_schnet.data.seen import seen_in_training
    from ase_schnet.training.report import coverage_lines, interval_lines

    lines = interval_lines(model.card)
    if covered:
        lines += coverage_lines(covered, model.card["intervals"]["level"])
    seen = seen_in_training(model.card, dataset)
    if seen is not None and seen.any():
        lines.append(
            f"note: the model was trained on {seen.sum()} of these {len(dataset)} structures: on others its "
            "errors are larger"
        )
    return lines


def _part_lines(model: TrainedModel, dataset: Dataset) -> list[str]:
    """Describe the errors of dipole and polarizability, where both the model and the data have them."""
    import numpy as np

    from ase_schnet.dipole.fit import errors
    from ase_schnet.dipole.rpr import UNITS
    from ase_schnet.dipole.store import load_heads

    lines = []
    for quantity, part in load_heads(model.path).items():
        if getattr(dataset, quantity) is None:
            continue
        error, unit = errors(part, dataset), UNITS[quantity]
        lines.append(
            f"{quantity:<8}MAE {np.abs(error).mean():.3g} {unit} per component, RMSE "
            f"{np.sqrt((error**2).mean()):.3g}; n = {error.size} components"
        )
    return lines

"""Fit the error bars of a model: ``ase-schnet calibrate MODEL DATA``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import add_label_options, read_labels, refuse_swapped

if TYPE_CHECKING:
    from ase_schnet.data.dataset import Dataset

HELP = "Fit the error bars of a model to labelled structures that it was not trained on."
EXAMPLE = """\
The command writes `intervals` into the card of the model, and changes neither energies nor forces. A training
does the same with the structures that it keeps out, for 90 %; this is for another level, for more structures,
and for models that have no error bars yet. Given the data of the training, it takes the kept-out part.

--pair-members is for members that disagree much less than they err ("error / std" far above 1.5 in
ase-schnet info): two members are made of each, moved apart until their disagreement is as large as their
errors on the data of the training. Energies, forces and stresses stay as they were, an evaluation takes twice
as long, and runs and trainings that use the model do not go on.

examples:
  ase-schnet calibrate my_model more_frames.extxyz --level 0.95
  ase-schnet calibrate my_model training_data.extxyz --pair-members
of a model that comes with the package (ase-schnet info ethanol says where it lies) a copy, in a checkout:
  cp -r models/ethanol my_ethanol
  ase-schnet calibrate my_ethanol benchmarks/ethanol_1000K_pbe_def2svp.xyz --level 0.95
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("model", metavar="MODEL", help="directory of your own model, or of a copy of a shipped one")
    add_label_options(parser)
    add(
        "--level",
        type=float,
        default=0.9,
        help="probability that an error bar is to cover an error (default: %(default)s)",
    )
    add(
        "--level-of-theory",
        metavar="NAME",
        help="method of the labels, where the file does not say it; it must be that of the model",
    )
    add(
        "--pair-members",
        action="store_true",
        help="first make two members of each, so that they disagree as much as they err; DATA are those of "
        "the training",
    )


def run(args: argparse.Namespace) -> int:
    """Fit, write the card and print what the error bars rest on; return the exit code."""
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.modelfile import load_model
    from ase_schnet.recalibration import calibrate_intervals
    from ase_schnet.training.report import interval_lines
    from ase_schnet.uncertainty.conformal import structures_needed

    refuse_swapped(args.model, args.data, "DATA")
    structures_needed(args.level)  # refuses what is no level before a long file is read
    frames = read_labels(args)
    levels = {str(a.info["level_of_theory"]) for a in frames if "level_of_theory" in a.info}
    levels |= {args.level_of_theory} if args.level_of_theory else set()
    if len(levels) > 1:
        raise ValueError(f"{args.data} has labels of several methods: {', '.join(sorted(levels))}")
    dataset = Dataset.from_atoms(frames, source=args.data)
    if args.pair_members:
        _pair(args.model, dataset)
    calibrate_intervals(
        args.model,
        dataset,
        level=args.level,
        level_of_theory=levels.pop() if levels else None,
    )
    print("\n".join(interval_lines(load_model(args.model).card)))
    return 0


def _pair(directory: str, dataset: Dataset) -> None:
    """Pair the members of a model, and print by how much errors exceed the std before and after."""
    from ase_schnet.modelfile import load_model
    from ase_schnet.recalibration.paired_members import pair_members

    before = load_model(directory).card.get("calibration", {})
    after = pair_members(directory, dataset)
    print(f"{after.n_members} members; error / std on the kept-out part:")
    for name, known in after.card["calibration"].items():
        was = f"{before[name]['scale']:.2f}, now " if name in before else ""
        print(f"  {name.replace('_', ' ')}: {was}{known['scale']:.2f}")

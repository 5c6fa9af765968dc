"""What ase-schnet train does with a cheap method: pretraining, or a network of the difference to it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.training.recipe import Recipe


def add_cheap_options(group: argparse._ArgumentGroup) -> None:
    """Add --pretrain, --prepare and --baseline."""
    group.add_argument(
        "--pretrain",
        metavar="HOW",
        help="let a cheap method teach the members the shape of the surface, and the data its accuracy: "
        "'gfn2-xtb', or with settings 'gfn2-xtb, n_far=20000, temperature=500' (see ase_schnet.Pretraining); "
        "or a file of structures that ase-schnet label has labelled by it",
    )
    group.add_argument(
        "--prepare",
        action="store_true",
        help="with --pretrain: make and label the structures of the cheap method, and end. Jobs with --fold "
        "need this first",
    )
    group.add_argument(
        "--baseline",
        metavar="METHOD",
        help="train on the difference of the labels to a cheap method, such as gfn2-xtb, which "
        "DeltaCalculator adds again at every step",
    )


def check_cheap(args: argparse.Namespace) -> None:
    """Raise ValueError for options that exclude each other."""
    if args.prepare and not args.pretrain:
        raise ValueError("--prepare makes the structures of a pretraining: give --pretrain too")
    if args.pretrain and args.baseline:
        raise ValueError("give --pretrain or --baseline, not both")
    if args.baseline and args.fold is not None:
        raise ValueError("--baseline trains all members in one call: train without --fold")


def with_cheap_method(
    args: argparse.Namespace, dataset: Dataset, recipe: Recipe, provenance: dict
) -> tuple[Dataset, Recipe]:
    """Return data and recipe after what the options ask for; add to `provenance` what the card says of it."""
    if args.baseline:
        return _difference(args, dataset, recipe)
    if not args.pretrain:
        return dataset, recipe
    from ase_schnet.pretraining.run import pretrained
    from ase_schnet.pretraining.settings import read_pretraining

    settings = read_pretraining(args.pretrain, args.seed)
    recipe, said = pretrained(
        dataset,
        args.output,
        recipe,
        settings,
        jobs=args.jobs,
        only_find=args.fold is not None,
        take_over=args.take_over,
    )
    provenance |= said
    return dataset, recipe


def _difference(
    args: argparse.Namespace, dataset: Dataset, recipe: Recipe
) -> tuple[Dataset, Recipe]:
    from ase_schnet.labelling.reference import read_reference
    from ase_schnet.pretraining.difference import difference_of, electrons_of

    if recipe.augment is not None:
        raise ValueError("the difference to a method is trained on without augmented structures")
    reference = read_reference(args.baseline)
    path = Path(args.output) / "training" / "baseline.extxyz"
    difference, kept = difference_of(
        dataset,
        reference,
        path,
        electrons=electrons_of(recipe),
        jobs=args.jobs,
        take_over=args.take_over,
    )
    return difference, replace(recipe, plan=recipe.plan.restricted(kept))


def baseline_of(args: argparse.Namespace) -> str | None:
    """Return the cheap method to which the labels will be the difference, as the model will name it."""
    if not args.baseline:
        return None
    from ase_schnet.labelling.reference import read_reference

    return read_reference(args.baseline).text


def pool_defaults() -> dict:
    """Return the settings of fits that learn a pool."""
    from ase_schnet.pretraining.settings import POOL_FIT

    return POOL_FIT

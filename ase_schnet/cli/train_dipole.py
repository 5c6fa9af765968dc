"""Add a dipole or polarizability to a model: ``ase-schnet train-dipole DATA [DATA ...] -o MODEL_DIR``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import add_reading_options, print_found, reading_options
from ase_schnet.cli.options import Add
from ase_schnet.cli.outputs import check_outputs

if TYPE_CHECKING:
    from ase_schnet.data.dataset import Dataset

HELP = (
    "Fit the dipole or polarizability of a molecule (rotate-predict-rotate) and add it to a model."
)
EXAMPLE = """\
example (MODEL_DIR may hold a potential already, or not):
  ase-schnet train-dipole methanol_train.extxyz --test methanol_test.extxyz -o models/methanol

DATA hold one molecule, with its atoms always in the same order; its position and orientation do not matter.
The dipole is about the centre of mass. Dipoles are read from the results of the frames, polarizabilities
(3 x 3, in e²Å²/eV) from info["polarizability"]. Labels are refused if the fit shows that they have another
origin or another unit, or do not depend on the positions. What MODEL_DIR holds for another molecule is not
replaced.

--frame inertia is the method to the letter (doi:10.1063/5.0230176): the eigenvectors of the inertia tensor,
with the signs that overlap most with a reference. Its prediction jumps where signs change or moments cross,
and does not know mirror images. Axes that follow the molecule do not jump (benchmarks/dipoles.md).
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    text = "labelled structures: files that ase-schnet train reads"
    parser.add_argument("data", nargs="+", metavar="DATA", help=text)
    text = "model directory to add it to; it is made if it does not exist"
    parser.add_argument("-o", "--output", required=True, metavar="MODEL_DIR", help=text)
    parser.add_argument("--units", help="units of the files, for example 'eV, Ang, e*Ang'")
    add_reading_options(parser)
    parser.add_argument(
        "--quantity",
        choices=("dipole", "polarizability"),
        default="dipole",
        help="quantity to fit (default: %(default)s)",
    )
    parser.add_argument(
        "--test", nargs="+", metavar="DATA", help="labelled structures to test the fit on"
    )
    parser.add_argument(
        "--charge", type=int, default=0, help="charge of the molecule, e (default: %(default)s)"
    )
    parser.add_argument(
        "--labels-about",
        choices=("centre of mass", "coordinate origin"),
        help="origin of the dipole labels; needed for ions, whose dipole depends on it",
    )
    parser.add_argument(
        "--trust-labels",
        action="store_true",
        help="accept labels that look as if they had another unit, charge or origin, or were noise",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="write even if MODEL_DIR is for another molecule, or has a dipole in another unit",
    )
    _add_fit_options(parser.add_argument)


def _add_fit_options(add: Add) -> None:
    """Add the options that are fields of `RPRSettings`."""
    add(
        "--frame",
        choices=("followed", "inertia"),
        default="followed",
        help="axes of the molecule to predict in: followed from a reference, or those of inertia (see below; "
        "default: %(default)s)",
    )
    text = "number of members of the ensemble (default: %(default)s)"
    add("--folds", type=int, default=5, help=text)
    text = "maximum number of Gaussians; more are more accurate and slower (default: %(default)s)"
    add("--centres", type=int, default=500, help=text)
    text = "seed of the random choice of folds and centres (default: %(default)s)"
    add("--seed", type=int, default=0, help=text)


def run(args: argparse.Namespace) -> int:
    """Read, fit, test, write beside the potential; return the exit code."""
    import numpy as np

    from ase_schnet.dipole.fit import errors, fit_rpr
    from ase_schnet.dipole.labels import one_molecule
    from ase_schnet.dipole.rpr import UNITS
    from ase_schnet.dipole.settings import RPRSettings
    from ase_schnet.dipole.store import require_place, save_part

    check_outputs(folders=[args.output])
    dataset = _read(args.data, args)
    test = _read(args.test, args) if args.test else None
    if not args.replace:
        numbers, _ = one_molecule(dataset, args.quantity)
        require_place(args.output, args.quantity, numbers, args.charge)
    settings = RPRSettings(
        n_members=args.folds, n_centres=args.centres, seed=args.seed, frame=args.frame
    )
    part = fit_rpr(
        dataset,
        args.quantity,
        charge=args.charge,
        labels_about=args.labels_about,
        settings=settings,
        trust_labels=args.trust_labels,
    )
    unit, record = UNITS[args.quantity], part.training
    print(
        f"{args.quantity} on held-out folds: MAE {record['held_out_MAE_per_component']:.3g}, RMSE "
        f"{record['held_out_RMSE_per_component']:.3g} {unit} per component, one member; the "
        f"labels have a std of {record['labels_std_per_component']:.3g} in the molecule's axes; "
        f"n = {record['n_structures']} structures"
    )
    if args.frame == "inertia":
        print(
            "axes of inertia: two moments come as near as "
            f"{100 * record['least_gap_of_moments']:.2g} % of the largest. Where moments cross or signs "
            "change, the prediction jumps; a mirror image is another structure"
        )
    if test is not None:
        try:
            error = errors(part, test, args.labels_about, trust_labels=args.trust_labels)
        except ValueError as fault:
            raise ValueError(f"the test structures: {fault}") from None
        print(
            f"{args.quantity} on test structures: MAE {np.abs(error).mean():.3g}, RMSE "
            f"{np.sqrt((error**2).mean()):.3g} {unit} per component, the ensemble; n = {len(test)} structures"
        )
    print(f"written: {save_part(args.output, part, replace=args.replace)}")
    return 0


def _read(paths: list[str], args: argparse.Namespace) -> Dataset:
    """Read all files as one data set, and print what was found in each."""
    from pathlib import Path

    from ase_schnet.data.dataset import Dataset
    from ase_schnet.data.formats import read_labelled

    frames = []
    for path in paths:
        part, found = read_labelled(path, args.units, **reading_options(args))
        print_found(found, args)
        frames += part
    return Dataset.from_atoms(frames, source=", ".join(Path(path).name for path in paths))

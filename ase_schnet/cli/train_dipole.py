"""ase-schnet train-dipole DATA [DATA ...] -o MODEL_DIR"""

from __future__ import annotations

import argparse

from ase_schnet.cli.inputs import add_reading_options, print_found, reading_options
from ase_schnet.cli.outputs import check_outputs

HELP = "Fit a dipole or polarizability by rotate, predict, rotate back, and add it to a model."
EXAMPLE = """\
example, with a potential in MODEL_DIR already or not yet:
  ase-schnet train-dipole methanol_train.extxyz --test methanol_test.extxyz -o models/methanol

DATA hold one molecule, its atoms always in the same order; where it lies and how it is turned does not
matter. The dipole is that about the centre of mass. Dipoles come from the frames' results, polarizabilities
(3 x 3, in e²Å²/eV) from info["polarizability"]. Labels that the fit shows to be about another origin,
in another unit or of nothing the positions say are refused; what MODEL_DIR has of another molecule is kept.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument("data", nargs="+", metavar="DATA", help="npz, extxyz or ASE db files")
    parser.add_argument("-o", "--output", required=True, metavar="MODEL_DIR")
    parser.add_argument("--units", help="units of the files, e.g. 'eV, Ang, e*Ang'")
    add_reading_options(parser)
    parser.add_argument(
        "--quantity",
        choices=("dipole", "polarizability"),
        default="dipole",
        help="(default: dipole)",
    )
    parser.add_argument("--test", nargs="+", metavar="DATA", help="structures to judge it by")
    parser.add_argument("--folds", type=int, default=5, help="members of the ensemble (default: 5)")
    parser.add_argument(
        "--centres",
        type=int,
        default=500,
        help="Gaussians at most; accuracy and the time of a prediction grow with it (default: 500)",
    )
    parser.add_argument("--charge", type=int, default=0, help="of the molecule, in e (default: 0)")
    parser.add_argument(
        "--labels-about",
        choices=("centre of mass", "coordinate origin"),
        help="of ions, whose dipole depends on it",
    )
    parser.add_argument(
        "--trust-labels",
        action="store_true",
        help="fit labels that look like those of another unit, charge or origin, or like noise",
    )
    parser.add_argument(
        "--replace",
        action="store_true",
        help="write though MODEL_DIR is of another molecule, or has a dipole in another unit",
    )
    parser.add_argument("--seed", type=int, default=0, help="of folds and centres (default: 0)")


def run(args: argparse.Namespace) -> int:
    """Read, fit, judge, write beside the potential."""
    import numpy as np

    from ase_schnet.data.dataset import Dataset
    from ase_schnet.dipole.fit import RPRSettings, errors, fit_rpr
    from ase_schnet.dipole.labels import one_molecule
    from ase_schnet.dipole.rpr import UNITS
    from ase_schnet.dipole.store import require_place, save_part

    check_outputs(folders=[args.output])
    dataset = _read(args.data, args, Dataset)
    test = _read(args.test, args, Dataset) if args.test else None
    if not args.replace:
        numbers, _ = one_molecule(dataset, args.quantity)
        require_place(args.output, args.quantity, numbers, args.charge)
    settings = RPRSettings(n_members=args.folds, n_centres=args.centres, seed=args.seed)
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
        f"labels spread by {record['labels_std_per_component']:.3g} in the molecule's axes; "
        f"n = {record['n_structures']} structures"
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


def _read(paths: list[str], args: argparse.Namespace, dataset_type):
    """All files as one data set, saying what was found in each."""
    from pathlib import Path

    from ase_schnet.data.formats import read_labelled

    frames = []
    for path in paths:
        part, found = read_labelled(path, args.units, **reading_options(args))
        print_found(found, args)
        frames += part
    return dataset_type.from_atoms(frames, source=", ".join(Path(path).name for path in paths))

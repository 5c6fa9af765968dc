"""Convert SchNets of other packages: ``ase-schnet convert FOREIGN ... -o MODEL_DIR``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import add_no_pbc, add_reading_options
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.train_labels import whole_or_word

if TYPE_CHECKING:
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.foreign.convert import Conversion

HELP = "Convert trained SchNets of schnetpack, PyTorch Geometric, graph-pes and NeuralForceField."
EXAMPLE = """\
The files are pickles. They are read as data: nothing in them is run, and a file that wants to run something
is refused. Only --check-with lets the network's own package load them.

examples:
  ase-schnet convert best_model --data frames.extxyz -o my_model
  ase-schnet convert seed1/best_model seed2/best_model --units kcal/mol --elements C H O -o my_ensemble
  ase-schnet convert best_model --data frames.extxyz --check-with ~/spk/bin/python -o my_model
  ase-schnet convert nff/best_model --cutoff 5 --data frames.npz --data-units kcal/mol -o my_model
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        metavar="FOREIGN",
        help="file of a trained model (best_model, model.pt, state_dict); several make an ensemble",
    )
    add("-o", "--output", required=True, metavar="MODEL_DIR", help="model directory to be made")
    text = (
        "units of the model, such as kcal/mol or 'Hartree, Bohr', where its files do not say them"
    )
    add("--units", help=text)
    text = "method of the labels that it was trained on, for the card"
    add("--level-of-theory", metavar="NAME", help=text)
    text = "a Python with the network's own package: that loads the files, and its answers are compared"
    add("--check-with", metavar="PYTHON", help=text)
    _add_structures(parser.add_argument_group("what it was trained on"))
    group = parser.add_argument_group("what files leave open")
    group.add_argument("--cutoff", type=float, metavar="ANG", help="cutoff (NeuralForceField)")
    text = "activation of the readout (state_dict of schnetpack 2, whose default is silu)"
    group.add_argument("--readout-activation", choices=["ssp", "silu"], help=text)
    text = (
        "how often the lists of the training had each pair (NeuralForceField; labelled DATA tell)"
    )
    group.add_argument("--pair-list", choices=["once", "twice"], help=text)
    text = "factor on atomic energies, in --units (std, state_dict of PyTorch Geometric)"
    group.add_argument("--scale", type=float, metavar="STD", help=text)
    text = "what is added to every atomic energy, in --units (mean, likewise)"
    group.add_argument("--shift", type=float, metavar="MEAN", help=text)
    text = (
        "{} of the structures of its training (default: what DATA state, else neutral, the lowest)"
    )
    for name in ("charge", "multiplicity"):
        help_text = text.format(name)
        group.add_argument(f"--{name}", type=whole_or_word, metavar="N", help=help_text)


def _add_structures(group: argparse._ArgumentGroup) -> None:
    text = "structures of the training, or like them: elements, distances and, with labels, errors"
    group.add_argument("--data", metavar="DATA", help=text)
    group.add_argument("--data-units", metavar="UNITS", help="units of DATA, as for train --units")
    group.add_argument("--energy-key", metavar="NAME", help="name of the energies in DATA")
    group.add_argument("--forces-key", metavar="NAME", help="name of the forces in DATA")
    add_reading_options(group)
    add_no_pbc(group.add_argument)
    text = "elements, where neither DATA nor the file says them"
    group.add_argument("--elements", nargs="+", metavar="SYMBOL", help=text)
    text = "the model may be used for periodic structures (without DATA)"
    group.add_argument("--pbc", action="store_true", help=text)


def run(args: argparse.Namespace) -> int:
    """Convert, and print what the model is; return the exit code."""
    from ase_schnet.foreign.convert import convert_model
    from ase_schnet.foreign.hints import ConversionHints
    from ase_schnet.trained_model import UNSPECIFIED

    check_outputs(folders=[args.output])
    hints = ConversionHints(
        cutoff=args.cutoff,
        readout_activation=args.readout_activation,
        pair_list=args.pair_list,
        scale=args.scale,
        shift=args.shift,
        charge=args.charge,
        multiplicity=args.multiplicity,
    )
    conversion = convert_model(
        args.files,
        args.output,
        dataset=_dataset(args),
        elements=args.elements,
        pbc=args.pbc,
        units=args.units,
        level_of_theory=args.level_of_theory or UNSPECIFIED,
        hints=hints,
        check_with=args.check_with,
    )
    print("\n".join(_lines(conversion)))
    print(f"model: {args.output}    use it: SchNetCalculator({args.output!r})")
    return 0


def _dataset(args: argparse.Namespace) -> Dataset | None:
    """Read DATA, with labels or without; None where there is none."""
    from ase_schnet.cli.inputs import print_found, read_structures, reading_options, unbox
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.data.formats import read_labelled

    if args.data is None:
        return None
    try:
        frames, found = read_labelled(args.data, args.data_units, **reading_options(args))
        print_found(found, args)
    except ValueError as error:
        if "label" not in str(error):
            raise
        frames = read_structures(args.data, argparse.Namespace(**{**vars(args), "units": None}))
    if args.no_pbc:
        frames = [unbox(a, f"{args.data}: frame {k}") for k, a in enumerate(frames)]
    return Dataset.from_atoms(frames, source=args.data)


def _lines(conversion: Conversion) -> list[str]:
    """Describe a conversion: what was read, its errors, the check, remarks."""
    from ase_schnet.foreign.words import label_lines
    from ase_schnet.training.description import check_line

    model, converted = conversion.model, conversion.converted
    config = model.config
    members = f"{model.n_members} members, " if model.n_members > 1 else ""
    return [
        f"{converted['origin']}: {members}{config['n_interactions']} interactions × "
        f"{config['n_atom_basis']} features, cutoff {config['cutoff']:g} Å, {converted['units']} -> eV, Å",
        *label_lines(converted),
        check_line(converted),
        *(f"note: {remark}" for remark in conversion.remarks),
    ]

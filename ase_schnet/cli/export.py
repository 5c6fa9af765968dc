"""Write a model for other programs: ``ase-schnet export MODEL --to FORMAT -o FILE``."""

from __future__ import annotations

import argparse

from ase_schnet.cli.options import add_dtype, add_model, add_repulsion, repulsion_of
from ase_schnet.cli.outputs import check_outputs

HELP = "Write a model as a file for programs that run metatomic models or modules of TorchScript."
EXAMPLE = """\
metatomic models run in LAMMPS, GROMACS, i-PI, PLUMED, torch-sim and eOn. They need the package
metatomic-torch, in an environment of its own: it wants another vesin than this package (docs/convert.md).

examples:
  ase-schnet export ethanol --to torchscript -o ethanol.pt
  ase-schnet export my_model --to metatomic --dtype float32 -o my_model.pt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add_model(add)
    add("--to", required=True, choices=["metatomic", "torchscript"], help="kind of the file")
    add("-o", "--output", required=True, metavar="FILE", help="file to write, such as model.pt")
    add_dtype(add)
    add_repulsion(add)


def run(args: argparse.Namespace) -> int:
    """Write the file and say what it is; return the exit code."""
    from ase_schnet.export.save import export_model
    from ase_schnet.modelfile import load_model

    check_outputs(files=[args.output])
    path = export_model(
        args.model, args.output, args.to, dtype=args.dtype, repulsion=repulsion_of(args)
    )
    model = load_model(args.model)
    print(
        f"{path}: {args.to}, {args.dtype}, {model.n_members} members, {', '.join(model.symbols)}, "
        f"cutoff {model.config['cutoff']:g} Å, {model.config['n_interactions']} interactions"
    )
    return 0

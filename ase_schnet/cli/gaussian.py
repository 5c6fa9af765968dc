"""Answer Gaussian's External keyword: ``ase-schnet gaussian MODEL LAYER IN OUT ...``."""

from __future__ import annotations

import argparse

from ase_schnet.cli.options import add_model
from ase_schnet.cli.serve import add_server, asked

HELP = "Answer Gaussian's External keyword with energy and gradient of a model."
EXAMPLE = """\
example, in the route section of Gaussian:
  # External="ase-schnet gaussian ethanol" Opt=NoMicro
Gaussian adds the names of its files to the command. Without a dipole in the model that of Gaussian is zero.
With a server (ase-schnet serve ethanol /tmp/ethanol.sock) a call takes 0.05 s in place of 1 s:
  # External="ase-schnet gaussian ethanol --server /tmp/ethanol.sock" Opt=NoMicro
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add_model(add)
    add("layer", metavar="LAYER", help="of an ONIOM calculation; all are answered alike")
    add("input", metavar="IN", help="file that Gaussian writes")
    add("output", metavar="OUT", help="file that it reads")
    add("others", nargs="*", metavar="FILE", help="further files of Gaussian, left alone")
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Read the request, evaluate, write the answer; return the exit code."""
    from ase_schnet.external.gaussian import read_request, write_answer

    write_answer(args.output, asked(args, read_request(args.input)))
    return 0

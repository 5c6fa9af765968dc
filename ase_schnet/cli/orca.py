"""Answer ORCA's external optimiser: ``ase-schnet orca FILE MODEL``."""

from __future__ import annotations

import argparse

from ase_schnet.cli.options import add_model
from ase_schnet.cli.serve import add_server, asked

HELP = "Answer ORCA's external optimiser (! ExtOpt) with energy and gradient of a model."
EXAMPLE = """\
example, in the input of ORCA 6:
  ! ExtOpt Opt
  %method
    ProgExt "/path/to/ase-schnet-orca"
    Ext_Params "ethanol"
  end
where ase-schnet-orca is a script of two lines that can be executed:
  #!/bin/sh
  exec ase-schnet orca "$@"
With a server (ase-schnet serve ethanol /tmp/ethanol.sock) a call takes 0.05 s in place of 1 s:
    Ext_Params "ethanol --server /tmp/ethanol.sock"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument(
        "request", metavar="FILE", help="BASENAME_EXT.extinp.tmp, as ORCA writes it"
    )
    add_model(parser.add_argument)
    add_server(parser)


def run(args: argparse.Namespace) -> int:
    """Read the request, evaluate, write the answer; return the exit code."""
    from ase_schnet.external.orca import read_request, write_answer

    request = read_request(args.request)
    answer = asked(args, request.question)
    print(f"{write_answer(request, answer)}: {answer.energy:.9f} Eh by {args.model}")
    return 0

"""Answer ORCA's external optimiser: ``ase-schnet orca FILE MODEL``."""

from __future__ import annotations

import argparse

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
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument(
        "request", metavar="FILE", help="BASENAME_EXT.extinp.tmp, as ORCA writes it"
    )
    parser.add_argument(
        "model", metavar="MODEL", help="name of a shipped model, or a model directory"
    )


def run(args: argparse.Namespace) -> int:
    """Read the request, evaluate, write the answer; return the exit code."""
    from ase_schnet.external.answer import answer_of
    from ase_schnet.external.orca import read_request, write_answer

    request = read_request(args.request)
    answer = answer_of(args.model, request.atoms, request.charge, request.multiplicity)
    print(f"{write_answer(request, answer)}: {answer.energy:.9f} Eh by {args.model}")
    return 0

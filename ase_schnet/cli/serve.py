"""Keep a model loaded for ORCA and Gaussian: ``ase-schnet serve MODEL ADDRESS``."""

from __future__ import annotations

import argparse
import warnings
from typing import TYPE_CHECKING

from ase_schnet.cli.options import add_model

if TYPE_CHECKING:
    from ase_schnet.external.question import Answer, Question

HELP = "Keep a model loaded, and answer ase-schnet orca and gaussian through a socket."
EXAMPLE = """\
example:
  ase-schnet serve ethanol /tmp/ethanol.sock &
  ase-schnet orca job_EXT.extinp.tmp ethanol --server /tmp/ethanol.sock
A server reads and writes no files, and listens to this computer only. Ctrl-C or SIGTERM ends it.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add_model(add)
    add("address", metavar="ADDRESS", help="path of a socket file, or localhost:PORT")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add the option ``--server`` of a client."""
    parser.add_argument(
        "--server",
        metavar="ADDRESS",
        help="ask the server that listens there (ase-schnet serve), in place of loading the model",
    )


def asked(args: argparse.Namespace, question: Question) -> Answer:
    """Return the answer of the server that a client names, else of the model; print its warnings."""
    if args.server is None:
        from ase_schnet.external.answer import answer_of

        answer = answer_of(args.model, question)
    else:
        from ase_schnet.external.client import answer_from

        answer = answer_from(args.server, args.model, question)
    for warning in answer.warnings:
        warnings.warn(warning, stacklevel=2)
    return answer


def run(args: argparse.Namespace) -> int:
    """Serve until stopped; return the exit code."""
    from functools import partial

    from ase_schnet.external.server import serve

    try:
        serve(args.model, args.address, partial(print, flush=True))
    except KeyboardInterrupt:
        print("ended")
    return 0

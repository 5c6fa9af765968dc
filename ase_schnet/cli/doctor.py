"""Examine the installation: ``ase-schnet doctor``."""

from __future__ import annotations

import argparse

HELP = (
    "Examine the installation: what is here, what is missing, whether it computes what it should."
)
EXAMPLE = """\
example:
  ase-schnet doctor

It computes for some five seconds. The first time after an installation it also compiles, for about 25 s.

exit code: 0 all is well (optional parts may be missing), 1 something is wrong
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command; there are none."""
    parser.epilog = EXAMPLE


def run(args: argparse.Namespace) -> int:
    """Print what is found, as it is found; return the exit code."""
    from ase_schnet.doctor import examine

    wrong = 0
    for finding in examine():
        print(finding, flush=True)
        wrong += finding.wrong
    print(f"\n{wrong} thing{'s' * (wrong > 1)} wrong: see the arrows" if wrong else "\nall is well")
    return 1 if wrong else 0

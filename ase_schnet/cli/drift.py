"""Judge whether runs conserved the energy: ``ase-schnet drift RUN_DIR [RUN_DIR ...]``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.dynamics import EXIT_CODES
from ase_schnet.cli.options import refuse_given
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase_schnet.runs.record import MDRecord

HELP = "Check whether runs conserved the energy."
EXAMPLE = """\
example:
  ase-schnet drift run

If there is a run with half the time step from the same state, in RUN_DIR/half_step or among the runs given,
the command also tests that the energy error decreases with the square of the time step.

exit code: 0 all conserved, 1 at least one not conserved, 2 bad input, 3 at least one cannot be decided
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument(
        "runs", metavar="RUN_DIR", nargs="+", help="run directory of ase-schnet md or lammps"
    )
    parser.add_argument(
        "-o", "--output", metavar="PLOT", help="picture to draw (default: RUN_DIR/drift.png)"
    )
    parser.add_argument("--no-plot", action="store_true", help="do not draw a picture")
    add_save_data(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    """Judge, print and draw; return the exit code of the worst verdict."""
    from ase_schnet.runs.drift import drift, half_step_of
    from ase_schnet.runs.record import MDRecord

    if args.no_plot:
        refuse_given(
            args, ["output"], "names the picture, and --no-plot draws none: leave one of them out"
        )
    if args.output and len(args.runs) > 1:
        raise ValueError("-o names one picture: use it with one run only, or leave it out")
    check_outputs(plots=[None if args.no_plot else args.output], numbers=args.save_data)
    records, refused, outcomes = {}, [], set()
    for run_dir in map(Path, args.runs):
        try:
            records[run_dir] = MDRecord.read(run_dir)
        except ValueError as error:
            refused.append(str(error))
    for run_dir, record in records.items():
        half = half_step_of(run_dir, record, records.values())
        try:
            verdict = drift(record, half)
        except ValueError as error:
            refused.append(f"{run_dir}: {error}")
            continue
        outcomes.add(verdict.outcome)
        lines = [f"{run_dir}{_unfinished(run_dir, record)}\n{verdict}"]
        if not args.no_plot:
            from ase_schnet.plotting import plot_drift

            plot = args.output or run_dir / "drift.png"
            lines += draw(plot_drift(record, verdict), plot, args)
        print("\n".join(lines))
    if refused:
        raise ValueError("; ".join(refused))
    return EXIT_CODES[max(outcomes, key=list(EXIT_CODES).index)]


def _unfinished(run_dir: Path, record: MDRecord) -> str:
    """Describe how far an unfinished run is; "" for a finished one."""
    from ase_schnet.runs.provenance import unfinished

    asked_ps = unfinished(run_dir, record)
    done_ps = record.time_fs[-1] / 1000 if len(record) else 0.0
    return "" if asked_ps is None else f" (unfinished: {done_ps:g} of {asked_ps:g} ps)"

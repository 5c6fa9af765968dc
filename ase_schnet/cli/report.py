"""Write one page about a run, model, scan or learning: ``ase-schnet report SOURCE -o report.html``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import add_label_options, read_labels, refuse_without_data
from ase_schnet.cli.outputs import check_outputs

if TYPE_CHECKING:
    from ase_schnet.data.dataset import Dataset

HELP = "Write one page about a run, model, scan or learning: verdicts, pictures, structures."
EXAMPLE = """\
examples:
  ase-schnet report run                                       # of ase-schnet md, also --replicas, or lammps
  ase-schnet report ethanol --data rmd17_ethanol_test_01.npz  # a model, held against labels
  ase-schnet report scan.csv --frames scan.xyz                # of ase-schnet scan --frames scan.xyz
  ase-schnet report my_ethanol -o my_ethanol.html             # of ase-schnet learn

The page is one file that needs no network. Verdicts stand first, pictures follow, and structures can be
clicked through in chemiscope (https://chemiscope.org): pip install 'ase-schnet[report]', or --no-structures.

exit code: 0 written, whatever the verdicts (ase-schnet drift has their exit codes), 2 bad input
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    text = (
        "run directory, or that of replicas, model (directory or shipped name), .csv table of a scan, "
        "directory of a learning"
    )
    add("source", metavar="SOURCE", help=text)
    text = "page to write (default: %(default)s)"
    add("-o", "--output", default="report.html", metavar="FILE.html", help=text)
    text = "structures of a scan (default: the file with the name of the table and .xyz, if there is one)"
    add("--frames", metavar="FILE.xyz", help=text)
    text = "leave out the structures; then chemiscope is not needed and the file is 3 MB smaller"
    add("--no-structures", action="store_true", help=text)
    text = "labelled structures to hold a model against: parity, calibration, where it errs most"
    add_label_options(parser.add_argument_group("labelled data, for a model"), option=text)


def run(args: argparse.Namespace) -> int:
    """Write the page and print the verdicts; return the exit code."""
    from ase_schnet.report.write import write_report

    check_outputs(files=[args.output], inputs=[args.source, args.frames, args.data])
    refuse_without_data(args)
    report = write_report(
        args.source,
        args.output,
        data=_data(args),
        frames=args.frames,
        structures=not args.no_structures,
    )
    print(report)
    print(
        f"report: {report.path} ({report.path.stat().st_size / 1e6:.1f} MB); open it in a browser"
    )
    return 0


def _data(args: argparse.Namespace) -> Dataset | None:
    """Read the labelled structures, if there are any."""
    from ase_schnet.data.dataset import Dataset

    if args.data is None:
        return None
    return Dataset.from_atoms(read_labels(args), source=args.data)

"""ase-schnet scan MODEL STRUCTURE --distance I J -o PLOT"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Scan the distance of two atoms: energy, ensemble band, training range, reference."
EXAMPLE = """\
example:
  ase-schnet scan ethanol ethanol.xyz --distance 2 8 --from 0.7 --to 2.5 -o oh.png

A csv file with the same name is written beside the plot.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a shipped model's name or a directory")
    parser.add_argument("structure", metavar="STRUCTURE", help="any file that ASE reads")
    parser.add_argument(
        "--distance",
        type=int,
        nargs=2,
        required=True,
        metavar=("I", "J"),
        help="atoms, counted from 0; J moves, and with it what is bonded to it beyond I",
    )
    parser.add_argument("--from", type=float, required=True, dest="start", metavar="ANG")
    parser.add_argument("--to", type=float, required=True, dest="stop", metavar="ANG")
    parser.add_argument("--points", type=int, default=60, help="(default: 60)")
    parser.add_argument(
        "--moving", type=int, nargs="+", metavar="K", help="atoms that move, J included"
    )
    parser.add_argument(
        "--reference", metavar="FILE", help="structures with energies along the same distance"
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("-o", "--output", default="scan.png", metavar="PLOT")
    parser.add_argument("--no-plot", action="store_true", help="write the csv file only")


def run(args: argparse.Namespace) -> int:
    """Scan, write, draw."""
    import numpy as np
    from ase.io import read

    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.simulation.scan import scan_distance

    if args.points < 2:
        raise ValueError(f"--points must be at least 2, not {args.points}")
    atoms = read(args.structure)
    atoms.calc = SchNetCalculator(args.model, device=args.device)
    i, j = args.distance
    result = scan_distance(
        atoms,
        i,
        j,
        np.linspace(args.start, args.stop, args.points),
        moving=args.moving,
        reference=args.reference,
    )
    trained_range = atoms.calc.trained_distance_range(
        atoms.symbols[i], atoms.symbols[j], atoms.get_distance(i, j, mic=True)
    )
    table = Path(args.output).with_suffix(".csv")
    result.write_csv(table)
    if trained_range is not None:
        print("{}: {:.3f} to {:.3f} in training".format(result.coordinate_name, *trained_range))
    print(f"table: {table}")
    if not args.no_plot:
        from ase_schnet.plotting import plot_scan, save_figure

        print(f"plot: {save_figure(plot_scan(result, trained_range), args.output)}")
    return 0

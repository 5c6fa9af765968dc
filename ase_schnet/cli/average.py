"""Average over runs, with an error bar: ``ase-schnet average RUN_DIR --of potential_energy``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.options import add_threads, refuse_given
from ase_schnet.cli.outputs import check_outputs, table_beside
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase_schnet.calculator import SchNetCalculator

HELP = "Average an observable over runs at constant temperature, with the error of model and runs."
EXAMPLE = """\
examples:
  ase-schnet md silicon si.xyz --ensemble nvt --timestep 2 --time 20 --trajectory-every 20 -o nvt
  ase-schnet average nvt --of potential_energy
  ase-schnet average nvt --of rdf --bins 100 -o rdf.png
  ase-schnet average runs/replica_* --of potential_energy      # of md --replicas, all together

What each member of the model would have found in a run of its own follows from one run of all of them, by the
cumulant expansion to first order. The interval also has the statistical error of the run. Runs whose frames
are worth too few independent ones are refused, and so are runs at constant energy, runs that are not at their
end, and runs at constant pressure where the volume is not sampled yet. A picture of the rdf has a csv file
beside it, with the same name; "±" in it is the error bar, "level of ±" its probability.
"""
OBSERVABLES = ("potential_energy", "volume", "density", "rdf")
#: Options that apply to the rdf alone.
OF_RDF = ("r_max", "bins", "output", "no_plot", "save_data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    text = "run directories of ase-schnet md or lammps, nvt or npt; several differ by their seeds"
    add("runs", metavar="RUN_DIR", nargs="+", help=text)
    text = "potential energy (eV), volume (Å³), density (g/cm³) or radial distribution function"
    add(
        "--of",
        choices=OBSERVABLES,
        default="potential_energy",
        help=f"{text} (default: %(default)s)",
    )
    text = "model of the run (default: the one that the run names)"
    add("--model", metavar="MODEL", help=text)
    text = "time in ps to leave out at the start of the run (default: a tenth of it)"
    add("--skip", type=float, metavar="PS", help=text)
    text = "probability that the truth lies within the error bar (default: %(default)s)"
    add("--level", type=float, default=0.9, help=text)
    text = "rdf only: largest distance in Å (default: half of the shortest height of the cell)"
    add("--r-max", type=float, metavar="ANG", help=text)
    add("--bins", type=int, metavar="N", help="rdf only: number of bins (default: 100)")
    text = "rdf only: picture to draw; the table gets its name with .csv (default: rdf.png)"
    add("-o", "--output", metavar="PLOT", help=text)
    add("--no-plot", action="store_true", help="rdf only: write only the csv file")
    add_save_data(add)
    add_threads(add)


def run(args: argparse.Namespace) -> int:
    """Average, write and print; return the exit code."""
    from ase_schnet.propagation import spread
    from ase_schnet.propagation.spread import NAMED

    options = {"frames": args.runs, "skip_ps": args.skip, "level": args.level}
    if args.of == "rdf":
        return _rdf(args, options)
    refuse_given(args, OF_RDF, "applies to --of rdf only")
    found = spread(args.of, _calculator(args), **options)
    print(f"{args.of.replace('_', ' ')}  {found.describe(NAMED[args.of])}\n{found.sampling}")
    return 0


def _calculator(args: argparse.Namespace) -> SchNetCalculator:
    """Open the model of the run, with its repulsion."""
    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.inference.repulsion import DEFAULT_REPULSION
    from ase_schnet.runs.provenance import repulsion_of_run
    from ase_schnet.runs.record import RUN_FILE, read_about

    model = args.model
    if model is None:
        about = read_about(args.runs[0])
        try:
            model = about["calculator"]["model_info"]["model"]
        except (KeyError, TypeError):
            path = Path(args.runs[0]) / RUN_FILE
            raise ValueError(f"{path} does not name a model: give --model") from None
    repulsion = repulsion_of_run(args.runs[0], DEFAULT_REPULSION)
    return SchNetCalculator(model, repulsion=repulsion, threads=args.threads)


def _rdf(args: argparse.Namespace, options: dict) -> int:
    """Average the rdf, write its table and draw it."""
    import numpy as np

    from ase_schnet.arguments import whole
    from ase_schnet.propagation import bin_centres, rdf, spread
    from ase_schnet.propagation.observables import largest_r
    from ase_schnet.runs.restart import TRAJECTORY_FILE, open_trajectory
    from ase_schnet.runtime.files import write_csv

    output = Path(args.output or "rdf.png")
    table = table_beside(output)
    plots = [None if args.no_plot else output]
    check_outputs(files=[table], plots=plots, numbers=args.save_data)
    n_bins, r_max = 100 if args.bins is None else whole("--bins", args.bins, 1), args.r_max
    calculator = _calculator(args)
    if r_max is None:  # the cell of a run at constant pressure also shrinks
        r_max = np.inf
        for run_dir in args.runs:
            with open_trajectory(Path(run_dir) / TRAJECTORY_FILE) as trajectory:
                r_max = min(r_max, *map(largest_r, trajectory))
    found = spread(rdf(r_max, n_bins), calculator, **options)
    r = bin_centres(r_max, n_bins)
    columns = {"distance (Å)": r, "g(r)": found.value, "±": found.half_width, "std": found.std}
    members = {f"member {k}": values for k, values in enumerate(found.members)}
    columns["level of ±"] = np.full(n_bins, found.level)  # a column: every reader finds it there
    write_csv(table, columns | {"statistical error": found.statistical_error} | members)
    highest = int(found.value.argmax())
    peak = found.map(lambda g: g[highest])
    lines = [f"highest g(r)  {peak} at {r[highest]:.3g} Å", str(found.sampling), f"table: {table}"]
    if not args.no_plot:
        from ase_schnet.plotting import plot_rdf

        lines += draw(plot_rdf(r, found), output, args)
    print("\n".join(lines))
    return 0

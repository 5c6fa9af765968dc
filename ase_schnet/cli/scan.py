"""Scan a distance, an angle or a dihedral: ``ase-schnet scan MODEL STRUCTURE --distance I J -o PLOT``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from ase_schnet.cli.inputs import add_no_pbc, read_start, refuse_swapped
from ase_schnet.cli.options import (
    add_device,
    add_model,
    add_repulsion,
    add_structure,
    refuse_given,
    repulsion_of,
)
from ase_schnet.cli.outputs import check_outputs, table_beside
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase import Atoms
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from ase_schnet.scan import ScanMap, ScanResult

HELP = "Scan a distance, an angle or a dihedral, rigid or relaxed, or two of them as a map."
EXAMPLE = """\
example of a scan (`ase build CH3CH2OH ethanol.xyz` writes the molecule):
  ase-schnet scan ethanol ethanol.xyz --dihedral 0 1 2 3 --from 0 --to 360 --points 37 --relaxed

example of a map (each option has one value for each coordinate):
  ase-schnet scan ethanol ethanol.xyz --dihedral 0 1 2 3 --dihedral 2 1 0 6 \\
      --from 0 0 --to 360 120 --points 37 13 -o map.png

Atoms are counted from 0. The first atom of a coordinate stays and the last one moves. With it moves all that
is connected to it when the bond I-J (distance) or J-K (angle, dihedral) is cut. A csv file is written beside
the picture, with the same name; of models with error bars it has energy_error_eV, infinite where the
structure is unlike all training, and error_level, their probability. The scan begins at the point nearest to
the structure and goes outwards. After Ctrl-C or SIGTERM the finished points are kept.

exit code: 0 success, 1 some points did not converge, have no energy or lie in a hole of the model (an energy
far too low outside the training range), 2 bad input, 130 interrupted
"""
COORDINATES = {"distance": ("I", "J"), "angle": ("I", "J", "K"), "dihedral": ("I", "J", "K", "L")}
POINTS, MAP_POINTS = 60, 25
MOST_POINTS = 100_000  # of a coordinate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add_model(parser.add_argument)
    add_structure(parser.add_argument)
    what = parser.add_argument_group("coordinate to scan (give two for a map)")
    for name, atoms in COORDINATES.items():
        what.add_argument(
            f"--{name}",
            type=int,
            nargs=len(atoms),
            metavar=atoms,
            action="append",
            dest="coordinates",  # all kinds in one list, in the order given
            help=f"{name} between these atoms, in {'Å' if name == 'distance' else 'degrees'}",
        )
    first = {"type": float, "nargs": "+", "required": True, "metavar": "X"}
    what.add_argument("--from", **first, dest="start", help="first value, in Å or degrees")
    what.add_argument("--to", **first, dest="stop", help="last value, in Å or degrees")
    what.add_argument(
        "--points",
        type=int,
        nargs="+",
        metavar="N",
        help=f"number of values (default: {POINTS}; for a map {MAP_POINTS} each)",
    )
    what.add_argument(
        "--moving",
        type=int,
        nargs="+",
        action="append",
        metavar="K",
        help="atoms that move together as one rigid piece, with the last atom of the coordinate among them; "
        "for a map give it once for each coordinate (default: the side of the cut bond)",
    )
    parser.add_argument(
        "--relaxed", action="store_true", help="relax all other coordinates at every point"
    )
    parser.add_argument(
        "--fmax",
        type=float,
        default=0.01,
        help="with --relaxed: largest force after relaxation, eV/Å (default: %(default)s)",
    )
    text = "structures with energies along the same coordinate, to compare with"
    parser.add_argument("--reference", metavar="FILE", help=text)
    add_no_pbc(parser.add_argument)
    add_repulsion(parser.add_argument)
    add_device(parser.add_argument)
    text = "picture to draw; the table gets its name with .csv (default: %(default)s)"
    parser.add_argument("-o", "--output", default="scan.png", metavar="PLOT", help=text)
    text = "file to write the structures to, for example to label them"
    parser.add_argument("--frames", metavar="FILE.xyz", help=text)
    parser.add_argument("--no-plot", action="store_true", help="write only the csv file")
    add_save_data(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    """Scan, write and draw, and only then print; return the exit code."""
    from ase_schnet.calculator import SchNetCalculator

    refuse_swapped(args.model, args.structure)
    axes = _axes(args)
    if not args.relaxed:
        refuse_given(args, ["fmax"], "is for a scan that relaxes: give --relaxed too")
    table = table_beside(args.output)
    check_outputs(
        files=[table, args.frames],
        plots=[None if args.no_plot else args.output],
        inputs=[args.structure, args.reference],
        numbers=args.save_data,
    )
    atoms = read_start(args.structure, no_pbc=args.no_pbc)
    atoms.calc = SchNetCalculator(args.model, device=args.device, repulsion=repulsion_of(args))
    found = (_map if len(axes) > 1 else _cut)(atoms, args, axes)
    result, written = found.result, [f"table: {table}"]
    result.write_csv(table)
    if args.frames:
        result.write_frames(args.frames)
        written.append(f"structures: {args.frames}")
    if not args.no_plot and _has_energies(result):
        written += draw(found.draw(), args.output, args)
    print("\n".join([found.summary, *written]))
    asked = 1
    for values in axes:
        asked *= len(values)
    if len(result.frames) < asked:
        return 130
    return 1 if found.lost else 0


def _has_energies(result: ScanResult | ScanMap) -> bool:
    import numpy as np

    return bool(np.isfinite(result.energies_eV).any())


def _axes(args: argparse.Namespace) -> list[NDArray]:
    """Return the values of every coordinate, (P,) each, Å or degrees."""
    import numpy as np

    n = len(args.coordinates or ())
    if not 1 <= n <= 2:
        flags = ", ".join(f"--{name}" for name in COORDINATES)
        raise ValueError(f"give one of {flags}, or two of them for a map; not {n}")
    points = args.points or [POINTS if n == 1 else MAP_POINTS] * n
    for flag, values in (("--from", args.start), ("--to", args.stop), ("--points", points)):
        if len(values) != n:
            raise ValueError(f"{flag} needs one value for each coordinate: {n}, not {len(values)}")
    if min(points) < 2:
        raise ValueError(f"--points must be at least 2, not {min(points)}")
    if any(first == last for first, last in zip(args.start, args.stop, strict=True)):
        raise ValueError("--from and --to are the same: there is nothing to scan")
    if args.moving and len(args.moving) != n:
        raise ValueError("give --moving once for each coordinate of a map, or not at all")
    if max(points) > MOST_POINTS:
        raise ValueError(f"--points must be at most {MOST_POINTS}, not {max(points)}")
    if not np.isfinite([*args.start, *args.stop]).all():
        raise ValueError("--from and --to must be finite numbers")
    return [np.linspace(*limits) for limits in zip(args.start, args.stop, points, strict=True)]


class _Found(NamedTuple):
    """Hold the result of a scan, its summary, the function that draws it, and the number of lost points."""

    result: ScanResult | ScanMap
    summary: str
    draw: Callable[[], Figure]
    lost: int


def _cut(atoms: Atoms, args: argparse.Namespace, axes: list[NDArray]) -> _Found:
    """Scan one coordinate."""
    from functools import partial

    from ase_schnet.plotting import plot_scan
    from ase_schnet.scan import scan_angle, scan_dihedral, scan_distance
    from ase_schnet.scan.summary import describe_scan, lost_points, points_in_holes

    (indices,) = args.coordinates
    scan = {2: scan_distance, 3: scan_angle, 4: scan_dihedral}[len(indices)]
    result = scan(
        atoms,
        *indices,
        *axes,
        moving=args.moving[0] if args.moving else None,
        relaxed=args.relaxed,
        fmax=args.fmax,
        reference=args.reference,
    )
    lost = lost_points(result) + int(points_in_holes(result).sum())
    cheap = " and ".join(atoms.calc.trained.other_levels) or "none"
    summary = describe_scan(result, cheap, atoms.calc.trained.overconfidence)
    return _Found(result, summary, partial(plot_scan, result), lost)


def _map(atoms: Atoms, args: argparse.Namespace, axes: list[NDArray]) -> _Found:
    """Scan two coordinates."""
    from functools import partial

    from ase_schnet.plotting import plot_scan_map
    from ase_schnet.scan import scan_map
    from ase_schnet.scan.summary import describe_map, lost_points, points_in_holes

    if args.reference:
        raise ValueError(
            "--reference is for a scan of one coordinate, not for a map: a map has none"
        )
    (first, second), (first_values, second_values) = args.coordinates, axes
    result = scan_map(
        atoms,
        first,
        first_values,
        second,
        second_values,
        moving=tuple(args.moving or (None, None)),
        relaxed=args.relaxed,
        fmax=args.fmax,
    )
    lost = lost_points(result) + int(points_in_holes(result).sum())
    summary = describe_map(result, atoms.calc.trained.overconfidence)
    return _Found(result, summary, partial(plot_scan_map, result), lost)

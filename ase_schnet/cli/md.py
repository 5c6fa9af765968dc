"""ase-schnet md MODEL STRUCTURE -o RUN_DIR"""

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
from ase_schnet.cli.inputs import add_no_pbc, read_start, refuse_swapped
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.velocities import start_temperature_K, tell_velocities

HELP = "Run molecular dynamics and say whether it conserved the energy."
EXAMPLE = """\
examples:
  ase-schnet md ethanol ethanol.xyz --temperature 300 --timestep 0.5 --time 10 -o run
  ase-schnet md ethanol ethanol.xyz --ensemble nvt --thermostat bussi --time 50 -o nvt
  ase-schnet md ethanol nvt/trajectory.traj --keep-momenta --time 10 -o nve
  ase-schnet md silicon si64.xyz --ensemble nvt --temperature 300 --temperature-end 1000 --time 50 -o hot
  ase-schnet md silicon si64.xyz --ensemble npt --pressure 1 --timestep 2 --time 20 -o npt

RUN_DIR gets run.json, log.csv, trajectory.traj, drift.png and, of a run at constant energy, from a
second, short run with half the time step, half_step/. After Ctrl-C or a kill, the same command with
--resume goes on exactly. The monitor stops a run that leaves what the model was trained on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    thermostats = "bussi, langevin or, for periodic structures, nose-hoover"
    add_no_pbc(add)
    add_physics(add, thermostats, "; for langevin 1/friction (default: 100, langevin 1000)")
    text = "change the temperature to this by the end, linearly in time: nvt with bussi or langevin"
    add("--temperature-end", type=float, metavar="K", help=text)
    text = "length of the nve run with half the time step; 0 leaves it out (default: 1)"
    add("--test-time", type=float, default=1.0, metavar="PS", help=text)
    text = "where the model guesses: stop, warn, collect frames to label, off (default: stop)"
    add("--monitor", choices=["stop", "warn", "collect", "off"], default="stop", help=text)
    add("--device", default="cpu", help="cpu, cuda, cuda:1 or auto (default: cpu)")
    add("--threads", type=int, metavar="N", help="at most, for large structures (default: all)")
    add_records(add)


def run(args: argparse.Namespace) -> int:
    """Run, judge, draw. 1 if it did not conserve energy or the monitor stopped it, 3 if it cannot be told."""
    from ase_schnet.runs.drift import drift
    from ase_schnet.runs.failures import SimulationExploded, SimulationStopped

    check_outputs(folders=[args.output])
    _refuse_what_does_not_apply(args)
    refuse_swapped(args.model, args.structure)
    atoms = read_start(args.structure, no_pbc=args.no_pbc)
    atoms.calc = _calculator(args)
    tell_velocities(atoms, args)
    stopped = None
    try:
        record, verdict = _dynamics(atoms, args)
    except (SimulationStopped, SimulationExploded) as failure:
        stopped, record = failure, failure.record
        verdict = drift(record)
    tell(record, verdict, args)
    if verdict is None:
        return 0
    return EXIT_CODES[verdict.outcome] if stopped is None else 1


def _calculator(args: argparse.Namespace):
    from ase_schnet.calculator import SchNetCalculator

    return SchNetCalculator(
        args.model,
        device=args.device,
        dtype=args.dtype,
        threads=args.threads,
        repulsion=repulsion_of(args),
    )


def _dynamics(atoms, args: argparse.Namespace):
    """Record and verdict of the run asked for; no verdict where it is too short."""
    from ase_schnet.dynamics.check import check_nve
    from ase_schnet.dynamics.md import run_npt, run_nve, run_nvt
    from ase_schnet.runs.drift import drift
    from ase_schnet.runs.monitor import Monitor

    options = {
        "time_ps": args.time,
        "timestep_fs": args.timestep,
        "temperature_K": start_temperature_K(args),
        "keep_momenta": args.keep_momenta,
        "run_dir": args.output,
        "record_every": args.record_every,
        "trajectory_every": args.trajectory_every,
        "seed": args.seed,
        "resume": args.resume,
        "take_over": args.take_over,
        "monitor": None if args.monitor == "off" else Monitor(args.monitor),
    }
    judged = not too_short_to_judge(args)
    if args.ensemble == "nve" and not judged:
        return run_nve(atoms, **options), None
    if args.ensemble == "nve":
        return check_nve(atoms, test_time_ps=args.test_time, **options)
    if args.time_constant is not None:
        options["time_constant_fs"] = args.time_constant
    if args.ensemble == "nvt":
        options |= {"thermostat": args.thermostat or "bussi"}
        record = run_nvt(atoms, temperature_end_K=args.temperature_end, **options)
    else:
        pressure_GPa = args.pressure or 0.0
        record = run_npt(atoms, pressure_GPa=pressure_GPa, full_cell=args.full_cell, **options)
    return record, drift(record) if judged else None


def _refuse_what_does_not_apply(args: argparse.Namespace) -> None:
    """Refuse options that the ensemble would ignore; ValueError."""
    from ase_schnet.dynamics.ensembles import refuse_options_of_other_ensembles

    refuse_options_of_other_ensembles(
        args.ensemble,
        temperature_end_K=args.temperature_end,
        thermostat=args.thermostat,
        time_constant_fs=args.time_constant,
        pressure_GPa=args.pressure,
        full_cell=args.full_cell,
    )

"""Run molecular dynamics: ``ase-schnet md MODEL STRUCTURE -o RUN_DIR``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.dynamics import (
    add_physics,
    add_records,
    exit_code,
    print_result,
    too_short_to_judge,
)
from ase_schnet.cli.inputs import add_no_pbc, read_start, refuse_swapped
from ase_schnet.cli.options import add_device, add_threads, repulsion_of
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.replicas import add_replicas, refuse_without_replicas, run_many
from ase_schnet.cli.velocities import print_velocities, start_temperature_K

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.runs.drift import Drift
    from ase_schnet.runs.record import MDRecord

TEST_PS = 1.0
HELP = "Run molecular dynamics and check that it conserves the energy."
EXAMPLE = """\
examples:
  ase-schnet md ethanol ethanol.xyz --temperature 300 --timestep 0.5 --time 10 -o run
  ase-schnet md ethanol ethanol.xyz --ensemble nvt --thermostat bussi --time 50 -o nvt
  ase-schnet md ethanol nvt/trajectory.traj --keep-momenta --time 10 -o nve
  ase-schnet md silicon si64.xyz --ensemble nvt --temperature 300 --temperature-end 1000 --time 50 -o hot
  ase-schnet md silicon si64.xyz --ensemble npt --pressure 1 --timestep 2 --time 20 -o npt
  ase-schnet md ethanol ethanol.xyz --ensemble nvt --replicas 16 --time 5 -o many
  ase-schnet md ethanol ethanol.xyz --ensemble nvt --replicas 8 --exchange 800 --time 20 -o ladder

RUN_DIR then holds run.json, log.csv, trajectory.traj, a restart point and drift.png. A run at constant energy
is followed by a second, short run with half the time step in RUN_DIR/half_step. After Ctrl-C or a kill, the
same command with --resume continues the run exactly. The monitor ends a run that leaves the range of the
training data. With --replicas there is such a directory for each, without a plot and without a second run;
a replica that is stopped does not stop the others. With --record-every above 1 the log does not tell whether
the forces are the slope of the energy; without the second run that cannot be decided then (exit code 3).

exit code: 0 energy conserved, or a run too short for a verdict; 1 not conserved, or stopped by the monitor;
2 bad input; 3 cannot be decided; 130 stopped by Ctrl-C
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    thermostats = "bussi, langevin or, for periodic structures, nose-hoover"
    add_no_pbc(add)
    add_physics(add, thermostats, "100; for langevin 1000, the inverse of the friction")
    text = "change the temperature linearly in time to this value, in K: nvt with bussi or langevin"
    add("--temperature-end", type=float, metavar="K", help=text)
    text = "length in ps of the second nve run, with half the time step; 0: none (default: %(default)s)"
    add("--test-time", type=float, default=TEST_PS, metavar="PS", help=text)
    text = (
        "what to do where the model is not reliable: stop the run, warn, collect frames to be labelled, or "
        "off (default: %(default)s)"
    )
    add("--monitor", choices=["stop", "warn", "collect", "off"], default="stop", help=text)
    add_device(add)
    add_threads(add)
    add_replicas(add)
    add_records(add)


def run(args: argparse.Namespace) -> int:
    """Run, judge and draw; return the exit code."""
    from ase_schnet.runs.drift import drift
    from ase_schnet.runs.failures import SimulationExploded, SimulationStopped

    check_outputs(folders=[args.output])
    _refuse_what_does_not_apply(args)
    refuse_swapped(args.model, args.structure)
    atoms = read_start(args.structure, no_pbc=args.no_pbc)
    atoms.calc = _calculator(args)
    print_velocities(atoms, args)
    if args.replicas is not None:
        return run_many(atoms, args, _options(args))
    stopped = False
    try:
        record, verdict = _dynamics(atoms, args)
    except (SimulationStopped, SimulationExploded) as failure:
        stopped, record = True, failure.record
        verdict = drift(record)
    print_result(record, verdict, args)
    return exit_code(verdict, stopped=stopped)


def _calculator(args: argparse.Namespace) -> SchNetCalculator:
    from ase_schnet.calculator import SchNetCalculator

    return SchNetCalculator(
        args.model,
        device=args.device,
        dtype=args.dtype,
        threads=args.threads,
        repulsion=repulsion_of(args),
    )


def _dynamics(atoms: Atoms, args: argparse.Namespace) -> tuple[MDRecord, Drift | None]:
    """Run the dynamics; return its record and verdict, None where it is too short to judge."""
    from ase_schnet.dynamics.check import check_nve
    from ase_schnet.dynamics.md import run_npt, run_nve, run_nvt
    from ase_schnet.runs.drift import drift

    options = _options(args)
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


def _options(args: argparse.Namespace) -> dict:
    """Return what every run is told."""
    from ase_schnet.runs.monitor import Monitor

    return {
        "time_ps": args.time,
        "timestep_fs": args.timestep,
        "temperature_K": start_temperature_K(args),
        **({} if args.replicas is not None else {"keep_momenta": args.keep_momenta}),
        "run_dir": args.output,
        "record_every": args.record_every,
        "trajectory_every": args.trajectory_every,
        "seed": args.seed,
        "resume": args.resume,
        "take_over": args.take_over,
        "monitor": None if args.monitor == "off" else Monitor(args.monitor),
    }


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
    if args.test_time not in (0, TEST_PS) and (args.ensemble != "nve" or args.replicas is not None):
        raise ValueError("--test-time is for a single run of --ensemble nve: leave it out")
    refuse_without_replicas(args)

"""ase-schnet md MODEL STRUCTURE -o RUN_DIR"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Run molecular dynamics and say whether it conserved the energy."
EXAMPLE = """\
examples:
  ase-schnet md ethanol ethanol.xyz --temperature 300 --timestep 0.5 --time 10 -o run
  ase-schnet md ethanol ethanol.xyz --ensemble nvt --thermostat bussi --time 50 -o nvt
  ase-schnet md silicon si64.xyz --ensemble npt --pressure 1 --timestep 2 --time 20 -o npt

RUN_DIR gets run.json, log.csv, trajectory.traj, drift.png and, of a run at constant energy, from a
second, short run with half the time step, half_step/. After Ctrl-C or a kill, the same command with
--resume goes on exactly. The monitor stops a run that leaves what the model was trained on.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    add = parser.add_argument
    add("model", metavar="MODEL", help="a shipped model's name or a directory")
    add("structure", metavar="STRUCTURE", help="any file that ASE reads")
    add("--ensemble", choices=["nve", "nvt", "npt"], default="nve", help="(default: nve)")
    text = "at the start of nve, throughout otherwise (default: 300)"
    add("--temperature", type=float, default=300.0, metavar="K", help=text)
    add("--timestep", type=float, default=0.5, metavar="FS", help="in fs (default: 0.5)")
    add("--time", type=float, default=10.0, metavar="PS", help="length in ps (default: 10)")
    text = "of nvt: bussi, langevin or, for periodic structures, nose-hoover (default: bussi)"
    add("--thermostat", metavar="NAME", help=text)
    text = "of the thermostat; for langevin 1/friction (default: 100, langevin 1000)"
    add("--time-constant", type=float, metavar="FS", help=text)
    add("--pressure", type=float, metavar="GPA", help="of npt, in GPa (default: 0)")
    add("--full-cell", action="store_true", help="npt: the shape of the cell may change too")
    text = "length of the nve run with half the time step; 0 leaves it out (default: 1)"
    add("--test-time", type=float, default=1.0, metavar="PS", help=text)
    text = "where the model guesses: stop, warn, collect frames to label, off (default: stop)"
    add("--monitor", choices=["stop", "warn", "collect", "off"], default="stop", help=text)
    text = "below the shortest distances of the training let atoms repel (default: none)"
    add("--repulsion", choices=["none", "zbl"], default="none", help=text)
    text = "steps between samples in log.csv (default: 1)"
    add("--record-every", type=int, default=1, metavar="N", help=text)
    text = "steps between frames in trajectory.traj (default: 100)"
    add("--trajectory-every", type=int, default=100, metavar="N", help=text)
    add("--seed", type=int, default=0, help="of velocities and thermostat (default: 0)")
    add("--device", default="cpu", help="cpu, cuda, cuda:1 or auto (default: cpu)")
    text = "of the network (default: float64)"
    add("--dtype", choices=["float64", "float32"], default="float64", help=text)
    add("--threads", type=int, metavar="N", help="at most, for large structures (default: all)")
    add("-o", "--output", required=True, metavar="RUN_DIR", help="made if missing")
    add("--resume", action="store_true", help="go on with the run in RUN_DIR")
    add("--no-plot", action="store_true", help="write no drift.png")


def run(args: argparse.Namespace) -> int:
    """Run, judge, draw. 1 if the energy was not conserved or the monitor stopped the run."""
    from ase.io import read

    from ase_schnet.simulation.drift import drift
    from ase_schnet.simulation.propagate import SimulationExploded, SimulationStopped

    _refuse_what_does_not_apply(args)
    atoms = read(args.structure)
    atoms.calc = _calculator(args)
    stopped = None
    try:
        record, verdict = _dynamics(atoms, args)
    except (SimulationStopped, SimulationExploded) as failure:
        stopped, record = failure, failure.record
        verdict = drift(record)
    print(verdict)
    run_dir = Path(args.output)
    print(f"log: {run_dir / 'log.csv'}\ntrajectory: {run_dir / 'trajectory.traj'}")
    if not args.no_plot and len(record) > 1:
        from ase_schnet.plotting import plot_drift, save_figure

        print(f"plot: {save_figure(plot_drift(record, verdict), run_dir / 'drift.png')}")
    return 0 if verdict.passed and stopped is None else 1


def _calculator(args: argparse.Namespace):
    from ase_schnet.calculator import SchNetCalculator

    chosen = {"device": args.device, "dtype": args.dtype, "threads": args.threads}
    if args.repulsion != "none":
        chosen["repulsion"] = args.repulsion
    return SchNetCalculator(args.model, **chosen)


def _dynamics(atoms, args: argparse.Namespace):
    """Record and verdict of the run asked for."""
    from ase_schnet.simulation.drift import check_nve, drift, require_samples
    from ase_schnet.simulation.md import run_npt, run_nvt
    from ase_schnet.simulation.monitor import Monitor

    options = {
        "time_ps": args.time,
        "timestep_fs": args.timestep,
        "temperature_K": args.temperature,
        "run_dir": args.output,
        "record_every": args.record_every,
        "trajectory_every": args.trajectory_every,
        "seed": args.seed,
        "resume": args.resume,
        "monitor": None if args.monitor == "off" else Monitor(args.monitor),
    }
    if args.ensemble == "nve":
        return check_nve(atoms, test_time_ps=args.test_time, **options)
    if args.time > 0 and args.timestep > 0 and args.record_every > 0:  # else the run says so
        require_samples(1000 * args.time / args.timestep / args.record_every)
    if args.time_constant is not None:
        options["time_constant_fs"] = args.time_constant
    if args.ensemble == "nvt":
        record = run_nvt(atoms, thermostat=args.thermostat or "bussi", **options)
    else:
        pressure_GPa = args.pressure or 0.0
        record = run_npt(atoms, pressure_GPa=pressure_GPa, full_cell=args.full_cell, **options)
    return record, drift(record)


def _refuse_what_does_not_apply(args: argparse.Namespace) -> None:
    """An option that would be ignored is a misunderstanding."""
    given = {
        "--thermostat": (args.thermostat is not None, ("nvt",)),
        "--time-constant": (args.time_constant is not None, ("nvt", "npt")),
        "--pressure": (args.pressure is not None, ("npt",)),
        "--full-cell": (args.full_cell, ("npt",)),
    }
    for name, (is_given, ensembles) in given.items():
        if is_given and args.ensemble not in ensembles:
            raise ValueError(f"{name} is for --ensemble {' or '.join(ensembles)}")

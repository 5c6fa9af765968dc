"""ase-schnet md MODEL STRUCTURE -o RUN_DIR"""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Run molecular dynamics and say whether it conserved the energy."
EXAMPLE = """\
example:
  ase-schnet md ethanol ethanol.xyz --temperature 300 --timestep 0.5 --time 10 -o run

RUN_DIR gets run.json, log.csv, trajectory.traj, drift.png and, from a second, short run with half
the time step, half_step/. After Ctrl-C or a kill, the same command with --resume goes on exactly.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of the command."""
    parser.epilog = EXAMPLE
    parser.add_argument("model", metavar="MODEL", help="a shipped model's name or a directory")
    parser.add_argument("structure", metavar="STRUCTURE", help="any file that ASE reads")
    parser.add_argument("--ensemble", choices=["nve"], default="nve", help="(default: nve)")
    parser.add_argument(
        "--temperature", type=float, default=300.0, metavar="K", help="at the start (default: 300)"
    )
    parser.add_argument(
        "--timestep", type=float, default=0.5, metavar="FS", help="time step in fs (default: 0.5)"
    )
    parser.add_argument(
        "--time", type=float, default=10.0, metavar="PS", help="length in ps (default: 10)"
    )
    parser.add_argument(
        "--test-time",
        type=float,
        default=1.0,
        metavar="PS",
        help="length of the run with half the time step; 0 leaves it out (default: 1)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the velocities (default: 0)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument("-o", "--output", required=True, metavar="RUN_DIR", help="made if missing")
    parser.add_argument("--resume", action="store_true", help="go on with the run in RUN_DIR")
    parser.add_argument("--no-plot", action="store_true")


def run(args: argparse.Namespace) -> int:
    """Run, judge, draw. 1 if the energy was not conserved."""
    from ase.io import read

    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.simulation.drift import check_nve

    atoms = read(args.structure)
    atoms.calc = SchNetCalculator(args.model, device=args.device)
    record, drift = check_nve(
        atoms,
        time_ps=args.time,
        timestep_fs=args.timestep,
        test_time_ps=args.test_time,
        run_dir=args.output,
        temperature_K=args.temperature,
        seed=args.seed,
        resume=args.resume,
    )
    print(drift)
    run_dir = Path(args.output)
    print(f"log: {run_dir / 'log.csv'}\ntrajectory: {run_dir / 'trajectory.traj'}")
    if not args.no_plot:
        from ase_schnet.plotting import plot_drift, save_figure

        print(f"plot: {save_figure(plot_drift(record, drift), run_dir / 'drift.png')}")
    return 0 if drift.passed else 1

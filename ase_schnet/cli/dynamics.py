"""What ``md`` and ``lammps`` share: options of a run, and what is printed and drawn at its end."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.options import Add, add_dtype, add_model, add_repulsion, add_structure
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase_schnet.runs.drift import Drift
    from ase_schnet.runs.record import MDRecord

EXIT_CODES = {"PASS": 0, "INCONCLUSIVE": 3, "FAIL": 1}  # from best to worst


def add_physics(add: Add, thermostats: str, time_constants: str) -> None:
    """Add model, structure, ensemble, and temperature and pressure coupling.

    Parameters
    ----------
    add
        ``add_argument`` of a parser.
    thermostats
        Names of the thermostats, for the help text.
    time_constants
        Their default time constants, for the help text.
    """
    add_model(add)
    add_structure(add)
    text = "nve: constant energy; nvt: constant temperature; npt: constant temperature and pressure"
    add("--ensemble", choices=["nve", "nvt", "npt"], default="nve", help=f"{text} (default: nve)")
    text = "temperature in K: of the start velocities (nve), of the thermostat (nvt, npt) (default: 300)"
    add("--temperature", type=float, metavar="K", help=text)
    text = "start with the velocities of STRUCTURE, for example the last frame of a trajectory"
    add("--keep-momenta", action="store_true", help=text)
    text = "time step in fs (default: %(default)s)"
    add("--timestep", type=float, default=0.5, metavar="FS", help=text)
    text = "length of the run in ps (default: %(default)s)"
    add("--time", type=float, default=10.0, metavar="PS", help=text)
    add("--thermostat", metavar="NAME", help=f"nvt only: {thermostats} (default: bussi)")
    text = f"time constant of the thermostat in fs (default: {time_constants})"
    add("--time-constant", type=float, metavar="FS", help=text)
    add("--pressure", type=float, metavar="GPA", help="npt only: pressure in GPa (default: 0)")
    text = "npt only: let the shape of the cell change, not only its volume"
    add("--full-cell", action="store_true", help=text)
    add_repulsion(add, "zbl; with --resume that of the run")


def add_records(add: Add) -> None:
    """Add the options of what is written, where, and from which seed."""
    text = "number of steps between samples in log.csv (default: %(default)s)"
    add("--record-every", type=int, default=1, metavar="N", help=text)
    text = "number of steps between frames in trajectory.traj (default: %(default)s)"
    add("--trajectory-every", type=int, default=100, metavar="N", help=text)
    text = "seed of the random numbers of start velocities and thermostat (default: %(default)s)"
    add("--seed", type=int, default=0, help=text)
    add_dtype(add)
    text = "directory of the run, which is made if it does not exist"
    add("-o", "--output", required=True, metavar="RUN_DIR", help=text)
    text = "continue the run in RUN_DIR; a larger --time makes it longer"
    add("--resume", action="store_true", help=text)
    text = "use RUN_DIR although a process on another host has locked it; only if that process has died"
    add("--take-over", action="store_true", help=text)
    add("--no-plot", action="store_true", help="do not draw drift.png")
    add_save_data(add)


def too_short_to_judge(args: argparse.Namespace) -> bool:
    """Return whether the run asked for has too few samples for a verdict."""
    from ase_schnet.runs.drift import require_samples

    if not (args.time > 0 and args.timestep > 0 and args.record_every > 0):
        return False  # the run itself refuses these
    try:
        require_samples(1000 * args.time / args.timestep / args.record_every)
    except ValueError:
        return True
    return False


def print_result(record: MDRecord, verdict: Drift | None, args: argparse.Namespace) -> None:
    """Print the verdict and the names of the files, and draw the energies."""
    run_dir = Path(args.output)
    lines = [_no_verdict(record, args) if verdict is None else str(verdict)]
    lines.append(f"log: {run_dir / 'log.csv'}\ntrajectory: {run_dir / 'trajectory.traj'}")
    if not args.no_plot and len(record) > 1:
        from ase_schnet.plotting import plot_drift

        lines += draw(plot_drift(record, verdict), run_dir / "drift.png", args)
    print("\n".join([*lines, *_what_to_do_with_collected(run_dir, args.model)]))


def exit_code(verdict: Drift | None, *, stopped: bool) -> int:
    """Return the exit code of a run: that of its verdict, 0 without one, 1 if it was stopped or exploded."""
    if verdict is None:
        return 0
    return 1 if stopped else EXIT_CODES[verdict.outcome]


def _what_to_do_with_collected(run_dir: Path, model: str) -> list[str]:
    """Return a line with the command for the structures that a monitor set aside; none without them."""
    from ase_schnet.runs.collected import COLLECTED_FILE

    path = run_dir / COLLECTED_FILE
    if not path.exists() or not path.stat().st_size:
        return []
    if (Path(model) / "learn.json").exists():
        return [
            f"learn from what was collected: ase-schnet learn --continue {model} --collect {path}"
        ]
    return [
        f"label what was collected, and train on it too: ase-schnet label {path} --reference REF -o LABELS"
    ]


def _no_verdict(record: MDRecord, args: argparse.Namespace) -> str:
    from ase_schnet.runs.timeseries import N_BLOCKS

    needed_ps = 2 * N_BLOCKS * args.timestep * args.record_every / 1000
    return (
        f"no verdict: {len(record)} samples are too few to judge the conservation of energy. A run of "
        f"{needed_ps:g} ps or more is judged; --time {needed_ps:g} --resume continues this one"
    )

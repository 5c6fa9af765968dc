"""How a step under LAMMPS divides over processes: one number of them beside the other, in turns.

    python -m benchmarks.scaling                          # water of 12,288 atoms on 1 and 2 processes
    python -m benchmarks.scaling --atoms 98304 --rounds 1

The network is that of `benchmarks.peers` (preset "fast", one member, random weights), the water moves at
300 K in steps of 0.5 fs. Prints a table in markdown: medians over the rounds, by wall clock and by the
processor time of the busiest process, which a machine with other work spoils less; time spent in
waiting for messages is left out of it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from ase_schnet.dynamics.velocities import thermalise
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.lammps import potential as interface
from ase_schnet.lammps.box import Box
from ase_schnet.lammps.domain import Domain
from ase_schnet.lammps.exchange import Exchange
from ase_schnet.lammps.potential import attach, new_lammps
from ase_schnet.modelfile import load_model, save_model
from benchmarks.cases import build_case

WARM_UP = 3  # steps
COLUMNS = {
    "processes": "processes",
    "wall_ms": "wall, ms/step",
    "busy_ms": "processor, ms/step",
    "network_ms": "network",
    "exchange_ms": "exchange",
    "lists_ms": "lists",
    "steps_per_list": "steps per list",
    "ghosts": "ghosts per process",
    "sent_MB": "MB sent per step and process",
    "peak_MiB": "peak memory per process, MiB",
}


class Clock:
    """Wall and processor time spent inside functions, by name."""

    def __init__(self):
        self.wall, self.busy, self.calls = {}, {}, {}

    @contextmanager
    def of(self, name: str):
        wall, busy = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.wall[name] = self.wall.get(name, 0.0) + time.perf_counter() - wall
            self.busy[name] = self.busy.get(name, 0.0) + time.process_time() - busy
            self.calls[name] = self.calls.get(name, 0) + 1

    def watch(self, owner, function: str, name: str) -> None:
        """Measure every call of owner.function from now on."""
        original = getattr(owner, function)

        def timed(*args, **kwargs):
            with self.of(name):
                return original(*args, **kwargs)

        setattr(owner, function, timed)


def work(model: str, atoms: int, steps: int, skin: float) -> None:
    """One measurement, in every process of mpiexec; the first prints it as JSON."""
    trained, water = load_model(model), build_case(f"water-{atoms}")
    thermalise(water, 300.0, 0)
    lmp, box = new_lammps(), Box(water)
    box.create(lmp)
    potential = attach(lmp, trained, box.elements, skin=skin)
    lmp.commands_list(["fix move all nve", "timestep 0.0005", "thermo_style custom step"])
    clock, comm = Clock(), potential.comm
    potential.command(f"run {WARM_UP} post no")
    clock.watch(Ensemble, "evaluate", "network")
    clock.watch(Exchange, "update", "exchange")
    clock.watch(interface, "Domain", "lists")
    comm.barrier()
    with clock.of("step"):
        potential.command(f"run {steps} pre no post no")
    domain: Domain = potential._domain
    layers, ms = trained.config["n_interactions"], 1000 / steps
    waiting = clock.busy.get("exchange", 0.0)
    mine = {
        "wall_ms": ms * clock.wall["step"],
        "busy_ms": ms * (clock.busy["step"] - waiting),
        "network_ms": ms * (clock.busy["network"] - waiting),
        "exchange_ms": ms * clock.wall.get("exchange", 0.0),
        "lists_ms": ms * clock.busy.get("lists", 0.0),
        "steps_per_list": steps / max(clock.calls.get("lists", 0), 1),
        "ghosts": domain.exchange.count,
        "sent_MB": (2 * layers - 1) * domain.exchange.bytes_sent / 1e6,
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    every = comm.gather(mine)
    if comm.rank == 0:
        most = {name: max(one[name] for one in every) for name in mine}
        print(json.dumps({"processes": comm.size, **most}))


def measure(model: Path, processes: int, args: argparse.Namespace) -> dict:
    """Start a measurement and read its answer."""
    mpiexec = Path(sys.executable).parent / "mpiexec"
    command = [
        mpiexec,
        "-n",
        processes,
        sys.executable,
        "-m",
        "benchmarks.scaling",
        "--work",
        model,
    ]
    command += ["--atoms", args.atoms, "--steps", args.steps, "--skin", args.skin]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def random_water_model(directory: Path) -> Path:
    """The network of the benchmarks, of small energies, trained on nothing."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
    from factory import preset, random_model

    model = random_model(preset("fast"), members=1, pbc=True)
    return save_model(directory, replace(model, energy_shift=model.energy_shift / 1000))


def table(rows: list[dict]) -> str:
    """Markdown, medians of the rows of each number of processes."""
    lines = ["| " + " | ".join(COLUMNS.values()) + " |", "|" + "---|" * len(COLUMNS)]
    for n in sorted({row["processes"] for row in rows}):
        here = [row for row in rows if row["processes"] == n]
        cells = [f"{np.median([row[name] for row in here]):.4g}" for name in COLUMNS]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--atoms", type=int, default=12288, help="192 times a cube (default: 12288)"
    )
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--skin", type=float, default=interface.SKIN, metavar="ANG")
    parser.add_argument("--work", metavar="MODEL", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, default=Path("/tmp/ase_schnet_scaling_model"))
    args = parser.parse_args()
    if args.work:
        work(args.work, args.atoms, args.steps, args.skin)
        return
    model, rows = random_water_model(args.model), []
    for _ in range(args.rounds):
        for n in args.processes:
            rows.append(measure(model, n, args))
            load = os.getloadavg()[0]
            print(f"{rows[-1]}, load {load:.1f}", file=sys.stderr)
    print(table(rows))


if __name__ == "__main__":
    main()

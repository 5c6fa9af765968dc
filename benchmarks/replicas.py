"""How many steps a second replicas of ethanol make, beside single runs and torch-sim; writes replicas.md.

    python -m benchmarks.replicas [--torch-sim PYTHON] [--rounds 3]
    python -m benchmarks.replicas --pair        what two cores can give: two single runs in two processes

PYTHON is that of an environment with torch-sim-atomistic, ase and safetensors. All contestants run in turns,
each in a process of its own, once with all vector instructions and once limited to AVX2. Runs are at constant
energy, with run directory and monitor, a sample every 10 steps ("a sample at every step" says otherwise).
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from ase.build import molecule
from tqdm import tqdm

from ase_schnet import Monitor, SchNetCalculator, run_nve, run_replicas
from ase_schnet.dynamics import loop
from ase_schnet.dynamics.steps import StepsOfASE
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.runtime.files import write_whole
from benchmarks.processor import AVX2, FULL, SETTINGS, instructions

HERE = Path(__file__).parent
REPLICAS, THREADS = 64, 2
TIMESTEP_FS = 0.5
#: Steps of a single run, and of each replica: some seconds of work.
STEPS, STEPS_OF_EACH, STEPS_OF_A_PAIR = 10_000, 700, 60_000
CONTESTANTS = {
    "ase": "one run, every step by ASE",
    "ase 1": "one run, every step by ASE, a sample at every step",
    "single": "one run",
    "single 1": "one run, a sample at every step",
    "replicas": f"{REPLICAS} replicas, {THREADS} threads",
    "replicas 1": f"{REPLICAS} replicas, {THREADS} threads, a sample at every step",
    "lists": f"torch-sim, {REPLICAS} replicas, {THREADS} threads",
    "once": f"torch-sim, {REPLICAS} replicas, {THREADS} threads, pairs made once",
}

NOTES = """## What is compared

- *Every step by ASE*: how runs went before, and how those with constraints or with a sum of calculators
  still go: ASE's velocity Verlet asks the calculator at every step. The trajectories are the same to the
  last bit (`tests/dynamics/test_compiled_steps.py`).
- *One run*: `run_nve`, up to 50 steps at a time in compiled code. What is left of a step beside the
  network are sums of members, the look whether training has seen the distances, and a 50th of Python; a
  sample at every step adds the formatting of a line of the log.
- *Replicas*: `run_replicas`. Two threads share them, each replica in one thread at a time; the weights
  lie in memory once.
- *What two cores can give*: two single runs in two processes at once make 1.99 times the steps of one, 1.92
  times limited to AVX2 (one member, 2026-11-30, `python -m benchmarks.replicas --pair`). Nothing is left for
  two threads to gain beside that: 40 % of a step are dense layers, at nine tenths of what a core can do.
- *torch-sim*: its velocity Verlet with the same weights in plain torch, float64, forces by autograd, all
  members one after the other. As its own models do, it makes a list of pairs for every molecule at every
  step; *pairs made once* spares it that, and nothing else.
"""


def ours(kind: str, model: str) -> float:
    """Molecule-steps per second of one of our ways, the opening and closing of directories not counted."""
    which, _, every = kind.partition(" ")
    if which == "ase":
        loop.steps_of = lambda integrator, recorder, _: StepsOfASE(integrator, recorder)
    atoms = molecule("CH3CH2OH", calculator=SchNetCalculator(model))
    common = {"record_every": int(every or 10), "progress": False, "timestep_fs": TIMESTEP_FS}
    steps, number = {
        "replicas": (STEPS_OF_EACH, REPLICAS),
        "long": (STEPS_OF_A_PAIR, 1),
    }.get(which, (STEPS, 1))

    def seconds(steps: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            options = common | {
                "time_ps": steps * TIMESTEP_FS / 1000,
                "run_dir": Path(folder) / "run",
                "monitor": Monitor("stop"),
            }
            start = time.perf_counter()
            if which == "replicas":
                run_replicas(atoms, REPLICAS, threads=THREADS, **options)
            else:
                run_nve(_fresh(atoms), **options)
            return time.perf_counter() - start

    few = 100
    seconds(few)  # the first compiles
    return number * (steps - few) / (seconds(steps) - seconds(few))


def _fresh(atoms):
    copy = atoms.copy()
    copy.calc = atoms.calc
    return copy


def measured(kind: str, model: str, settings: dict, torch_sim: str | None) -> float:
    """The figure that a process of its own prints."""
    environment = os.environ | {"PYTHONPATH": str(HERE.parent), "OMP_NUM_THREADS": str(THREADS)}
    if kind in ("lists", "once"):
        script = HERE / "contestants" / "run_torch_sim.py"
        command = [torch_sim, script, model, REPLICAS, 60, THREADS, kind]
    else:
        command = [sys.executable, "-m", "benchmarks.replicas", "--worker", kind, model]
    done = subprocess.run(
        [str(part) for part in command],
        env=environment | settings,
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def pair(model: str) -> None:
    """Print what one run makes, and two in two processes at once, in turns."""
    with ThreadPoolExecutor(2) as pool:
        for setting, variables in SETTINGS.items():
            alone, both = [], []
            for _ in range(3):
                alone.append(measured("long", model, variables, None))
                two = pool.map(
                    lambda _, more=variables: measured("long", model, more, None), range(2)
                )
                both.append(sum(two))
            one, two = np.median(alone), np.median(both)
            print(f"{setting}: one run {one:,.0f} steps/s, two at once {two:,.0f}: {two / one:.2f}")


def main() -> None:
    """Measure in turns, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--torch-sim", metavar="PYTHON")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pair", action="store_true")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        print(ours(*args.worker))
        return
    if args.pair:
        with tempfile.TemporaryDirectory() as folder:
            pair(str(save_model(Path(folder) / "one", load_model("ethanol").member(0))))
        return
    kinds = [k for k in CONTESTANTS if args.torch_sim or k not in ("lists", "once")]
    tables = []
    with tempfile.TemporaryDirectory() as folder:
        one = save_model(Path(folder) / "one", load_model("ethanol").member(0))
        models = {1: str(one), 5: "ethanol"}
        cases = [(setting, members) for setting in (FULL, AVX2) for members in models]
        bar = tqdm(total=len(cases) * args.rounds * len(kinds), unit="measurement")
        for setting, members in cases:
            found = {kind: [] for kind in kinds}
            for _ in range(args.rounds):
                for kind in kinds:
                    bar.set_description(f"{setting}, {members} members, {kind}")
                    model = (
                        models[members] if kind not in ("lists", "once") else _path(models[members])
                    )
                    found[kind].append(measured(kind, model, SETTINGS[setting], args.torch_sim))
                    bar.update()
            tables.append(_table(setting, members, {k: np.median(v) for k, v in found.items()}))
    page = [_head(args.rounds), *tables, NOTES]
    write_whole(HERE / "replicas.md", "\n".join(page).encode())


def _path(model: str) -> str:
    return model if Path(model).is_dir() else str(HERE.parent / "models" / model)


def _head(rounds: int) -> str:
    return (
        "# Replicas\n\nWritten by `python -m benchmarks.replicas --torch-sim PYTHON`; do not edit the "
        f"tables. Molecule-steps a second of ethanol (9 atoms, float64, {TIMESTEP_FS} fs, constant energy): "
        f"medians of {rounds} rounds in turns, on two cores with {instructions()}. Run directory and monitor "
        "as by default, a sample every 10 steps; opening and closing the directories is not counted.\n"
    )


def _table(setting: str, members: int, found: dict[str, float]) -> str:
    lines = [
        f"## {members} member{'s' * (members > 1)}, {setting}\n",
        "| | steps/s | to ASE's | to one run |",
        "|---|---|---|---|",
    ]
    for kind, rate in found.items():
        to = [f"{rate / found[name]:.2f}" for name in ("ase", "single")]
        lines.append(f"| {CONTESTANTS[kind]} | {rate:,.0f} | {to[0]} | {to[1]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()

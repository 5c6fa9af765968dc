"""How long models live: `python -m benchmarks.stability NAME=MODEL_DIR ... --structure FILE`.

Langevin dynamics (friction 2/ps, 0.5 fs), from the structure relaxed by the model, with velocities of the
temperature; eight runs at each temperature. A run lives until a bond is 1.75 times its length or two atoms
are within 0.5 Å. Nothing else stops it; when the default monitor would have is noted, and frames are kept for
a better method to judge. Results are kept in stability.json, so that an interrupted call goes on; the table
is stability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io import write
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import thermalize_momenta
from ase.optimize import BFGS
from tqdm import tqdm

from ase_schnet import SchNetCalculator
from ase_schnet.applicability.structure_watch import StructureWatch
from ase_schnet.bonds import bonded_pairs
from ase_schnet.runtime.files import replaced, write_whole
from ase_schnet.structures.single import read_structure

HERE = Path(__file__).resolve().parent
RESULTS, TABLE = HERE / "stability.json", HERE / "stability.md"
FRICTION_PER_PS, TIMESTEP_FS = 2.0, 0.5
BROKEN, MET_ANG = 1.75, 0.5  # times the length of a bond at rest; distance of any two atoms
EVERY = 10  # steps between two looks
KEPT_EVERY_PS = 0.5
HEAD = """# How long models live

Written by `python -m benchmarks.stability`; do not edit. Langevin dynamics (2/ps, 0.5 fs) from the structure
relaxed by the model, with velocities of the temperature. *lives*: runs that reach their end; *mean*: mean
life, of runs that do not end counted with their whole time; *stopped*: runs in which the default monitor
would have stopped.

| molecule | model | T, K | runs | lives | mean, ps | of ps | stopped |
|---|---|---:|---:|---:|---:|---:|---:|
"""


@dataclass(frozen=True)
class Run:
    """One run: the name of its model and where it is, the structure, T (K), length (ps) and seed."""

    name: str
    model: str
    structure: str
    temperature_K: float
    time_ps: float
    seed: int

    @property
    def key(self) -> str:
        """Name of the run in the results."""
        where = Path(self.structure).name
        return f"{where}|{self.name}|{self.temperature_K:g}|{self.time_ps:g}|{self.seed}"


class Molecule:
    """The bonds of a structure at rest, and whether they still hold."""

    def __init__(self, atoms: Atoms):
        first, second, vectors = bonded_pairs(atoms)
        once = first < second
        self.first, self.second = first[once], second[once]
        self.length = np.linalg.norm(vectors[once], axis=1)
        self.pairs = np.triu_indices(len(atoms), 1)

    def end_of(self, positions: np.ndarray) -> str | None:
        """Say what ended the life of the molecule; None while it lives."""
        if not np.isfinite(positions).all():
            return "not finite"
        bonds = np.linalg.norm(positions[self.first] - positions[self.second], axis=1)
        if (bonds > BROKEN * self.length).any():
            return "a bond broke"
        first, second = self.pairs
        nearest = np.linalg.norm(positions[first] - positions[second], axis=1).min()
        return "two atoms met" if nearest < MET_ANG else None


def live(run: Run, frames_in: Path) -> dict:
    """Propagate until the end of the molecule or of the run; write some frames of it into a folder."""
    warnings.simplefilter("ignore")
    atoms, _ = read_structure(run.structure)
    atoms = Atoms(atoms.numbers, atoms.positions, calculator=SchNetCalculator(run.model, threads=1))
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)
    molecule, watch = Molecule(atoms), StructureWatch(atoms)
    rng = np.random.default_rng(run.seed)
    thermalize_momenta(atoms, temperature_K=run.temperature_K, rng=rng)
    dynamics = Langevin(
        atoms,
        TIMESTEP_FS * units.fs,
        temperature_K=run.temperature_K,
        friction=FRICTION_PER_PS / 1000 / units.fs,
        rng=rng,
        fixcm=False,
    )
    per_ps = 1000 / TIMESTEP_FS
    kept, ended, doubted, step = [], None, None, 0
    while step < run.time_ps * per_ps and ended is None:
        dynamics.run(EVERY)
        step += EVERY
        ended = molecule.end_of(atoms.positions)
        found = watch.find(atoms) if ended is None else {}
        if found and doubted is None:
            doubted = {"ps": step / per_ps, "why": "; ".join(found.values())}
        if ended is None and (
            step % round(KEPT_EVERY_PS * per_ps) == 0 or (found and len(kept) < 500)
        ):
            kept.append(_frame(atoms, step / per_ps, bool(found)))
    if kept:
        with replaced(frames_in / f"{run.key.replace('|', '_').replace('/', '_')}.extxyz") as there:
            write(there, kept, format="extxyz")
    return {"life_ps": step / per_ps, "ended": ended, "monitor": doubted}


def _frame(atoms: Atoms, time_ps: float, stopped: bool) -> Atoms:
    """The structure with the prediction, its spread and whether a monitor would stop."""
    frame = Atoms(atoms.numbers, atoms.positions)
    results = atoms.calc.results
    frame.info |= {"time_ps": time_ps, "stopped": stopped, "predicted_energy": results["energy"]}
    frame.arrays["predicted_forces"] = results["forces"].copy()
    if "forces_std" in results:
        frame.info["energy_std"] = results["energy_std"]
        frame.arrays["forces_std"] = results["forces_std"].copy()
    return frame


def table(done: dict[str, dict]) -> str:
    """The file: one line for each molecule, model and temperature."""
    groups: dict[tuple, list[dict]] = {}
    for key, result in done.items():
        *group, _ = key.split("|")
        groups.setdefault(tuple(group), []).append(result)
    lines = []
    for (structure, name, kelvin, time_ps), runs in sorted(
        groups.items(),
        key=lambda item: (item[0][0], item[0][1], float(item[0][2]), float(item[0][3])),
    ):
        alive = sum(r["ended"] is None for r in runs)
        mean = np.mean([r["life_ps"] for r in runs])
        stopped = sum(r["monitor"] is not None for r in runs)
        lines.append(
            f"| {Path(structure).stem} | {name} | {kelvin} | {len(runs)} | {alive} | {mean:.1f} | "
            f"{time_ps} | {stopped} |"
        )
    return HEAD + "\n".join(lines) + "\n"


def main(argv: list[str] | None = None) -> int:
    """Do the runs that are not done yet and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stability")
    parser.add_argument("models", nargs="+", metavar="NAME=MODEL_DIR")
    parser.add_argument("--structure", required=True, help="a file with the molecule")
    parser.add_argument("--temperature", type=float, nargs="+", default=[300, 500, 1000, 1500])
    parser.add_argument("--runs", type=int, default=8)
    parser.add_argument("--time", type=float, default=50, help="ps of a run")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--frames", type=Path, default=Path("stability_frames"))
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    options.frames.mkdir(parents=True, exist_ok=True)
    done = json.loads(options.results.read_text()) if options.results.exists() else {}
    named = [text.partition("=")[::2] for text in options.models]
    runs = [
        Run(name, model or name, options.structure, kelvin, options.time, seed)
        for kelvin in options.temperature
        for seed in range(options.runs)
        for name, model in named
    ]
    left = [run for run in runs if run.key not in done]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(live, run, options.frames): run for run in left}
        for future in tqdm(as_completed(futures), total=len(left), disable=None):
            run, result = futures[future], future.result()
            done[run.key] = result
            write_whole(options.results, (json.dumps(done, indent=1) + "\n").encode())
            write_whole(options.results.with_suffix(".md"), table(done).encode())
            print(run.key, result, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Which 150 structures teach a difference most: `python -m benchmarks.choice --work DIR --head-start MODEL`.

The shipped model of ethanol is the dear method here, so that labels cost nothing, and GFN2-xTB the cheap one.
Networks of the difference, one member of preset `fast`, start from MODEL (`DIR/rounds/head_start/model` of a
learning) and learn 150 structures of GFN2-xTB's runs, chosen in several ways, with three seeds. What is done
is kept in DIR. Writes choice.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

from ase_schnet import SamplingPlan, SchNetCalculator, sample_structures
from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.training_watch import OutsideTrainingWarning
from ase_schnet.labelling.reference import read_reference
from ase_schnet.learning.choose import greedy
from ase_schnet.learning.explore import uncertainty
from ase_schnet.modelfile import TrainedModel, load_model, save_model
from ase_schnet.pretraining.settings import Pretraining, teacher_network, teacher_settings
from ase_schnet.runtime.files import write_whole
from ase_schnet.sampling.spread import fingerprint, sorted_distances
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import Start
from benchmarks.pretraining import CONFIG, HERE, SEEDS, fitted, model_of

CHEAP, DEAR = read_reference("gfn2-xtb"), "ethanol"
START = HERE.parent / "md_examples/ethanol_oh_scan_pbe_def2svp.xyz"
HOT = HERE / "ethanol_1000K_pbe_def2svp.xyz"
#: Temperatures of the runs, K; structures of each, and of the test at the first of them.
TEMPERATURES_K, N_POOL, N_TEST = (500, 750, 1000), 360, 150
N, HALF = 150, 75
#: Frames 0.1 ps apart, ten of each run.
RUN = {"interval": 200, "frames_per_run": 10, "friction_per_fs": 0.01}
#: Members whose spread chooses, rounds in which it does, and steps of their fits.
MEMBERS, ROUNDS, ROUND_STEPS = 3, 2, 4_000
HEAD = """# Which structures teach a difference

Written by `python -m benchmarks.choice --work DIR --head-start MODEL`; do not edit. The difference of the
shipped model of ethanol, in place of a dear method, and GFN2-xTB, learnt from 150 structures by one member of
preset `fast` that begins as in `ase-schnet learn`; mean and half of the range over seeds. Structures
are from GFN2-xTB's runs, 360 of each temperature. Errors of the forces in meV/Å and of the energy in meV, on
150 structures of other runs at 500 K and on the geometries of `ethanol_1000K_pbe_def2svp.xyz`.

| 150 structures | seeds | forces 500 K | energy | forces 1000 K | energy |
|---|---:|---:|---:|---:|---:|
"""


def differences(frames: list[Atoms], path: Path) -> list[Atoms]:
    """Return structures with dear minus cheap as labels; `path` keeps them."""
    if not path.exists():
        dear, cheap = SchNetCalculator(DEAR), CHEAP.calculator()
        found = []
        for frame in frames:
            atoms = Atoms(frame.numbers, frame.positions)
            values = []
            for calculator in (dear, cheap):
                atoms.calc = calculator
                values.append((atoms.get_potential_energy(), atoms.get_forces()))
            (e, f), (e_cheap, f_cheap) = values
            atoms.calc = SinglePointCalculator(atoms, energy=e - e_cheap, forces=f - f_cheap)
            found.append(atoms)
        write(path, found)
    return read(path, ":")


def runs(kelvin: int, n: int, seed: int, path: Path) -> list[Atoms]:
    """Return structures of GFN2-xTB's runs at a temperature, K, with differences as labels."""
    if path.exists():
        return read(path, ":")
    start = min(read(START, ":"), key=lambda atoms: atoms.get_potential_energy())
    start = Atoms(start.numbers, start.positions)
    plan = SamplingPlan(shares={"md": 1.0}, temperatures_K=(float(kelvin),), **RUN)
    return differences(sample_structures([start], CHEAP, n, plan=plan, seed=seed, jobs=1), path)


class Study:
    """Hold pools, tests and the networks that all fits begin from."""

    def __init__(self, work: Path, head_start: Path):
        self.work = work
        self.pools = {
            kelvin: runs(kelvin, N_POOL, k + 1, work / f"pool{kelvin}.extxyz")
            for k, kelvin in enumerate(TEMPERATURES_K)
        }
        self.tests = [
            Dataset.from_atoms(runs(TEMPERATURES_K[0], N_TEST, 11, work / "test.extxyz")),
            Dataset.from_atoms(differences(read(HOT, ":"), work / "hot.extxyz")),
        ]
        self.begin = Start(load_model(head_start), "head start")

    def drawn(self, rng: np.random.Generator, **numbers: int) -> list[Atoms]:
        """Return so many structures of each temperature, such as K500=75."""
        found = []
        for name, n in numbers.items():
            pool = self.pools[int(name[1:])]
            found += [pool[k] for k in rng.permutation(len(pool))[:n]]
        return found

    def others(self, known: list[Atoms]) -> list[Atoms]:
        """Return the structures of all pools that are not known."""
        marks = {fingerprint(atoms) for atoms in known}
        return [a for pool in self.pools.values() for a in pool if fingerprint(a) not in marks]

    def fit(self, frames: list[Atoms], seed: int, members: list[int], steps: int) -> TrainedModel:
        """Return networks of the difference; an eighth of the structures validates."""
        fits = []
        for member in members:
            order = np.random.default_rng([seed, member]).permutation(len(frames))
            training, validation = (
                Dataset.from_atoms([frames[k] for k in part])
                for part in (order[len(frames) // 8 :], order[: len(frames) // 8])
            )
            settings = teacher_settings(FitSettings(), training, steps, started=True)
            settings = replace(settings, seed=10 * seed + member)
            start, config = self.begin.of_member(member), teacher_network(CONFIG)
            fits.append(fitted(training, validation, settings, config=config, start=start))
        return model_of(fits, Dataset.from_atoms(frames), config)

    def spread(self, frames: list[Atoms], n: int) -> list[Atoms]:
        """Return the structures and n more, each the farthest from all."""
        return self._greedy(frames, n, lambda others: np.ones(len(others)))

    def doubted(self, frames: list[Atoms], n: int, seed: int) -> list[Atoms]:
        """Return the structures and n more, by uncertainty times distance, as `ase-schnet learn` chooses."""
        for k in range(ROUNDS):
            model = self.fit(frames, seed, list(range(MEMBERS)), ROUND_STEPS)
            calculator = SchNetCalculator(save_model(self.work / f"round_{seed}_{k}", model))

            def doubt(others: list[Atoms], calculator=calculator) -> np.ndarray:
                found = []
                for other in others:
                    atoms = Atoms(other.numbers, other.positions, calculator=calculator)
                    atoms.get_forces()
                    found.append(uncertainty(atoms))
                return np.array(found)

            last = k == ROUNDS - 1
            size = n - (ROUNDS - 1) * (n // ROUNDS) if last else n // ROUNDS
            frames = self._greedy(frames, size, doubt)
        return frames

    def _greedy(self, frames: list[Atoms], n: int, doubt: Callable) -> list[Atoms]:
        others = self.others(frames)
        points = np.asarray(sorted_distances([*others, *frames]))
        among, known = np.arange(len(others)), points[len(others) :]
        return frames + [
            others[k] for k in greedy(points[: len(others)], doubt(others), among, known, n)
        ]

    def chosen(self, how: str, seed: int) -> list[Atoms]:
        """Return 150 structures."""
        rng = np.random.default_rng([seed, 5])
        if how == "at random, 500 K":
            return self.drawn(rng, K500=N)
        if how == "at random, 1000 K":
            return self.drawn(rng, K1000=N)
        if how == "at random, a third each of 500, 750 and 1000 K":
            return self.drawn(rng, K500=N // 3, K750=N // 3, K1000=N // 3)
        if how == "at random, half of 500 K, the rest of 750 and 1000 K":
            return self.drawn(rng, K500=HALF, K750=HALF // 2, K1000=HALF - HALF // 2)
        first = self.drawn(rng, K500=HALF)
        if how == "half at random of 500 K, the rest farthest from all":
            return self.spread(first, N - HALF)
        return self.doubted(first, N - HALF, seed)


WAYS = (
    "at random, 500 K",
    "at random, a third each of 500, 750 and 1000 K",
    "at random, half of 500 K, the rest of 750 and 1000 K",
    "at random, 1000 K",
    "half at random of 500 K, the rest farthest from all",
    "half at random of 500 K, the rest by uncertainty times distance, in two rounds",
)


def markdown(rows: dict[str, list[list[float]]]) -> str:
    """The file: a line for each way."""
    lines = []
    for how, found in rows.items():
        if found:
            mean, half = np.mean(found, axis=0), np.ptp(found, axis=0) / 2
            cells = [f"{m:.1f} ± {h:.1f}" for m, h in zip(mean, half, strict=True)]
            lines.append(f"| {how} | {len(found)} | {' | '.join(cells)} |\n")
    return HEAD + "".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Do what is not done yet, and write the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.choice")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--head-start", type=Path, required=True)
    options = parser.parse_args(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    kept = options.work / "errors.json"
    rows = json.loads(kept.read_text()) if kept.exists() else {}
    warnings.simplefilter("ignore", OutsideTrainingWarning)
    study = Study(options.work, options.head_start)
    for seed in SEEDS:
        for how in WAYS:
            found = rows.setdefault(how, [])
            if len(found) > seed:
                continue
            frames = study.chosen(how, seed)
            model = Ensemble(study.fit(frames, seed, [seed], Pretraining.teacher_steps))
            metrics = [compare(model, test).metrics() for test in study.tests]
            found.append(
                [m[q] for m in metrics for q in ("forces_mae_meV_per_Ang", "energy_mae_meV")]
            )
            write_whole(kept, json.dumps(rows).encode())
            print(how, seed, np.round(found[-1], 1), flush=True)
            write_whole(HERE / "choice.md", markdown(rows).encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())

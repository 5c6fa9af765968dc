"""The cumulant expansion of one run against runs of the members: silicon, 64 atoms, constant temperature.

    python -m benchmarks.spread_silicon RUNS_DIR      writes benchmarks/spread_silicon.json; resumes

Mean potential energy, and place and height of the first peak of the rdf. All runs have the same thermal noise
(Langevin, one seed), so that a member's run stays close to that of the ensemble and their difference has a
fraction of the statistical error of either. The expansion sees the ensemble's run alone.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io import read

from ase_schnet import SchNetCalculator, run_nvt, spread
from ase_schnet.propagation import bin_centres, member_calculators, rdf
from ase_schnet.runtime.files import write_whole

FILE = Path(__file__).with_name("spread_silicon.json")
TEMPERATURES_K = (300, 1000)
STEP_FS, EVERY = 2.0, 20
R_MAX, N_BINS = 5.4, 135
SKIP_PS = 2.0
N_BLOCKS = 20


def trajectory(calculator, temperature_K: float, time_ps: float, directory: Path) -> list:
    """The frames of a run, made or gone on with."""
    atoms = bulk("Si", "diamond", a=5.469, cubic=True) * (2, 2, 2)
    atoms.calc = calculator
    run_nvt(
        atoms,
        temperature_K=temperature_K,
        timestep_fs=STEP_FS,
        time_ps=time_ps,
        thermostat="langevin",
        time_constant_fs=100,
        record_every=EVERY,
        trajectory_every=EVERY,
        seed=1,
        run_dir=directory,
        resume=True,
    )
    return read(directory / "trajectory.traj", f"{round(1000 * SKIP_PS / STEP_FS / EVERY)}:")


def peak(g: np.ndarray) -> tuple[float, float]:
    """Place (Å), as the mean distance of the first shell, and greatest height of the first peak of g(r)."""
    r = bin_centres(R_MAX, N_BINS)
    first = r < 3.1
    return float(np.average(r[first], weights=(g * r**2)[first])), float(g[first].max())


def tables(frames: list) -> dict[str, np.ndarray]:
    """Potential energy (T, 1), eV, and rdf (T, N_BINS) of frames."""
    energies = np.array([[frame.get_potential_energy()] for frame in frames])
    return {"potential_energy": energies, "rdf": np.array([rdf(R_MAX, N_BINS)(f) for f in frames])}


def observables(table: dict[str, np.ndarray], keep: np.ndarray) -> np.ndarray:
    """Mean energy (eV), mean distance (Å) and height of the first peak over the frames to keep."""
    return np.array(
        [table["potential_energy"][keep].mean(), *peak(table["rdf"][keep].mean(axis=0))]
    )


def paired(whole: dict, own: dict) -> tuple[np.ndarray, np.ndarray]:
    """Member minus ensemble, each from its own run, and its standard error by a jackknife of blocks."""
    n = len(whole["rdf"])
    difference = observables(own, np.arange(n)) - observables(whole, np.arange(n))
    left = [np.delete(np.arange(n), block) for block in np.array_split(np.arange(n), N_BLOCKS)]
    values = np.array([observables(own, keep) - observables(whole, keep) for keep in left])
    factor = (N_BLOCKS - 1) / N_BLOCKS
    return difference, np.sqrt(factor * ((values - values.mean(axis=0)) ** 2).sum(axis=0))


def compared(temperature_K: float, time_ps: float, runs: Path) -> dict:
    """What the expansion says of each member, and what the members' own runs say."""
    calculator = SchNetCalculator("silicon", threads=1)
    directory = (
        runs / calculator.trained.checksum[:8] / f"{temperature_K}K"
    )  # another model, other runs
    frames = trajectory(calculator, temperature_K, time_ps, directory / "ensemble")
    run, options = str(directory / "ensemble"), {"skip_ps": SKIP_PS}
    energy = spread("potential_energy", calculator, frames=run, **options)
    g = spread(rdf(R_MAX, N_BINS), calculator, frames=run, **options)
    said = [energy, g.map(lambda g: peak(g)[0]), g.map(lambda g: peak(g)[1])]
    whole, differences = tables(frames), []
    for k, member in enumerate(member_calculators(calculator)):
        frames = trajectory(member, temperature_K, time_ps, directory / f"member{k}")
        differences.append(paired(whole, tables(frames)))
    return {
        "model_sha256": calculator.trained.checksum,
        "temperature_K": temperature_K,
        "time_ps": time_ps,
        "sampling": str(energy.sampling),
        "second_order": [energy.sampling.second_order, g.sampling.second_order],
        "value": [float(s.value) for s in said],
        "statistical_error": [float(s.statistical_error) for s in said],
        "std": [float(s.std) for s in said],
        "half_width": [float(s.half_width) for s in said],
        "factor": energy.factor,
        "expanded": np.array([s.members - s.value for s in said]).T.tolist(),
        "expanded_error": np.array([s.members_statistical_error for s in said]).T.tolist(),
        "own": [d.tolist() for d, _ in differences],
        "own_error": [e.tolist() for _, e in differences],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, help="directory of the runs, kept")
    parser.add_argument("--time", type=float, default=16.0, metavar="PS", help="length of each run")
    args = parser.parse_args()
    found = []
    for temperature_K in TEMPERATURES_K:
        found.append(compared(temperature_K, args.time, args.runs))
        write_whole(FILE, (json.dumps(found, indent=1) + "\n").encode())
        print(json.dumps(found[-1], indent=1))


if __name__ == "__main__":
    main()

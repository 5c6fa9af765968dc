"""Measure a model on the tests of DIRECTORY, and on data of others relabelled by GFN2-xTB.

    python models/organic/evaluate.py DIRECTORY MODEL [--data DATA_DIR] [--life-ps 5]

Prints a table in Markdown and writes DIRECTORY/figures.json.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.md.langevin import Langevin
from ase.md.velocitydistribution import MaxwellBoltzmannDistribution
from frames import Frame, Labeller, Molecule, packed, read_molecules
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm
from train import KEPT_OUT, dataset_of, read_frames

from ase_schnet import Dataset, SchNetCalculator, load_model
from ase_schnet.bonds import bonds_of
from ase_schnet.coverage import coverage_of_bars
from ase_schnet.evaluation import Comparison, compare
from ase_schnet.inference.engine import open_engine
from ase_schnet.runtime.files import write_whole

#: Frames of each molecule of rMD17 and of the sample of QM7-X; molecules and Å of the runs.
FRAMES_OF_OTHERS, RUNS, BROKEN = 20, 20, 1.5


class Measurement:
    """Evaluate one model on many sets.

    Parameters
    ----------
    name
        Of the model.
    """

    def __init__(self, name: str):
        self.name, self.model = name, load_model(name)
        self._engine = open_engine(self.model)

    def row(self, dataset: Dataset) -> tuple[dict, Comparison]:
        """Return the errors on a data set: forces meV/Å, energy meV/atom, and what the bars cover."""
        found = compare(self._engine, dataset)
        error = (found.energies.mean(axis=0) - dataset.E) / dataset.n_atoms
        forces = found.forces.mean(axis=0) - dataset.F
        row = {
            "n_frames": len(dataset),
            "force_mae_meV_per_Ang": 1000 * np.abs(forces).mean(),
            "force_mae_of_a_member": 1000 * np.abs(found.forces - dataset.F).mean(),
            "energy_mae_meV_per_atom": 1000 * np.abs(error).mean(),
            "energy_mae_of_a_member": 1000
            * (np.abs(found.energies - dataset.E) / dataset.n_atoms).mean(),
        }
        for c in coverage_of_bars(self.model, found, dataset):
            row[f"{c.name}_covered"], row[f"{c.name}_without_bar"] = c.fraction, c.without
        return {k: float(v) for k, v in row.items()}, found


def spreads(found: Comparison) -> NDArray:
    """Return for each structure the mean of the stds of its forces, eV/Å."""
    std = found.forces.std(axis=0, ddof=1).mean(axis=1)
    return np.add.reduceat(std, found.ptr[:-1]) / np.diff(found.ptr)


def conformer_error(dataset: Dataset, molecule: NDArray, found: Comparison) -> dict:
    """Return the MAE of energies over the lowest conformer of GFN2, kcal/mol, and that of a guess of zero."""
    errors, sizes = [], []
    predicted = found.energies.mean(axis=0)
    for number in np.unique(molecule):
        here = np.flatnonzero(molecule == number)
        lowest = here[dataset.E[here].argmin()]
        others = here[here != lowest]
        reference = dataset.E[others] - dataset.E[lowest]
        errors += (predicted[others] - predicted[lowest] - reference).tolist()
        sizes += reference.tolist()
    unit = units.kcal / units.mol
    return {
        "n_molecules": len(np.unique(molecule)),
        "mae_kcal_per_mol": float(np.abs(errors).mean() / unit),
        "mean_reference_kcal_per_mol": float(np.mean(sizes) / unit),
    }


def relabelled(numbers: NDArray, positions: NDArray) -> Dataset:
    """Return frames (S, N, 3) of a molecule with labels of GFN2-xTB."""
    label = Labeller(numbers, positions[0])
    frames = [Frame(numbers, x, *label(x), "other", 0.0) for x in positions]
    return dataset_of(packed(frames, [0] * len(frames)))


def data_of_others(directory: Path) -> dict[str, Dataset]:
    """Return name -> frames of rMD17's molecules and of the sample of QM7-X, relabelled."""
    found = {}
    for path in sorted((directory / "rmd17-npz").glob("rmd17_*_test_01.npz")):
        with np.load(path) as file:
            chosen = file["coords"][:: len(file["coords"]) // FRAMES_OF_OTHERS][:FRAMES_OF_OTHERS]
            found[path.name.split("_")[1]] = relabelled(file["nuclear_charges"].astype(int), chosen)
    with np.load(directory / "qm7x-small" / "qm7x_226.npz") as file:
        found["QM7-X C6H12"] = relabelled(file["atNUM"][0], file["atXYZ"][::2])
    return found


def lives(name: str, molecules: list[str], picoseconds: float) -> list[float]:
    """Return how long each molecule stays whole in a run at 300 K (Langevin, 0.5 fs), ps."""
    found = []
    for k, smiles in enumerate(tqdm(molecules, desc="runs")):
        molecule = Molecule(smiles, k + 1)
        molecule.relax(4)
        atoms = Atoms(molecule.numbers, molecule.positions)
        i, j = np.array(bonds_of(atoms)).T
        length = np.linalg.norm(atoms.positions[i] - atoms.positions[j], axis=1)
        atoms.calc = SchNetCalculator(name)
        MaxwellBoltzmannDistribution(atoms, temperature_K=300, rng=np.random.default_rng(k))
        dynamics = Langevin(
            atoms,
            0.5 * units.fs,
            temperature_K=300,
            friction=0.01 / units.fs,
            rng=np.random.default_rng(k),
        )
        ps = 0.0
        while ps < picoseconds:
            dynamics.run(200)
            ps += 0.1
            now = np.linalg.norm(atoms.positions[i] - atoms.positions[j], axis=1)
            if not (now < BROKEN * length).all():
                break
        found.append(float(ps))
    return found


def speed(name: str, atoms: Atoms) -> dict:
    """Return evaluations per second of the model and of tblite along a short run, one after the other."""
    rng, shown = np.random.default_rng(0), {}
    label = Labeller(atoms.numbers, atoms.positions)
    atoms.calc = SchNetCalculator(name, threads=1)

    def by_model() -> None:
        atoms.get_forces()

    for who, call in (("model", by_model), ("tblite", lambda: label(atoms.positions))):
        call()
        begun, n = time.process_time(), 0
        while time.process_time() - begun < 3:
            atoms.positions += rng.normal(scale=0.002, size=atoms.positions.shape)
            call()
            n += 1
        shown[f"{who}_per_cpu_s"] = n / (time.process_time() - begun)
    return shown


def measured(args: argparse.Namespace) -> dict:
    """Return all figures."""
    work, figures = Measurement(args.model), {}
    spread = {}
    for part in ("new", "larger", "group"):
        arrays = read_frames(args.directory / f"{part}.npz")
        dataset = dataset_of(arrays)
        figures[part], found = work.row(dataset)
        spread[part] = spreads(found)
        for kelvin in np.unique(arrays["temperature_K"]):
            here = np.flatnonzero(arrays["temperature_K"] == kelvin)
            figures[f"{part}, {kelvin:.0f} K"] = work.row(dataset.subset(here))[0]
    rings = args.directory / "rings.npz"
    if rings.exists():  # of these, the molecules that no member saw
        arrays = read_frames(rings)
        here = np.flatnonzero(arrays["molecule"] % KEPT_OUT == 0)
        figures["rings, kept out"] = work.row(dataset_of(arrays).subset(here))[0]
    for part in ("group", "larger"):
        both = np.concatenate([spread["new"], spread[part]])
        of_part = np.arange(len(both)) >= len(spread["new"])
        figures[f"AUROC of the std, {part} against new"] = float(roc_auc_score(of_part, both))
    arrays = read_frames(args.directory / "conformers.npz")
    figures["conformers"] = conformer_error(
        conformers := dataset_of(arrays), arrays["molecule"], work.row(conformers)[1]
    )
    if args.data:
        others = data_of_others(args.data)
        figures |= {name: work.row(dataset)[0] for name, dataset in others.items()}
        figures["speed, aspirin"] = speed(args.model, others["aspirin"].atoms(0))
    if args.life_ps:
        chosen = read_molecules(args.directory, "new")[:RUNS]
        figures["lives_ps"] = lives(args.model, chosen, args.life_ps)
    return figures


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("model")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--life-ps", type=float, default=0.0)
    args = parser.parse_args()
    figures = measured(args)
    write_whole(args.directory / "figures.json", json.dumps(figures, indent=1).encode())
    for name, figure in figures.items():
        shown = figure if isinstance(figure, dict) else {"": figure}
        print(
            f"| {name} |",
            "; ".join(
                f"{k} {v:.4g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items()
            ),
        )


if __name__ == "__main__":
    main()

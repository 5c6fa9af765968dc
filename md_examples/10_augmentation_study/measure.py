"""What a trained model is worth inside its data, beyond them, and in dynamics."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.io import read as read_structures
from ase.neighborlist import natural_cutoffs, neighbor_list
from ase.optimize import BFGS
from ase.units import kcal, mol
from jobs import HERE, read, split

from ase_schnet import SchNetCalculator, SimulationStopped, drift, run_nve, run_nvt, scan_distance
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.modelfile import load_model
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runtime.files import write_whole

KCAL = kcal / mol
REFERENCE = HERE.parent / "ethanol_oh_scan_pbe_def2svp.xyz"
OXYGEN, HYDROGEN = 2, 8
GRID_ANG = np.round(np.arange(0.70, 3.001, 0.02), 2)
LONG_PS, HOT_K = 20.0, 1000.0
STRETCHED, MET = (
    1.75,
    0.6,
)  # times its length: a bond that is broken; times that: atoms that collided


class Intact:
    """Stops a run whose molecule is none any more; nothing asks what training has seen."""

    every = 10

    def start(self, atoms: Atoms, directory, step: int) -> None:
        """Note the bonds."""
        first, second, length = neighbor_list("ijd", atoms, natural_cutoffs(atoms, mult=1.2))
        self.first, self.second, self.length = first, second, length

    def check(self, atoms: Atoms, step: int, time_fs: float, temperature_K: float) -> None:
        """Compare with the bonds at the start."""
        distances = atoms.get_all_distances()
        ratio = distances[self.first, self.second] / self.length
        nearest = distances[np.triu_indices(len(atoms), 1)].min()
        if ratio.max() > STRETCHED or ratio.min() < MET or nearest < MET * self.length.min():
            self.time_fs = time_fs
            raise SimulationStopped(f"broken after {time_fs:g} fs")


def measure(model_dir: Path, data: str, seed: int) -> dict:
    """All figures of one model; read from `measured.json` beside it, where they are known."""
    path = model_dir.parent / f"measured_{model_dir.name}.json"
    if not path.exists():
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        found = {**errors(model_dir, data, seed), **curve(model_dir), **dynamics(model_dir)}
        write_whole(path, json.dumps(found).encode())
    return json.loads(path.read_text())


def errors(model_dir: Path, data: str, seed: int) -> dict:
    """Mean absolute errors on the test frames, meV and meV/Å; of an ensemble, its mean std too."""
    dataset, test = read(data)
    test = test or dataset.subset(split(data, dataset, seed)[2])
    comparison = compare(Ensemble(load_model(model_dir)), test)
    metrics = comparison.metrics()
    found = {k: metrics[f"{k}_meV{u}"] for k, u in (("energy_mae", ""), ("forces_mae", "_per_Ang"))}
    if len(comparison.energies) > 1:
        found["forces_std_meV"] = 1000 * float(comparison.forces.std(axis=0, ddof=1).mean())
    return found


def curve(model_dir: Path) -> dict:
    """The O-H scan against ab initio, both from their values at the minimum, kcal/mol."""
    atoms = min(read_structures(REFERENCE, ":"), key=lambda a: a.get_potential_energy())
    atoms.calc = SchNetCalculator(str(model_dir))
    low, high = atoms.calc.trained_distance_range("O", "H", atoms.get_distance(OXYGEN, HYDROGEN))
    scan = scan_distance(atoms, OXYGEN, HYDROGEN, GRID_ANG, reference=REFERENCE, progress=False)
    zero = int(scan.reference_energies_eV.argmin())
    model, reference = (
        (e - e[zero]) / KCAL for e in (scan.energies_eV, scan.reference_energies_eV)
    )
    found = {"grid": GRID_ANG.tolist(), "range": [low, high]}
    found |= {"model": model.tolist(), "reference": reference.tolist()}
    if scan.energy_std_eV is not None and np.isfinite(scan.energy_std_eV).all():
        found["std"] = (scan.energy_std_eV / KCAL).tolist()
    parts = {
        "rmse_inside": (low <= GRID_ANG) & (high >= GRID_ANG),
        "rmse_short": low > GRID_ANG,
        "rmse_beyond_1.1": GRID_ANG > 1.1,
        "rmse_1.5_to_3": GRID_ANG >= 1.5,
    }
    for name, part in parts.items():
        found[name] = float(np.sqrt(((model - reference)[part] ** 2).mean()))
    found["at_0.7"], found["at_2.0"] = (
        float(model[np.isclose(GRID_ANG, r)][0]) for r in (0.7, 2.0)
    )
    return found | fall(model[zero:], GRID_ANG[zero:])


def reference_curve(calculator) -> np.ndarray:
    """The scan with any calculator, kcal/mol from its lowest point."""
    atoms = min(read_structures(REFERENCE, ":"), key=lambda a: a.get_potential_energy())
    atoms.calc = calculator
    scan = scan_distance(atoms, OXYGEN, HYDROGEN, GRID_ANG, progress=False)
    return (scan.energies_eV - scan.energies_eV.min()) / KCAL


def fall(energy: np.ndarray, distance: np.ndarray) -> dict:
    """The deepest fall of a curve that ought to rise: how far, from which top, to which bottom."""
    highest = np.maximum.accumulate(energy)
    bottom = int((highest - energy).argmax())
    top = int(energy[: bottom + 1].argmax())
    return {
        "fall": float(highest[bottom] - energy[bottom]),
        "top": [float(distance[top]), float(energy[top])],
        "bottom": [float(distance[bottom]), float(energy[bottom])],
    }


def dynamics(model_dir: Path) -> dict:
    """Drift of 10 ps at constant energy; the longest and the mean life of three runs at 1000 K, ps."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator(str(model_dir))
    BFGS(atoms, logfile=None).run(fmax=0.01, steps=500)
    still = atoms.positions.copy()
    lives = []
    for seed in range(3):
        atoms.positions, intact = still, Intact()
        try:
            run_nvt(
                atoms,
                temperature_K=HOT_K,
                time_ps=LONG_PS,
                seed=seed,
                record_every=100,
                progress=False,
                monitor=intact,
            )
            lives.append(LONG_PS)
        except SimulationStopped:
            lives.append(intact.time_fs / 1000)
        except SimulationFailed as failure:
            lives.append(float(failure.record.time_fs[-1]) / 1000)
    atoms.positions = still
    try:
        judged = drift(run_nve(atoms, time_ps=10, temperature_K=300, progress=False))
        drifted = judged.drift_meV_per_atom_per_ps
    except SimulationFailed:
        drifted = None
    return {"drift": drifted, "lives_ps": lives}

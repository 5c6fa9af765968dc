"""Exported models through metatomic's own calculator, against ours.

    PYTHON -m benchmarks.foreign.metatomic_round_trip

PYTHON is of an environment with metatomic-torch, which wants another vesin than this package:

    python3 -m venv mt && mt/bin/pip install . && mt/bin/pip install metatomic-torch

Writes metatomic.md.
"""

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from ase.build import bulk, molecule
from metatomic.torch import ModelOutput
from metatomic.torch.ase_calculator import MetatomicCalculator

from ase_schnet import SchNetCalculator, export_model, load_model
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.neighbors import half_list
from ase_schnet.runtime.files import write_whole

HERE = Path(__file__).resolve().parent


def cases():
    """A molecule, the same with two atoms far too near, and a crystal, none at rest."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(0.05, seed=0)
    yield "ethanol", "ethanol", atoms
    pressed = atoms.copy()
    pressed.set_distance(2, 3, 0.7, fix=0)  # O-H, below all of the training
    yield "ethanol", "ethanol, O-H 0.7 Å", pressed
    crystal = bulk("Si", cubic=True)
    crystal.rattle(0.05, seed=0)
    yield "silicon", "silicon, 8 atoms", crystal


def by_torch(model: str, atoms):
    """Evaluate our network of torch, with the repulsion that the calculator has."""
    trained = load_model(model)
    pairs = half_list(atoms.positions, trained.config["cutoff"], atoms.cell.array, atoms.pbc)
    engine = TorchEnsemble(trained, repulsion="zbl")
    return engine.evaluate(atoms.numbers, atoms.positions, pairs)


def main() -> None:
    """Export, compare, write."""
    lines = [
        "# metatomic's calculator against ours",
        "",
        f"metatomic-torch {version('metatomic-torch')}; largest differences. Ours is float64 throughout, so "
        "float32 has the grain of total energies. Our compiled engine has splines as filters; our network of "
        "torch (columns: torch) has none. `python -m benchmarks.foreign.metatomic_round_trip`",
        "",
        "| case | dtype | energy, eV | energy, torch | forces, eV/Å | forces, torch | largest force "
        "| stress, eV/Å³ | energies of members, eV | std, eV |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    wanted = {name: ModelOutput(unit="eV") for name in ("energy_ensemble", "energy_uncertainty")}
    with tempfile.TemporaryDirectory() as folder:
        for model, name, atoms in cases():
            for dtype in ("float64", "float32"):
                path = export_model(model, Path(folder) / f"{model}.pt", "metatomic", dtype=dtype)
                calculator = MetatomicCalculator(path, device="cpu")
                theirs, ours = atoms.copy(), atoms.copy()
                theirs.calc, ours.calc = calculator, SchNetCalculator(model)
                more = calculator.run_model(atoms, wanted)
                members, std = (more[n].block().values[0].numpy() for n in wanted)
                forces, network = ours.get_forces(), by_torch(model, atoms)
                cells = [
                    abs(theirs.get_potential_energy() - ours.get_potential_energy()),
                    abs(theirs.get_potential_energy() - network.energies.mean()),
                    np.abs(theirs.get_forces() - forces).max(),
                    np.abs(theirs.get_forces() - network.forces.mean(axis=0)).max(),
                    np.abs(forces).max(),
                    np.abs(theirs.get_stress() - ours.get_stress()).max()
                    if any(atoms.pbc)
                    else np.nan,
                    np.abs(members - ours.calc.results["energy_committee"]).max(),
                    abs(std[0] - ours.calc.results["energy_std"]),
                ]
                lines.append(
                    f"| {name} | {dtype} | " + " | ".join(f"{x:.1e}" for x in cells) + " |"
                )
    write_whole(HERE / "metatomic.md", ("\n".join(lines).replace("nan", "–") + "\n").encode())


if __name__ == "__main__":
    main()

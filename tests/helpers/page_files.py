"""The files that a reader of the site has: labelled structures under the names that the pages use."""

from pathlib import Path

import numpy as np
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write
from ase.units import Bohr

from ase_schnet import SchNetCalculator

ROOT = Path(__file__).resolve().parents[2]
HOT = "md_examples/ethanol_hot_pbe_def2svp.xyz"
KCAL_PER_MOL = 23.060548  # of an eV


def write_reader_files(folder: Path) -> None:
    """Write all of them."""
    for name in (HOT, "benchmarks/ethanol_1000K_pbe_def2svp.xyz"):
        _copy(name, folder)
    for name in ("models/ethanol", "my_model"):  # a model of one's own is a copy of a shipped one
        for file in ("model.json", "weights.safetensors"):
            target = folder / name / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes((ROOT / "models" / "ethanol" / file).read_bytes())
    hot = read(ROOT / HOT, ":")
    hotter = read(ROOT / "benchmarks/ethanol_1000K_pbe_def2svp.xyz", ":")
    write(folder / "new_frames.extxyz", hotter)
    write(folder / "collected.extxyz", [atoms.copy() for atoms in hot[:2]])
    for name in ("ethanol.xyz", "molecule.xyz"):
        write(folder / name, molecule("CH3CH2OH"))
    write(folder / "my_conformers.xyz", [atoms.copy() for atoms in hot[:3]])
    write(folder / "my_molecule.xyz", [_labelled(atoms, KCAL_PER_MOL) for atoms in hot])
    write(folder / "my_test_set.xyz", [_labelled(atoms) for atoms in hot[:12]])
    _write_of_others(folder, hot)
    _write_of_other_engines(folder)
    _write_dipoles(folder / "methanol_train.extxyz")
    pool = [molecule("CH3CH2OH") for _ in range(3)]
    for k, atoms in enumerate(pool):
        atoms.rattle(0.03, seed=k)
    write(folder / "candidates.extxyz", pool)


def _write_of_other_engines(folder: Path) -> None:
    """Write a model of schnetpack, and what ORCA and Gaussian ask with."""
    model = ROOT / "tests/data/foreign/schnetpack-2/best_model"
    (folder / "best_model").write_bytes(model.read_bytes())
    atoms = molecule("CH3CH2OH")
    write(folder / "job_EXT.xyz", atoms)
    (folder / "job_EXT.extinp.tmp").write_text("job_EXT.xyz\n0\n1\n1\n1\n")
    rows = [f"{len(atoms):10d}{1:10d}{0:10d}{1:10d}"]
    rows += [
        f"{z:10d}" + "".join(f"{x:20.12f}" for x in (*(r / Bohr), 0.0))
        for z, r in zip(atoms.numbers, atoms.positions, strict=True)
    ]
    (folder / "Gau.EIn").write_text("\n".join(rows) + "\n")


def _copy(name: str, folder: Path) -> None:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes((ROOT / name).read_bytes())


def _labelled(atoms, factor=1.0):
    """Return the structure with its labels in another unit, and nothing that says which."""
    copy = atoms.copy()
    copy.info.clear()
    energy, forces = atoms.get_potential_energy(), atoms.get_forces()
    copy.calc = SinglePointCalculator(copy, energy=factor * energy, forces=factor * forces)
    return copy


def _write_of_others(folder: Path, frames) -> None:
    """Write data as schnetpack, MACE and rMD17 do."""
    energies = np.array([atoms.get_potential_energy() for atoms in frames])
    forces = np.array([atoms.get_forces() for atoms in frames])
    with connect(folder / "spk_ethanol.db") as database:
        database.metadata = {
            "_property_unit_dict": {"energy": "eV", "forces": "eV/Ang"},
            "_distance_unit": "Ang",
        }
        for atoms, energy, force in zip(frames, energies, forces, strict=True):
            database.write(atoms.copy(), data={"energy": np.array([energy]), "forces": force})
    of_mace = []
    for atoms, energy, force in zip(frames, energies, forces, strict=True):
        copy = atoms.copy()
        copy.info = {"REF_energy": energy}
        copy.arrays["REF_forces"] = force
        of_mace.append(copy)
    write(folder / "mace_ethanol.xyz", of_mace)
    np.savez(
        folder / "rmd17_ethanol_train_01.npz",
        nuclear_charges=frames[0].numbers,
        coords=np.array([atoms.positions for atoms in frames]),
        energies=KCAL_PER_MOL * energies,
        forces=KCAL_PER_MOL * forces,
    )


def _write_dipoles(path: Path) -> None:
    """Write structures of methanol with the dipoles of its model."""
    calculator, frames = SchNetCalculator("methanol"), []
    for k in range(40):
        atoms = molecule("CH3OH")
        atoms.rattle(0.05, seed=k)
        atoms.calc = calculator
        labels = {
            "energy": atoms.get_potential_energy(),
            "forces": atoms.get_forces(),
            "dipole": atoms.get_dipole_moment(),
        }
        atoms.calc = SinglePointCalculator(atoms, **labels)
        frames.append(atoms)
    write(path, frames)

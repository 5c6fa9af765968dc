"""The structures: ethanol and boxes of water, the same files for every contestant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule

WATER_DATA = Path(__file__).resolve().parents[2] / "shared/data/deepmd-water/data/data_0"
WATERS_PER_EDGE, WATER_EDGE = 4, 12.44  # 64 molecules at 1 g/cm³
CASES = ("ethanol", "water-192", "water-1536", "water-12288")


def build_case(name: str) -> Atoms:
    """The structure of a case: "ethanol", or "water-N" with N = 192 × 1, 8, 27, 64, ... atoms."""
    if name == "ethanol":
        atoms = molecule("CH3CH2OH")
        atoms.rattle(0.05, seed=0)
        return atoms
    kind, _, size = name.partition("-")
    copies = round((int(size) / 192) ** (1 / 3)) if kind == "water" and size.isdigit() else 0
    if copies < 1 or 192 * copies**3 != int(size):
        raise ValueError(f"no case {name!r}: use ethanol or water-192, water-1536, water-12288")
    atoms = water_box() * (copies, copies, copies)
    atoms.rattle(0.05, seed=1)  # no two copies alike
    return atoms


def water_box() -> Atoms:
    """64 periodic waters: a frame of the DeePMD water data where they are, else a rattled lattice."""
    if not WATER_DATA.is_dir():
        return lattice_water()
    symbols = np.array((WATER_DATA / "type_map.raw").read_text().split())
    types = np.array((WATER_DATA / "type.raw").read_text().split(), dtype=int)
    cell = np.load(WATER_DATA / "set.000/box.npy")[0].reshape(3, 3)
    positions = np.load(WATER_DATA / "set.000/coord.npy")[0].reshape(-1, 3)
    return Atoms(symbols[types], positions, cell=cell, pbc=True)


def lattice_water(seed: int = 0) -> Atoms:
    """64 randomly turned waters on a cubic lattice, at liquid density."""
    rng = np.random.default_rng(seed)
    box = Atoms(cell=[WATER_EDGE] * 3, pbc=True)
    spacing = WATER_EDGE / WATERS_PER_EDGE
    for site in np.ndindex((WATERS_PER_EDGE,) * 3):
        water = molecule("H2O")
        water.rotate(rng.uniform(0, 360), rng.normal(size=3))
        water.positions += spacing * np.array(site) - water.positions[0]
        box += water
    box.rattle(0.05, rng=rng)
    return box


def write_case(name: str, directory: Path) -> Path:
    """Write a case as `<name>.npz` and return its path."""
    atoms = build_case(name)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.npz"
    np.savez(
        path,
        numbers=atoms.numbers,
        positions=atoms.positions,
        cell=atoms.cell.array,
        pbc=atoms.pbc,
    )
    return path

"""Structures with dipoles or polarizabilities, each turned at random; files beside the checkout."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from ase import units
from ase.data import atomic_masses, atomic_numbers
from ase.io import read
from scipy.spatial.transform import Rotation

from ase_schnet.data.dataset import Dataset

DATA = Path(__file__).resolve().parents[2] / "shared/data"
ATOMIC_POLARIZABILITY = units.Bohr**2 / units.Hartree  # e²Å²/eV per atomic unit


@dataclass
class Case:
    """Structures (S, N, 3) in Å, turned at random, and vectors (S, 3) or tensors (S, 9) with them."""

    name: str
    numbers: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    charge: int = 0

    @property
    def quantity(self) -> str:
        return "dipole" if self.labels.shape[1] == 3 else "polarizability"

    def dataset(self, part: np.ndarray) -> Dataset:
        n, size = len(part), len(self.numbers)
        empty = Dataset(
            Z=np.tile(self.numbers, n),
            R=self.positions[part].reshape(-1, 3),
            ptr=np.arange(n + 1) * size,
            E=None,
            F=None,
            cells=np.zeros((n, 3, 3)),
            pbc=np.zeros((n, 3), dtype=bool),
        )
        shape = (n, 3) if self.quantity == "dipole" else (n, 3, 3)
        return replace(empty, **{self.quantity: self.labels[part].reshape(shape)})


def turned_case(name, numbers, positions, labels, charge=0) -> Case:
    """Every structure and its label by its own random rotation about the centre of mass."""
    rotations = Rotation.random(len(positions), rng=np.random.default_rng(0)).as_matrix()
    numbers = np.asarray(numbers, dtype=int)
    masses = atomic_masses[numbers]
    com = masses @ positions / masses.sum()
    labels = np.asarray(labels, dtype=float).reshape(len(positions), -1)
    if charge:
        labels = labels - charge * com
    positions = (positions - com[:, None]) @ rotations.swapaxes(1, 2)
    if labels.shape[1] == 3:
        labels = np.einsum("sij,sj->si", rotations, labels)
    else:
        labels = (rotations @ labels.reshape(-1, 3, 3) @ rotations.swapaxes(1, 2)).reshape(-1, 9)
    return Case(name, numbers, positions, labels, charge)


def physnet(name: str, file: str) -> Case:
    with np.load(DATA / "meuwly-dipoles" / file) as d:
        n = d["N"][0]
        return turned_case(name, d["Z"][0, :n], d["R"][:, :n].astype(float), d["D"])


def tensoap(name: str, file: str, key: str, charge: int = 0) -> Case:
    frames = read(DATA / "tensoap-water" / file, ":")
    factor = units.Bohr if key == "mu" else ATOMIC_POLARIZABILITY
    labels = [_numbers(a.info[key]) for a in frames]
    positions = np.array([a.positions for a in frames])
    return turned_case(name, frames[0].numbers, positions, factor * np.array(labels), charge)


def _numbers(value) -> np.ndarray:
    """ASE leaves some rows of numbers as text."""
    return np.array(value.split(), float) if isinstance(value, str) else np.ravel(value)


def malonaldehyde() -> Case:
    folder = DATA / "bpm-malonaldehyde-alpha"
    return turned_case(
        "malonaldehyde",
        [atomic_numbers[s] for s in "CCOCOHHHH"],
        np.load(folder / "coord_MDA.npy"),
        ATOMIC_POLARIZABILITY * np.load(folder / "alpha_MDA.npy"),
    )


def split(case: Case, n_train: int, n_test: int) -> tuple[np.ndarray, np.ndarray]:
    order = np.random.default_rng(1).permutation(len(case.positions))
    return order[:n_train], order[n_train : n_train + n_test]

"""Molecules with a dipole and a polarizability that are known functions of the positions."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.spatial.transform import Rotation

from ase_schnet.data.dataset import Dataset

# bent, tops symmetric and spherical, linear with and without a centre, benzene, an internal rotor, planar
# and not planar asymmetric tops, one atom
MOLECULES = ("H2O", "NH3", "CH4", "CO2", "HCN", "C6H6", "CH3OH", "H2CO", "C3H4_C2v", "O")
ELECTRONEGATIVITY = {1: 2.2, 6: 2.55, 7: 3.04, 8: 3.44}


def dipole_of(atoms: Atoms) -> np.ndarray:
    """Charge flows along every pair of unlike atoms, the less the longer: (3,) e·Å, exactly covariant."""
    charge = np.array([ELECTRONEGATIVITY[z] for z in atoms.numbers])
    vectors = atoms.positions[:, None] - atoms.positions
    distances = np.linalg.norm(vectors, axis=-1) + np.eye(len(atoms))
    flow = (charge - charge[:, None]) * np.exp(-distances)
    return 0.5 * np.einsum("ij,ijk->k", flow, vectors)


def polarizability_of(atoms: Atoms) -> np.ndarray:
    """A sphere per atom and more along every pair: (3, 3) e²Å²/eV, exactly covariant."""
    vectors = atoms.positions[:, None] - atoms.positions
    distances = np.linalg.norm(vectors, axis=-1) + np.eye(len(atoms))
    along = np.einsum("ij,ijk,ijl->kl", np.exp(-distances), vectors, vectors)
    return 0.1 * len(atoms) * np.eye(3) + 0.05 * along


def random_rotation(seed: int) -> np.ndarray:
    """(3, 3), uniform over the proper rotations."""
    return Rotation.random(rng=np.random.default_rng(seed)).as_matrix()


def labelled(atoms: Atoms) -> Atoms:
    """The same Atoms with both labels."""
    atoms.calc = SinglePointCalculator(atoms, dipole=dipole_of(atoms))
    atoms.info["polarizability"] = polarizability_of(atoms)
    return atoms


def distorted(name: str, n: int, seed: int = 0, rattle: float = 0.06) -> list[Atoms]:
    """`n` distorted, labelled structures, each turned at random and put somewhere."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = molecule(name)
        atoms.rattle(rattle, rng=rng)
        atoms.positions = atoms.positions @ random_rotation(1000 * seed + k) + rng.normal(size=3)
        frames.append(labelled(atoms))
    return frames


def distorted_dataset(name: str, n: int, seed: int = 0, rattle: float = 0.06) -> Dataset:
    """`distorted` as a Dataset."""
    return Dataset.from_atoms(distorted(name, n, seed, rattle))

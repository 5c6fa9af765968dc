"""Small seeded models and structures that several tests share."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from ase.build import bulk, molecule
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet import SchNetCalculator
from ase_schnet.data.dataset import Dataset
from ase_schnet.model.potential import Potential
from ase_schnet.modelfile import TrainedModel
from ase_schnet.propagation import member_calculators
from ase_schnet.schnet_config import MAX_ELEMENTS, PRESETS, SchNetConfig

#: An ensemble trained on 1000 frames of rMD17's ethanol alone: it falls into holes right where they end.
NARROW = str(Path(__file__).resolve().parents[1] / "models" / "ethanol_narrow")
ELEMENTS = [1, 6, 8]
TINY = SchNetConfig(16, 16, n_interactions=2, n_rbf=20, cutoff=4.0, gamma=4.0)


def potentials(config=TINY, members=2, dtype=None) -> list[Potential]:
    """Seeded potentials with random weights, a shift per species and a common scale."""
    shift = np.zeros(MAX_ELEMENTS)
    shift[ELEMENTS] = [-13.6, -1029.0, -2042.0]
    extra = {} if dtype is None else {"dtype": dtype}
    return [Potential.create(config, shift, 1.3, seed=s, **extra) for s in range(members)]


def random_model(config=TINY, members=2, pbc=False) -> TrainedModel:
    """An untrained ensemble: nothing like chemistry, but every law of the code holds for it."""
    states = [p.schnet.state_dict() for p in potentials(config, members)]
    shift = potentials(config, 1)[0].shift.numpy()
    return TrainedModel(
        config=config.to_dict(),
        elements=ELEMENTS,
        energy_shift=np.stack([shift] * members),
        scale=np.full(members, 1.3),
        weights={k: np.stack([s[k].numpy() for s in states]) for k in states[0]},
        pbc=pbc,
        distance_ranges={"H-O": [[0.9, 1.1], [1.8, 3.7]], "C-O": [[1.3, 1.6]]},
    )


def preset(name: str, **changes) -> SchNetConfig:
    """A preset with changes."""
    return replace(PRESETS[name], **changes)


def ethanol(rattle: float = 0.05, seed: int = 0):
    """ASE's ethanol, out of equilibrium."""
    atoms = molecule("CH3CH2OH")
    atoms.rattle(rattle, seed=seed)
    return atoms


def one_member(name: str) -> SchNetCalculator:
    """Return a calculator of the first member: the dynamics of a test needs no ensemble, which costs five."""
    return member_calculators(name)[0]


def labelled_molecules(n: int = 24, seed: int = 0, names=("CH3CH2OH", "CH3OH", "H2O")) -> list:
    """Molecules of several sizes with the labels of a pair potential, cheap and exactly known."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = molecule(names[k % len(names)])
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        energy, forces = _springs(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
        frames.append(atoms)
    return frames


def _springs(atoms) -> tuple[float, np.ndarray]:
    """E = Σ_pairs exp(-d) - 10 N, in eV, and its forces."""
    i, j = np.triu_indices(len(atoms), k=1)
    vectors = atoms.positions[j] - atoms.positions[i]
    d = np.linalg.norm(vectors, axis=1)
    on_i = -np.exp(-d)[:, None] * vectors / d[:, None]
    forces = np.zeros((len(atoms), 3))
    np.add.at(forces, i, on_i)
    np.subtract.at(forces, j, on_i)
    return float(np.exp(-d).sum() - 10.0 * len(atoms)), forces


def small_dataset(n: int = 24, **kwargs) -> Dataset:
    """`labelled_molecules`, packed."""
    return Dataset.from_atoms(labelled_molecules(n, **kwargs), source="springs")


def labelled_crystals(n: int = 16, seed: int = 0) -> list:
    """Strained, rattled crystals of 2 to 8 atoms with a Lennard-Jones potential's labels and stress."""
    rng = np.random.default_rng(seed)
    frames = []
    for k in range(n):
        atoms = bulk("C", "diamond", a=3.6).repeat([(1, 1, 1), (2, 1, 1), (2, 2, 1)][k % 3])
        strain = np.eye(3) + rng.normal(scale=0.03, size=(3, 3))
        atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
        atoms.positions += rng.normal(scale=0.05, size=atoms.positions.shape)
        reference = atoms.copy()
        reference.calc = LennardJones(sigma=1.4, epsilon=0.5, rc=4.0, smooth=True)
        results = {
            "energy": reference.get_potential_energy() - 10.0 * len(atoms),
            "forces": reference.get_forces(),
            "stress": reference.get_stress(),
        }
        atoms.calc = SinglePointCalculator(atoms, **results)
        frames.append(atoms)
    return frames

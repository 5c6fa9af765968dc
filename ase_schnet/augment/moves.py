"""Which atoms of which structures go where."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict, dataclass
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ase_schnet.augment.springs import pair_distances
from ase_schnet.bonds import bonded_pairs, pair_name
from ase_schnet.data.dataset import Dataset
from ase_schnet.runs.provenance import describe_calculator
from ase_schnet.scan.coordinate import Coordinate

#: Two atoms nearer than this share of the shortest distance that their elements have in the data clash.
CLASH = 0.7
ATTEMPTS = 100


class Move(NamedTuple):
    """Structure number `structure`, whose atoms go by `displacement` (N, 3) Å.

    pieces: indices of the atoms that move, those that move as one rigid piece together.
    """

    structure: int
    displacement: NDArray
    pieces: list[NDArray]


@dataclass(frozen=True)
class RandomMoves:
    """Displace `n_atoms` atoms of `n_structures` structures, each by a random vector of length in (0, ε].

    Structures are drawn without replacement, displacements again until no atoms clash.
    """

    n_structures: int = 200
    n_atoms: int = 3
    epsilon_Ang: float = 0.5

    def __call__(self, dataset: Dataset, seed: int = 0) -> list[Move]:
        """Moves of structures of `dataset`.

        Raises
        ------
        ValueError
            For more structures or atoms than there are, an ε that is no length, and one at which atoms
            always clash.

        Warns
        -----
        UserWarning
            For an ε beyond half the shortest distance: atoms can meet.
        """
        epsilon, smallest = self.epsilon_Ang, dataset.n_atoms.min()
        if not 0 < epsilon < math.inf:
            raise ValueError(f"epsilon must be a positive length in Å, got {epsilon}")
        if not 1 <= self.n_atoms <= smallest:
            raise ValueError(
                f"cannot displace {self.n_atoms} atoms: the smallest structure has {smallest}"
            )
        rng = np.random.default_rng(seed)
        chosen = _chosen(dataset, self.n_structures, rng)
        limits = shortest_distances(dataset)
        if epsilon > 0.5 * min(limits.values()):
            warnings.warn(
                f"displacements of up to {epsilon:g} Å are more than half the shortest distance, "
                f"{min(limits.values()):.2f} Å: harmonic springs do not reach that far",
                stacklevel=2,
            )
        return [self._move(dataset, structure, limits, rng) for structure in chosen]

    def _move(
        self, dataset: Dataset, structure: int, limits: dict, rng: np.random.Generator
    ) -> Move:
        n = int(dataset.n_atoms[structure])
        for _ in range(ATTEMPTS):
            moved = np.sort(rng.choice(n, self.n_atoms, replace=False))
            directions = rng.normal(size=(self.n_atoms, 3))
            directions /= np.linalg.norm(directions, axis=1)[:, None]
            lengths = self.epsilon_Ang * (1 - rng.random(self.n_atoms))  # (0, ε]
            displacement = np.zeros((n, 3))
            displacement[moved] = directions * lengths[:, None]
            move = Move(structure, displacement, [np.array([k]) for k in moved])
            if not clashes(dataset, move, limits):
                return move
        raise ValueError(
            f"atoms of structure {structure} clash in each of {ATTEMPTS} random displacements of up "
            f"to {self.epsilon_Ang:g} Å: use a smaller epsilon"
        )

    def to_dict(self) -> dict:
        """Plain types, for the card."""
        return {"moves": "random", **asdict(self)}


@dataclass(frozen=True)
class Stretches:
    """Stretch or compress one bond in each of `n_structures` structures, where an ensemble knows least.

    Of `candidates` random bonds and lengths (`factors` times what they are) the one with the largest
    ``energy_std`` of the calculator `ensemble` is taken; without one the first. The lighter side moves.
    """

    n_structures: int = 200
    factors: tuple[float, float] = (0.75, 3.0)
    candidates: int = 8
    ensemble: BaseCalculator | None = None

    def __call__(self, dataset: Dataset, seed: int = 0) -> list[Move]:
        """Moves of structures of `dataset`.

        Raises
        ------
        ValueError
            For more structures than there are, factors that are none, a structure without bonds or with
            none that can be stretched, and a calculator that is no ensemble.
        """
        low, high = self.factors
        if not 0 < low < high < math.inf:
            raise ValueError(f"factors must be 0 < low < high, got {self.factors}")
        if self.candidates < 1:
            raise ValueError(f"there must be a candidate to choose from, not {self.candidates}")
        limits = shortest_distances(dataset)
        rng = np.random.default_rng(seed)
        return [
            self._move(dataset, s, limits, rng) for s in _chosen(dataset, self.n_structures, rng)
        ]

    def _move(
        self, dataset: Dataset, structure: int, limits: dict, rng: np.random.Generator
    ) -> Move:
        atoms = dataset.atoms(structure)
        first, second, _ = bonded_pairs(atoms)
        bonds = [(int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j]
        if not bonds:
            raise ValueError(f"structure {structure} has no bond to stretch")
        wanted = 1 if self.ensemble is None else self.candidates
        tried = []
        for _ in range(ATTEMPTS):
            bond, factor = bonds[rng.integers(len(bonds))], rng.uniform(*self.factors)
            move = _stretch(atoms, structure, bond, factor)
            if not clashes(dataset, move, limits):
                tried.append(move)
            if len(tried) == wanted:
                break
        if not tried:
            raise ValueError(
                f"every stretch of structure {structure} makes atoms clash: use other factors"
            )
        if self.ensemble is None:
            return tried[0]
        return max(tried, key=lambda move: _spread(atoms, move, self.ensemble))

    def to_dict(self) -> dict:
        """Plain types, for the card."""
        return {
            "moves": "stretches",
            "n_structures": self.n_structures,
            "factors": list(self.factors),
            **self._choice(),
        }

    def _choice(self) -> dict:
        if self.ensemble is None:
            return {"candidates": 1}
        return {"candidates": self.candidates, "ensemble": describe_calculator(self.ensemble)}


def shortest_distances(dataset: Dataset) -> dict[str, float]:
    """The shortest distance of each element pair, Å."""
    return {name: float(values.min()) for name, values in pair_distances(dataset).items()}


def clashes(dataset: Dataset, move: Move, limits: dict[str, float]) -> bool:
    """Do two atoms come nearer than CLASH times the shortest distance of their elements in the data?"""
    part = slice(dataset.ptr[move.structure], dataset.ptr[move.structure + 1])
    Z, positions = dataset.Z[part], dataset.R[part] + move.displacement
    first, second = np.triu_indices(len(Z), k=1)
    distances = np.linalg.norm(positions[second] - positions[first], axis=1)
    allowed = [limits[pair_name(a, b)] for a, b in zip(Z[first], Z[second], strict=True)]
    return bool((distances < CLASH * np.array(allowed)).any())


def _chosen(dataset: Dataset, n_structures: int, rng: np.random.Generator) -> list[int]:
    if not 1 <= n_structures <= len(dataset):
        raise ValueError(f"cannot augment {n_structures} of {len(dataset)} structures")
    return rng.choice(len(dataset), n_structures, replace=False).tolist()


def _stretch(atoms: Atoms, structure: int, bond: tuple[int, int], factor: float) -> Move:
    """The side of the bond with less mass moves along it, as a whole."""
    masses = atoms.get_masses()
    sides = [Coordinate.of(atoms, pair) for pair in (bond, bond[::-1])]
    coordinate = min(sides, key=lambda c: masses[list(c.moving)].sum())
    moved = atoms.copy()
    coordinate.place(moved, factor * atoms.get_distance(*bond))
    piece = np.array(sorted(coordinate.moving))
    return Move(structure, moved.positions - atoms.positions, [piece])


def _spread(atoms: Atoms, move: Move, calculator: BaseCalculator) -> float:
    """The ensemble's standard deviation of the energy, eV."""
    moved = atoms.copy()
    moved.positions += move.displacement
    moved.calc = calculator
    moved.get_potential_energy()
    if "energy_std" not in calculator.results:
        raise ValueError("the calculator has no energy_std: stretches are chosen by an ensemble's")
    return float(calculator.results["energy_std"])

"""Moves of atoms: random displacements and stretched bonds."""

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
from ase_schnet.bonds import bonds_of, pair_name
from ase_schnet.data.dataset import Dataset
from ase_schnet.runs.provenance import describe_calculator
from ase_schnet.scan.coordinate import Coordinate

#: Atoms clash below this fraction of the shortest distance of their elements in the data.
CLASH = 0.7
ATTEMPTS = 100


class Move(NamedTuple):
    """Hold the move of one structure.

    Attributes
    ----------
    structure
        Its number in the data set.
    displacement
        Of its atoms, (N, 3) Å.
    pieces
        Indices of the atoms that move; each array is a rigid piece.
    """

    structure: int
    displacement: NDArray
    pieces: list[NDArray]


@dataclass(frozen=True)
class RandomMoves:
    """Displace atoms by random vectors of a length in (0, ε].

    Structures are drawn without replacement. Displacements are drawn again until no atoms clash.

    Attributes
    ----------
    n_structures
        Structures to displace atoms in.
    n_atoms
        Atoms that move in each of them.
    epsilon_Ang
        Largest length ε of a displacement, Å.
    """

    n_structures: int = 200
    n_atoms: int = 3
    epsilon_Ang: float = 0.5

    def __call__(self, dataset: Dataset, seed: int = 0) -> list[Move]:
        """Return moves of structures of `dataset`.

        Raises
        ------
        ValueError
            For more structures or atoms than there are, for an ε that is not positive, and for one at which
            atoms always clash.

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
        """Return plain types, for the card."""
        return {"moves": "random", **asdict(self)}


@dataclass(frozen=True)
class Stretches:
    """Stretch or compress one bond in each of several structures, where an ensemble is least certain.

    The lighter side of the bond moves.

    Attributes
    ----------
    n_structures
        Structures to stretch a bond in.
    factors
        Smallest and largest new length of a bond, over its length.
    candidates
        Number of random bonds and lengths; the one with the largest ``energy_std`` of `ensemble` is taken.
    ensemble
        A calculator with ``energy_std``; None: the first candidate is taken.
    """

    n_structures: int = 200
    factors: tuple[float, float] = (0.75, 3.0)
    candidates: int = 8
    ensemble: BaseCalculator | None = None

    def __call__(self, dataset: Dataset, seed: int = 0) -> list[Move]:
        """Return moves of structures of `dataset`.

        Raises
        ------
        ValueError
            For more structures than there are, for impossible factors, for a structure without bonds or
            without one that can be stretched, and for a calculator that is not an ensemble.
        """
        low, high = self.factors
        if not 0 < low < high < math.inf:
            raise ValueError(f"factors must be 0 < low < high, got {self.factors}")
        if self.candidates < 1:
            raise ValueError(f"candidates must be at least 1, got {self.candidates}")
        limits = shortest_distances(dataset)
        rng = np.random.default_rng(seed)
        return [
            self._move(dataset, s, limits, rng) for s in _chosen(dataset, self.n_structures, rng)
        ]

    def _move(
        self, dataset: Dataset, structure: int, limits: dict, rng: np.random.Generator
    ) -> Move:
        atoms = dataset.atoms(structure)
        bonds = bonds_of(atoms)
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
        """Return plain types, for the card."""
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
    """Return the shortest distance of each element pair, Å."""
    return {name: float(values.min()) for name, values in pair_distances(dataset).items()}


def clashes(dataset: Dataset, move: Move, limits: dict[str, float]) -> bool:
    """Say whether two atoms come nearer than CLASH times the shortest distance of their elements."""
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
    """Return the move of the lighter side of a bond along it, as a rigid piece."""
    masses = atoms.get_masses()
    sides = [Coordinate.of(atoms, pair) for pair in (bond, bond[::-1])]
    coordinate = min(sides, key=lambda c: masses[list(c.moving)].sum())
    moved = atoms.copy()
    coordinate.place(moved, factor * atoms.get_distance(*bond))
    piece = np.array(sorted(coordinate.moving))
    return Move(structure, moved.positions - atoms.positions, [piece])


def _spread(atoms: Atoms, move: Move, calculator: BaseCalculator) -> float:
    """Return the standard deviation of the energy of an ensemble, eV."""
    moved = atoms.copy()
    moved.positions += move.displacement
    moved.calc = calculator
    moved.get_potential_energy()
    if "energy_std" not in calculator.results:
        raise ValueError("the calculator has no energy_std: to choose stretches, give an ensemble")
    return float(calculator.results["energy_std"])

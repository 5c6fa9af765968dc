"""A quick calculator for any structure, and what tests of sampling count."""

import os
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, Calculator, all_changes

STIFFNESS = 20.0  # eV/Å²


class Springs(Calculator):
    """Harmonic springs between all atoms of a molecule, at rest in one structure."""

    implemented_properties = ("energy", "forces")

    def __init__(self, rest, fails_after=None, seconds=0.0):
        super().__init__()
        self.rest, self.fails_after, self.seconds, self.calls = rest, fails_after, seconds, 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calls += 1
        if self.fails_after is not None and self.calls > self.fails_after:
            raise CalculationFailed("SCF not converged")
        time.sleep(self.seconds)
        vectors = self.atoms.positions[:, None] - self.atoms.positions[None]  # (N, N, 3)
        distances = np.linalg.norm(vectors, axis=2)
        np.fill_diagonal(distances, 1)
        stretch = distances - self.rest
        np.fill_diagonal(stretch, 0)
        pull = STIFFNESS * stretch / distances
        self.results = {
            "energy": 0.25 * STIFFNESS * (stretch**2).sum(),
            "forces": -(pull[:, :, None] * vectors).sum(axis=1),
        }


class MakeSprings:
    """Make the calculators of one molecule, in any process."""

    name = "springs"

    def __init__(self, atoms, **settings):
        self.rest, self.settings = atoms.get_all_distances(), settings

    def __call__(self, atoms):
        return Springs(self.rest, **self.settings)


class MakeUntil:
    """Make calculators until a number of them is made, then be interrupted by Ctrl-C."""

    name = "springs"

    def __init__(self, make, most):
        self.make, self.left, self.made = make, most, 0

    def __call__(self, atoms):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        self.made += 1
        return self.make(atoms)


def slow_ethanol():
    """Return a calculator for processes that are stopped; it writes down which process it is in."""
    Path(f"process-{os.getpid()}").touch()
    return Springs(molecule("CH3CH2OH").get_all_distances(), seconds=0.002)


def stretched_bonds(before: Atoms, after: Atoms, bonds, tolerance=1e-6):
    """Return the bonds that have another length, with their factors."""
    changed = {}
    for i, j in bonds:
        factor = after.get_distance(i, j) / before.get_distance(i, j)
        if abs(factor - 1) > tolerance:
            changed[i, j] = factor
    return changed

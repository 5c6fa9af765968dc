"""Structures and calculators that the tests of scans share."""

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import all_changes
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential

EPSILON, R0, RHO0 = 4.7, 0.96, 2.2
DISTANCES = np.linspace(0.7, 2.5, 40)
#: C-C-O-H of ASE's ethanol: methyl C0 H6 H7 H8, methylene C1 H4 H5, hydroxyl O2 H3.
CCOH = (0, 1, 2, 3)
HCCO = (6, 0, 1, 2)


def morse_energy(r):
    """Depth, minimum and width as in ``ase.calculators.morse``."""
    wall = np.exp(-RHO0 * (r / R0 - 1))
    return EPSILON * (wall**2 - 2 * wall)


class MorseEnsemble(MorsePotential):
    """Three members, 0.1 eV apart."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        committee = self.results["energy"] + np.array([-0.1, 0.0, 0.1])
        self.results |= {"energy_std": 0.1, "energy_committee": committee}


def dimer(calculator_class=MorsePotential) -> Atoms:
    atoms = Atoms("OH", [(1, 2, 3), (1, 2, 4)])
    atoms.calc = calculator_class(epsilon=EPSILON, r0=R0, rho0=RHO0, rcut1=8.0, rcut2=9.0)
    return atoms


def ethanol() -> Atoms:
    """ASE's ethanol with EMT: no chemistry, but a smooth potential that costs nothing."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = EMT()
    return atoms


def stopping_at(atoms: Atoms, n: int, error: type[BaseException]) -> Atoms:
    """Let the calculator of ``atoms`` fail once, in evaluation ``n``."""
    calculate, calls = atoms.calc.calculate, iter(range(10**6))

    def failing(*args, **kwargs):
        if next(calls) == n:
            raise error("stop")
        calculate(*args, **kwargs)

    atoms.calc.calculate = failing
    return atoms

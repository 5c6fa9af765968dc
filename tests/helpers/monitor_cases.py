"""Atoms whose calculator knows its limits, and a monitor that looks at them."""

import numpy as np
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import Calculator, all_changes

from ase_schnet.runs.monitor import Monitor

RANGES = {"H-O": [[0.9, 1.1], [1.7, 3.7]], "H-H": [[1.4, 4.4]]}


class Knowing(Calculator):
    """Free atoms whose calculator has limits and claims an uncertainty, 0 or as given."""

    implemented_properties = ("energy", "forces")

    def __init__(self, std=0.0, **limits):
        super().__init__()
        self.std, self.limits = std, limits

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        zero = np.zeros((len(atoms), 3))
        std = self.std(atoms) if callable(self.std) else self.std
        self.results = {"energy": 0.0, "forces": zero}
        self.results |= {"energy_std": 0.01, "forces_std": zero + std}


def water(d=0.96, angle=104.5, **limits) -> Atoms:
    atoms = molecule("H2O")
    atoms.set_distance(0, 1, d, fix=0)
    atoms.set_distance(0, 2, 0.96, fix=0)
    atoms.set_angle(1, 0, 2, angle)
    known = {"distance_ranges_Ang": RANGES, "cutoff_Ang": 5.0}
    atoms.calc = Knowing(**(known | limits))
    return atoms


def look(atoms: Atoms, step=10, temperature_K=300.0, directory=None, **arguments) -> Monitor:
    monitor = Monitor(**arguments)
    monitor.start(atoms, directory, 0)
    atoms.get_forces()
    monitor.check(atoms, step, 0.5 * step, temperature_K)
    return monitor


def flying(calculator, speed_Ang_per_fs=0.01) -> Atoms:
    """Two hydrogen atoms that approach each other from 3 Å, unhindered, by 0.02 Å/fs."""
    atoms = Atoms("H2", [[0.0, 0, 0], [3.0, 0, 0]])
    atoms.calc = calculator
    speed = speed_Ang_per_fs / 0.09822694788464063  # ASE's unit of time is 10.18 fs
    atoms.set_velocities([[speed, 0, 0], [-speed, 0, 0]])
    return atoms

"""Long runs: memory does not grow with the number of calls."""

import resource

import numpy as np
import pytest
from ase import Atoms
from engine_cases import diamond
from factory import ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model


@pytest.fixture
def calc(tmp_path):
    return SchNetCalculator(save_model(tmp_path, random_model(members=2, pbc=True)))


@pytest.mark.parametrize("periodic", [False, True])
def test_memory_does_not_grow(calc, periodic):
    rng = np.random.default_rng(0)
    atoms = diamond() if periodic else ethanol()
    start = atoms.positions.copy()
    atoms.calc = calc

    def steps(n):
        for _ in range(n):
            # far enough that the list of neighbours is made anew now and then
            atoms.positions[:] = start + rng.normal(scale=0.06, size=start.shape)
            atoms.get_forces()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # kB

    before = steps(500)
    assert steps(5000) - before < 2048


def test_sizes_in_turn_do_not_add_up_in_memory(calc):
    structures = [diamond().repeat((n, 1, 1)) for n in (1, 2, 3, 4)] + [Atoms("O"), ethanol()]

    def rounds(n):
        for _ in range(n):
            for atoms in structures:
                calc.calculate(atoms)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before = rounds(20)
    assert rounds(100) - before < 2048

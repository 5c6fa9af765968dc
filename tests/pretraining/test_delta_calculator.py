"""What a DeltaCalculator asks its baseline: the same structure, one at a time, and what it can describe."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from ase.build import molecule
from ase.calculators.calculator import InputError
from factory import ethanol, random_model

from ase_schnet import DeltaCalculator
from ase_schnet.modelfile import save_model

SCRIPT = """
import time
from ase.calculators.calculator import CalculationFailed
from ase.calculators.lj import LennardJones

class Slow(LennardJones):
    '''Takes a while, and notes how many threads are in it; fails where the first atom is far out.'''
    inside, most = 0, 0

    def calculate(self, atoms=None, *rest):
        Slow.inside += 1
        Slow.most = max(Slow.most, Slow.inside)
        time.sleep(0.005)
        if atoms.positions[0, 0] > 50:
            raise CalculationFailed('did not converge')
        super().calculate(atoms, *rest)
        time.sleep(0.005)
        Slow.inside -= 1

def make():
    return Slow()

one = Slow()
"""


@pytest.fixture
def delta(tmp_path):
    """Return what makes a DeltaCalculator of a random model with a baseline."""

    def make(baseline, pbc=False):
        model = replace(random_model(pbc=pbc), baseline=baseline)
        return DeltaCalculator(
            save_model(tmp_path / f"delta{len(list(tmp_path.iterdir()))}", model)
        )

    return make


@pytest.fixture
def script(tmp_path):
    (tmp_path / "base.py").write_text(SCRIPT)
    return f"{tmp_path / 'base.py'}:"


def test_a_box_of_vacuum_is_nothing_to_the_baseline_either(delta):
    """GFN2-xTB let the images of a molecule in its box act on it, 0.5 meV of water in 14 Å."""
    calculator, free = delta("gfn2-xtb"), molecule("H2O")
    energy = calculator.get_potential_energy(free)
    for pbc in (True, (True, True, False)):
        boxed = free.copy()
        boxed.set_cell([14.0] * 3)
        boxed.pbc = pbc
        assert calculator.get_potential_energy(boxed) == pytest.approx(energy, abs=1e-7)


def test_a_slab_is_no_crystal_to_the_baseline(delta):
    """It computed a slab as if the third direction were periodic too."""
    calculator, atoms = delta("gfn2-xtb", pbc=True), molecule("H2O", cell=[8.0] * 3, pbc=True)
    calculator.get_potential_energy(atoms)
    atoms.pbc = (True, True, False)
    with pytest.raises(InputError, match=r"molecules and crystals, not pbc \[True, True, False\]"):
        calculator.get_potential_energy(atoms)


def test_threads_ask_one_baseline_one_after_the_other(delta, script):
    """`predict` and single structures in threads got each other's energies."""
    calculator = delta(f"{script}make")
    frames = [ethanol(0.05, seed) for seed in range(6)]
    right = [found["energy"] for found in calculator.predict(frames)]

    def many(_):
        return [found["energy"] for found in calculator.predict(frames)]

    def single(_):
        return [calculator.get_property("energy", atoms.copy()) for atoms in frames]

    with ThreadPoolExecutor(4) as pool:
        found = [pool.submit(how, k) for k in range(2) for how in (many, single)]
        assert all(future.result() == right for future in found)
    assert type(calculator._baseline).most == 1


def test_a_calculator_that_is_but_one_is_not_shared_by_threads(delta, script):
    with pytest.raises(ValueError, match="let that name be a function"):
        delta(f"{script}one").sibling()
    delta(f"{script}make").sibling()


def test_a_structure_on_which_the_baseline_fails_is_left_out_of_many(delta, script):
    calculator = delta(f"{script}make")
    far = ethanol()
    far.positions += 60.0
    answers = list(calculator.predict([ethanol(), far, ethanol()], return_errors=True))
    assert [isinstance(answer, InputError) for answer in answers] == [False, True, False]
    with pytest.raises(InputError, match=r"structure 1: .* did not converge"):
        list(calculator.predict([ethanol(), far]))

"""Calculators inside calculators: sums, weights and corrections do not switch the watch off."""

import runpy
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.calculators.mixing import AverageCalculator, MixedCalculator, SumCalculator
from factory import NARROW
from monitor_cases import Knowing, look, water

from ase_schnet import SchNetCalculator
from ase_schnet.applicability.calculator_parts import components_of, uncertainty_of
from ase_schnet.dynamics.md import run_nve
from ase_schnet.runs.failures import SimulationStopped
from ase_schnet.runs.monitor import Monitor
from ase_schnet.runs.provenance import describe_calculator


class Correction(LennardJones):
    """Stands for a dispersion correction: it says nothing of itself."""


class Corrected(Calculator):
    """A calculator that holds the one that it corrects, as DFTD3 does."""

    implemented_properties = ("energy", "forces")

    def __init__(self, dft):
        super().__init__()
        self.dft = dft

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {name: self.dft.get_property(name, atoms) for name in ("energy", "forces")}


class Free(Calculator):
    """No energy, no forces and no stress."""

    implemented_properties = ("energy", "forces", "stress")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        nothing = np.zeros((len(atoms), 3))
        self.results = {"energy": 0.0, "forces": nothing, "stress": np.zeros(6)}


def wrapped(kind: str, model):
    """The model inside another calculator, and the factor of its forces in it."""
    return {
        "sum": lambda: (SumCalculator([model, Correction()]), 1.0),
        "sum in a sum": lambda: (SumCalculator([SumCalculator([Correction(), model])]), 1.0),
        "mixed": lambda: (MixedCalculator(Correction(), model, 0.5, 2.0), 2.0),
        "held": lambda: (Corrected(model), 1.0),
    }[kind]()


@pytest.mark.parametrize(("kind", "factor"), [(SumCalculator, 2.0), (AverageCalculator, 1.0)])
def test_a_calculator_that_occurs_twice_counts_twice(kind, factor):
    """Half of the spread of a sum of it with itself was told."""
    atoms, model = molecule("CH3CH2OH"), SchNetCalculator(NARROW, threads=1)
    model.get_potential_energy(atoms)
    std = model.results["energy_std"]
    atoms.calc = kind([model, model])
    atoms.get_potential_energy()
    found = uncertainty_of(atoms.calc)
    assert found["energy_std"] == pytest.approx(factor * std, rel=1e-12)
    assert found["energy_committee"].std(ddof=1) == pytest.approx(factor * std, rel=1e-6)


@pytest.mark.parametrize("kind", ["sum", "sum in a sum", "mixed", "held"])
def test_a_model_inside_another_calculator_is_watched_as_if_alone(kind):
    atoms = molecule("CH3CH2OH")
    atoms.calc, factor = wrapped(kind, SchNetCalculator(NARROW))
    look(atoms)
    alone = SchNetCalculator(NARROW)
    alone.get_potential_energy(atoms)
    atoms.get_forces()
    found = uncertainty_of(atoms.calc)
    np.testing.assert_allclose(
        found["forces_std"], factor * alone.results["forces_std"], atol=1e-12
    )
    assert found["energy_std"] == pytest.approx(factor * alone.results["energy_std"], rel=1e-9)
    assert found["energy_committee"].mean() == pytest.approx(atoms.get_potential_energy(), abs=1e-9)
    assert found["energy_committee"].std(ddof=1) == pytest.approx(found["energy_std"], rel=1e-6)
    atoms.set_distance(2, 3, 1.5, fix=0)
    with pytest.raises(SimulationStopped, match=r"apart, .*; the force on H3 is uncertain by"):
        look(atoms)


def test_a_run_of_a_sum_is_stopped_where_the_model_in_it_guesses():
    """Before, it ended at 619,899 K without a word."""
    atoms = molecule("CH3CH2OH")
    atoms.calc = SumCalculator([SchNetCalculator(NARROW), Correction(epsilon=0.01, sigma=1.0)])
    with pytest.raises(SimulationStopped, match=r"apart|uncertain"):
        run_nve(atoms, temperature_K=4000, time_ps=1.0, timestep_fs=0.5, monitor=Monitor())


def test_two_ensembles_in_a_sum_add_their_squares():
    atoms = water()
    first, second = water(std=np.full((3, 3), 3.0)).calc, water(std=np.full((3, 3), 4.0)).calc
    atoms.calc = SumCalculator([first, second])
    atoms.get_forces()
    np.testing.assert_allclose(uncertainty_of(atoms.calc)["forces_std"], 5.0)


def test_error_bars_of_a_sum_are_those_of_the_model_in_it():
    atoms = molecule("CH3OH")
    model = SchNetCalculator("methanol")
    for calc in (SumCalculator([Correction(), model]), Corrected(model)):
        atoms.calc = calc
        atoms.get_forces()
        assert "energy_error" not in calc.results  # ASE adds up its own properties only
        found = uncertainty_of(calc, error_bars=True)
        assert found["energy_error"] == pytest.approx(model.results["energy_error"])
        np.testing.assert_allclose(found["forces_error"], model.results["forces_error"])
        assert "stress_error" not in found
    crystal = bulk("Si", cubic=True)
    silicon = SchNetCalculator("silicon")
    crystal.calc = MixedCalculator(silicon, Free(), 2.0, 1.0)
    crystal.get_stress()
    found = uncertainty_of(crystal.calc, error_bars=True)
    np.testing.assert_allclose(found["stress_error"], 2 * silicon.results["stress_error"])


def test_error_bars_of_two_models_add_their_squares_where_they_are_of_one_level():
    class Barred(Knowing):
        def __init__(self, bar, level):
            super().__init__(error_level=level)
            self.bar = bar

        def calculate(self, *args, **kwargs):
            super().calculate(*args, **kwargs)
            self.results["energy_error"] = self.bar

    atoms = water()
    atoms.calc = SumCalculator([Barred(3.0, 0.9), Barred(4.0, 0.9)])
    atoms.get_forces()
    assert uncertainty_of(atoms.calc, error_bars=True)["energy_error"] == pytest.approx(5.0)
    atoms.calc = SumCalculator([Barred(3.0, 0.9), Barred(4.0, 0.95)])
    atoms.get_forces()
    assert "energy_error" not in uncertainty_of(atoms.calc, error_bars=True)
    atoms.calc = MixedCalculator(Barred(3.0, 0.9), Barred(np.inf, 0.9), 1.0, 0.0)
    atoms.get_forces()
    assert uncertainty_of(atoms.calc, error_bars=True)["energy_error"] == pytest.approx(3.0)


def test_the_record_of_a_run_names_the_model_in_a_sum():
    calculator = SumCalculator([Correction(), SchNetCalculator("ethanol")])
    told = describe_calculator(calculator)
    assert told["name"] == "sumcalculator"
    assert told["model_info"]["model"] == "ethanol"
    assert told["model_info"]["repulsion"] == "zbl"


def test_calculators_that_hold_each_other_are_found_once():
    one, other = Corrected(None), Corrected(None)
    one.dft, other.dft = other, one
    assert components_of(one) == []
    assert components_of(None) == []
    plain = LennardJones()
    assert components_of(plain) == [(plain, 1.0)]


def test_the_example_of_dispersion_is_watched():
    pytest.importorskip("dftd3")
    example = runpy.run_path(str(Path(__file__).parents[2] / "md_examples" / "dispersion.py"))
    assert example["total_eV"] == pytest.approx(example["model_eV"] + example["dispersion_eV"])
    assert example["scan"].outside_training[1] == ""
    assert "O2 and H3" in example["scan"].outside_training[3]

"""Free energies from harmonic frequencies, held against tables of thermochemistry."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.constraints import FixAtoms

from ase_schnet.degrees_of_freedom import is_linear
from ase_schnet.spectra import NormalModes, thermal_corrections

J_PER_MOL_K = units.J / units.mol
#: Measured wavenumbers (cm⁻¹; NIST), standard entropy and H(298.15 K) − H(0 K) (CODATA; J/(mol K), kJ/mol).
TABLED = {
    "H2O": ([1595, 3657, 3756], 2, 188.835, 9.905),
    "CO2": ([667, 667, 1333, 2349], 2, 213.785, 9.365),
    "NH3": ([950, 1627, 1627, 3337, 3444, 3444], 3, 192.77, 10.043),
    "N2": ([2330], 2, 191.609, 8.670),
}


@pytest.mark.parametrize("name", TABLED)
def test_entropy_and_heat_of_a_gas_are_the_tabled_ones(name):
    wavenumbers, symmetry, entropy, heat = TABLED[name]
    wavenumbers = np.array(wavenumbers, dtype=float)
    found = thermal_corrections(wavenumbers, molecule(name), symmetry_number=symmetry)
    assert found[1] / J_PER_MOL_K == pytest.approx(entropy, abs=0.5)
    zero_point = 0.5 * units.invcm * wavenumbers.sum()
    assert (found[0] - zero_point) / (units.kJ / units.mol) == pytest.approx(heat, abs=0.06)
    assert found[2] == found[0] - 298.15 * found[1]


def test_pressure_symmetry_and_temperature_change_what_they_should():
    wavenumbers, water = np.array([1595.0, 3657, 3756]), molecule("H2O")
    assert not is_linear(water)
    standard = thermal_corrections(wavenumbers, water)
    compressed = thermal_corrections(wavenumbers, water, pressure_bar=10)
    halved = thermal_corrections(wavenumbers, water, symmetry_number=2)
    assert standard[1] - compressed[1] == pytest.approx(units.kB * np.log(10))
    assert standard[1] - halved[1] == pytest.approx(units.kB * np.log(2))
    assert standard[0] == compressed[0] == halved[0]
    step = 0.01
    warmer, colder = (
        thermal_corrections(wavenumbers, water, temperature_K=400 + d)[2] for d in (step, -step)
    )
    entropy = thermal_corrections(wavenumbers, water, temperature_K=400)[1]
    assert (colder - warmer) / (2 * step) == pytest.approx(entropy, rel=1e-6)


def test_soft_modes_are_raised_for_the_free_energy_alone():
    ethane = molecule("C2H6")
    stiff = np.linspace(800, 3000, 17)
    soft = thermal_corrections(np.r_[20.0, stiff], ethane, raise_below_cm=100)
    np.testing.assert_array_equal(soft, thermal_corrections(np.r_[100.0, stiff], ethane))
    untouched = thermal_corrections(np.r_[20.0, stiff], ethane)
    assert untouched[1] > soft[1] + 1e-4
    noise = thermal_corrections(np.r_[-3.0, stiff], ethane, raise_below_cm=100)
    np.testing.assert_array_equal(noise, soft)


def test_a_triplet_has_the_entropy_of_its_three_states():
    oxygen = Atoms("O2", positions=[(0, 0, 0), (0, 0, 1.2075)])
    found = thermal_corrections(np.array([1556.0]), oxygen, symmetry_number=2, multiplicity=3)
    assert found[1] / J_PER_MOL_K == pytest.approx(205.152, abs=0.2)  # CODATA


def test_what_is_held_or_periodic_has_vibrations_alone():
    wavenumbers = np.linspace(100, 460, 21)
    crystal = bulk("Si", cubic=True)
    quantum, kT = wavenumbers * units.invcm, units.kB * 298.15
    free = (0.5 * quantum + kT * np.log(1 - np.exp(-quantum / kT))).sum()
    found = thermal_corrections(wavenumbers, crystal)
    assert found[2] == pytest.approx(free, abs=1e-12)
    held = Atoms("H2O", positions=molecule("H2O").positions, constraint=FixAtoms([0]))
    few = thermal_corrections(np.array([300.0, 900, 1600]), held)
    free_to_move = thermal_corrections(np.array([300.0, 900, 1600]), molecule("H2O"))
    assert few[1] < free_to_move[1] - 1e-3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"temperature_K": 0}, "temperature_K must be above 0"),
        ({"pressure_bar": -1}, "pressure_bar must be above 0"),
        ({"multiplicity": 0}, "multiplicity must be a whole number of at least 1"),
        ({"symmetry_number": 1.5}, "symmetry_number must be a whole number of at least 1"),
        ({"wavenumber_cm": np.array([-300.0, 900, 1600])}, "a mode of -300 cm⁻¹ is no vibration"),
        ({"wavenumber_cm": np.array([-3.0, 900, 1600])}, "a mode of -3 cm⁻¹ is no vibration"),
        (
            {"wavenumber_cm": np.array([-300.0, 900, 1600]), "raise_below_cm": 100},
            "only a minimum has a free energy",
        ),
    ],
)
def test_impossible_conditions_are_refused(change, message):
    arguments = {"wavenumber_cm": np.array([800.0, 900, 1600]), "atoms": molecule("H2O")} | change
    with pytest.raises(ValueError, match=message):
        thermal_corrections(**arguments)


def test_a_mode_can_be_watched_for_one_period():
    water = molecule("H2O")
    steps = np.zeros((1, 3, 3))
    steps[0, 1] = [0.0, 0.6, 0.8]
    steps[0, 0] = [0.0, 0.0, -0.1]
    modes = NormalModes(np.array([1600.0]), None, ("",), steps, structure=water)
    frames = modes.animation(0, n_frames=8, reach_Ang=0.2)
    assert len(frames) == 8
    np.testing.assert_array_equal(frames[0].positions, water.positions)
    moved = np.linalg.norm(frames[2].positions - water.positions, axis=1)
    np.testing.assert_allclose(moved, [0.02, 0.2, 0.0], atol=1e-12)
    np.testing.assert_allclose(
        frames[2].positions + frames[6].positions, 2 * water.positions, atol=1e-12
    )
    assert frames[0].info["wavenumber_cm"] == 1600
    with pytest.raises(ValueError, match="compute them anew"):
        NormalModes(np.array([1600.0]), None, ("",)).animation(0)

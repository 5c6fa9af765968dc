"""Constant pressure: the pressure that is reached, what is conserved, what is refused."""

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from ase.constraints import FixAtoms
from factory import one_member

from ase_schnet.dynamics.md import run_npt, run_nve
from ase_schnet.runs.drift import drift
from ase_schnet.runs.record import MDRecord


def silicon() -> Atoms:
    atoms = bulk("Si", cubic=True)
    atoms.calc = one_member("silicon")
    return atoms


OPTIONS = {"time_ps": 6, "timestep_fs": 3, "pressure_time_constant_fs": 200, "record_every": 2}


@pytest.mark.slow
@pytest.mark.parametrize("full_cell", [False, True], ids=["isotropic", "full cell"])
def test_mean_pressure_and_temperature_are_those_asked_for(full_cell):
    record = run_npt(silicon(), temperature_K=500, pressure_GPa=2, full_cell=full_cell, **OPTIONS)
    later = record.time_fs > 1000
    assert record.n_degrees_of_freedom == 21
    assert record.temperature_K[later].mean() == pytest.approx(500, rel=0.1)
    assert record.pressure_GPa[later].mean() == pytest.approx(2, abs=0.3)
    verdict = drift(record)
    assert not verdict.reasons, verdict
    assert np.ptp(record.conserved_energy_eV) < 0.05 * np.ptp(record.total_energy_eV)


@pytest.mark.slow
def test_pressure_squeezes_the_crystal_and_the_shape_changes_only_where_it_may():
    squeezed, stretched, sheared = silicon(), silicon(), silicon()
    volumes = []
    for atoms, pressure_GPa in ((squeezed, 5), (stretched, -5)):
        record = run_npt(atoms, temperature_K=300, pressure_GPa=pressure_GPa, **OPTIONS)
        volumes.append(record.volume_Ang3[record.time_fs > 1000].mean())
        np.testing.assert_allclose(atoms.cell.angles(), 90, atol=1e-9)
        np.testing.assert_allclose(atoms.cell.lengths(), atoms.cell.lengths()[0])
        assert record.volume_Ang3[-1] == pytest.approx(atoms.get_volume())
    # bulk modulus of silicon: about 100 GPa
    assert np.log(volumes[1] / volumes[0]) == pytest.approx(10 / 100, rel=0.3)
    run_npt(sheared, temperature_K=300, full_cell=True, time_ps=0.3, timestep_fs=3)
    assert np.abs(sheared.cell.angles() - 90).max() > 0.01


def test_pressure_is_that_of_the_virial_theorem(tmp_path):
    """Recorded wherever the forces bring the stress along; -dE/dV and the ideal gas as the reference."""
    atoms = silicon()
    record = run_nve(atoms, temperature_K=600, time_ps=0.03, timestep_fs=1, run_dir=tmp_path / "r")
    energies = []
    for factor in (1.0001, 0.9999):
        scaled = atoms.copy()
        scaled.set_cell(atoms.cell * factor, scale_atoms=True)
        scaled.calc = atoms.calc
        energies.append((scaled.get_volume(), scaled.get_potential_energy()))
    (v1, e1), (v2, e2) = energies
    expected = -(e1 - e2) / (v1 - v2) + 2 / 3 * atoms.get_kinetic_energy() / atoms.get_volume()
    assert record.pressure_GPa[-1] * units.GPa == pytest.approx(expected, rel=1e-4)
    copy = MDRecord.read(tmp_path / "r")
    np.testing.assert_array_equal(copy.pressure_GPa, record.pressure_GPa)
    assert record.volume_Ang3 is None


def test_structures_and_arguments_that_make_no_run():
    frozen, slab, no_stress = silicon(), silicon(), silicon()
    frozen.set_constraint(FixAtoms([0]))
    slab.pbc = (True, True, False)

    class NoStress(MorsePotential):
        implemented_properties = ("energy", "forces")

    no_stress.calc = NoStress()
    gas = molecule("CH3CH2OH", calculator=EMT())
    for atoms, message in (
        (gas, "periodic in all three directions"),
        (slab, "periodic in all three directions"),
        (frozen, "does not go with constraints"),
        (no_stress, "needs a stress, which NoStress does not have: use run_nvt"),
    ):
        with pytest.raises(ValueError, match=message):
            run_npt(atoms, temperature_K=300, time_ps=0.1)
    for arguments, message in (
        ({"pressure_GPa": float("nan")}, "pressure_GPa must be a finite number"),
        ({"temperature_K": -1}, "temperature_K must be above 0"),
        ({"pressure_time_constant_fs": 0}, "pressure_time_constant_fs must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            run_npt(silicon(), **{"temperature_K": 300, "time_ps": 0.1} | arguments)

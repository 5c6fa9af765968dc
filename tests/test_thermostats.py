"""Constant temperature: the ensemble that is sampled, for every thermostat that is offered."""

import numpy as np
import physical_validation
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.morse import MorsePotential
from ase.constraints import FixAtoms, FixBondLength
from physical_validation.data import (
    EnsembleData,
    ObservableData,
    SimulationData,
    SystemData,
    UnitData,
)

from ase_schnet import SchNetCalculator
from ase_schnet.simulation.drift import drift
from ase_schnet.simulation.integrators import STEPS_BETWEEN_REMOVALS
from ase_schnet.simulation.md import MDRecord, run_nve, run_nvt
from ase_schnet.simulation.thermostats import BussiNVT
from ase_schnet.simulation.velocities import thermalise

UNITS = UnitData(
    kb=units.kB,
    energy_str="eV",
    energy_conversion=96.485,
    length_str="Å",
    length_conversion=0.1,
    volume_str="Å³",
    volume_conversion=1e-3,
    temperature_str="K",
    temperature_conversion=1,
    pressure_str="GPa",
    pressure_conversion=1e4,
    time_str="fs",
    time_conversion=1e-3,
)


#: Standard deviations. Dynamics is chaotic: another processor draws another sample.
LIMIT = 4


def ethanol() -> Atoms:
    return molecule("CH3CH2OH", calculator=SchNetCalculator("ethanol"))


def as_simulation(record: MDRecord, temperature_K: float, equilibration=0.2) -> SimulationData:
    """What physical_validation knows of a run, without its start."""
    keep = slice(int(equilibration * len(record)), None)
    n_atoms, n_dof = record.n_atoms, record.n_degrees_of_freedom
    energies = (record.potential_energy_eV, record.kinetic_energy_eV, record.conserved_energy_eV)
    potential, kinetic, conserved = (energy[keep] for energy in energies)
    return SimulationData(
        units=UNITS,
        dt=record.timestep_fs,
        ensemble=EnsembleData("NVT", natoms=n_atoms, volume=1.0, temperature=temperature_K),
        system=SystemData(
            natoms=n_atoms,
            nconstraints=0,
            ndof_reduction_tra=0,
            ndof_reduction_rot=3 * n_atoms - n_dof,
        ),
        observables=ObservableData(
            kinetic_energy=kinetic,
            potential_energy=potential,
            total_energy=potential + kinetic,
            constant_of_motion=conserved,
            volume=np.ones(len(kinetic)),
        ),
    )


# --- the ensemble -------------------------------------------------------------------------------


@pytest.mark.parametrize("thermostat", ["bussi", "langevin"])
def test_kinetic_energy_of_ethanol_has_the_canonical_distribution(thermostat):
    """Mean and width; that ASE counts 27 degrees of freedom where 21 move would be off by 29 %."""
    record = run_nvt(
        ethanol(),
        temperature_K=300,
        thermostat=thermostat,
        time_constant_fs=30,
        time_ps=6,
        record_every=10,
    )
    assert record.n_degrees_of_freedom == {"bussi": 21, "langevin": 27}[thermostat]
    mean, width = physical_validation.kinetic_energy.distribution(
        as_simulation(record, 300), verbosity=0, bootstrap_seed=0
    )
    assert mean < LIMIT
    assert width < LIMIT
    assert not drift(record).reasons


@pytest.mark.filterwarnings("ignore:a Nosé-Hoover chain mixes")
@pytest.mark.parametrize("thermostat", ["bussi", "langevin", "nose-hoover"])
def test_kinetic_energy_of_a_crystal_has_the_canonical_distribution(thermostat):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.calc = SchNetCalculator("silicon")
    options = {"time_ps": 12, "timestep_fs": 3, "record_every": 4, "time_constant_fs": 25}
    record = run_nvt(atoms, temperature_K=800, thermostat=thermostat, **options)
    assert record.n_degrees_of_freedom == (24 if thermostat == "langevin" else 21)
    mean, width = physical_validation.kinetic_energy.distribution(
        as_simulation(record, 800), verbosity=0, bootstrap_seed=0
    )
    assert mean < LIMIT
    assert width < LIMIT
    assert not drift(record).reasons


def test_ratio_of_two_temperatures_is_that_of_boltzmann():
    """Potential energies at T1 and T2 overlap as exp(-E (1/kT1 - 1/kT2)) says: Merz & Shirts."""
    runs = []
    for seed, temperature_K in enumerate((300, 360)):
        record = run_nvt(
            ethanol(),
            temperature_K=temperature_K,
            time_constant_fs=30,
            time_ps=6,
            record_every=10,
            seed=seed,
        )
        runs.append(as_simulation(record, temperature_K))
    (deviation,) = physical_validation.ensemble.check(*runs, verbosity=0, bootstrap_seed=0)
    assert deviation < LIMIT


def test_energy_fluctuation_at_constant_energy_falls_with_the_square_of_the_step():
    runs = []
    for timestep_fs in (1.0, 0.5, 0.25):
        record = run_nve(ethanol(), time_ps=0.5, timestep_fs=timestep_fs, temperature_K=300)
        runs.append(as_simulation(record, 300, equilibration=0))
    assert physical_validation.integrator.convergence(runs, verbose=False) < 0.1


# --- what is conserved --------------------------------------------------------------------------


@pytest.mark.parametrize("thermostat", ["bussi", "langevin"])
def test_conserved_energy_counts_the_heat(thermostat):
    """The total energy wanders by more than 1 eV; less the heat it is as still as without thermostat."""
    record = run_nvt(
        ethanol(), temperature_K=500, thermostat=thermostat, time_constant_fs=30, time_ps=1
    )
    assert np.ptp(record.total_energy_eV) > 0.3
    assert record.conserved_energy_eV.std() < 0.005


@pytest.mark.parametrize(("speed", "is_removed"), [(1e-7, True), (1e-3, False)])
def test_overall_motion_is_removed_if_it_may_be_rounding_and_left_to_be_seen_otherwise(
    speed, is_removed
):
    """A rescaling thermostat lets what rounding leaves grow without limit: a flying ice cube."""
    atoms = ethanol()
    thermalise(atoms, 300, seed=0)
    atoms.set_velocities(atoms.get_velocities() + np.array([speed, 0, 0]))
    thermostat = {"temperature_K": 300, "time_constant_fs": 100}
    integrator = BussiNVT(atoms, 0.5, 21, np.random.default_rng(0), **thermostat)
    for number in range(1, STEPS_BETWEEN_REMOVALS + 1):
        integrator.step(number)
    left = np.linalg.norm(atoms.get_momenta().sum(axis=0)) / atoms.get_masses().sum()
    assert left < 1e-15 if is_removed else left > 0.1 * speed


def test_langevin_starts_with_overall_motion_and_the_others_without():
    for thermostat, moves in (("bussi", False), ("langevin", True)):
        atoms = ethanol()
        run_nvt(atoms, temperature_K=300, thermostat=thermostat, time_ps=0.01)
        assert (np.abs(atoms.get_momenta().sum(axis=0)).max() > 1e-3) == moves


@pytest.mark.filterwarnings("ignore:a Nosé-Hoover chain mixes")
def test_frozen_atoms_stay_and_are_not_counted():
    for thermostat in ("bussi", "langevin", "nose-hoover"):
        atoms = ethanol()
        atoms.set_constraint(FixAtoms([0, 1]))
        start = atoms.get_positions()
        record = run_nvt(atoms, temperature_K=300, thermostat=thermostat, time_ps=0.05)
        assert record.n_degrees_of_freedom == 21
        np.testing.assert_array_equal(atoms.positions[:2], start[:2])
        assert np.abs(atoms.positions - start)[2:].min() > 0


def test_own_momenta_are_kept_but_for_the_overall_motion():
    atoms = ethanol()
    thermalise(atoms, 200, seed=5)
    expected = 2 * atoms.get_kinetic_energy() / 21 / units.kB
    atoms.set_momenta(atoms.get_momenta() + atoms.get_masses()[:, None] * [0.0, 0.01, 0.0])
    record = run_nvt(atoms, temperature_K=300, new_momenta=False, time_ps=0.01)
    assert record.temperature_K[0] == pytest.approx(expected)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"thermostat": "berendsen"}, "no thermostat 'berendsen': there are bussi, langevin"),
        ({"thermostat": "nose-hoover"}, "single molecule.*use thermostat='bussi'"),
        ({"temperature_K": 0}, "temperature_K must be above 0, not 0"),
        ({"temperature_K": float("nan")}, "temperature_K"),
        ({"time_constant_fs": -1}, "time_constant_fs must be above 0, not -1"),
        ({"timestep_fs": -0.5}, "timestep_fs"),
    ],
)
def test_arguments_that_make_no_run(arguments, message):
    with pytest.raises(ValueError, match=message):
        run_nvt(ethanol(), **{"temperature_K": 300, "time_ps": 0.1} | arguments)


def test_structures_that_make_no_run():
    atom = Atoms("Ar", calculator=MorsePotential())
    with pytest.raises(ValueError, match=r"nothing to thermalise.*langevin"):
        run_nvt(atom, temperature_K=300, time_ps=0.1)
    stiff = ethanol()
    stiff.set_constraint(FixBondLength(0, 1))
    with pytest.raises(ValueError, match="does not obey FixBondLengths: use thermostat='bussi'"):
        run_nvt(stiff, temperature_K=300, thermostat="langevin", time_ps=0.1)
    record = run_nvt(stiff, temperature_K=300, time_ps=0.05)
    assert record.n_degrees_of_freedom == 20
    assert stiff.get_distance(0, 1) == pytest.approx(molecule("CH3CH2OH").get_distance(0, 1))

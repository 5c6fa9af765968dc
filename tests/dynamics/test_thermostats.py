"""Constant temperature: the ensemble that is sampled, for every thermostat that is offered."""

import json

import numpy as np
import physical_validation
import pytest
from ase import Atoms, units
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.constraints import FixAtoms, FixBondLength
from factory import one_member
from physical_validation.data import (
    EnsembleData,
    ObservableData,
    SimulationData,
    SystemData,
    UnitData,
)

from ase_schnet.dynamics.integrators import STEPS_BETWEEN_REMOVALS
from ase_schnet.dynamics.md import run_npt, run_nve, run_nvt
from ase_schnet.dynamics.thermostats import BussiNVT
from ase_schnet.dynamics.velocities import thermalise
from ase_schnet.runs.drift import drift
from ase_schnet.runs.record import MDRecord

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
    return molecule("CH3CH2OH", calculator=one_member("ethanol"))


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


def canonical_ethanol(temperature_K: float, thermostat: str, **options) -> MDRecord:
    return run_nvt(
        ethanol(),
        temperature_K=temperature_K,
        thermostat=thermostat,
        time_constant_fs=30,
        time_ps=6,
        record_every=10,
        **options,
    )


@pytest.fixture(scope="module")
def bussi_at_300_K() -> MDRecord:
    return canonical_ethanol(300, "bussi")


@pytest.mark.slow
@pytest.mark.parametrize("thermostat", ["bussi", "langevin"])
def test_kinetic_energy_of_ethanol_has_the_canonical_distribution(thermostat, request):
    """Mean and width; that ASE counts 27 degrees of freedom where 21 move would be off by 29 %."""
    if thermostat == "bussi":
        record = request.getfixturevalue("bussi_at_300_K")
    else:
        record = canonical_ethanol(300, thermostat)
    assert record.n_degrees_of_freedom == {"bussi": 21, "langevin": 27}[thermostat]
    mean, width = physical_validation.kinetic_energy.distribution(
        as_simulation(record, 300), verbosity=0, bootstrap_seed=0
    )
    assert mean < LIMIT
    assert width < LIMIT
    assert not drift(record).reasons


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:a Nosé-Hoover chain mixes")
@pytest.mark.parametrize("thermostat", ["bussi", "langevin", "nose-hoover"])
def test_kinetic_energy_of_a_crystal_has_the_canonical_distribution(thermostat):
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=0)
    atoms.calc = one_member("silicon")
    options = {"time_ps": 12, "timestep_fs": 3, "record_every": 4, "time_constant_fs": 25}
    record = run_nvt(atoms, temperature_K=800, thermostat=thermostat, **options)
    assert record.n_degrees_of_freedom == (24 if thermostat == "langevin" else 21)
    mean, width = physical_validation.kinetic_energy.distribution(
        as_simulation(record, 800), verbosity=0, bootstrap_seed=0
    )
    assert mean < LIMIT
    assert width < LIMIT
    assert not drift(record).reasons


@pytest.mark.slow
def test_ratio_of_two_temperatures_is_that_of_boltzmann(bussi_at_300_K):
    """Potential energies at T1 and T2 overlap as exp(-E (1/kT1 - 1/kT2)) says: Merz & Shirts."""
    hotter = canonical_ethanol(360, "bussi", seed=1)
    runs = [as_simulation(bussi_at_300_K, 300), as_simulation(hotter, 360)]
    (deviation,) = physical_validation.ensemble.check(*runs, verbosity=0, bootstrap_seed=0)
    assert deviation < LIMIT


@pytest.mark.slow
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
    record = run_nvt(atoms, temperature_K=300, keep_momenta=True, time_ps=0.01)
    assert record.temperature_K[0] == pytest.approx(expected)


def test_a_kept_start_is_recognised_on_resume_though_its_overall_motion_was_removed(tmp_path):
    atoms = ethanol()
    thermalise(atoms, 200, seed=5)
    atoms.set_momenta(atoms.get_momenta() + atoms.get_masses()[:, None] * [0.0, 0.01, 0.0])
    for time_ps in (0.01, 0.02):
        start = atoms.copy()
        start.calc = atoms.calc
        record = run_nvt(
            start,
            temperature_K=300,
            keep_momenta=True,
            time_ps=time_ps,
            run_dir=tmp_path,
            resume=True,
        )
    assert len(record) == 41
    other = ethanol()
    thermalise(other, 200, seed=6)
    with pytest.raises(ValueError, match="another structure"):
        run_nvt(
            other, temperature_K=300, keep_momenta=True, time_ps=1, run_dir=tmp_path, resume=True
        )
    with pytest.raises(ValueError, match="keep_momenta was True, now False"):
        run_nvt(start, temperature_K=300, time_ps=1, run_dir=tmp_path, resume=True)


# --- nothing moves ------------------------------------------------------------------------------


def argon(*, pbc=False, fixed=False) -> Atoms:
    atom = Atoms("Ar", cell=[4.0, 4.1, 4.2], pbc=pbc, calculator=LennardJones())
    if fixed:
        atom.set_constraint(FixAtoms([0]))
    return atom


@pytest.mark.filterwarnings("ignore:a Nosé-Hoover chain")
def test_a_single_atom_is_told_what_would_move_it():
    start = {"temperature_K": 300, "time_ps": 0.01}
    for atom, thermostat in [
        (argon(), "bussi"),
        (argon(pbc=True), "bussi"),
        (argon(pbc=[1, 0, 0]), "bussi"),
        (argon(pbc=True), "nose-hoover"),
    ]:
        with pytest.raises(ValueError, match=r"nothing moves: a single atom.*'langevin'.*larger"):
            run_nvt(atom, thermostat=thermostat, **start)
    for full_cell in (False, True):
        with pytest.raises(ValueError, match=r"nothing moves: a single atom.*larger cell"):
            run_npt(argon(pbc=True), full_cell=full_cell, **start)
    moved = argon(pbc=True)
    assert run_nvt(moved, thermostat="langevin", **start).n_degrees_of_freedom == 3


@pytest.mark.parametrize("pbc", [False, True])
def test_a_single_atom_held_is_refused_for_its_constraint(pbc):
    for run in (
        lambda atom: run_nve(atom, time_ps=0.01),
        lambda atom: run_nvt(atom, temperature_K=300, time_ps=0.01),
        lambda atom: run_nvt(atom, temperature_K=300, thermostat="langevin", time_ps=0.01),
    ):
        with pytest.raises(ValueError, match="held by constraints: nothing can move"):
            run(argon(pbc=pbc, fixed=True))


def test_momenta_that_are_kept_must_be_there_and_be_numbers():
    atoms = ethanol()
    with pytest.raises(ValueError, match="nothing moves: the atoms have no momenta to keep"):
        run_nvt(atoms, temperature_K=300, keep_momenta=True, time_ps=0.01)
    atoms.set_momenta(atoms.get_masses()[:, None] * [0.0, 0.02, 0.01])
    with pytest.raises(ValueError, match="or only those of the whole"):
        run_nvt(atoms, temperature_K=300, keep_momenta=True, time_ps=0.01)
    atoms.set_momenta(np.full((9, 3), np.nan))
    with pytest.raises(ValueError, match="momenta that are not finite"):
        run_nve(atoms, keep_momenta=True, time_ps=0.01)
    with pytest.raises(ValueError, match="temperature_K=500 is for drawn momenta"):
        run_nve(ethanol(), temperature_K=500, keep_momenta=True, time_ps=0.01)


# --- ramps of the temperature -------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("thermostat", ["bussi", "langevin"])
def test_on_a_ramp_the_temperature_follows_and_the_conserved_energy_is_conserved(
    tmp_path, thermostat
):
    atoms = bulk("Ar", "fcc", a=5.26, cubic=True)
    atoms.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=5.0, smooth=True)
    options = {"thermostat": thermostat, "time_constant_fs": 50, "timestep_fs": 4, "seed": 1}
    record = run_nvt(
        atoms,
        temperature_K=10,
        temperature_end_K=60,
        time_ps=4,
        run_dir=tmp_path,
        **options,
    )
    settings = json.loads((tmp_path / "run.json").read_text())["settings"]
    assert (settings["temperature_end_K"], settings["ramp_time_ps"]) == (60, 4)
    np.testing.assert_allclose(record.target_temperature_K, np.linspace(10, 60, len(record)))
    np.testing.assert_array_equal(
        MDRecord.read(tmp_path).target_temperature_K, record.target_temperature_K
    )
    late = record.time_fs > 3000
    target_K = record.target_temperature_K[late].mean()
    assert record.temperature_K[late].mean() == pytest.approx(target_K, rel=0.25)
    heat = np.ptp(record.total_energy_eV)
    assert np.ptp(record.conserved_energy_eV) < 0.02 * heat
    assert drift(record).passed


def test_a_ramp_where_it_is_not_followed_or_no_temperature():
    crystal = bulk("Ar", "fcc", a=5.26, cubic=True)
    crystal.calc = LennardJones(sigma=3.4, epsilon=0.0104, rc=5.0, smooth=True)
    ramp = {"temperature_K": 10, "temperature_end_K": 60}
    with pytest.raises(ValueError, match=r"keeps one temperature.*bussi and langevin"):
        run_nvt(crystal, thermostat="nose-hoover", **ramp)
    with pytest.raises(ValueError, match="keeps one temperature"):
        run_npt(crystal, **ramp)
    with pytest.raises(ValueError, match="temperature_end_K must be above 0"):
        run_nvt(crystal, temperature_K=10, temperature_end_K=0)


def test_a_ramp_is_not_extended_nor_continued_as_another(tmp_path):
    ramp = {"temperature_K": 300, "temperature_end_K": 400, "run_dir": tmp_path}
    run_nvt(ethanol(), time_ps=0.01, **ramp)
    with pytest.raises(ValueError, match=r"ramp_time_ps was 0\.01, now 0\.02"):
        run_nvt(ethanol(), time_ps=0.02, resume=True, **ramp)
    with pytest.raises(ValueError, match=r"temperature_end_K was 400\.0, now None"):
        run_nvt(ethanol(), temperature_K=300, time_ps=0.01, run_dir=tmp_path, resume=True)


# --- refusals -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"thermostat": "berendsen"}, "no thermostat 'berendsen': there are bussi, langevin"),
        (
            {"thermostat": "nose-hoover"},
            "single molecule.*use thermostat='bussi' or thermostat='langevin'",
        ),
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
    stiff = ethanol()
    stiff.set_constraint(FixBondLength(0, 1))
    with pytest.raises(ValueError, match="does not obey FixBondLengths: use thermostat='bussi'"):
        run_nvt(stiff, temperature_K=300, thermostat="langevin", time_ps=0.1)
    record = run_nvt(stiff, temperature_K=300, time_ps=0.05)
    assert record.n_degrees_of_freedom == 20
    assert stiff.get_distance(0, 1) == pytest.approx(molecule("CH3CH2OH").get_distance(0, 1))


def test_a_linear_molecule_has_the_degrees_of_freedom_of_one_that_is_bent_a_little():
    """Where a run starts does not matter to it: with no rotation left CO2 bends in one plane, 3N - 6 = 3."""
    records = {}
    for bend_Ang in (0.0, 0.05):
        atoms = molecule("CO2")
        atoms.positions[0, 0] += bend_Ang
        atoms.calc = EMT()
        options = {"temperature_K": 300.0, "time_ps": 0.05, "run_dir": None}
        records[bend_Ang] = run_nvt(atoms, thermostat="bussi", **options)
        assert records[bend_Ang].temperature_K[0] == pytest.approx(300.0, rel=1e-6)
    assert {record.n_degrees_of_freedom for record in records.values()} == {3}
    assert BussiNVT.count_degrees_of_freedom(molecule("H2")) == 1  # which cannot bend

"""Dynamics: velocities, conservation laws, files, resuming, and failing with a message."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from ase.constraints import FixAtoms
from ase.io import read

from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.dynamics.md import run_nve
from ase_schnet.dynamics.velocities import thermalise
from ase_schnet.runs import rundir
from ase_schnet.runs.failures import SimulationFailed, SimulationStopped
from ase_schnet.runs.record import MDRecord


class GivesUp(LennardJones):
    """Fails after some steps, and then also when it is asked for what only frames have."""

    on_request, calls = ("dipole",), 0

    def calculate(self, *args, **kwargs):
        self.calls += 1
        if self.calls > 20:
            raise ValueError("atoms 0 and 1 are in the same place")
        super().calculate(*args, **kwargs)

    def get_property(self, name, *args, **kwargs):
        if name == "dipole":
            if self.calls > 20:
                raise ValueError("no dipole either")
            return np.zeros(3)
        return super().get_property(name, *args, **kwargs)


def test_a_failure_is_noted_although_the_calculator_says_nothing_more(tmp_path):
    atoms = Atoms("Ar2", [(0, 0, 0), (0, 0, 4)], calculator=GivesUp(sigma=3.4, epsilon=0.01))
    with pytest.raises(SimulationFailed, match=r"in the same place.*The last frame is in"):
        run_nve(atoms, time_ps=1, run_dir=tmp_path / "run", temperature_K=30)
    assert "in the same place" in MDRecord.read(tmp_path / "run").failure
    np.testing.assert_array_equal(
        read(tmp_path / "run" / "trajectory.traj").positions, atoms.positions
    )


def test_a_run_without_its_restart_point_is_not_begun_anew(tmp_path):
    atoms = Atoms("Ar2", [(0, 0, 0), (0, 0, 4)], calculator=LennardJones(sigma=3.4, epsilon=0.01))
    run_nve(atoms, time_ps=0.1, run_dir=tmp_path / "run", temperature_K=30)
    log = (tmp_path / "run" / "log.csv").read_bytes()
    (tmp_path / "run" / "restart.npz").unlink()
    with pytest.raises(ValueError, match=r"restart\.npz, from which it would go on, is missing"):
        run_nve(atoms, time_ps=0.2, run_dir=tmp_path / "run", temperature_K=30, resume=True)
    assert (tmp_path / "run" / "log.csv").read_bytes() == log


@pytest.mark.parametrize("name", ["log.csv", "trajectory.traj"])
@pytest.mark.parametrize("left", [None, b""])
def test_a_run_that_has_lost_a_file_is_named(tmp_path, name, left):
    atoms = Atoms("Ar2", [(0, 0, 0), (0, 0, 4)], calculator=LennardJones(sigma=3.4, epsilon=0.01))
    run_nve(atoms, time_ps=0.1, run_dir=tmp_path / "run", temperature_K=30)
    path = tmp_path / "run" / name
    path.unlink() if left is None else path.write_bytes(left)
    with pytest.raises(ValueError, match=f"{name}|is damaged"):
        run_nve(atoms, time_ps=0.2, run_dir=tmp_path / "run", temperature_K=30, resume=True)


def test_momenta_beyond_all_numbers_are_named():
    atoms = Atoms("Ar2", [(0, 0, 0), (0, 0, 4)], calculator=LennardJones())
    atoms.set_momenta([[1e160, 0, 0], [0, 0, 0]])
    with np.errstate(over="ignore"), pytest.raises(SimulationFailed, match="exploded, inf K"):
        run_nve(atoms, time_ps=0.1, temperature_K=None)


SHORT = {"time_ps": 0.1, "timestep_fs": 1.0, "seed": 3}


def cluster() -> Atoms:
    """Six argon-like atoms held by a Morse potential, without any symmetry."""
    positions = [(0, 0, 0), (1.1, 0, 0), (0, 1.2, 0), (0.9, 1, 0.2), (0.5, 0.4, 1), (0.4, 0.6, -1)]
    atoms = Atoms("Ar6", np.multiply(positions, 3.0))
    atoms.calc = MorsePotential(epsilon=0.2, r0=3.3, rho0=5.0, rcut1=18.0, rcut2=20.0)
    return atoms


class Ensemble(MorsePotential):
    """A Morse potential that claims an uncertainty, as an ensemble does."""

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        forces = self.results["forces"]
        self.results |= {"energy_std": 0.01 * forces[0, 0] ** 2, "forces_std": np.abs(forces) / 10}


class BreaksAfter(Calculator):
    """No forces until call ``n``, then what ``failure`` makes of them."""

    implemented_properties = ("energy", "forces")

    def __init__(self, n: int, failure):
        super().__init__()
        self.n, self.failure = n, failure

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.n -= 1
        forces = np.zeros((len(atoms), 3))
        if self.n < 0:
            self.failure(forces)
        self.results = {"energy": 0.0, "forces": forces}


# --- velocities ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (molecule("CH3CH2OH"), 21),
        (molecule("CO2"), 4),
        (molecule("H2"), 1),
        (Atoms("Ar"), 0),
        (bulk("Cu", cubic=True), 9),
        (Atoms("Ar3", np.eye(3), constraint=FixAtoms([0])), 6),
    ],
    ids=["molecule", "linear", "diatomic", "atom", "crystal", "frozen atom"],
)
def test_degrees_of_freedom(atoms, expected):
    assert degrees_of_freedom(atoms) == expected


@pytest.mark.parametrize("name", ["CH3CH2OH", "CO2", "H2"])
def test_start_is_at_the_temperature_and_without_overall_motion(name):
    atoms = molecule(name)
    thermalise(atoms, 300.0, seed=1)
    n_dof = degrees_of_freedom(atoms)
    assert 2 * atoms.get_kinetic_energy() / n_dof == pytest.approx(300 * 8.617333e-5, rel=1e-6)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), 0, atol=1e-13)
    np.testing.assert_allclose(atoms.get_angular_momentum(), 0, atol=1e-12)


def test_seed_decides_the_velocities():
    first, same, other = molecule("H2O"), molecule("H2O"), molecule("H2O")
    for atoms, seed in ((first, 0), (same, 0), (other, 1)):
        thermalise(atoms, 300.0, seed)
    np.testing.assert_array_equal(first.get_momenta(), same.get_momenta())
    assert not np.allclose(first.get_momenta(), other.get_momenta())


# --- conservation laws --------------------------------------------------------------------------


def test_momentum_and_angular_momentum_are_conserved():
    atoms = cluster()
    thermalise(atoms, 200.0, seed=0)
    atoms.set_momenta(atoms.get_momenta() + atoms.get_masses()[:, None] * [0.01, 0, -0.02])
    momentum, angular = atoms.get_momenta().sum(axis=0), atoms.get_angular_momentum()
    run_nve(atoms, keep_momenta=True, time_ps=1.0, timestep_fs=2.0)
    np.testing.assert_allclose(atoms.get_momenta().sum(axis=0), momentum, atol=1e-10)
    np.testing.assert_allclose(atoms.get_angular_momentum(), angular, atol=1e-9)


def test_reversed_in_time_the_run_comes_back():
    atoms = cluster()
    start = atoms.get_positions()
    run_nve(atoms, time_ps=0.5, timestep_fs=2.0)
    atoms.set_momenta(-atoms.get_momenta())
    run_nve(atoms, keep_momenta=True, time_ps=0.5, timestep_fs=2.0)
    np.testing.assert_allclose(atoms.positions, start, atol=1e-9)


def test_record_is_the_energy_of_the_atoms():
    atoms = cluster()
    record = run_nve(atoms, record_every=10, **SHORT)
    np.testing.assert_array_equal(record.time_fs, np.arange(0, 101, 10))
    assert record.temperature_K[0] == pytest.approx(300)
    assert record.total_energy_eV[-1] == pytest.approx(atoms.get_total_energy(), abs=1e-14)
    assert record.n_atoms == 6
    assert record.n_degrees_of_freedom == 12
    assert record.energy_std_eV is None
    assert record.first(0.05).time_fs[-1] == 50


def test_a_single_atom_runs():
    atoms = Atoms("Ar", calculator=LennardJones())
    assert (run_nve(atoms, **SHORT).temperature_K == 0).all()


# --- what is written ----------------------------------------------------------------------------


def test_log_reads_back_to_the_same_bits(tmp_path):
    record = run_nve(cluster(), run_dir=tmp_path / "run", **SHORT)
    copy = MDRecord.read(tmp_path / "run")
    for name in ("time_fs", "potential_energy_eV", "kinetic_energy_eV", "temperature_K"):
        np.testing.assert_array_equal(getattr(copy, name), getattr(record, name))
    assert (copy.timestep_fs, copy.n_atoms, copy.n_degrees_of_freedom) == (1.0, 6, 12)
    record.write_csv(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "run" / "log.csv").read_bytes()


def test_trajectory_keeps_momenta_and_uncertainties(tmp_path):
    atoms = cluster()
    atoms.calc = Ensemble(epsilon=0.2, r0=3.3, rho0=5.0)
    record = run_nve(atoms, run_dir=tmp_path / "run", trajectory_every=25, **SHORT)
    frames = read(tmp_path / "run" / "trajectory.traj", index=":")
    assert [frame.info["step"] for frame in frames] == [0, 25, 50, 75, 100]
    last = frames[-1]
    np.testing.assert_array_equal(last.get_momenta(), atoms.get_momenta())
    np.testing.assert_array_equal(last.get_forces(), atoms.get_forces())
    assert last.get_potential_energy() == record.potential_energy_eV[-1]
    assert last.info["energy_std"] == record.energy_std_eV[-1]
    assert np.max(last.info["forces_std"]) == record.max_forces_std_eV_per_Ang[-1]
    assert last.info["forces_std"].shape == (6, 3)


def test_run_names_its_model(tmp_path):
    atoms = cluster()
    atoms.calc.model_info = {"sha256": "c0ffee"}
    run_nve(atoms, run_dir=tmp_path / "run", **SHORT)
    assert "c0ffee" in (tmp_path / "run" / "run.json").read_text()


# --- resuming (after a kill: test_resume) --------------------------------------------------------


def test_ctrl_c_keeps_the_run_and_resume_goes_on(tmp_path):
    atoms = cluster()
    calculate, calls = atoms.calc.calculate, iter(range(61))

    def interrupted(*args, **kwargs):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        calculate(*args, **kwargs)

    atoms.calc.calculate = interrupted
    with pytest.raises(KeyboardInterrupt):
        run_nve(atoms, run_dir=tmp_path / "a", **SHORT)
    assert rundir.State.read(tmp_path / "a" / "restart.npz").step == 60
    atoms.calc = cluster().calc  # the same atoms, as in a notebook
    run_nve(atoms, run_dir=tmp_path / "a", resume=True, **SHORT)
    run_nve(cluster(), run_dir=tmp_path / "b", **SHORT)
    assert (tmp_path / "a" / "log.csv").read_bytes() == (tmp_path / "b" / "log.csv").read_bytes()


def test_a_finished_run_can_be_extended(tmp_path):
    run_nve(cluster(), run_dir=tmp_path / "a", **SHORT)
    longer = SHORT | {"time_ps": 0.15}
    run_nve(cluster(), run_dir=tmp_path / "a", resume=True, **longer)
    run_nve(cluster(), run_dir=tmp_path / "b", **longer)
    assert (tmp_path / "a" / "log.csv").read_bytes() == (tmp_path / "b" / "log.csv").read_bytes()
    with pytest.raises(ValueError, match=r"already 0\.15 ps long"):
        run_nve(cluster(), run_dir=tmp_path / "a", resume=True, **SHORT)


def test_a_run_is_not_overwritten_nor_mixed_with_another(tmp_path):
    run_dir = tmp_path / "run"
    run_nve(cluster(), run_dir=run_dir, resume=True, **SHORT)  # nothing there: starts
    with pytest.raises(ValueError, match="--resume"):
        run_nve(cluster(), run_dir=run_dir, **SHORT)
    with pytest.raises(ValueError, match=r"seed was 3, now 4"):
        run_nve(cluster(), run_dir=run_dir, resume=True, **SHORT | {"seed": 4})
    moved = cluster()
    moved.rattle(0.01)
    with pytest.raises(ValueError, match="another structure"):
        run_nve(moved, run_dir=run_dir, resume=True, **SHORT)
    stiffer = cluster()
    stiffer.calc.parameters.epsilon = 0.3
    with pytest.raises(ValueError, match="another calculator"):
        run_nve(stiffer, run_dir=run_dir, resume=True, **SHORT)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.png").touch()
    with pytest.raises(ValueError, match="holds no run"):
        run_nve(cluster(), run_dir=tmp_path / "photos", resume=True, **SHORT)


@pytest.mark.parametrize("name", ["restart.npz", "run.json", "log.csv"])
def test_a_damaged_run_directory_is_named(tmp_path, name):
    run_nve(cluster(), run_dir=tmp_path, **SHORT)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=name):
        run_nve(cluster(), run_dir=tmp_path, resume=True, **SHORT)


def test_reading_what_is_no_run_directory(tmp_path):
    with pytest.raises(ValueError, match="no run directory"):
        MDRecord.read(tmp_path)


# --- failing ------------------------------------------------------------------------------------


def nan_on_two(forces):
    forces[1:3, 0] = np.nan


def kick(forces):
    forces[2] = 1e4


def give_up(forces):
    raise RuntimeError("no convergence")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (nan_on_two, r"step 10 \(0.01 ps\): forces or momenta are not finite on He1, Li2\b"),
        (kick, r"step 10 \(0.01 ps\): exploded, \d+ K after a start at 300 K; .* are Li2"),
        (give_up, r"step 10 \(0.01 ps\): the calculator failed: no convergence"),
    ],
    ids=["NaN forces", "explosion", "calculator"],
)
def test_failing_run_names_step_and_atoms_and_keeps_the_last_frame(tmp_path, failure, message):
    atoms = Atoms("HHeLi", 3.0 * np.eye(3), calculator=BreaksAfter(10, failure))
    with pytest.raises(SimulationFailed, match=message) as caught:
        run_nve(atoms, run_dir=tmp_path / "run", **SHORT)
    assert str(tmp_path / "run" / "trajectory.traj") in str(caught.value)
    last = read(tmp_path / "run" / "trajectory.traj")
    np.testing.assert_array_equal(last.positions, atoms.positions)
    assert last.info["step"] == 10
    assert len(MDRecord.read(tmp_path / "run")) == 10


def test_failing_run_without_directory_says_the_same():
    atoms = Atoms("HHeLi", 3.0 * np.eye(3), calculator=BreaksAfter(10, nan_on_two))
    with pytest.raises(SimulationFailed, match=r"not finite on He1, Li2$"):
        run_nve(atoms, **SHORT)


class Watch:
    """A monitor that writes down its calls and stops the run at one of them."""

    every = 4

    def __init__(self, stop_at: int = 10**9):
        self.stop_at, self.seen = stop_at, []

    def start(self, atoms, directory, step):
        self.directory, self.began = directory, step

    def check(self, atoms, step, time_fs, temperature_K):
        self.seen.append((step, time_fs, temperature_K))
        if step == self.stop_at:
            raise SimulationStopped(f"step {step}: seen enough")


def test_monitor_is_asked_and_may_stop_the_run_which_can_be_resumed_without_it(tmp_path):
    watch = Watch()
    record = run_nve(cluster(), monitor=watch, **SHORT)
    assert (watch.began, watch.directory) == (0, None)
    assert [step for step, _, _ in watch.seen] == list(range(0, 101, 4))
    assert watch.seen[2] == (8, 8.0, record.temperature_K[8])

    watch, atoms = Watch(stop_at=36), cluster()
    with pytest.raises(
        SimulationStopped, match=r"step 36: seen enough\. The last frame is in"
    ) as stop:
        run_nve(atoms, run_dir=tmp_path / "a", monitor=watch, trajectory_every=12, **SHORT)
    assert watch.directory == tmp_path / "a"
    assert stop.value.record.failure == MDRecord.read(tmp_path / "a").failure
    steps = [frame.info["step"] for frame in read(tmp_path / "a" / "trajectory.traj", index=":")]
    assert steps == [0, 12, 24, 36]
    options = SHORT | {"trajectory_every": 12}
    again = Watch()
    run_nve(cluster(), run_dir=tmp_path / "a", resume=True, monitor=again, **options)
    assert again.began == 30
    assert again.seen[0][0] == 32
    run_nve(cluster(), run_dir=tmp_path / "b", **options)
    assert (tmp_path / "a" / "log.csv").read_bytes() == (tmp_path / "b" / "log.csv").read_bytes()
    assert MDRecord.read(tmp_path / "a").failure is None
    assert len(read(tmp_path / "a" / "trajectory.traj", index=":")) == 9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"timestep_fs": -0.5}, "timestep_fs"),
        ({"timestep_fs": 11}, "timestep_fs"),
        ({"timestep_fs": float("nan")}, "timestep_fs"),
        ({"time_ps": 0.0001}, "at least one step"),
        ({"time_ps": -1}, "at least one step"),
        ({"time_ps": float("inf")}, "at least one step"),
        ({"temperature_K": -300}, "temperature_K"),
        ({"record_every": 0}, "record_every"),
        ({"trajectory_every": 2.5}, "trajectory_every"),
        ({"seed": -1}, "seed"),
    ],
)
def test_arguments_that_make_no_run(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        run_nve(cluster(), run_dir=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_structures_that_make_no_run():
    lost = cluster()
    lost.positions[0] = np.nan
    frozen = cluster()
    frozen.set_constraint(FixAtoms(range(6)))
    for atoms, message in (
        (Atoms(), "no atoms"),
        (Atoms("Ar"), "no calculator"),
        (lost, "not finite"),
        (frozen, "nothing can move"),
    ):
        with pytest.raises(ValueError, match=message):
            run_nve(atoms)


def test_a_coarse_step_for_hydrogen_warns():
    atoms = Atoms("H2", [(0, 0, 0), (0, 0, 1.1)], calculator=MorsePotential(r0=1.0, rho0=2.0))
    with pytest.warns(UserWarning, match="coarse for hydrogen"):
        run_nve(atoms, time_ps=0.01, timestep_fs=2.0)


def test_progress_is_shown_only_where_asked_or_on_a_terminal(capsys):
    run_nve(cluster(), **SHORT)
    assert capsys.readouterr().err == ""
    run_nve(cluster(), progress=True, **SHORT)
    shown = capsys.readouterr().err
    assert "ps/day" in shown
    assert "meV/atom" in shown

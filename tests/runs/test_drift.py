"""The verdict on energy conservation: passes what is sound, fails what is not and says why."""

import dataclasses
import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.emt import EMT
from ase.calculators.lj import LennardJones
from ase.calculators.morse import MorsePotential
from factory import one_member
from scipy.signal import lfilter

from ase_schnet import SchNetCalculator
from ase_schnet.dynamics.check import check_nve
from ase_schnet.dynamics.md import run_nve, run_nvt
from ase_schnet.runs.drift import drift
from ase_schnet.runs.force_scale import force_scale
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.timeseries import jump_time, slope_error, walk_slope_error

MORSE = MorsePotential(epsilon=5.0, r0=1.1, rho0=2.8)
ARGON = {"sigma": 3.4, "epsilon": 0.0104, "rc": 6.5}


def copper() -> Atoms:
    atoms = bulk("Cu", cubic=True)
    atoms.rattle(0.1, seed=0)  # so that anharmonicity is felt
    atoms.calc = EMT()
    return atoms


def argon(calculator) -> Atoms:
    """A hot dense drop of 13 atoms, whose pairs cross every distance around the cutoff."""
    corners = np.array([(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)])
    faces = np.array([(x, 0, 0) for x in (-2, 2)] + [(0, y, 0) for y in (-2, 2)])
    return Atoms("Ar13", 2.3 * np.vstack([corners, faces, [(0, 0, 0)]]), calculator=calculator)


class Modified(Calculator):
    """Another calculator's energy and forces after ``change(energy, forces, positions)``."""

    implemented_properties = ("energy", "forces")

    def __init__(self, calculator, change):
        super().__init__()
        self.calculator, self.change = calculator, change

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.calculator.calculate(atoms, ("energy", "forces"), all_changes)
        energy, forces = (self.calculator.results[name] for name in ("energy", "forces"))
        energy, forces = self.change(energy, forces, atoms.positions)
        self.results = {"energy": energy, "forces": forces}


class Truncated(Calculator):
    """Lennard-Jones cut off at 1.5 sigma without a shift: each crossing is a jump of 3 meV."""

    implemented_properties = ("energy", "forces")

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        lines = atoms.positions[:, None] - atoms.positions  # (N, N, 3)
        r = np.linalg.norm(lines, axis=-1) + 1e6 * np.eye(len(atoms))
        sixth = np.where(r < 1.5 * 3.4, (3.4 / r) ** 6, 0.0)
        slope = 24 * 0.0104 * (2 * sixth**2 - sixth) / r**2
        self.results = {
            "energy": float(0.5 * np.sum(4 * 0.0104 * (sixth**2 - sixth))),
            "forces": np.einsum("ij,ijk->ik", slope, lines),
        }


def series(energy_meV: np.ndarray, time_ps: float = 10.0) -> MDRecord:
    """A record of one atom with this total energy and a kinetic energy spread of 10 meV."""
    n = len(energy_meV)
    kinetic = 0.05 + 0.01 * np.sqrt(2) * np.sin(0.1 * np.arange(n))
    return MDRecord(
        time_fs=np.linspace(0, 1000 * time_ps, n),
        potential_energy_eV=energy_meV / 1000 - kinetic,
        kinetic_energy_eV=kinetic,
        temperature_K=kinetic,
        energy_std_eV=None,
        max_forces_std_eV_per_Ang=None,
        timestep_fs=1000 * time_ps / (n - 1),
        n_atoms=1,
        n_degrees_of_freedom=3,
    )


def correlated_noise(n: int, r: float, seed: int) -> np.ndarray:
    """An AR(1) process of unit innovations, from its stationary state."""
    white = np.random.default_rng(seed).standard_normal(n + 1000)
    return lfilter([1], [1, -r], white)[1000:]


# --- figures ------------------------------------------------------------------------------------


def test_figures_of_a_known_series():
    n = 4001
    wave = np.sin(0.7 * np.arange(n))
    verdict = drift(series(0.05 * np.linspace(0, 10, n) + 0.2 * wave))
    assert verdict.drift_meV_per_atom_per_ps == pytest.approx(0.05, abs=1e-4)
    assert verdict.rms_fluctuation_meV_per_atom == pytest.approx(0.2 / np.sqrt(2), rel=1e-3)
    assert verdict.max_deviation_over_kinetic_std == pytest.approx(0.07, rel=0.02)
    assert verdict.time_ps == pytest.approx(10)
    assert verdict.timestep_ratio is None
    assert verdict.reasons[0].startswith("the total energy drifts by +0.05")
    assert str(verdict).splitlines()[-1].startswith("FAIL: the total energy drifts")


@pytest.mark.parametrize("r", [-0.5, 0.0, 0.9, 0.98])
def test_two_standard_errors_hold_the_true_slope_in_95_of_100_cases(r):
    x = np.arange(4000.0)
    slopes, errors = [], []
    for seed in range(300):
        y = 1e-3 * x + correlated_noise(len(x), r, seed)
        slopes.append(np.polyfit(x, y, 1)[0])
        errors.append(slope_error(x, y))
    held = np.mean(np.abs(np.array(slopes) - 1e-3) < 2 * np.array(errors))
    assert 0.91 < held < 0.985  # 95 % and three standard errors of 300 trials


def test_an_energy_that_swings_as_slowly_as_the_run_is_long_does_not_drift():
    """A bounded error of the integrator, of which a short run sees a swing or two."""
    time_ps = np.linspace(0, 1, 2001)
    fast = 0.1 * np.sin(900 * time_ps)
    outcomes = set()
    for phase in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        for period_ps in (0.5, 0.7, 1.0):
            swing = 0.03 * np.sin(2 * np.pi * time_ps / period_ps + phase)
            outcomes.add(drift(series(swing + fast, time_ps=1.0)).outcome)
    assert outcomes <= {"PASS", "INCONCLUSIVE"}
    assert drift(series(0.1 * time_ps + fast, time_ps=1.0)).outcome == "FAIL"


@pytest.mark.slow
def test_methanol_of_one_picosecond_does_not_fail_and_its_longer_run_passes():
    """Seed 0 gains -0.04 meV/atom in its first picosecond, and nothing in five."""
    atoms = molecule("CH3OH", calculator=one_member("methanol"))
    record = run_nve(atoms, temperature_K=300, time_ps=5, seed=0)
    short = drift(record.first(1.0))
    assert abs(short.drift_meV_per_atom_per_ps) > 0.03
    assert short.outcome == "INCONCLUSIVE"
    assert drift(record).passed


def test_two_standard_errors_hold_the_slope_of_a_random_walk():
    """What a thermostat does: the integrator's error accumulates by chance."""
    x = np.arange(4000.0)
    held = []
    for seed in range(300):
        y = 1e-2 * x + np.cumsum(np.random.default_rng(seed).standard_normal(len(x)))
        held.append(abs(np.polyfit(x, y, 1)[0] - 1e-2) < 2 * walk_slope_error(x, y))
    assert 0.91 < np.mean(held) < 0.985


def test_a_drift_that_may_be_noise_is_neither_passed_nor_failed():
    noise = 0.1 * correlated_noise(2000, 0.99, seed=4)
    verdict = drift(series(noise))
    assert abs(verdict.drift_meV_per_atom_per_ps) > 0.01
    assert verdict.outcome == "INCONCLUSIVE"
    assert not verdict.passed
    assert verdict.reasons == ()
    assert re.search(
        r"may or may not exceed 0\.01: a run of about \d+ ps would decide", str(verdict)
    )


def test_the_time_that_would_tell_does():
    for seed in range(5):
        noise = 0.05 * correlated_noise(200_000, 0.99, seed)
        verdict = drift(series(noise[:1000], time_ps=5))
        assert verdict.outcome == "INCONCLUSIVE"
        time_ps = float(re.search("about ([0-9]+) ps", str(verdict))[1])
        longer = drift(series(noise[: int(200 * time_ps)], time_ps=time_ps))
        assert longer.passed, longer


@pytest.mark.parametrize("size", [0.5, 50.0])
def test_one_jump_is_found_and_smooth_series_have_none(size):
    t = np.linspace(0, 10, 4000)
    rng = np.random.default_rng(0)
    smooth = np.sin(300 * t) * (1 + 0.5 * np.sin(3 * t)) * 0.1
    collision = smooth + 5 * np.exp(-(((t - 3) / 0.02) ** 2))
    assert jump_time(t, smooth) is None
    assert jump_time(t, collision) is None
    assert jump_time(t, 0.1 * rng.standard_normal(4000)) is None
    assert jump_time(t, smooth + size * (t > 6.2)) == pytest.approx(6.2, abs=0.01)


def test_an_energy_jump_fails_and_is_dated():
    smooth = 0.1 * np.sin(0.3 * np.arange(4001))
    record = series(smooth + 0.5 * (np.arange(4001) > 2000))
    verdict = drift(record)
    assert verdict.jump_ps == pytest.approx(5, abs=0.01)
    assert any("jumps at 5" in reason for reason in verdict.reasons)


def test_energy_that_wanders_as_much_as_the_kinetic_energy_fails():
    verdict = drift(series(12 * np.sin(np.linspace(0, 6 * np.pi, 4001))))
    assert verdict.max_deviation_over_kinetic_std == pytest.approx(1.2, rel=0.01)
    assert any("times the spread of the kinetic energy" in reason for reason in verdict.reasons)


def test_records_that_cannot_be_judged():
    long, other = series(np.zeros(4001)), series(np.ones(4001))
    with pytest.raises(ValueError, match="too short to judge"):
        drift(series(np.zeros(40)))
    for half in (long, dataclasses.replace(other, timestep_fs=long.timestep_fs / 2)):
        with pytest.raises(ValueError, match="not the half-step run"):
            drift(long, half)
    with pytest.raises(ValueError, match="too short to judge"):
        check_nve(copper(), time_ps=0.02)
    with pytest.raises(ValueError, match="test_time_ps"):
        check_nve(copper(), test_time_ps=-1)


def test_energy_without_any_fluctuation_passes():
    atoms = Atoms("Ar", calculator=LennardJones())
    _, verdict = check_nve(atoms, time_ps=0.5, timestep_fs=5)
    assert verdict.passed
    assert verdict.timestep_ratio is None


# --- physics ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("atoms", "temperature_K"),
    [(copper(), 300), (argon(LennardJones(**ARGON, smooth=True)), 60)],
    ids=["EMT copper", "smooth LJ argon"],
)
def test_sound_potentials_pass_and_follow_the_dt2_law(atoms, temperature_K):
    record, verdict = check_nve(atoms, time_ps=2, timestep_fs=4, temperature_K=temperature_K)
    assert verdict.passed, verdict
    assert verdict.timestep_ratio == pytest.approx(4, abs=0.3)
    assert str(verdict).endswith("PASS")
    assert len(record) == 501


def test_forces_two_percent_too_large_fail():
    atoms = copper()
    atoms.calc = Modified(EMT(), lambda energy, forces, positions: (energy, 1.02 * forces))
    _, verdict = check_nve(atoms, time_ps=1, timestep_fs=4)
    assert verdict.timestep_ratio < 2
    assert "forces that are not -dE/dx" in str(verdict)


class Scaled(Modified):
    """Forces `factor` times too large."""

    def __init__(self, calculator, factor):
        super().__init__(calculator, lambda energy, forces, positions: (energy, factor * forces))


KNOWN = {  # whole steps alone: no half-step run to help
    ("nve", 0.2): ("INCONCLUSIVE", "FAIL", "FAIL"),
    ("nve", 2): ("PASS",),
    ("bussi", 0.2): ("PASS", "FAIL", "FAIL"),
    ("langevin", 0.2): ("INCONCLUSIVE", "FAIL", "FAIL"),
}


SLOW = (("nve", 2), ("langevin", 0.2))


@pytest.mark.parametrize(
    ("ensemble", "time_ps"),
    [pytest.param(*k, marks=pytest.mark.slow) if k in SLOW else k for k in KNOWN],
)
def test_records_whose_truth_is_known(ensemble, time_ps):
    """Ethanol with forces 1.00, 1.01 and 1.05 times the energy's slope; a longer run decides on the first."""
    outcomes = []
    for factor in (1.0, 1.01, 1.05)[: len(KNOWN[ensemble, time_ps])]:
        atoms = ethanol(Scaled(one_member("ethanol"), factor))
        options = {"time_ps": time_ps, "timestep_fs": 0.5, "temperature_K": 300, "seed": 1}
        if ensemble == "nve":
            verdict = drift(run_nve(atoms, **options))
        else:
            verdict = drift(run_nvt(atoms, thermostat=ensemble, **options))
        outcomes.append(verdict.outcome)
        assert verdict.force_scale == pytest.approx(factor, abs=0.001)
        assert abs(verdict.force_scale - factor) < verdict.force_scale_error + 0.0005
        assert ("of the energy's slope" in " ".join(verdict.reasons)) == (factor > 1)
    assert tuple(outcomes) == KNOWN[ensemble, time_ps]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "timestep_fs", "temperature_K"),
    [
        (copper, 4, 300),
        (lambda: argon(LennardJones(**ARGON, smooth=True)), 4, 60),
        (lambda: ethanol(one_member("ethanol")), 1, 300),
        (lambda: Atoms("N2", [(0, 0, 0), (0, 0, 1.1)], calculator=MORSE), 0.5, 300),
    ],
    ids=["copper", "argon", "ethanol at 1 fs", "one bond"],
)
def test_the_scale_of_the_forces_is_found(make, timestep_fs, temperature_K):
    for factor in (0.98, 1.0, 1.03):
        atoms = make()
        atoms.calc = Scaled(atoms.calc, factor)
        options = {"timestep_fs": timestep_fs, "temperature_K": temperature_K, "seed": 1}
        scale = force_scale(run_nve(atoms, time_ps=200 * timestep_fs / 1000, **options))
        assert abs(scale.value - factor) < scale.error + 0.002


@pytest.mark.slow
def test_hot_trajectories_are_compared_while_they_are_together():
    """Those of 0.25 and 0.5 fs part within a picosecond: a ratio of 3.4 was blamed on the forces."""
    atoms = ethanol(SchNetCalculator("ethanol"))
    record, verdict = check_nve(atoms, time_ps=1, temperature_K=900, seed=1, test_time_ps=1)
    assert verdict.timestep_ratio == pytest.approx(4, abs=0.2)
    short = dataclasses.replace(record, timestep_fs=0.25, time_fs=record.time_fs / 2)
    assert drift(record, short.first(0.003)).timestep_ratio is None


def test_an_energy_that_never_changes_fails_where_atoms_move():
    for run in (run_nve, run_nvt):
        atoms = ethanol(Modified(SchNetCalculator("ethanol"), lambda e, f, x: (-1.0, f)))
        verdict = drift(run(atoms, time_ps=0.1, temperature_K=300))
        assert "the potential energy does not change" in "; ".join(verdict.reasons)


def test_a_scale_that_part_of_the_steps_cannot_tell_is_a_doubt():
    options = {"time_ps": 1.6, "timestep_fs": 4, "record_every": 5, "temperature_K": 300}
    verdict = drift(run_nvt(copper(), **options))
    assert verdict.force_scale is None
    assert verdict.outcome == "INCONCLUSIVE"
    assert "record every step" in str(verdict)
    _, verdict = check_nve(copper(), **options)
    assert verdict.timestep_ratio == pytest.approx(4, abs=0.3)  # which tells as much
    assert "record every step" not in str(verdict)


def test_cutoff_that_jumps_fails():
    """The pairs of this drop cross the cutoff; a cold crystal would pass and prove nothing."""
    _, verdict = check_nve(argon(Truncated()), time_ps=2, timestep_fs=4, temperature_K=60)
    assert not verdict.passed
    assert "cutoff" in str(verdict)


def test_energy_with_a_step_fails():
    """One atom, on passing x = 0.05 Å, switches to a state 20 meV higher with the same forces."""
    atoms = copper()
    atoms.positions[0] = (-0.1, 0, 0)
    high = 0.02
    atoms.calc = Modified(EMT(), lambda e, f, x: (e + high * (x[0, 0] > 0.05), f))
    record, verdict = check_nve(atoms, time_ps=1, timestep_fs=4)
    assert np.ptp(record.total_energy_eV) > high
    assert not verdict.passed


def ethanol(calculator) -> Atoms:
    return molecule("CH3CH2OH", calculator=calculator)


@pytest.mark.slow
def test_our_ethanol_passes_and_fails_with_steps_of_4_fs():
    _, verdict = check_nve(ethanol(SchNetCalculator("ethanol")), time_ps=2)
    assert verdict.passed, verdict
    with pytest.warns(UserWarning, match="coarse for hydrogen"):
        record, verdict = check_nve(ethanol(SchNetCalculator("ethanol")), timestep_fs=4)
    assert len(record) < 64
    assert str(verdict).startswith("FAIL: step ")
    assert "a time step of 4 fs is too long" in str(verdict)


def test_forces_that_are_not_numbers_fail_and_name_the_atoms(tmp_path):
    """The same is said of the run's directory later on."""

    calls = iter(range(50))

    def spoil(energy, forces, positions):
        forces[2] = forces[2] if next(calls, None) is not None else np.nan
        return energy, forces

    atoms = copper()
    atoms.calc = Modified(EMT(), spoil)
    _, verdict = check_nve(atoms, timestep_fs=4, seed=1, time_ps=2, run_dir=tmp_path / "run")
    assert not verdict.passed
    assert "forces or momenta are not finite on Cu2" in str(verdict)
    assert str(drift(MDRecord.read(tmp_path / "run"))) == str(verdict)
    broken = series(np.where(np.arange(4001) > 3000, np.nan, 0.1))
    assert "not finite (NaN)" in str(drift(broken))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda e, f, x: (e, f + np.array([1e-3, 0, 0])),
            "begin as a whole to move.*do not sum to zero",
        ),
        (
            lambda e, f, x: (e, f + 3e-4 * np.cross([0, 0, 1], x - x.mean(axis=0))),
            "begin as a whole to turn.*exert a torque",
        ),
    ],
    ids=["net force", "torque"],
)
def test_forces_from_nowhere_fail(change, message):
    """Too weak to be seen in the energy of a short run, but no force between atoms does this."""
    atoms = argon(Modified(LennardJones(**ARGON, smooth=True), change))
    _, verdict = check_nve(atoms, time_ps=1, timestep_fs=4, temperature_K=40)
    assert re.search(message, "; ".join(verdict.reasons))


def test_a_thermostat_is_judged_by_what_it_conserves():
    record = run_nvt(copper(), temperature_K=300, time_ps=2, timestep_fs=4)
    verdict = drift(record)
    assert verdict.passed, verdict
    assert verdict.ensemble == "nvt"
    assert "of the conserved energy" in str(verdict)
    # a leak of 1 % of the kinetic energy in every 100 fs makes the temperature wrong by 1 %
    assert verdict.allowed_drift_meV_per_atom_per_ps == pytest.approx(0.1 * 29, rel=0.4)
    leak = 10 * record.time_fs / 1000 * record.n_atoms / 1000  # 10 meV/atom/ps
    leaking = dataclasses.replace(record, conserved_energy_eV=record.conserved_energy_eV + leak)
    assert "the conserved energy drifts by" in str(drift(leaking))


def test_time_step_too_long_fails():
    """Five steps per vibration: stable, but far from the dt² regime."""
    atoms = Atoms("N2", [(0, 0, 0), (0, 0, 1.1)])
    atoms.calc = MorsePotential(epsilon=5.0, r0=1.1, rho0=2.8)
    _, verdict = check_nve(atoms, time_ps=1, timestep_fs=4)
    assert verdict.timestep_ratio > 5
    assert "time step too long" in str(verdict)


@pytest.mark.slow
def test_tblite_passes_when_converged_and_fails_when_not():
    tblite = pytest.importorskip("tblite.ase", reason="needs tblite")
    verdicts = {}
    for accuracy in (0.01, 10.0):
        atoms = molecule("H2O")
        atoms.calc = tblite.TBLite(method="GFN2-xTB", accuracy=accuracy, verbosity=0)
        _, verdicts[accuracy] = check_nve(atoms, time_ps=0.25)
    assert (
        verdicts[0.01].outcome == "INCONCLUSIVE"
    )  # a longer run would pass, but 0.25 ps is costly
    assert verdicts[10.0].outcome == "FAIL"
    assert "loosely converged SCF" in str(verdicts[10.0])


# --- with run directories -----------------------------------------------------------------------


def test_check_keeps_its_half_step_run_and_can_be_resumed(tmp_path):
    options = {"timestep_fs": 4, "test_time_ps": 0.2, "seed": 2, "run_dir": tmp_path / "run"}
    run_nve(copper(), time_ps=0.3, **{k: v for k, v in options.items() if k != "test_time_ps"})
    _, verdict = check_nve(copper(), time_ps=0.5, resume=True, **options)
    half = MDRecord.read(tmp_path / "run" / "half_step")
    assert half.timestep_fs == 2
    assert half.time_fs[-1] == 200
    _, at_once = check_nve(copper(), time_ps=0.5, **options | {"run_dir": None})
    assert verdict.timestep_ratio == pytest.approx(at_once.timestep_ratio, rel=1e-6)
    assert drift(MDRecord.read(tmp_path / "run"), half) == verdict
    assert drift(str(tmp_path / "run"), tmp_path / "run" / "half_step") == verdict

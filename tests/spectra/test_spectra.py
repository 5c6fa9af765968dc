"""Laws of vibrational spectra, held against ``ase.vibrations`` and closed forms."""

import dataclasses
import inspect

import numpy as np
import pytest
from ase import Atoms, units
from ase.build import molecule
from ase.calculators.calculator import CalculationFailed, InputError, all_changes
from ase.calculators.emt import EMT
from ase.calculators.morse import MorsePotential
from ase.constraints import FixAtoms, FixBondLength, FixCartesian
from ase.io.trajectory import TrajectoryWriter
from ase.optimize import BFGS
from ase.vibrations import Infrared, Vibrations
from factory import one_member
from scipy.spatial.transform import Rotation
from spectra_cases import ChargesAndSprings, diatomic, harmonic_run, triatomic

import ase_schnet
from ase_schnet import SchNetCalculator
from ase_schnet.dynamics.md import run_nve
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.spectra import (
    TrajectorySignals,
    ir_spectrum,
    normal_modes,
    raman_spectra,
    vibrational_density_of_states,
)
from ase_schnet.spectra.measured_bands import MeasuredBands

CM_PER_FS = units._c * 100 / 1e15


def peak(spectrum) -> float:
    return spectrum.wavenumber_cm[np.argmax(spectrum.intensity)]


def ase_modes(atoms, folder):
    """Wavenumbers, intensities in km/mol and displacements (M, N, 3) by ase.vibrations, vibrations alone."""
    vibrations = Infrared(atoms, name=folder / "ir")
    vibrations.run()
    vibrations.read()
    data = vibrations.get_vibrations()
    wavenumber = data.get_frequencies().real
    keep = wavenumber > 50
    km_per_mol = vibrations.intensities[keep] * vibrations.intensity_prefactor("km/mol")[0]
    return wavenumber[keep], km_per_mol, data.get_modes()[keep]


@pytest.fixture(scope="module")
def bent(tmp_path_factory):
    """A bent triatomic, and 40 runs of its normal modes at 300 K."""
    atoms = triatomic()
    modes = ase_modes(atoms, tmp_path_factory.mktemp("modes"))
    runs = [harmonic_run(atoms, modes[0], modes[2], 300, seed) for seed in range(40)]
    return atoms, modes, runs


@pytest.mark.slow
def test_a_morse_diatomic_vibrates_at_its_harmonic_frequency(tmp_path):
    """ω² = 2 ε (ρ0/r0)² / μ for small amplitudes, whatever the time step."""
    epsilon, r0, rho0, timestep_fs = 4.7, 0.96, 2.2, 1.0
    atoms = Atoms("OH", [(0, 0, 0), (0, 0, r0 + 0.002)])
    atoms.calc = MorsePotential(epsilon=epsilon, r0=r0, rho0=rho0, rcut1=8.0, rcut2=9.0)
    m1, m2 = atoms.get_masses()
    omega = np.sqrt(2 * epsilon * (rho0 / r0) ** 2 * (m1 + m2) / (m1 * m2)) * units.fs  # 1/fs
    expected = omega / (2 * np.pi * CM_PER_FS)
    options = {"timestep_fs": timestep_fs, "temperature_K": None, "trajectory_every": 2}
    run_nve(atoms, time_ps=3, run_dir=tmp_path / "run", **options)
    motion = TrajectorySignals.read(tmp_path / "run")
    assert peak(vibrational_density_of_states([motion])) == pytest.approx(expected, abs=2)
    as_integrated = vibrational_density_of_states([dataclasses.replace(motion, timestep_fs=None)])
    shift = expected * (omega * timestep_fs) ** 2 / 24  # of velocity Verlet, to leading order
    assert peak(as_integrated) - expected == pytest.approx(shift, rel=0.1)
    assert as_integrated.integral()[0] == pytest.approx(1)


def test_every_harmonic_mode_has_one_mode_in_the_density_of_states(bent):
    """Harmonic modes keep the energies they begin with, and only runs are independent samples.

    Their three shares of a run's energy are uniform on a simplex: the standard deviation of one,
    times three, is sqrt(1/2).
    """
    _, (wavenumber, _, _), runs = bent
    spectrum = vibrational_density_of_states(runs)
    assert spectrum.integral()[0] == pytest.approx(3, abs=1e-6)
    for centre in wavenumber:
        area, error = spectrum.integral(centre - 60, centre + 60)
        assert error == pytest.approx(np.sqrt(1 / 2 / len(runs)), rel=0.25)
        assert abs(area - 1) < 3 * error
    np.testing.assert_allclose(spectrum.bands_cm(), wavenumber, atol=2)


@pytest.mark.slow
def test_a_cold_run_of_a_model_shows_the_frequencies_of_its_hessian(tmp_path):
    atoms = molecule("CH3CH2OH")
    atoms.calc = one_member("ethanol")
    BFGS(atoms, logfile=None).run(fmax=1e-3)
    vibrations = Vibrations(atoms, name=tmp_path / "modes")
    vibrations.run()
    expected = vibrations.get_frequencies().real[6:]
    options = {"temperature_K": 20, "timestep_fs": 0.5, "trajectory_every": 8}
    run_nve(atoms, time_ps=3, run_dir=tmp_path / "run", **options)
    found = vibrational_density_of_states(
        [TrajectorySignals.read(tmp_path / "run")], resolution_cm=17
    )
    assert found.integral()[0] == pytest.approx(21)
    bands = found.bands_cm()
    assert len(bands) > 8
    for band in bands:
        assert np.abs(expected - band).min() < 8
    assert abs(bands[-1] - expected[-1]) < 4  # O–H; velocity Verlet alone shifts it by 19
    np.testing.assert_allclose(normal_modes(atoms).wavenumber_cm, expected, atol=1)


@pytest.mark.slow
def test_an_oscillating_charge_absorbs_what_its_harmonic_intensity_says(tmp_path):
    """Classical dynamics of ± q on a spring, and finite differences of the dipole, in km/mol."""
    atoms = diatomic()
    (expected_cm,), (km_per_mol,), _ = ase_modes(atoms, tmp_path)
    run_nve(atoms, time_ps=2.5, temperature_K=10, trajectory_every=4, run_dir=tmp_path / "run")
    motion = TrajectorySignals.read(tmp_path / "run")
    spectrum = ir_spectrum([motion])
    assert peak(spectrum) == pytest.approx(expected_cm, abs=1)
    assert spectrum.integral()[0] == pytest.approx(km_per_mol, rel=0.02)
    as_integrated = ir_spectrum([dataclasses.replace(motion, timestep_fs=None)])
    assert spectrum.integral()[0] == pytest.approx(as_integrated.integral()[0], rel=1e-4)


def test_harmonic_molecules_absorb_their_harmonic_intensities_at_any_temperature(bent):
    atoms, (wavenumber, km_per_mol, displacements), runs = bent
    hot = [harmonic_run(atoms, wavenumber, displacements, 1000, s) for s in range(100, 140)]
    for ensemble in (runs, hot):
        spectrum = ir_spectrum(ensemble)
        for centre, expected in zip(wavenumber, km_per_mol, strict=True):
            area, error = spectrum.integral(centre - 60, centre + 60)
            assert error < 0.2 * expected
            assert abs(area - expected) < 3 * error


def test_without_its_quantum_correction_absorption_falls_short_where_quanta_are_large(bent):
    _, (wavenumber, _, _), runs = bent
    full, bare = ir_spectrum(runs), ir_spectrum(runs, quantum_correction="none")
    ratio = bare.intensity / full.intensity
    assert ratio[0] == 1
    for centre in wavenumber:
        x = centre * units.invcm / (units.kB * full.temperature_K)
        here = np.argmin(np.abs(full.wavenumber_cm - centre))
        assert ratio[here] == pytest.approx((1 - np.exp(-x)) / x, rel=0.02)


def test_a_constant_dipole_absorbs_nothing(bent):
    _, _, runs = bent
    shifted = [
        dataclasses.replace(run, dipoles=run.dipoles + np.array([50, -20, 3])) for run in runs
    ]
    expected = ir_spectrum(runs)
    np.testing.assert_allclose(
        ir_spectrum(shifted).intensity, expected.intensity, atol=1e-9 * expected.intensity.max()
    )


def tensor_run(bent, polarizabilities) -> TrajectorySignals:
    return dataclasses.replace(bent[2][0], polarizabilities=polarizabilities)


def test_a_breathing_tensor_scatters_isotropically(bent):
    """a(t) = a0 + a1 cos ωt has <a'²> = a1² ω² / 2."""
    time_fs = 2.0 * np.arange(3000)
    nu, amplitude = 1500.0, 0.02
    omega = 2 * np.pi * CM_PER_FS * nu  # 1/fs
    breathing = 0.5 + amplitude * np.cos(omega * time_fs)
    run = tensor_run(bent, breathing[:, None, None] * np.eye(3))
    isotropic, depolarised = raman_spectra([run])
    assert peak(isotropic) == pytest.approx(nu, abs=2)
    ang3 = 14.399645 * amplitude  # e²/4πε0 = 14.399645 eV Å
    mean_square = (ang3 * omega / units.fs) ** 2 / 2
    expected = 45 * mean_square / (units.kB * run.temperature_K)
    assert isotropic.integral()[0] == pytest.approx(expected, rel=1e-3)
    assert depolarised.intensity.max() < 1e-12 * isotropic.intensity.max()


def test_a_rotating_tensor_scatters_depolarised_at_twice_its_rate(bent):
    """An axial tensor of anisotropy γ turning at Ω about an axis across has γ'² = 3 γ² Ω²."""
    time_fs = 2.0 * np.arange(3000)
    rate, gamma = 600.0, 0.1  # cm⁻¹, e²Å²/eV
    omega = 2 * np.pi * CM_PER_FS * rate
    turned = Rotation.from_rotvec(omega * time_fs[:, None] * [0, 0, 1]).as_matrix()
    axial = np.diag([2 / 3, -1 / 3, -1 / 3]) * gamma + 0.7 * np.eye(3)
    run = tensor_run(bent, turned @ axial @ turned.transpose(0, 2, 1))
    isotropic, depolarised = raman_spectra([run])
    assert peak(depolarised) == pytest.approx(2 * rate, abs=2)
    ang3 = 14.399645 * gamma
    expected = 3 * 3 * (ang3 * omega / units.fs) ** 2 / (units.kB * run.temperature_K)
    assert depolarised.integral()[0] == pytest.approx(expected, rel=1e-3)
    assert isotropic.intensity.max() < 1e-12 * depolarised.intensity.max()


def noise_run(seed: int, n: int) -> TrajectorySignals:
    """Momenta of white noise: every block of them is independent."""
    momenta = np.random.default_rng(seed).normal(size=(n, 2, 3))
    return TrajectorySignals(4.0, np.full(2, 12.0), momenta, 6)


@pytest.mark.slow
def test_error_is_the_scatter_of_repeated_spectra_and_falls_with_the_root_of_time():
    errors = []
    for n in (1500, 6000):
        spectra = [
            vibrational_density_of_states(
                [noise_run(100 * k + r, n) for r in range(6)], resolution_cm=80
            )
            for k in range(20)
        ]
        middle = slice(50, -50)
        scatter = np.std([s.intensity for s in spectra], axis=0, ddof=1)[middle]
        claimed = np.sqrt(np.mean([s.error**2 for s in spectra], axis=0))[middle]
        ratio = np.sqrt((scatter**2).mean() / (claimed**2).mean())
        assert ratio == pytest.approx(1, abs=0.07)
        errors.append(claimed.mean())
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_turned_or_mirrored_run_has_the_same_spectra(bent, mirrored):
    matrix = Rotation.random(random_state=1).as_matrix() * (-1 if mirrored else 1)
    run = bent[2][0]
    rng = np.random.default_rng(0)
    tensors = np.cumsum(rng.normal(size=(len(run), 3, 3)), axis=0)
    run = dataclasses.replace(run, polarizabilities=tensors + tensors.transpose(0, 2, 1))
    turned = dataclasses.replace(
        run,
        momenta=run.momenta @ matrix.T,
        dipoles=run.dipoles @ matrix.T,
        polarizabilities=matrix @ run.polarizabilities @ matrix.T,
    )
    for one, other in zip(all_spectra(run), all_spectra(turned), strict=True):
        np.testing.assert_allclose(
            other.intensity, one.intensity, rtol=1e-7, atol=1e-9 * one.intensity.max()
        )


def all_spectra(run: TrajectorySignals) -> list:
    return [vibrational_density_of_states([run]), ir_spectrum([run]), *raman_spectra([run])]


def test_frames_too_far_apart_for_the_bonds_are_refused_with_the_cure(tmp_path):
    atoms = molecule("H2O")
    atoms.calc = EMT()
    run_nve(atoms, time_ps=0.2, timestep_fs=0.5, run_dir=tmp_path / "run", trajectory_every=20)
    motion = TrajectorySignals.read(tmp_path / "run")
    message = r"up to 1668 cm⁻¹.*up to 4000 cm⁻¹.*trajectory_every=8 \(--trajectory-every 8\)"
    with pytest.raises(ValueError, match=message):
        vibrational_density_of_states([motion])
    with pytest.raises(ValueError, match=r"every 4\.17 fs"):
        vibrational_density_of_states([dataclasses.replace(motion, timestep_fs=None)])
    vibrational_density_of_states([motion], highest_cm=1600, resolution_cm=300)
    heavy = dataclasses.replace(motion, masses=np.full(3, 196.97))
    vibrational_density_of_states([heavy], resolution_cm=300)  # gold has no fast bonds


def test_a_run_is_read_without_its_start_and_without_a_frame_off_the_beat(tmp_path):
    atoms = diatomic()
    run_nve(atoms, time_ps=0.4, timestep_fs=0.5, run_dir=tmp_path / "run", trajectory_every=4)
    whole, later = (
        TrajectorySignals.read(tmp_path / "run"),
        TrajectorySignals.read(tmp_path / "run", skip_ps=0.1),
    )
    assert (len(whole), len(later)) == (201, 151)
    assert (whole.interval_fs, whole.timestep_fs, whole.n_degrees_of_freedom) == (2.0, 0.5, 1)
    np.testing.assert_array_equal(later.dipoles, whole.dipoles[50:])
    np.testing.assert_array_equal(later.momenta[-1], atoms.get_momenta())
    with TrajectoryWriter(tmp_path / "run" / "trajectory.traj", "a") as trajectory:
        atoms.info["step"] = 803  # as of a run that was stopped there
        trajectory.write(atoms)
    assert len(TrajectorySignals.read(tmp_path / "run")) == 201


class Refusing(ChargesAndSprings):
    """Give up in the first half of step 8: a frame is due there, and its dipole is not known."""

    calls = 0

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        self.calls += 1
        if self.calls == 9:
            self.results = {}
            raise CalculationFailed("no convergence")
        super().calculate(atoms, properties, system_changes)


def test_the_frame_that_a_failed_run_ends_with_is_no_part_of_its_motion(tmp_path):
    atoms = diatomic()
    atoms.calc = Refusing(atoms, atoms.calc.springs and {(0, 1): 40.0}, [0.3, -0.3])
    with pytest.raises(SimulationFailed, match="step 8"):
        run_nve(atoms, time_ps=0.4, timestep_fs=0.5, run_dir=tmp_path / "run", trajectory_every=4)
    motion = TrajectorySignals.read(tmp_path / "run")
    assert len(motion) == 2  # of the steps 0 and 4
    assert motion.dipoles is not None


def test_two_atoms_may_vibrate_faster_than_any_hydrogen_of_a_larger_molecule(tmp_path):
    """H2 has 4401 cm⁻¹: frames every 4 fs would show it at 3939."""
    momenta = np.array([[[0, 0, 1.0], [0, 0, -1.0]], [[0, 0, -1.0], [0, 0, 1.0]]])
    motion = TrajectorySignals(4.0, np.full(2, 1.008), momenta, 1)
    with pytest.raises(ValueError, match="up to 4500 cm⁻¹"):
        motion.check_resolves(None)
    motion.check_resolves(4000)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"interval_fs": 4.0}, "interval_fs is 2 in one and 4.0 in another"),
        ({"masses": np.array([16.0, 2.0, 12.0])}, "different atoms"),
        ({"dipoles": None}, "no dipoles.*--kind vdos"),
    ],
)
def test_runs_that_cannot_be_averaged_are_refused(bent, change, message):
    runs = [bent[2][0], dataclasses.replace(bent[2][1], **change)]
    with pytest.raises(ValueError, match=message):
        ir_spectrum(runs)


def test_bad_arguments_are_one_clear_line(bent):
    run = bent[2][0]
    with pytest.raises(ValueError, match=r"the shortest run has 6 ps.*--resolution 8.1"):
        ir_spectrum([run], resolution_cm=5)
    ir_spectrum([run], resolution_cm=8.1)
    with pytest.raises(ValueError, match="resolution_cm must be above 0"):
        ir_spectrum([run], resolution_cm=0)
    for highest_cm in (np.nan, -5.0):
        with pytest.raises(ValueError, match="highest_cm must be above 0"):
            ir_spectrum([run], resolution_cm=8.1, highest_cm=highest_cm)
    with pytest.raises(ValueError, match="no runs"):
        ir_spectrum([])
    with pytest.raises(ValueError, match="no momenta"):
        dataclasses.replace(run, momenta=0 * run.momenta)
    with pytest.raises(ValueError, match="no polarizabilities"):
        raman_spectra([run])
    with pytest.raises(ValueError, match="quantum_correction"):
        ir_spectrum([run], quantum_correction="wigner")
    with pytest.raises(ValueError, match="more than 1 frames"):
        TrajectorySignals.from_frames([triatomic()], 1.0)


def test_normal_modes_are_those_of_ase_and_named_after_bonds(tmp_path):
    atoms, stretched = diatomic(), diatomic()
    stretched.set_distance(0, 1, 1.3)
    before = stretched.positions.copy()
    modes = normal_modes(stretched)
    wavenumber, km_per_mol, _ = ase_modes(atoms, tmp_path)
    np.testing.assert_allclose(modes.wavenumber_cm, wavenumber, rtol=1e-4)
    np.testing.assert_allclose(modes.intensity_km_per_mol, km_per_mol, rtol=1e-4)
    assert modes.names == ("C–O stretch",)
    np.testing.assert_array_equal(stretched.positions, before)
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = SchNetCalculator("ethanol")
    names = normal_modes(ethanol).names
    assert names[-1] == "O–H stretch"
    assert names[-6:-1] == ("C–H stretch",) * 5
    assert names.count("C–O stretch") == 1
    assert not any(names[:5])  # torsions and bends


@pytest.mark.parametrize("shift", [0.0, -8.5])  # whole, and cut by the faces
def test_a_molecule_turns_freely_in_a_box_that_is_nothing_to_its_calculator(shift):
    free = molecule("CH3OH")
    free.calc = SchNetCalculator("methanol", threads=1)
    boxed = molecule("CH3OH", vacuum=8, pbc=True)
    boxed.positions += shift
    boxed.wrap()
    boxed.calc = free.calc
    modes, expected = normal_modes(boxed), normal_modes(free)
    np.testing.assert_allclose(modes.wavenumber_cm, expected.wavenumber_cm, atol=1.0)
    assert not modes.structure.pbc.any()


def test_a_box_with_images_in_reach_keeps_the_turns_as_modes():
    """The calculator tells: the same atoms, a box of another size."""
    counts = []
    for width in (30.0, 4.5):
        copper = Atoms("Cu2", [[0, 0, 0], [2.2, 0, 0]], cell=[width] * 3, pbc=True)
        copper.calc = EMT()
        counts.append(len(normal_modes(copper).wavenumber_cm))
    assert counts == [1, 3]


@pytest.mark.parametrize("held", [[0], [0, 1], [0, 1, 2]])
def test_an_atom_that_is_held_vibrates_like_one_of_endless_mass(held):
    """There are three turns about one held atom, and one about two, which are no vibrations."""
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol", threads=1)
    rest = normal_modes(atoms).structure
    rest.calc, heavy = atoms.calc, atoms.get_masses()
    heavy[held] = 1e8
    masses, constraint = rest.get_masses(), FixAtoms(held)
    rest.set_masses(heavy)
    stiff = normal_modes(rest).wavenumber_cm
    rest.set_masses(masses)
    rest.set_constraint(constraint)
    found = normal_modes(rest)
    moving = 3 * (len(atoms) - len(held)) - {1: 3, 2: 1, 3: 0}[len(held)]
    assert len(found.wavenumber_cm) == moving
    np.testing.assert_allclose(found.wavenumber_cm, stiff[-moving:], atol=1.5)
    assert found.n_imaginary == 0
    assert len(found.structure.constraints) == 1


@pytest.mark.parametrize(
    "constraint", [FixCartesian([0], [True, False, False]), FixBondLength(0, 1)]
)
def test_constraints_that_hold_no_whole_atoms_are_refused(constraint):
    """Their Hessian has no reaction of what is held: bands were wrong by hundreds of cm⁻¹."""
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol", threads=1)
    atoms.set_constraint(constraint)
    with pytest.raises(InputError, match="remove this constraint, or hold whole atoms"):
        normal_modes(atoms)


def test_a_structure_that_does_not_relax_has_no_normal_modes(monkeypatch):
    monkeypatch.setattr("ase_schnet.spectra.harmonic.MAX_STEPS", 1)
    atoms = molecule("CH3CH2OH")
    atoms.calc = EMT()
    with pytest.raises(InputError, match="did not relax"):
        normal_modes(atoms)
    atoms = Atoms("Cu", calculator=EMT())
    with pytest.raises(InputError, match="does not vibrate"):
        normal_modes(atoms)


def test_measured_bands_are_read_with_their_source(tmp_path):
    path = tmp_path / "bands.csv"
    path.write_text("# source: somebody 1950\nwavenumber,what\n\n1033,C-O\n3681.5,O-H\n")
    bands = MeasuredBands.read(path)
    assert bands.source == "somebody 1950"
    np.testing.assert_array_equal(bands.wavenumber_cm, [1033, 3681.5])
    path.write_text("1033\n3681.5\n", encoding="utf-8-sig")  # as spreadsheets write "UTF-8"
    np.testing.assert_array_equal(MeasuredBands.read(path).wavenumber_cm, [1033, 3681.5])
    path.write_text("1033\nO-H\n")
    with pytest.raises(ValueError, match=r"line 2 of .* has no wavenumber"):
        MeasuredBands.read(path)
    path.write_text("# nothing\n")
    with pytest.raises(ValueError, match="has no wavenumbers"):
        MeasuredBands.read(path)


# --- names of earlier versions ------------------------------------------------------------------


def test_old_names_still_work_and_warn():
    run = noise_run(0, 2000)
    with pytest.warns(
        DeprecationWarning, match="TrajectorySignals; the old name will be removed in 0.3"
    ):
        assert ase_schnet.Motion is TrajectorySignals
    with pytest.warns(
        DeprecationWarning, match="TrajectorySignals; the old name will be removed in 0.3"
    ):
        assert ase_schnet.spectra.Motion is TrajectorySignals
    with pytest.warns(DeprecationWarning, match="motions= is now runs="):
        old = vibrational_density_of_states(motions=run)
    np.testing.assert_array_equal(old.samples, vibrational_density_of_states(run).samples)
    parameters = inspect.signature(ir_spectrum).parameters
    assert next(iter(parameters)) == "runs"

"""Intensities of runs that have not shared their energy among the vibrations: tested, and in the error."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import numpy as np
import pytest
from ase import units
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.vibrations import Vibrations
from scipy.spatial.transform import Rotation
from spectra_cases import diatomic, harmonic_run, triatomic

from ase_schnet import SchNetCalculator, ir_spectrum, run_nve, vibrational_density_of_states
from ase_schnet.spectra import TrajectorySignals, normal_modes, raman_spectra
from ase_schnet.spectra.input_runs import read_runs

BAND_CM = 60


@pytest.fixture(scope="module")
def bent(tmp_path_factory):
    """A bent triatomic, the wavenumbers, intensities and displacements of its modes."""
    atoms = triatomic()
    modes = normal_modes(atoms)
    vibrations = Vibrations(atoms, name=tmp_path_factory.mktemp("modes") / "v")
    vibrations.run()
    return atoms, modes, vibrations.get_vibrations().get_modes()[-3:]


def run(bent, seed, **options) -> TrajectorySignals:
    atoms, modes, displacements = bent
    options = {"n": 1500, "with_positions": True} | options
    return harmonic_run(atoms, modes.wavenumber_cm, displacements, 300, seed, **options)


def areas(spectrum, wavenumbers) -> np.ndarray:
    """(bands, 2), integrals and errors."""
    return np.array([spectrum.integral(w - BAND_CM, w + BAND_CM) for w in wavenumbers], dtype=float)


def test_the_energies_of_the_modes_are_found_without_a_hessian(bent):
    for seed in range(3):
        motion = run(bent, seed)
        drawn = np.random.default_rng(seed).exponential(units.kB * 300, 3)  # as in harmonic_run
        expected = np.sort(drawn / (units.kB * motion.temperature_K))
        spectrum = ir_spectrum(motion)
        np.testing.assert_allclose(spectrum.mode_energies, expected, rtol=0.1)
        assert spectrum.energy_factor == pytest.approx(max(expected[-1], 1 / expected[0]), rel=0.1)


def test_at_equal_energies_every_band_would_have_its_harmonic_intensity(bent):
    _, modes, _ = bent
    for seed in range(3):
        spectrum = ir_spectrum(run(bent, seed))
        equal = dataclasses.replace(spectrum, samples=spectrum.samples * spectrum.equal_energy_gain)
        found = [equal.integral(w - BAND_CM, w + BAND_CM)[0] for w in modes.wavenumber_cm]
        np.testing.assert_allclose(found, modes.intensity_km_per_mol, rtol=0.15)


def test_turned_frames_of_a_run_show_the_same_energies(bent):
    motion = run(bent, 0)
    matrix = Rotation.random(len(motion), random_state=0).as_matrix()
    turned = dataclasses.replace(
        motion,
        momenta=np.einsum("tij,tnj->tni", matrix, motion.momenta),
        positions=np.einsum("tij,tnj->tni", matrix, motion.positions) + 3.0,
    )
    expected = vibrational_density_of_states(motion).mode_energies
    np.testing.assert_allclose(vibrational_density_of_states(turned).mode_energies, expected)


@pytest.mark.parametrize("n_runs", [2, 3, 5])
def test_intensities_of_few_runs_lie_within_each_others_errors(bent, n_runs):
    """Modes that never exchange energy, the worst case: the errors of two samples meet like normal ones."""
    _, modes, _ = bent
    spectra = [
        ir_spectrum([run(bent, 100 * k + r, n=700, interval_fs=4) for r in range(n_runs)])
        for k in range(30)
    ]
    values = np.array([areas(s, modes.wavenumber_cm) for s in spectra])  # (30, bands, 2)
    z = [np.abs(a[:, 0] - b[:, 0]) / np.hypot(a[:, 1], b[:, 1]) for a, b in pairwise(values)]
    assert np.mean(np.array(z) < 1) > 0.68
    assert np.mean(np.array(z) < 2) > 0.95


def test_one_run_has_no_error_however_steady_it_is(bent):
    for spectrum in (ir_spectrum(run(bent, 0)), vibrational_density_of_states(run(bent, 0))):
        assert spectrum.error is None
        assert spectrum.integral()[1] is None


def test_many_runs_share_their_energy_and_one_does_not(bent):
    runs = [run(bent, seed, n=300, interval_fs=4) for seed in range(150)]
    assert ir_spectrum(runs, resolution_cm=50).has_shared_energy
    assert not ir_spectrum(runs[0], resolution_cm=50).has_shared_energy


def test_a_vibration_without_energy_is_one(bent):
    """A run whose third mode is at rest: the factor is large, and no number is not one."""
    atoms, modes, displacements = bent
    motion = harmonic_run(
        atoms, modes.wavenumber_cm[:2], displacements[:2], 300, 0, with_positions=True
    )
    motion = dataclasses.replace(motion, n_degrees_of_freedom=3)
    again = dataclasses.replace(motion, momenta=-motion.momenta)
    spectrum = ir_spectrum([motion, again])
    assert spectrum.energy_factor > 1e6
    assert spectrum.energy_factor_text == "more than 100"
    assert np.isfinite(spectrum.error).all()
    assert np.isfinite(spectrum.integral()).all()


def test_crystals_and_few_frames_are_not_tested(tmp_path):
    atoms = diatomic()
    atoms.set_cell([9.0, 9.0, 9.0])
    atoms.pbc = True
    options = {"timestep_fs": 0.5, "trajectory_every": 4}
    run_nve(atoms, time_ps=0.3, run_dir=tmp_path / "periodic", **options)
    spectrum = vibrational_density_of_states(tmp_path / "periodic", resolution_cm=300)
    assert spectrum.mode_energies is spectrum.has_shared_energy is None
    ethanol = molecule("CH3CH2OH")
    ethanol.calc = EMT()
    run_nve(ethanol, time_ps=0.3, run_dir=tmp_path / "short", **options)
    spectrum = vibrational_density_of_states(tmp_path / "short", resolution_cm=300)
    assert spectrum.mode_energies is None  # 151 frames, 21 modes


def test_a_linear_molecule_that_bends_in_one_plane_is_not_blamed_for_the_other(tmp_path):
    atoms = molecule("CO2")
    atoms.calc = EMT()
    run_nve(atoms, time_ps=0.3, run_dir=tmp_path / "run", timestep_fs=0.5, trajectory_every=4)
    spectrum = vibrational_density_of_states(tmp_path / "run", resolution_cm=300)
    assert spectrum.mode_energies is None
    assert spectrum.integral()[0] == pytest.approx(4)


@pytest.mark.slow
def test_a_relaxed_methanol_is_told_that_it_has_not_shared_its_energy(tmp_path):
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol")
    options = {"timestep_fs": 0.5, "trajectory_every": 8}
    run_nve(atoms, time_ps=1, run_dir=tmp_path / "run", **options)
    spectrum = ir_spectrum(tmp_path / "run", resolution_cm=60)
    assert len(spectrum.mode_energies) == 12
    assert spectrum.mode_energies.sum() == pytest.approx(12, rel=0.02)
    assert spectrum.energy_factor > 3


# ---------------------------------------------------------------- what spectra are asked for with


def test_a_directory_is_as_good_as_its_signals(tmp_path):
    for k in range(2):
        atoms = triatomic(polarizability=np.eye(3))
        options = {"timestep_fs": 0.5, "trajectory_every": 8, "seed": k}
        run_nve(atoms, time_ps=0.4, run_dir=tmp_path / str(k), **options)
    paths = [tmp_path / "0", str(tmp_path / "1")]
    for make in (vibrational_density_of_states, ir_spectrum, raman_spectra):
        expected = make([TrajectorySignals.read(path) for path in paths], resolution_cm=150)
        for given in (
            paths,
            tuple(paths),
            iter(paths),
            [paths[0], TrajectorySignals.read(paths[1])],
        ):
            _same(make(given, resolution_cm=150), expected)
        alone = make([TrajectorySignals.read(paths[0])], resolution_cm=150)
        for given in (paths[0], str(paths[0]), TrajectorySignals.read(paths[0])):
            _same(make(given, resolution_cm=150), alone)


def _same(found, expected) -> None:
    for one, other in zip(np.atleast_1d(found), np.atleast_1d(expected), strict=True):
        np.testing.assert_array_equal(one.intensity, other.intensity)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (None, "run directories or of TrajectorySignals, one or several .*not of NoneType"),
        (7, "not of int"),
        ([triatomic()], r"TrajectorySignals\.from_frames.*not of Atoms"),
        ([None], "not of NoneType"),
        ("absent", "absent is no run directory"),
        (__file__, "is no run directory"),
        ([], "no runs"),
    ],
)
@pytest.mark.parametrize("make", [vibrational_density_of_states, ir_spectrum, raman_spectra])
def test_anything_else_is_told_what_is_wanted(make, given, message):
    with pytest.raises(ValueError, match=message):
        make(given)


def test_read_runs_keeps_the_order(bent):
    runs = [run(bent, seed) for seed in range(3)]
    assert all(a is b for a, b in zip(read_runs(runs), runs, strict=True))

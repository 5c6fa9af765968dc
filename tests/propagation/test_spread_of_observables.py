"""spread(): each member as a calculator, runs that can be averaged, and those that cannot."""

import json
import pickle
import shutil
import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase import units
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read
from factory import ethanol, random_model

from ase_schnet import (
    DeltaCalculator,
    SchNetCalculator,
    run_npt,
    run_nve,
    run_nvt,
    spread,
    write_predictions,
)
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.propagation import density, harmonic_spread, member_calculators, rdf
from ase_schnet.propagation.frames import volume_sampling
from ase_schnet.propagation.harmonic import paired
from ase_schnet.spectra import NormalModes, normal_modes

SHORT = {"timestep_fs": 1.0, "time_ps": 0.3, "trajectory_every": 5}


def energy_of(atoms):
    def energy(calculator):
        copy = atoms.copy()
        copy.calc = calculator
        return copy.get_potential_energy()

    return energy


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=3))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Methanol at constant temperature."""
    directory = tmp_path_factory.mktemp("runs") / "nvt"
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol")
    run_nvt(atoms, temperature_K=300, run_dir=directory, **SHORT | {"time_ps": 6.0})
    return directory


@pytest.mark.parametrize(
    ("name", "atoms"), [("methanol", molecule("CH3OH")), ("silicon", bulk("Si"))]
)
def test_members_are_those_of_the_committee_and_their_mean_is_the_ensemble(name, atoms):
    atoms = atoms.copy()
    atoms.rattle(0.03, seed=1)
    atoms.calc = whole = SchNetCalculator(name)
    forces, committee = atoms.get_forces(), whole.results["energy_committee"]
    asked = [p for p in ("stress", "dipole") if p in whole.implemented_properties]
    means = {p: np.array(whole.get_property(p, atoms)) for p in asked}
    stds = {p: np.array(whole.results[f"{p}_std"]) for p in asked}
    found = {p: [] for p in asked}
    for k, member in enumerate(member_calculators(whole)):
        atoms.calc = member
        assert atoms.get_potential_energy() == pytest.approx(committee[k], abs=1e-8)
        np.testing.assert_allclose(
            atoms.get_forces(), whole.results["forces_committee"][k], atol=1e-8
        )
        for p in asked:
            found[p].append(member.get_property(p, atoms))
        assert "energy_std" not in member.results
        assert not [p for p in member.implemented_properties if p.endswith(("_std", "_committee"))]
    assert asked
    for p in asked:
        np.testing.assert_allclose(np.mean(found[p], axis=0), means[p], atol=1e-10)
        std = np.std(found[p], axis=0, ddof=1)
        np.testing.assert_allclose(std, stds[p], rtol=1e-4, atol=1e-10)
    np.testing.assert_allclose(whole.results["forces"], forces)


def test_a_member_has_no_error_bars_which_are_those_of_the_mean(tmp_path):
    """Writing its results, and scanning with it, ended in an error of Python."""
    atoms = ethanol()
    atoms.calc = member = member_calculators("ethanol")[0]
    assert "energy_error" in SchNetCalculator("ethanol").implemented_properties
    assert not [name for name in member.implemented_properties if name.endswith("_error")]
    assert write_predictions(tmp_path / "member.extxyz", atoms) == 1
    assert not [name for name in read(tmp_path / "member.extxyz").info if "error" in name]


def test_a_member_is_pickled_and_names_itself_in_the_record_of_a_run(model_dir):
    member = member_calculators(model_dir)[2]
    again = pickle.loads(pickle.dumps(member))
    assert energy_of(ethanol())(again) == energy_of(ethanol())(member)
    assert again.model_info["member"] == 2


def test_an_observable_is_asked_of_the_ensemble_and_of_each_member(model_dir):
    whole, atoms = SchNetCalculator(model_dir), ethanol()
    found = spread(energy_of(atoms), model_dir)
    assert found.value == energy_of(atoms)(whole)
    np.testing.assert_allclose(found.members, whole.results["energy_committee"], rtol=1e-12)
    assert found.std == pytest.approx(whole.results["energy_std"], rel=1e-6)
    low, high = found.interval
    assert low < found.value < high
    assert (found.method, found.statistical_error, found.sampling) == ("members", None, None)
    wide = spread(energy_of(atoms), whole, level=0.99, factor=3.0)
    assert wide.half_width > 3 * found.half_width


def test_the_calibration_of_the_card_widens_the_bars_of_overconfident_members(tmp_path):
    assert spread(energy_of(molecule("CH3OH")), "methanol").factor == 1
    model = load_model("methanol")
    forces = model.card["calibration"]["forces"]
    card = {**model.card, "calibration": {"forces": {**forces, "scale": 3.1 * forces["scale"]}}}
    save_model(tmp_path / "sure", replace(model, card=card))
    assert spread(energy_of(molecule("CH3OH")), tmp_path / "sure").factor > 2


def test_a_run_gives_the_mean_energy_with_the_spread_of_the_members(run):
    found = spread("potential_energy", "methanol", frames=run)
    frames = read(run / "trajectory.traj", ":")[121:]  # without a tenth
    energies = [frame.get_potential_energy() for frame in frames]
    assert found.value == pytest.approx(np.mean(energies), abs=1e-9)
    assert found.sampling.n_frames == len(frames)
    assert found.sampling.temperature_K == 300
    same = spread("potential_energy", "methanol", frames=frames, temperature_K=300)
    np.testing.assert_array_equal(same.members, found.members)
    assert 0 < found.std < 0.05


@pytest.mark.slow
def test_a_langevin_run_of_a_molecule_is_at_its_temperature_with_its_overall_motion(tmp_path):
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol")
    how = {"thermostat": "langevin", "time_constant_fs": 50.0, "run_dir": tmp_path / "run"}
    run_nvt(atoms, temperature_K=300, **how, **SHORT | {"time_ps": 12.0, "trajectory_every": 20})
    found = spread("potential_energy", "methanol", frames=tmp_path / "run")
    frames = read(tmp_path / "run" / "trajectory.traj", ":")[-found.sampling.n_frames :]
    same = spread("potential_energy", "methanol", frames=frames, temperature_K=300)
    assert same.value == found.value


def test_an_observable_of_the_potential_is_asked_of_each_member(run):
    def energy(atoms):
        return atoms.get_potential_energy()

    named = spread("potential_energy", "methanol", frames=run, skip_ps=0.5)
    asked = spread(energy, "methanol", frames=run, skip_ps=0.5, of_members=True)
    np.testing.assert_allclose(asked.members, named.members, atol=1e-8)
    plain = spread(energy, "methanol", frames=run, skip_ps=0.5)
    assert np.abs(plain.members - named.members).max() > 1e-5


def test_runs_that_no_expansion_holds_for_are_one_clear_line(run, tmp_path):
    atoms = molecule("CH3OH")
    atoms.calc = SchNetCalculator("methanol")
    run_nve(atoms, temperature_K=300, run_dir=tmp_path / "nve", **SHORT)
    heated = {"temperature_end_K": 400, "temperature_K": 300}
    run_nvt(atoms, run_dir=tmp_path / "heated", **heated, **SHORT)
    atoms.calc = member_calculators("methanol")[1]
    run_nvt(atoms, temperature_K=300, run_dir=tmp_path / "member", **SHORT)
    for name, why in {
        "nve": "at constant energy.*--ensemble nvt",
        "heated": "heated or cooled",
        "member": "a run of member 1 alone",
        "nothing": "no run directory",
    }.items():
        with pytest.raises(ValueError, match=why):
            spread("potential_energy", "methanol", frames=tmp_path / name)
    with pytest.raises(ValueError, match="a run of another model"):
        spread("potential_energy", "ethanol", frames=run)
    plain = SchNetCalculator("methanol", repulsion=None)
    with pytest.raises(ValueError, match="with repulsion='zbl'"):
        spread("potential_energy", plain, frames=run)


def test_a_volume_at_equilibrium_covaries_with_the_pressure_by_kt():
    rng, stiffness = np.random.default_rng(0), 0.4  # −dP/dV, GPa/Å³
    width = (units.kB * 300 / (stiffness * units.GPa)) ** 0.5
    volume = 1300 + width * rng.normal(size=50_000)
    pressure = 1.0 - stiffness * (volume - 1300) + rng.normal(scale=0.5, size=50_000)
    assert volume_sampling(volume, pressure, 300) == pytest.approx(1, abs=0.05)


def test_a_run_whose_volume_is_not_sampled_yet_is_refused(tmp_path):
    atoms = bulk("Si", cubic=True, a=5.469)
    atoms.calc = SchNetCalculator("silicon", threads=1)
    run_npt(atoms, temperature_K=300, run_dir=tmp_path / "npt", **SHORT)
    with pytest.raises(ValueError, match="the volume is not sampled yet"):
        spread("density", "silicon", frames=tmp_path / "npt")


def test_frames_of_another_potential_are_refused(run):
    frames = read(run / "trajectory.traj", "121:")
    frames[7].calc.results["energy"] += 0.1
    with pytest.raises(ValueError, match="frame 7 has the energy"):
        spread("potential_energy", "methanol", frames=frames, temperature_K=300)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observable": "enthalpy"}, "potential_energy, volume, density"),
        ({"frames": None}, "give its frames="),
        ({"temperature_K": 300}, "says its own"),
        ({"skip_ps": -1}, "skip_ps must be 0 or more"),
        ({"skip_ps": 99.0}, "0 frames are left"),
        ({"frames": [molecule("CH3OH")]}, "temperature_K is missing"),
        ({"level": 90}, "level must be between"),
        ({"model": 5}, "not int"),
        ({"observable": "density"}, "no periodic cell"),
    ],
)
def test_bad_arguments_are_one_clear_line(run, change, message):
    given = {"observable": "potential_energy", "model": "methanol", "frames": run} | change
    with pytest.raises(ValueError, match=message):
        spread(given.pop("observable"), given.pop("model"), **given)


def test_members_of_a_model_of_differences_have_its_baseline_each(tmp_path):
    pytest.importorskip("tblite")
    delta = replace(random_model(members=3), baseline="gfn2-xtb")
    whole = DeltaCalculator(save_model(tmp_path / "delta", delta))
    found = spread(energy_of(ethanol()), whole)
    np.testing.assert_allclose(found.members, whole.results["energy_committee"], rtol=1e-12)
    assert found.value == pytest.approx(found.members.mean(), rel=1e-12)
    with pytest.raises(ValueError, match="use DeltaCalculator"):
        spread(energy_of(ethanol()), whole.trained.path)


def test_one_member_has_no_spread(tmp_path):
    alone = save_model(tmp_path / "one", random_model(members=1))
    with pytest.raises(ValueError, match="one member"):
        spread(energy_of(ethanol()), alone)


def test_density_and_rdf_are_those_of_the_perfect_crystal():
    crystal = bulk("Si", "diamond", a=5.431, cubic=True) * (2, 2, 2)
    assert density(crystal) == pytest.approx(2.329, abs=0.003)
    r_max, n_bins = 5.4, 54
    g = rdf(r_max, n_bins)(crystal)
    r = (np.arange(n_bins) + 0.5) * 0.1
    shell = (g * 4 * np.pi * r**2 * 0.1 * len(crystal) / crystal.get_volume())[(r > 2) & (r < 3)]
    assert shell.sum() == pytest.approx(4, rel=0.01)
    with pytest.raises(ValueError, match="shortest height"):
        rdf(5.5)(crystal)


def test_modes_of_members_are_paired_with_those_of_the_mean_although_they_cross():
    turned = np.linalg.qr(np.random.default_rng(0).normal(size=(6, 6)))[0].reshape(6, 2, 3)
    masses, order = np.array([1.0, 16.0]), np.array([0, 2, 1, 3, 5, 4])
    displacements = turned / np.sqrt(masses)[None, :, None]
    first = NormalModes(np.arange(6.0), None, ("",) * 6, displacements)
    second = NormalModes(np.arange(6.0), None, ("",) * 6, -displacements[order])
    np.testing.assert_array_equal(order[paired(first, second, masses)], np.arange(6))


@pytest.mark.slow
def test_bands_of_members_stand_where_their_fellows_of_the_mean_do(monkeypatch):
    monkeypatch.setattr(
        "ase_schnet.propagation.harmonic.paired",
        lambda first, *_: np.arange(len(first.names))[::-1],
    )
    turned = harmonic_spread(molecule("CH3OH"), "methanol").wavenumber.members
    assert (np.diff(turned, axis=1) < 0).all()


@pytest.mark.slow
def test_harmonic_bands_have_the_spread_of_members_that_relax_themselves(tmp_path):
    found = harmonic_spread(molecule("CH3OH"), "methanol")
    atoms = found.modes.structure.copy()
    atoms.calc = member_calculators("methanol")[3]
    own = normal_modes(atoms)
    np.testing.assert_allclose(np.sort(found.wavenumber.members[3]), own.wavenumber_cm, atol=1e-6)
    assert found.zero_point_energy.members[3] == pytest.approx(own.zero_point_energy_eV, abs=1e-9)
    assert found.zero_point_energy.value == pytest.approx(1.4, abs=0.02)
    assert (found.modes.wavenumber_error_cm > 0).all()
    assert found.intensity.members.shape == (5, 12)
    found.write_csv(tmp_path / "modes.csv")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        table = np.genfromtxt(tmp_path / "modes.csv", delimiter=",", skip_header=1)
    np.testing.assert_array_equal(table[:, 0], found.modes.wavenumber_cm)
    header = (tmp_path / "modes.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert (table[:, header.index("level of ±")] == 0.9).all()


def test_frames_between_two_exchanges_with_the_thermostat_are_not_independent(run):
    whole = spread("potential_energy", "methanol", frames=run)
    per_frame_fs = SHORT["timestep_fs"] * SHORT["trajectory_every"]
    assert whole.sampling.inefficiency >= 2 * 100.0 / per_frame_fs  # Bussi's 100 fs
    with pytest.raises(ValueError, match="frames are independent"):
        spread("potential_energy", "methanol", frames=run, skip_ps=4.0)


def test_a_run_that_was_stopped_before_its_end_is_refused(run, tmp_path):
    stopped = shutil.copytree(run, tmp_path / "stopped")
    about = json.loads((stopped / "run.json").read_text())
    about["time_ps"] *= 2
    (stopped / "run.json").write_text(json.dumps(about))
    with pytest.raises(ValueError, match="has 6 of its 12 ps: let it come to its end"):
        spread("potential_energy", "methanol", frames=stopped)


def test_frames_that_are_hotter_than_their_run_are_refused(run):
    frames = read(run / "trajectory.traj", ":")
    spread("potential_energy", "methanol", frames=frames, temperature_K=300)
    for atoms in frames:
        energy = atoms.get_potential_energy()
        atoms.set_momenta(1.2 * atoms.get_momenta())
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
    with pytest.raises(ValueError, match=r"velocities of the frames are at 4\d\d K, not at 300"):
        spread("potential_energy", "methanol", frames=frames, temperature_K=300)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_factor_that_is_none_is_refused(model_dir, factor):
    with pytest.raises(ValueError, match="factor must be above 0"):
        spread(energy_of(ethanol()), model_dir, factor=factor)


@pytest.mark.parametrize(
    "observed", [None, float("nan"), [1.0, float("inf")], [], {"gap": 1.0}, "1 eV", [1.0, [2.0]]]
)
def test_an_observable_that_is_no_number_is_refused(model_dir, observed):
    with pytest.raises(ValueError, match="must return finite numbers"):
        spread(lambda _: observed, model_dir)
    with pytest.raises(ValueError, match="must return finite numbers"):
        spread(lambda _: 1.0, model_dir).map(lambda _: observed)


def test_an_imaginary_frequency_is_not_taken_for_zero(model_dir):
    assert spread(lambda _: np.array([3.0 + 0j]), model_dir).value.tolist() == [3.0]
    with pytest.raises(ValueError, match=r"is complex.*harmonic_spread"):
        spread(lambda _: np.array([350j, 1600.0]), model_dir)


def test_members_that_return_other_shapes_are_refused(model_dir):
    lengths = iter(range(1, 100))
    with pytest.raises(ValueError, match=r"shape \(1,\) of the ensemble and \[\(2,\), \(3,\)"):
        spread(lambda _: np.ones(next(lengths)), model_dir)


def test_only_the_ensemble_warns_of_a_structure_outside_its_training():
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        spread(energy_of(molecule("CH3OCH3")), "ethanol")
    assert len([w for w in said if "outside what" in str(w.message)]) == 1

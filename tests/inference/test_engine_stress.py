"""Stress through the calculator: ASE's order and sign, checked by ASE's own finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.calculator import PropertyNotImplementedError
from ase.calculators.fd import calculate_numerical_stress
from ase.filters import FrechetCellFilter
from ase.io import read, write
from ase.io.trajectory import Trajectory
from ase.optimize import BFGS
from engine_cases import PERIODIC, diamond
from factory import TINY, ethanol, random_model

from ase_schnet import SchNetCalculator
from ase_schnet.modelfile import save_model, shipped_models
from ase_schnet.results import COMMITTEE, SINGLE, STRESS, STRESS_COMMITTEE


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("models") / "tiny", random_model(members=3, pbc=True))


@pytest.fixture
def calc(model_dir):
    return SchNetCalculator(model_dir)


CELLS = {"diamond": diamond()} | {n: a for n, a in PERIODIC.items() if n != "three chunks"}


@pytest.mark.parametrize("name", CELLS)
def test_stress_against_finite_differences_of_the_energy(calc, name):
    """To 1e-6 eV/Å³, in the order xx, yy, zz, yz, xz, xy."""
    atoms = CELLS[name].copy()
    atoms.calc = calc
    stress = atoms.get_stress()
    assert stress.shape == (6,)
    assert np.abs(stress).min() > 1e-5  # every component is worth comparing
    assert len(set(np.abs(stress).round(5))) == 6  # and none can pass for another
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(stress, numerical, rtol=0, atol=1e-6)


@pytest.mark.skipif("silicon" not in shipped_models(), reason="models/silicon is not here")
def test_stress_of_the_shipped_silicon():
    atoms = bulk("Si", "diamond", a=5.4).repeat((2, 1, 1))
    atoms.rattle(0.1, seed=0)
    atoms.calc = SchNetCalculator("silicon")
    numerical = calculate_numerical_stress(atoms, eps=1e-5)
    np.testing.assert_allclose(atoms.get_stress(), numerical, rtol=0, atol=1e-6)


def test_tension_is_positive(calc):
    """σ = (1/V) dE/dε: where stretching costs energy, σ is positive, and the pressure −σ negative."""
    atoms = diamond()
    atoms.calc = calc
    energies = []
    for scale in (0.999, 1.0, 1.001):
        stretched = atoms.copy()
        stretched.calc = calc
        stretched.set_cell(atoms.cell * scale, scale_atoms=True)
        energies.append(stretched.get_potential_energy())
    slope = (energies[2] - energies[0]) / 0.002
    trace = atoms.get_stress()[:3].sum()
    assert np.sign(slope) == np.sign(trace)
    assert trace * atoms.get_volume() == pytest.approx(slope, rel=1e-3)


def test_a_cell_smaller_than_the_cutoff_is_its_supercell(calc):
    small = PERIODIC["its own images"].copy()
    large = small.repeat((3, 3, 3))
    assert small.cell.lengths().max() < TINY.cutoff < 2 * small.cell.lengths().min()
    small.calc = large.calc = calc
    assert large.get_potential_energy() == pytest.approx(
        27 * small.get_potential_energy(), abs=1e-8
    )
    np.testing.assert_allclose(large.get_stress(), small.get_stress(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(large.get_forces()[:2], small.get_forces(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(
        calc.get_property("stress_std", large),
        calc.get_property("stress_std", small),
        rtol=0,
        atol=1e-10,
    )


def test_a_mirror_image_has_the_mirrored_stress(calc):
    """Left-handed cell: volume is positive and the shear that crosses the mirror changes sign."""
    atoms = PERIODIC["triclinic"].copy()
    mirrored = atoms.copy()
    mirrored.set_cell(atoms.cell.array * [1, 1, -1])
    mirrored.positions = atoms.positions * [1, 1, -1]
    assert np.linalg.det(mirrored.cell) < 0
    atoms.calc = mirrored.calc = calc
    expected = atoms.get_stress() * [1, 1, 1, -1, -1, 1]
    np.testing.assert_allclose(mirrored.get_stress(), expected, rtol=0, atol=1e-10)


def test_rotation_turns_the_stress(calc):
    atoms = PERIODIC["triclinic"].copy()
    turned = atoms.copy()
    turned.rotate(37.0, (1, 2, 3), rotate_cell=True)
    atoms.calc = turned.calc = calc
    q = np.linalg.solve(atoms.cell.array, turned.cell.array)  # rows are vectors: v' = v q
    expected = q.T @ atoms.get_stress(voigt=False) @ q
    np.testing.assert_allclose(turned.get_stress(voigt=False), expected, rtol=0, atol=1e-10)


def test_names_of_the_results_are_frozen(calc, tmp_path):
    assert STRESS == ("stress",)
    assert STRESS_COMMITTEE == ("stress_std",)
    everything = {*SINGLE, *COMMITTEE, *STRESS, *STRESS_COMMITTEE}
    atoms = diamond()
    atoms.calc = calc
    atoms.get_forces()
    assert {*calc.results, *calc.results.extra} == set(calc.implemented_properties) == everything
    one = SchNetCalculator(save_model(tmp_path, random_model(members=1, pbc=True)))
    one.get_property("stress", atoms)
    assert set(one.results) == set(one.implemented_properties) == {*SINGLE, *STRESS}


def test_stress_std_is_the_sample_std_of_the_members(calc, tmp_path):
    model, atoms, alone = random_model(members=3, pbc=True), diamond(), []
    for m in range(3):
        weights = {name: w[m : m + 1] for name, w in model.weights.items()}
        member = replace(
            model, weights=weights, scale=model.scale[:1], energy_shift=model.energy_shift[:1]
        )
        one = SchNetCalculator(save_model(tmp_path / str(m), member))
        alone.append(one.get_property("stress", atoms))
    np.testing.assert_allclose(
        calc.get_property("stress", atoms), np.mean(alone, axis=0), rtol=0, atol=1e-12
    )
    np.testing.assert_allclose(
        calc.get_property("stress_std", atoms), np.std(alone, axis=0, ddof=1), rtol=0, atol=1e-12
    )


def test_a_molecule_has_no_stress(calc, tmp_path):
    molecular = SchNetCalculator(save_model(tmp_path, random_model(members=2)))
    assert not {"stress", "stress_std"} & set(molecular.implemented_properties)
    for calculator in (calc, molecular):
        for name in ("stress", "stress_std"):
            with pytest.raises(PropertyNotImplementedError, match=name):
                calculator.get_property(name, ethanol())
        assert not {"stress", "stress_std"} & set(calculator.results)
    # nor has a molecule in a box that it does not fill
    boxed = ethanol()
    boxed.center(vacuum=5.0)
    boxed.calc = calc
    with pytest.raises(PropertyNotImplementedError, match="stress"):
        boxed.get_stress()
    assert boxed.get_potential_energy() == pytest.approx(
        calc.get_property("energy", ethanol()), abs=1e-9
    )


def test_a_stress_does_not_outlive_its_crystal(calc):
    crystal, molecule = diamond(), ethanol()
    crystal.calc = molecule.calc = calc
    crystal.get_stress()
    molecule.get_forces()
    with pytest.raises(PropertyNotImplementedError, match="stress"):
        molecule.get_stress()
    assert np.isfinite(crystal.get_stress()).all()


def test_a_chain_without_a_volume_has_no_stress(calc):
    chain = Atoms(
        "CO", positions=[[0, 0, 0], [1.2, 0.2, 0]], cell=[2.6, 0, 0], pbc=[True, False, False]
    )
    chain.calc = calc
    assert np.isfinite(chain.get_forces()).all()
    with pytest.raises(PropertyNotImplementedError, match="stress"):
        chain.get_stress()


@pytest.mark.parametrize("suffix", ["extxyz", "traj", "json"])
def test_files_keep_energy_forces_and_stress(calc, tmp_path, suffix):
    atoms = diamond()
    atoms.calc = calc
    expected = atoms.get_potential_energy(), atoms.get_forces(), atoms.get_stress()
    write(tmp_path / f"a.{suffix}", atoms)
    again = read(tmp_path / f"a.{suffix}")
    assert again.get_potential_energy() == pytest.approx(expected[0], abs=1e-6)
    np.testing.assert_allclose(again.get_forces(), expected[1], atol=1e-7)
    np.testing.assert_allclose(again.get_stress(), expected[2], atol=1e-7)


def test_a_trajectory_of_a_run_holds_every_step(calc, tmp_path):
    atoms = diamond()
    atoms.calc = calc
    stresses = []
    with Trajectory(tmp_path / "run.traj", "w", atoms) as out:
        for seed in range(3):
            atoms.rattle(0.02, seed=seed)
            stresses.append(atoms.get_stress())
            out.write()
    with Trajectory(tmp_path / "run.traj") as frames:
        for frame, stress in zip(frames, stresses, strict=True):
            np.testing.assert_array_equal(frame.get_stress(), stress)


def test_export_knows_only_ases_own_names(calc):
    atoms = diamond()
    atoms.calc = calc
    properties = atoms.get_properties(["energy", "forces", "stress"])
    np.testing.assert_array_equal(properties["stress"], atoms.get_stress())
    assert not {*COMMITTEE, *STRESS_COMMITTEE} & set(calc.export_properties())
    assert {*COMMITTEE, *STRESS_COMMITTEE} <= set(calc.results.extra)


def test_cell_and_positions_relax_together(calc):
    """Along a filter's generalised force the energy falls, and by as much as the force says."""
    atoms = diamond()
    atoms.calc = calc
    relaxed = FrechetCellFilter(atoms)
    start, force, x = relaxed.get_potential_energy(), relaxed.get_forces(), relaxed.get_positions()
    step = 1e-5 / np.linalg.norm(force)
    relaxed.set_positions(x + step * force)
    gained = start - relaxed.get_potential_energy()
    assert gained == pytest.approx(step * (force**2).sum(), rel=1e-2)
    relaxed.set_positions(x)
    BFGS(relaxed, logfile=None, maxstep=0.02).run(fmax=0.01, steps=15)
    assert relaxed.get_potential_energy() < start - 0.01
    assert atoms.get_volume() != pytest.approx(diamond().get_volume())

"""Rotate, predict, rotate back: covariant, continuous, blind to exchanges, and accurate."""

import json
import subprocess
import sys
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from dipole_cases import (
    MOLECULES,
    dipole_of,
    distorted,
    distorted_dataset,
    labelled,
    polarizability_of,
    random_rotation,
)
from safetensors.numpy import load, save

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.dipole.fit import fit_rpr
from ase_schnet.dipole.rpr import RotatePredictRotate
from ase_schnet.dipole.settings import RPRSettings

QUANTITIES = ("dipole", "polarizability")


@cache
def fitted(name: str, quantity: str = "dipole", n: int = 40) -> RotatePredictRotate:
    return fit_rpr(distorted_dataset(name, n), quantity, settings=RPRSettings(n_members=3))


def turned(q, value):
    """q v or q t qᵀ."""
    return q @ value if value.ndim == 1 else q @ value @ q.T


def structures(name):
    """As built by ASE, with all its symmetry, and distorted."""
    return [molecule(name).positions, distorted(name, 1, seed=7)[0].positions]


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", MOLECULES)
def test_a_prediction_turns_and_is_mirrored_with_the_molecule(name, quantity):
    model = fitted(name, quantity)
    mirror = np.diag([1.0, 1.0, -1.0])
    for positions in structures(name):
        value = model.predict(positions)
        for seed in range(5):
            q = random_rotation(seed)
            for turn in (q, mirror @ q, -q):
                moved = model.predict(positions @ turn.T + [3.0, -2.0, 1.0])
                np.testing.assert_allclose(moved.mean, turned(turn, value.mean), atol=1e-8)
                np.testing.assert_allclose(
                    moved.members[1], turned(turn, value.members[1]), atol=1e-8
                )


@pytest.mark.parametrize("name", ["CH4", "C6H6", "CO2", "O"])
def test_what_symmetry_forbids_is_zero(name):
    assert np.abs(fitted(name).predict(molecule(name).positions).members).max() < 1e-8


@pytest.mark.parametrize(("name", "axis"), [("NH3", 2), ("H2O", 2), ("H2CO", 2), ("HCN", 2)])
def test_a_dipole_lies_along_the_axis_of_symmetry(name, axis):
    value = fitted(name).predict(molecule(name).positions).mean
    assert abs(value[axis]) > 0.01
    assert np.abs(np.delete(value, axis)).max() < 1e-6


def test_the_polarizability_of_methane_is_isotropic_and_that_of_a_linear_molecule_uniaxial():
    # to the symmetry of ASE's geometries
    for name in ("CH4", "CO2"):
        tensor = fitted(name, "polarizability").predict(molecule(name).positions).mean
        assert tensor[0, 0] == pytest.approx(tensor[1, 1], abs=1e-6)
        assert tensor == pytest.approx(np.diag(np.diag(tensor)), abs=1e-6)
        assert (tensor[2, 2] == pytest.approx(tensor[0, 0], abs=1e-6)) == (name == "CH4")


def test_exchanging_identical_atoms_changes_nothing():
    atoms = distorted("CH3OH", 1, seed=5)[0]
    hydrogens = [k for k in range(6) if k in np.argsort(atoms.get_distances(0, range(6)))[1:5]]
    methyl = [k for k in hydrogens if atoms.numbers[k] == 1]
    assert len(methyl) == 3
    model = fitted("CH3OH")
    value = model.predict(atoms.positions).mean
    order = np.arange(6)
    order[methyl] = np.roll(methyl, 1)
    np.testing.assert_allclose(model.predict(atoms.positions[order]).mean, value, atol=1e-9)


def paths(n):
    """Through a crossing of moments, once round a methyl group, through planar NH3 and linear HCN."""
    t = np.linspace(-1, 1, n)[:, None, None]
    methanol = molecule("CH3OH")
    methanol.rattle(0.03, seed=0)
    torsion = []
    for angle in np.linspace(0, 360, n):
        atoms = methanol.copy()
        atoms.rotate(angle, atoms.positions[1] - atoms.positions[0], center=atoms.positions[0])
        atoms.positions[[1, 3]] = methanol.positions[[1, 3]]  # O and its H stay
        torsion.append(atoms.positions)
    centre = methanol.positions - methanol.get_center_of_mass()
    axes = np.linalg.eigh(centre.T @ (centre * methanol.get_masses()[:, None]))[1]
    swell = 1.0 + 0.1 * np.array([-1.0, 1.0, 0.0])
    return {
        "CH3OH torsion": np.array(torsion),
        "CH3OH crossing": centre @ axes * swell**t @ axes.T,
        "NH3 inversion": molecule("NH3").positions * np.concatenate((t * 0 + 1, t * 0 + 1, t), 2),
        "HCN bending": molecule("HCN").positions
        + 0.3 * t * np.array([[0, 0, 0], [1.0, 0, 0], [0, 0, 0]]),
    }


@pytest.mark.parametrize("name", paths(3))
def test_along_a_path_the_dipole_has_no_jump(name):
    """The largest change from one step to the next halves when the steps do."""
    model = fitted(name.split()[0])
    largest = []
    for n in (201, 401, 801):
        values = model.predict_many(paths(n)[name])
        largest.append(np.abs(np.diff(values, axis=1)).max())
    assert largest[0] > 1e-5
    assert largest[1] < 0.55 * largest[0]
    assert largest[2] < 0.55 * largest[1]


@pytest.mark.parametrize("name", ["HCN", "CO2", "H2O"])
def test_through_the_linear_geometry_the_dipole_has_no_jump(name):
    """There the followed axes are undetermined: axes that choose jump, 0.1 e·Å for water."""
    linear = molecule(name).positions
    linear[:, :2] -= linear[:1, :2]
    if name == "H2O":
        linear[1:, 2] = linear[0, 2] = 0.0
        linear[1:, 1] = [0.96, -0.96]
    aside = np.zeros_like(linear)
    aside[0, 0] = 1.0
    values = [fitted(name).predict(linear + x * aside).members for x in (1e-3, -1e-3, 1e-6, -1e-6)]
    assert 1e-5 < np.abs(values[1] - values[0]).max() < 1e-2
    assert np.abs(values[3] - values[2]).max() < 2e-3 * np.abs(values[1] - values[0]).max()


def test_the_crossing_is_one():
    path = paths(101)["CH3OH crossing"]
    moments = np.array([Atoms("COHHHH", p).get_moments_of_inertia() for p in path])
    gap = moments[:, 2] - moments[:, 1]
    assert gap.argmin() not in (0, 100)
    assert gap.min() < 0.02 * gap.max()


@pytest.mark.parametrize("name", ["H2O", "NH3", "HCN", "CH3OH"])
def test_the_dipole_is_learnt(name):
    model = fitted(name, n=120)
    test = distorted(name, 60, seed=3)
    truth = np.array([dipole_of(a) for a in test])
    predicted = model.predict_many(np.array([a.positions for a in test])).mean(axis=0)
    assert np.abs(predicted - truth).mean() < 0.01 * np.abs(truth).mean()


def test_the_polarizability_is_learnt():
    model = fitted("H2O", "polarizability", n=120)
    test = distorted("H2O", 60, seed=3)
    truth = np.array([a.info["polarizability"] for a in test])
    predicted = model.predict_many(np.array([a.positions for a in test])).mean(axis=0)
    assert np.abs(predicted - truth).mean() < 2e-3 * np.abs(truth).mean()


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("name", ["H2O", "NH3"])
def test_slopes_of_what_is_learnt_are_those_of_the_truth(name, quantity):
    """Central differences of both in every coordinate: intensities are made of these."""
    model = fitted(name, quantity, n=120)
    truth = {"dipole": dipole_of, "polarizability": polarizability_of}[quantity]
    learnt_slopes, true_slopes = [], []
    for atoms in distorted(name, 5, seed=3):
        for move in 1e-3 * np.eye(3 * len(atoms)).reshape(-1, len(atoms), 3):
            ends = [Atoms(atoms.numbers, atoms.positions + s * move) for s in (1, -1)]
            plus, minus = (model.predict(end.positions).mean for end in ends)
            learnt_slopes.append((plus - minus) / 2e-3)
            true_slopes.append((truth(ends[0]) - truth(ends[1])) / 2e-3)
    error = np.array(learnt_slopes) - np.array(true_slopes)
    assert np.linalg.norm(error) < 0.01 * np.linalg.norm(true_slopes)


def test_the_std_is_that_of_the_members_and_grows_away_from_the_data():
    model = fitted("H2O")
    near = model.predict(molecule("H2O").positions)
    np.testing.assert_allclose(near.std, near.members.std(axis=0, ddof=1))
    np.testing.assert_allclose(near.mean, near.members.mean(axis=0))
    assert near.members.shape == (3, 3)
    far = model.predict(molecule("H2O").positions * 1.25)
    assert np.linalg.norm(far.std) > 10 * np.linalg.norm(near.std) > 0


def test_atoms_on_top_of_each_other_and_far_apart_give_numbers():
    model = fitted("H2O")
    positions = molecule("H2O").positions
    for strange in (np.zeros_like(positions), 1e3 * positions, positions[[0, 1, 1]]):
        assert np.isfinite(model.predict(strange).members).all()


def test_many_structures_at_once_are_each_by_itself():
    model = fitted("H2O", "polarizability")
    positions = np.array([a.positions for a in distorted("H2O", 150, seed=8)])
    many = model.predict_many(positions)
    assert many.shape == (3, 150, 3, 3)
    for k in (0, 63, 64, 149):
        np.testing.assert_allclose(model.predict(positions[k]).members, many[:, k], atol=1e-10)


@pytest.mark.parametrize("quantity", QUANTITIES)
def test_a_model_is_arrays_and_json(quantity):
    model = fitted("H2O", quantity)
    arrays, card = load(save(model.arrays())), json.loads(json.dumps(model.card()))
    again = RotatePredictRotate.from_parts(arrays, card)
    positions = distorted("H2O", 1, seed=9)[0].positions
    assert (again.predict(positions).members == model.predict(positions).members).all()
    assert again.training == model.training
    with pytest.raises(ValueError, match=f"the {quantity} model lacks centres"):
        RotatePredictRotate.from_parts({k: arrays[k] for k in arrays if k != "centres"}, card)
    with pytest.raises(ValueError, match=r"reference of the .* is not finite numbers of shape"):
        RotatePredictRotate.from_parts({**arrays, "reference": arrays["reference"][:2]}, card)
    with pytest.raises(ValueError, match="this version reads formats 1 and 2"):
        RotatePredictRotate.from_parts(arrays, {**card, "format_version": 2})


def test_predicting_imports_no_torch():
    code = (
        "import sys, ase_schnet.dipole.rpr;"
        "print([m for m in ('torch', 'sklearn', 'matplotlib', 'numba') if m in sys.modules])"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "[]\n"


# ------------------------------------------------------------------ ions


def test_the_dipole_of_an_ion_is_about_the_centre_of_mass():
    data = distorted_dataset("NH3", 30)  # as NH3+: shift the labels as a charge of one does
    com = np.array([data.atoms(k).get_center_of_mass() for k in range(len(data))])
    about_origin = replace(data, dipole=data.dipole + com)
    settings = RPRSettings(n_members=2)
    model = fit_rpr(about_origin, charge=1, labels_about="coordinate origin", settings=settings)
    same = fit_rpr(data, charge=1, labels_about="centre of mass", settings=settings)
    positions = distorted("NH3", 1, seed=4)[0].positions
    np.testing.assert_allclose(
        model.predict(positions + 5.0).mean, same.predict(positions).mean, atol=1e-8
    )
    assert (model.card()["charge"], model.card()["origin"]) == (1, "centre of mass")
    with pytest.raises(ValueError, match=r"dipole of an ion \(charge \+1\) depends on the origin"):
        fit_rpr(data, charge=1)


# ------------------------------------------------------------- bad input


def test_what_cannot_be_fitted_is_refused():
    water = distorted("H2O", 12)
    data = Dataset.from_atoms(water)
    with pytest.raises(ValueError, match="no model of 'charges': known are dipole"):
        fit_rpr(data, "charges")
    with pytest.raises(ValueError, match="structure 12 has atoms CHHHH, structure 0 OHH"):
        fit_rpr(Dataset.from_atoms(water + distorted("CH4", 1)))
    swapped = water[0][[1, 0, 2]]
    with pytest.raises(ValueError, match="structure 12 has atoms HOH, structure 0 OHH"):
        fit_rpr(Dataset.from_atoms([*water, labelled(swapped)]))
    with pytest.raises(ValueError, match="dipole found in 12/13 structures"):
        fit_rpr(Dataset.from_atoms([*water, molecule("H2O")]))
    with pytest.raises(ValueError, match="dipole found in 0/1 structures"):
        fit_rpr(Dataset.from_atoms([molecule("H2O")]))
    with pytest.raises(ValueError, match="3 structures are too few for 5 members"):
        fit_rpr(data.subset(np.arange(3)))
    with pytest.raises(ValueError, match="structure 0 is periodic"):
        fit_rpr(Dataset.from_atoms([bulk("C")]))


def test_another_molecule_is_refused():
    model = fitted("H2O")
    model.require(np.array([8, 1, 1]))
    with pytest.raises(ValueError, match="trained on atoms OHH, not HOH: reorder the atoms"):
        model.require(np.array([1, 8, 1]))
    with pytest.raises(ValueError, match="not CHHHH: it can predict this molecule only"):
        model.require(molecule("CH4").numbers)
    with pytest.raises(ValueError, match="set pbc to False"):
        model.require(np.array([8, 1, 1]), pbc=True)


# ------------------------------------------------------------- real data


def turn_every_frame(data: Dataset, seed: int) -> Dataset:
    """Each structure and its labels by a rotation of its own: files come aligned, which flatters."""
    positions = data.R.reshape(len(data), -1, 3).copy()
    dipole, alpha = (None if a is None else a.copy() for a in (data.dipole, data.polarizability))
    for k in range(len(data)):
        q = random_rotation(10**6 * seed + k)
        positions[k] = positions[k] @ q.T
        if dipole is not None:
            dipole[k] = q @ dipole[k]
        if alpha is not None:
            alpha[k] = q @ alpha[k] @ q.T
    return replace(data, R=positions.reshape(-1, 3), dipole=dipole, polarizability=alpha)


@pytest.mark.slow
def test_methanol_dipoles_of_coupled_clusters(shared_data):
    frames, _ = read_labelled(shared_data("meuwly-dipoles", "ch3oh_cc_avtz_7201.npz"), "eV")
    data = turn_every_frame(Dataset.from_atoms(frames[::10]), seed=1)
    order = np.random.default_rng(0).permutation(len(data))
    model = fit_rpr(data.subset(order[:400]), settings=RPRSettings(n_centres=300))
    test = data.subset(order[400:])
    predicted = model.predict_many(test.R.reshape(len(test), -1, 3)).mean(axis=0)
    assert np.abs(predicted - test.dipole).mean() < 5e-4
    assert model.training["held_out_MAE_per_component"] < 5e-4


@pytest.mark.slow
def test_malonaldehyde_polarizabilities(shared_data):
    positions = np.load(shared_data("bpm-malonaldehyde-alpha", "coord_MDA.npy"))[::5]
    alpha = np.load(shared_data("bpm-malonaldehyde-alpha", "alpha_MDA.npy"))[::5]
    frames = [
        Atoms("CCOCOHHHH", r, info={"polarizability": a})
        for r, a in zip(positions, alpha, strict=True)
    ]
    data = turn_every_frame(Dataset.from_atoms(frames), seed=2)
    order = np.random.default_rng(0).permutation(len(data))
    settings = RPRSettings(n_centres=150)
    model = fit_rpr(data.subset(order[:300]), "polarizability", settings=settings)
    test = data.subset(order[300:])
    predicted = model.predict_many(test.R.reshape(len(test), -1, 3)).mean(axis=0)
    error = np.linalg.norm(predicted - test.polarizability) / np.linalg.norm(test.polarizability)
    assert error < 0.02

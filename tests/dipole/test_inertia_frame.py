"""Rotate, predict, rotate to the letter: the eigenvectors of the inertia tensor, signs by a reference."""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.build import molecule
from ase.io import write
from dipole_cases import dipole_of, distorted, distorted_dataset, random_rotation
from factory import random_model
from test_dipole_rpr import paths

from ase_schnet.cli import main
from ase_schnet.dipole.fit import errors, fit_rpr
from ase_schnet.dipole.frame import centred, inertia_axes, least_gap, principal_frames
from ase_schnet.dipole.rpr import RotatePredictRotate
from ase_schnet.dipole.settings import RPRSettings
from ase_schnet.dipole.store import load_part, save_part
from ase_schnet.modelfile import save_model

INERTIA = RPRSettings(n_members=2, frame="inertia")


@pytest.fixture(scope="module")
def methanol():
    return fit_rpr(distorted_dataset("CH3OH", 60), settings=INERTIA)


@pytest.fixture(scope="module")
def formaldehyde():
    return fit_rpr(distorted_dataset("H2CO", 60), settings=INERTIA)


def test_the_axes_are_ases_and_their_signs_those_of_the_largest_overlap():
    masses = molecule("CH3OH").get_masses()
    reference, *frames = distorted("CH3OH", 12, rattle=0.15)
    a = centred(reference.positions, masses) @ random_rotation(0).T
    for atoms in frames:
        r = centred(atoms.positions, masses)
        h = np.einsum("n,ni,nj->ij", masses, a, r)[None, None]
        axes, overlap = (part[0, 0] for part in inertia_axes(r[None], masses, h))
        vectors = atoms.get_moments_of_inertia(vectors=True)[1]
        np.testing.assert_allclose(np.abs(np.einsum("ij,ij->i", axes, vectors)), 1.0, atol=1e-9)
        assert np.linalg.det(axes) == pytest.approx(1.0)
        each = [(masses[:, None] * a * (r @ f.T)).sum() for f in principal_frames(r, masses)]
        assert overlap == pytest.approx(max(each))
        assert (masses[:, None] * a * (r @ axes.T)).sum() == pytest.approx(max(each))


def test_the_prediction_turns_with_the_molecule(methanol):
    positions = distorted("CH3OH", 1, seed=4)[0].positions
    value = methanol.predict(positions).members
    for seed in range(5):
        q = random_rotation(seed)
        moved = methanol.predict(positions @ q.T + [1.0, 2.0, -3.0]).members
        np.testing.assert_allclose(moved, value @ q.T, atol=1e-8)


def test_of_a_symmetric_tensor_too():
    model = fit_rpr(distorted_dataset("H2CO", 40), "polarizability", settings=INERTIA)
    positions, q = distorted("H2CO", 1, seed=4)[0].positions, random_rotation(3)
    value, moved = (model.predict(r).mean for r in (positions, positions @ q.T))
    np.testing.assert_allclose(moved, q @ value @ q.T, atol=1e-8)
    assert np.abs(errors(model, distorted_dataset("H2CO", 10, seed=5))).max() < 0.01


def test_the_dipole_is_learnt(formaldehyde):
    atoms = distorted("H2CO", 1, seed=8)[0]
    true = dipole_of(atoms)
    assert np.linalg.norm(
        formaldehyde.predict(atoms.positions).mean - true
    ) < 0.02 * np.linalg.norm(true)


def test_where_moments_cross_it_jumps(methanol):
    """As far however small the step. In the followed axes it does not: test_dipole_rpr."""
    largest = []
    for n in (101, 401):
        values = methanol.predict_many(paths(n)["CH3OH crossing"]).mean(axis=0)
        largest.append(np.linalg.norm(np.diff(values, axis=0), axis=1).max())
    assert largest[1] > 0.9 * largest[0] > 1e-3


def test_the_gap_of_the_moments():
    benzene, water = molecule("C6H6"), molecule("H2O")
    assert least_gap(benzene.positions[None], benzene.get_masses()) < 1e-4
    moments = water.get_moments_of_inertia()
    expected = np.diff(moments).min() / moments[2]
    assert least_gap(water.positions[None], water.get_masses()) == pytest.approx(expected)
    assert least_gap(np.zeros((1, 1, 3)), np.ones(1)) == 0.0


def test_to_the_letter_there_are_no_exchanges_but_they_can_be_asked_for(methanol):
    assert methanol.training["n_exchanges"] == 1
    assert (RPRSettings().max_exchanges, INERTIA.max_exchanges) == (24, 1)
    model = fit_rpr(distorted_dataset("CH3OH", 20), settings=replace(INERTIA, max_exchanges=6))
    assert model.training["n_exchanges"] == 6
    atoms = distorted("CH3OH", 1, seed=5)[0]
    methyl = [k for k in np.argsort(atoms.get_distances(0, range(6)))[1:5] if atoms.numbers[k] == 1]
    order = np.arange(6)
    order[methyl] = np.roll(methyl, 1)
    value = model.predict(atoms.positions).mean
    np.testing.assert_allclose(model.predict(atoms.positions[order]).mean, value, atol=1e-9)
    assert (
        np.abs(
            methanol.predict(atoms.positions[order]).mean - methanol.predict(atoms.positions).mean
        ).max()
        > 1e-6
    )


def test_the_file_says_the_frame_and_older_readers_refuse_it(formaldehyde, tmp_path):
    save_part(tmp_path, formaldehyde)
    again = load_part(tmp_path, "dipole")
    card = again.card()
    assert (card["frame"], card["format_version"], card["training"]["frame"]) == (
        "inertia",
        2,
        "inertia",
    )
    positions = distorted("H2CO", 1, seed=9)[0].positions
    assert (again.predict(positions).members == formaldehyde.predict(positions).members).all()
    with pytest.raises(ValueError, match="format 2 in the frame 'followed'"):  # neither is guessed
        RotatePredictRotate.from_parts(
            again.arrays(), {k: v for k, v in card.items() if k != "frame"}
        )


def test_an_unknown_frame_is_refused():
    with pytest.raises(ValueError, match="frame must be 'followed' or 'inertia', not 'Inertia'"):
        RPRSettings(frame="Inertia")


def test_the_command_says_it_and_so_does_info(tmp_path, capsys):
    save_model(tmp_path / "m", replace(random_model(), distance_ranges={}))
    write(tmp_path / "d.extxyz", distorted("H2CO", 30))
    words = [str(tmp_path / "d.extxyz"), "--units", "eV, Ang, e*Ang", "-o", str(tmp_path / "m")]
    assert main(["train-dipole", *words, "--frame", "inertia", "--folds", "2"]) == 0
    assert "axes of inertia: two moments come as near as" in capsys.readouterr().out
    assert main(["info", str(tmp_path / "m")]) == 0
    assert "per component; axes of inertia; atoms in the order" in capsys.readouterr().out


def test_the_benchmark_finds_jumps_and_no_steep_slopes():
    from benchmarks.dichloroethane import jumps

    path = np.linspace(0, 10, 11)[:, None, None] * np.ones((1, 2, 3))

    def stepped(r):
        x = r[:, 0, 0]
        steep = np.tanh(300 * (x - 2.2))
        return np.stack([steep + 0.5 * (x > 4.7) - 0.02 * (x > 7.3), 0 * x, 0 * x], axis=1)

    where, size = jumps(stepped, path)
    np.testing.assert_allclose(where, [4.7, 7.3], atol=1e-6)
    np.testing.assert_allclose(size, [0.5, 0.02], atol=1e-6)
    assert len(jumps(lambda r: np.sin(r[:, 0]), path)[0]) == 0


def test_the_page_is_that_of_the_store():
    from benchmarks.dichloroethane import LETTER, OURS, PAGE, STORE, replace_section, section

    store = json.loads(STORE.read_text())
    page = PAGE.read_text()
    assert page.endswith(section(store))
    assert replace_section(page, section(store)) == page
    assert store["rows"][OURS]["n_jumps"] == 0 < store["rows"][LETTER]["n_jumps"]

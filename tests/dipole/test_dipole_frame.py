"""The frame: principal axes of inertia that turn with the molecule and never jump."""

import numpy as np
import pytest
from ase.build import molecule
from dipole_cases import MOLECULES, random_rotation

from ase_schnet.dipole.frame import (
    centred,
    followed_axes,
    moments_and_axes,
    overlap_gap,
    principal_frames,
)
from ase_schnet.dipole.symmetry import bonds, equivalent_orders, orbits


def cross_moments(reference, masses, r):
    return np.einsum("n,ni,...nj->...ij", masses, reference, r)


def in_axes(name, rattle=0.05):
    """Masses and positions of a distorted molecule in its principal axes."""
    atoms = molecule(name)
    atoms.rattle(rattle, seed=3)
    masses = atoms.get_masses()
    r = centred(atoms.positions, masses)
    return masses, r @ moments_and_axes(r, masses)[1].T


@pytest.mark.parametrize("name", MOLECULES)
def test_moments_are_those_of_ase(name):
    atoms = molecule(name)
    atoms.rattle(0.05, seed=1)
    moments, axes = moments_and_axes(atoms.positions, atoms.get_masses())
    np.testing.assert_allclose(moments, atoms.get_moments_of_inertia(), atol=1e-10)
    assert np.linalg.det(axes) == pytest.approx(1.0)


def test_the_four_frames_are_proper_and_make_the_inertia_tensor_diagonal():
    masses, a = in_axes("CH3OH")
    r = a @ random_rotation(5)
    for frame in principal_frames(r, masses):
        assert np.linalg.det(frame) == pytest.approx(1.0)
        turned = r @ frame.T
        second = np.einsum("n,ni,nj->ij", masses, turned, turned)
        np.testing.assert_allclose(second, np.diag(np.diag(second)), atol=1e-10)
        assert (np.diff(np.diag(second)) < 0).all()  # the smallest moment comes first


@pytest.mark.parametrize("name", MOLECULES)
def test_followed_axes_turn_with_the_molecule(name):
    masses, a = in_axes(name)
    r = a + 0.1 * np.random.default_rng(0).normal(size=a.shape)
    q = random_rotation(1)
    p = followed_axes(cross_moments(a, masses, r), 0.3)
    turned = followed_axes(cross_moments(a, masses, r @ q.T), 0.3)
    np.testing.assert_allclose(turned, p @ q.T, atol=1e-12)


def test_the_mirror_image_comes_along():
    masses, a = in_axes("CH3OH")
    h = cross_moments(a, masses, a @ random_rotation(2))
    np.testing.assert_allclose(followed_axes(h, 0.3)[::-1], followed_axes(-h, 0.3), atol=1e-12)


def test_stiff_axes_are_the_eckart_axes():
    """A rotation that obeys Σ m a × (R r) = 0, and at the reference its principal axes."""
    masses, a = in_axes("CH3OH")
    q = random_rotation(4)
    np.testing.assert_allclose(followed_axes(cross_moments(a, masses, a @ q.T), 50.0)[0], q.T)
    r = (a + 0.1 * np.random.default_rng(1).normal(size=a.shape)) @ q.T
    p = followed_axes(cross_moments(a, masses, r), 50.0)[0]
    np.testing.assert_allclose(p @ p.T, np.eye(3), atol=1e-9)
    np.testing.assert_allclose(masses @ np.cross(a, r @ p.T), 0.0, atol=1e-9)


def test_the_gap_at_the_reference_is_twice_the_smallest_moment():
    masses, a = in_axes("CH3OH")
    assert overlap_gap(cross_moments(a, masses, a)) == pytest.approx(
        2 * moments_and_axes(a, masses)[0][0]
    )


def test_undetermined_axes_are_averaged_over():
    masses, a = in_axes("HCN", rattle=0.0)
    p = followed_axes(cross_moments(a, masses, a), 5.0)[0]
    np.testing.assert_allclose(p, np.diag([1.0, 0.0, 0.0]), atol=1e-12)  # along the molecule only
    assert np.abs(followed_axes(np.zeros((3, 3)), 5.0)).max() < 1e-15  # a single atom has none


def crossing(n):
    """Stretch methanol's C–O bond and its methyl group so that two moments cross half way."""
    masses, a = in_axes("CH3OH", rattle=0.0)
    t = np.linspace(-1, 1, n)[:, None, None]
    swell = np.array([1.0, 1.0 + 0.1, 1.0 - 0.1])
    return masses, a, a * swell**t


def test_a_crossing_of_moments_leaves_the_followed_axes_alone_but_not_the_frames_of_inertia():
    changes, jumps = [], []
    for n in (101, 201):
        masses, a, path = crossing(n)
        moments, axes = moments_and_axes(path, masses)
        assert np.ptp(moments[:, 2] - moments[:, 1]) > 0.1
        p = followed_axes(cross_moments(a, masses, path), 0.7)
        changes.append(np.abs(np.diff(p, axis=0)).max())
        jumps.append(np.abs(np.diff(np.abs(axes), axis=0)).max())  # whatever the signs
    assert changes[1] == pytest.approx(changes[0] / 2, rel=0.2)
    assert min(jumps) > 0.9


@pytest.mark.parametrize(
    ("name", "size", "sets"),
    [("CH3OH", 6, 4), ("CH4", 24, 2), ("C6H6", 12, 2), ("NH3", 6, 2), ("HCN", 1, 3), ("CO2", 2, 2)],
)
def test_equivalent_atoms(name, size, sets):
    atoms = molecule(name)
    bonded = bonds(atoms.numbers, atoms.get_all_distances())
    orders = equivalent_orders(atoms.numbers, bonded, limit=24)
    assert len(orders) == size
    assert orders[0].tolist() == list(range(len(atoms)))
    assert len(set(orbits(orders))) == sets
    for order in orders:
        assert (bonded[np.ix_(order, order)] == bonded).all()
        assert (atoms.numbers[order] == atoms.numbers).all()
    together = {tuple(order) for order in orders}
    assert {tuple(a[b]) for a in orders for b in orders} == together  # a group


def test_a_group_above_the_limit_is_not_used():
    atoms = molecule("CH4")
    bonded = bonds(atoms.numbers, atoms.get_all_distances())
    assert equivalent_orders(atoms.numbers, bonded, limit=23).tolist() == [list(range(5))]

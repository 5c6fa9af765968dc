"""Pairs against brute force over periodic images and against ASE's own list."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list

from ase_schnet.neighbors import ALL_PAIRS_LIMIT, VerletList, half_list

CELLS = {
    "cubic": np.eye(3) * 6.0,
    "skewed": np.array([[5.0, 0, 0], [3.5, 4.0, 0], [-2.0, 1.5, 4.5]]),
    "left-handed": np.array([[0, 5.0, 0], [5.0, 0, 0], [0, 0, 6.0]]),
    "smaller than the cutoff": np.array([[2.1, 0, 0], [0.4, 2.5, 0], [0, 0.3, 3.0]]),
}


def sorted_distances(positions, pairs):
    return np.sort(np.linalg.norm(pairs.vectors(positions), axis=1))


def brute_force(positions, cell, pbc, cutoff, images=5):
    """Distances of every pair of images, each pair once."""
    spans = [range(-images, images + 1) if p else (0,) for p in pbc]
    shifts = np.array([[a, b, c] for a in spans[0] for b in spans[1] for c in spans[2]])
    found = []
    for i in range(len(positions)):
        for j in range(len(positions)):
            d = np.linalg.norm(positions[j] + shifts @ cell - positions[i], axis=1)
            found.append(d[(d < cutoff) & ~((i == j) & (shifts == 0).all(axis=1))])
    return np.sort(np.concatenate(found))


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 0, 1), (0, 1, 0)])
@pytest.mark.parametrize("name", CELLS)
def test_periodic_pairs_against_brute_force(name, pbc):
    rng, cell, pbc = np.random.default_rng(1), CELLS[name], np.array(pbc, dtype=bool)
    positions = rng.uniform(-0.5, 1.5, size=(5, 3)) @ cell  # some outside the cell
    got = sorted_distances(positions, half_list(positions, 4.0, cell, pbc))
    expected = brute_force(positions, cell, pbc, 4.0)
    np.testing.assert_allclose(np.repeat(got, 2), expected, atol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 9, ALL_PAIRS_LIMIT + 40])
def test_molecules_against_ase(n):
    atoms = Atoms(f"H{n}", positions=np.random.default_rng(n).uniform(0, 9, size=(n, 3)))
    pairs = half_list(atoms.positions, 3.0)
    i, j = neighbor_list("ij", atoms, 3.0)
    assert {frozenset(p) for p in zip(pairs.idx_i, pairs.idx_j, strict=True)} == {
        frozenset(p) for p in zip(i, j, strict=True)
    }
    assert 2 * len(pairs.idx_i) == len(i)


@pytest.mark.parametrize("n", [9, ALL_PAIRS_LIMIT + 40])
def test_a_molecule_has_no_images_whatever_its_cell_says(n):
    positions = np.random.default_rng(0).uniform(0, 9, size=(n, 3))
    free = half_list(positions, 3.0)
    for cell in (np.zeros((3, 3)), np.eye(3) * 2.0):
        boxed = half_list(positions, 3.0, cell, False)
        assert len(boxed.idx_i) == len(free.idx_i)
        assert not boxed.shifts.any()


def test_far_from_the_origin():
    positions = np.random.default_rng(0).uniform(0, 9, size=(100, 3))
    near, far = half_list(positions, 3.0), half_list(positions + 1e6, 3.0)
    np.testing.assert_allclose(
        sorted_distances(positions, near), sorted_distances(positions + 1e6, far), atol=1e-8
    )


@pytest.mark.parametrize("pbc", [False, True])
def test_verlet_list_never_misses_a_pair(pbc):
    rng, cell = np.random.default_rng(5), CELLS["skewed"]
    positions = rng.uniform(0, 1, size=(8 if pbc else ALL_PAIRS_LIMIT + 1, 3)) @ cell
    verlet, pbc = VerletList(3.0, skin=0.6), np.array([pbc] * 3)
    made, before = 0, None
    for _ in range(60):
        positions += rng.normal(scale=0.05, size=positions.shape)  # drifts out of the cell
        pairs = verlet.pairs(positions, cell, pbc)
        d = sorted_distances(positions, pairs)
        made += pairs is not before
        before = pairs
        exact = sorted_distances(positions, half_list(positions, 3.0, cell, pbc))
        np.testing.assert_allclose(d[d < 3.0], exact, atol=1e-9)
    assert 1 < made < 40  # rebuilt when needed, and only then


def test_verlet_list_follows_the_cell():
    positions, pbc = np.array([[0.0, 0, 0], [1.5, 0, 0]]), np.array([True] * 3)
    verlet = VerletList(2.0, skin=0.5)
    wide = verlet.pairs(positions, np.eye(3) * 9.0, pbc)
    narrow = verlet.pairs(positions, np.eye(3) * 3.0, pbc)
    assert len(narrow.idx_i) > len(wide.idx_i)
    assert len(verlet.pairs(positions, np.eye(3) * 3.0, ~pbc).idx_i) == 1


@pytest.mark.parametrize("pbc", [False, True])
def test_pairs_come_in_one_order_whenever_the_list_was_made(pbc):
    """Otherwise a resumed run would add up in another order and leave the old one's last bit."""
    rng, cell, pbc = np.random.default_rng(2), np.eye(3) * 8.0, np.array([pbc] * 3)
    start = rng.uniform(0, 8, size=(80, 3))
    now = start + rng.normal(scale=0.05, size=start.shape)
    old, new = VerletList(3.0, skin=0.9), VerletList(3.0, skin=0.9)
    old.pairs(start, cell, pbc)
    lists = []
    for verlet in (old, new):
        pairs = verlet.pairs(now, cell, pbc)
        close = np.linalg.norm(pairs.vectors(now), axis=1) < 3.0
        lists.append([a[close] for a in pairs])
    for a, b in zip(*lists, strict=True):
        np.testing.assert_array_equal(a, b)
    assert old._made_for is not None
    assert not np.array_equal(old._made_for[0], new._made_for[0])


@pytest.mark.parametrize("name", CELLS)
def test_pairs_are_in_canonical_order_under_wrapping(name):
    """Sorted by i, then j, i <= j, each pair once, wherever the atoms' images lie."""
    rng, cell = np.random.default_rng(3), CELLS[name]
    inside = rng.uniform(0, 1, size=(40, 3))
    lists = []
    for moved in (inside, inside + rng.integers(-3, 4, size=(40, 3))):
        positions = moved @ cell
        pairs = half_list(positions, 4.0, cell, True)
        assert (pairs.idx_i <= pairs.idx_j).all()
        assert (np.diff(pairs.idx_i * 40 + pairs.idx_j) >= 0).all()
        entries = np.column_stack([pairs.idx_i, pairs.idx_j, pairs.shifts.round(6)])
        assert len(np.unique(entries, axis=0)) == len(entries)
        own = pairs.idx_i == pairs.idx_j  # an image of itself, one way only
        back = np.column_stack([pairs.idx_i, pairs.idx_j, -pairs.shifts.round(6)])[own]
        assert not {tuple(e) for e in entries[own] + 0.0} & {tuple(e) for e in back + 0.0}
        d = np.linalg.norm(pairs.vectors(positions), axis=1)
        lists.append((pairs.idx_i, pairs.idx_j, sorted(d.round(8))))
    for a, b in zip(*lists, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_order_of_images_does_not_depend_on_who_is_wrapped_where():
    """Moving everything by a lattice vector leaves indices and shifts as they were, entry by entry."""
    cell = CELLS["smaller than the cutoff"]
    positions = np.random.default_rng(4).uniform(0, 1, size=(6, 3)) @ cell
    here, there = (half_list(positions + v, 4.0, cell, True) for v in (0.0, 3 * cell[0] - cell[2]))
    for a, b in zip(here, there, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_molecules_list_is_the_same_object_and_holds_every_pair():
    """So that the engine looks at it once; a small molecule's is never made anew."""
    rng, verlet = np.random.default_rng(0), VerletList(3.0, skin=0.5)
    first = None
    for _ in range(5):
        positions = rng.uniform(-50, 50, size=(9, 3))
        pairs = verlet.pairs(positions, np.eye(3), np.zeros(3, bool))
        first = first or pairs
        assert pairs is first
        assert len(pairs.idx_i) == 36
    assert len(verlet.pairs(positions[:5], np.eye(3), np.zeros(3, bool)).idx_i) == 10


def test_a_list_that_holds_is_the_same_object():
    """Positions may be changed in place, as ASE's dynamics does, without the list losing its reference."""
    rng, verlet = np.random.default_rng(0), VerletList(3.0, skin=0.5)
    positions, cell, pbc = rng.uniform(0, 8, size=(80, 3)), np.eye(3) * 8.0, np.array([True] * 3)
    first = verlet.pairs(positions, cell, pbc)
    positions[0, 0] += 0.24
    assert verlet.pairs(positions, cell, pbc) is first
    positions[0, 0] += 0.02
    assert verlet.pairs(positions, cell, pbc) is not first
    second = verlet.pairs(positions, cell, pbc)
    cell[0, 0] = np.nextafter(8.0, 9.0)
    assert verlet.pairs(positions, cell, pbc) is not second

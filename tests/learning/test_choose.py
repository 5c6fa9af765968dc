"""What is worth a label: the greedy choice, the random share, and what was labelled before."""

from collections import Counter

import numpy as np
import pytest
from ase.build import molecule

from ase_schnet.learning.choose import CHOSEN, RANDOM, choose, greedy
from ase_schnet.learning.settings import RANDOM_SHARE
from ase_schnet.sampling.spread import fingerprint, sorted_distances


def waters(n, seed=0, **info):
    rng, frames = np.random.default_rng(seed), []
    for k in range(n):
        frames.append(molecule("H2O"))
        frames[-1].positions += rng.normal(0, 0.05, (3, 3))
        frames[-1].info = {"at_goal": True, "uncertainty": 1.0, "k": k, **info}
    return frames


def chosen_from(candidates, n, labelled=(), seed=0, share=RANDOM_SHARE, **how):
    rng = np.random.default_rng(seed)
    return choose(candidates, list(labelled), n, sorted_distances, rng, share, **how)


def test_greedy_takes_the_largest_doubt_times_distance_to_all_that_is_known_or_taken():
    rng = np.random.default_rng(0)
    points, known, doubt = rng.normal(size=(30, 3)), rng.normal(size=(4, 3)), rng.uniform(size=30)
    among = np.arange(5, 30)
    taken = greedy(points, doubt, among, known, 8)
    seen = list(known)
    for k in taken:
        worth = {
            j: doubt[j] * min(np.linalg.norm(points[j] - p) for p in seen) for j in among.tolist()
        }
        assert k == max(worth, key=worth.get)
        seen.append(points[k])


@pytest.mark.parametrize("n_known", [0, 3])
def test_greedy_never_takes_one_twice_even_among_equals_without_doubt(n_known):
    points, known = np.zeros((6, 2)), np.zeros((n_known, 2))
    taken = greedy(points, np.zeros(6), np.arange(6), known, 10)
    assert sorted(taken) == list(range(6))


def test_a_quarter_is_drawn_and_no_structure_is_returned_twice():
    found = chosen_from(waters(60), 20)
    assert Counter(a.info["share"] for a in found) == {RANDOM: 5, CHOSEN: 15}
    assert len({fingerprint(a) for a in found}) == 20


def test_the_random_share_is_uniform_over_structures_of_the_goal():
    candidates = waters(10) + waters(10, 1, at_goal=False)
    drawn = Counter()
    for seed in range(200):
        found = chosen_from(candidates, 8, seed=seed)
        drawn.update(a.info["k"] for a in found if a.info["share"] == RANDOM)
        assert all(a.info["at_goal"] for a in found if a.info["share"] == RANDOM)
    counts = np.array([drawn[k] for k in range(10)])
    assert counts.sum() == 400
    # chi squared of 9 degrees of freedom, 99.9 %
    assert ((counts - 40) ** 2 / 40).sum() < 27.9


def test_the_random_share_does_not_depend_on_the_uncertainty():
    plain, doubtful = waters(40), waters(40)
    for atoms in doubtful[:5]:
        atoms.info["uncertainty"] = 100.0
    shares = [
        [a.info["k"] for a in chosen_from(frames, 16) if a.info["share"] == RANDOM]
        for frames in (plain, doubtful)
    ]
    assert shares[0] == shares[1]
    picked = {a.info["k"] for a in chosen_from(doubtful, 16)}
    assert set(range(5)) <= picked  # the rest does


def test_without_doubt_the_rest_is_drawn_from_hotter_runs_uniformly():
    candidates = waters(10) + waters(10, 1, at_goal=False)
    candidates[12].info["uncertainty"] = 100.0
    drawn = Counter()
    for seed in range(200):
        found = chosen_from(candidates, 8, seed=seed, share=0.5, by_doubt=False)
        rest = [a for a in found if a.info["share"] == CHOSEN]
        assert len(rest) == 4
        assert not any(a.info["at_goal"] for a in rest)
        drawn.update(a.info["k"] for a in rest)
    counts = np.array([drawn[k] for k in range(10)])
    # chi squared of 9 degrees of freedom, 99.9 %
    assert ((counts - 80) ** 2 / 80).sum() < 27.9


def test_without_doubt_aims_keep_their_share_and_what_lacks_hotter_ones_is_filled():
    aimed = waters(30, 2, at_goal=False, aim="scan 0 1 0.8 2")
    found = chosen_from([*waters(50), *waters(50, 1, at_goal=False), *aimed], 40, by_doubt=False)
    assert sum("aim" in a.info for a in found) == 6  # 0.2 of 30
    assert sum(a.info["at_goal"] for a in found) == 10
    few = [*waters(30), *waters(3, 1, at_goal=False), *aimed[:2]]
    found = chosen_from(few, 35, by_doubt=False)
    assert len(found) == 35
    assert len({fingerprint(a) for a in found}) == 35


def test_nothing_that_was_labelled_is_chosen_again_whatever_its_place_and_orientation():
    candidates = waters(12)
    labelled = [a.copy() for a in candidates[:6]]
    for atoms in labelled:
        atoms.rotate(40, "x")
        atoms.positions += 3.0
    found = chosen_from([*candidates, *(a.copy() for a in candidates)], 20, labelled)
    assert sorted(a.info["k"] for a in found) == list(range(6, 12))


def test_structures_of_aims_get_their_share_and_no_random_one():
    candidates = waters(50) + waters(50, 1, at_goal=False, aim="scan 0 1 0.8 2", uncertainty=1e-6)
    found = chosen_from(candidates, 40)
    of_aims = [a for a in found if "aim" in a.info]
    assert len(of_aims) == 12  # 0.4 of 30, though they have no doubt
    assert {a.info["share"] for a in of_aims} == {CHOSEN}


def test_fewer_candidates_than_wanted_are_all_taken_and_none_is_fine():
    assert len(chosen_from(waters(7), 20)) == 7
    assert chosen_from([], 20) == []
    cold = waters(9, at_goal=False)
    assert {a.info["share"] for a in chosen_from(cold, 4)} == {CHOSEN}

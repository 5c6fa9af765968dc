"""Error bars: they cover as often as they say, turn with the structure, and end where the data end."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from factory import NARROW, ethanol, random_model
from scipy.sparse.csgraph import connected_components

from ase_schnet import SchNetCalculator
from ase_schnet.atoms_state import state_of
from ase_schnet.data.splits import default_kept_out
from ase_schnet.inference.compositions import KnownPieces
from ase_schnet.inference.error_bars import ErrorBars
from ase_schnet.inference.pair_checks import pieces_of
from ase_schnet.modelfile import UNSPECIFIED, load_model, save_model
from ase_schnet.neighbors import half_list
from ase_schnet.uncertainty.conformal import (
    Factors,
    Intervals,
    NoIntervals,
    Residuals,
    conformal_quantile,
    fit_intervals,
    structures_needed,
)

MEMBERS, ATOMS = 5, 6


def drawn(n: int, rng, harder: float = 1.0) -> list[Residuals]:
    """Structures whose errors have a spread of their own; members share a third of the error's variance."""
    found = []
    for _ in range(n):
        width = harder * rng.lognormal(0.0, 0.5)
        energy = width * (rng.normal(size=MEMBERS) + 0.7 * rng.normal())
        forces = width * (rng.normal(size=(MEMBERS, ATOMS, 3)) + 0.7 * rng.normal(size=(ATOMS, 3)))
        numbers = np.array([6, 1, 1, 1, 8, 1])
        found.append(Residuals(numbers, energy, 0.0, forces, np.zeros((ATOMS, 3))))
    return found


def covered(intervals: Intervals, structures: list[Residuals]) -> tuple[float, float]:
    """Fractions of energies and of force components within their bars."""
    energies, forces = [], []
    for s in structures:
        std = s.member_forces.std(axis=0, ddof=1)
        mean_std = np.sqrt((std**2).mean())
        bar = intervals.energy_error(s.energies.std(ddof=1), mean_std, ATOMS)
        energies.append(abs(s.energies.mean()) <= bar)
        widths = intervals.force_factors[s.numbers] * np.sqrt((std**2).mean(axis=1))
        forces.append((np.abs(s.member_forces.mean(axis=0)) <= widths[:, None]).mean())
    return float(np.mean(energies)), float(np.mean(forces))


@pytest.mark.parametrize("level", [0.5, 0.9])
def test_bars_cover_new_errors_as_often_as_they_say(level):
    rng = np.random.default_rng(0)
    fractions = [covered(fit_intervals(drawn(60, rng), level), drawn(60, rng)) for _ in range(60)]
    energy, forces = np.mean(fractions, axis=0)
    assert energy == pytest.approx(level, abs=0.025)
    assert forces == pytest.approx(level, abs=0.02)


def test_bars_widen_with_the_std_where_errors_are_larger_than_any_that_they_were_fitted_to():
    rng = np.random.default_rng(1)
    intervals = fit_intervals(drawn(100, rng), 0.9)
    energy, forces = covered(intervals, drawn(400, rng, harder=5.0))
    assert energy > 0.85
    assert forces > 0.85


@pytest.mark.parametrize(("level", "needed"), [(0.9, 9), (0.5, 1), (0.95, 19), (0.99, 99)])
def test_a_level_needs_as_many_structures_as_its_rank(level, needed):
    assert structures_needed(level) == needed
    rng = np.random.default_rng(2)
    fit_intervals(drawn(needed, rng), level)
    if needed > 1:
        with pytest.raises(NoIntervals, match=f"needs at least {needed} structures"):
            fit_intervals(drawn(needed - 1, rng), level)


def test_the_quantile_of_nine_scores_at_nine_tenths_is_the_largest():
    scores = np.array([3.0, 1.0, 2.0, 9.0, 5.0, 4.0, 8.0, 7.0, 6.0])
    assert conformal_quantile(scores, 0.9) == 9.0
    assert conformal_quantile(scores, 0.5) == 5.0
    assert conformal_quantile(scores[:8], 0.9) == np.inf


def test_elements_with_enough_atoms_have_a_factor_of_their_own():
    rng = np.random.default_rng(3)
    biased = [
        s._replace(forces=np.where(s.numbers[:, None] == 8, 3.0, 0.0) * np.ones((ATOMS, 3)))
        for s in drawn(200, rng)
    ]
    forces = fit_intervals(biased).forces
    assert set(forces) == {"", "H", "C", "O"}
    assert forces["O"] > 2 * forces["H"]
    assert forces["C"] == pytest.approx(forces["H"], rel=0.2)
    assert set(fit_intervals(biased[:40]).forces) == {"", "H"}  # 120 forces on O are too few


def test_forces_that_are_zero_by_symmetry_widen_no_bars():
    """Of an ideal crystal, label and members differ by what each rounds: a hundred of its stds, say."""
    rng = np.random.default_rng(5)
    structures = drawn(60, rng)
    ideal = [
        s._replace(
            member_forces=1e-17 * rng.normal(size=s.member_forces.shape),
            forces=1e-15 * rng.normal(size=(ATOMS, 3)),
        )
        for s in drawn(20, rng)
    ]
    expected = fit_intervals(structures).forces[""]
    assert fit_intervals([*structures, *ideal]).forces[""] == expected


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, float("nan")])
def test_a_level_that_is_no_probability_is_refused(level):
    with pytest.raises(ValueError, match="between 0 and 1"):
        fit_intervals(drawn(20, np.random.default_rng(0)), level)


def test_equal_members_and_a_single_one_are_refused():
    structures = drawn(20, np.random.default_rng(0))
    equal = [
        s._replace(energies=np.ones(2), member_forces=np.ones((2, ATOMS, 3))) for s in structures
    ]
    with pytest.raises(NoIntervals, match="all members are the same"):
        fit_intervals(equal)
    one = [s._replace(energies=s.energies[:1]) for s in structures]
    with pytest.raises(NoIntervals, match="one member has no std"):
        fit_intervals(one)


def test_intervals_are_read_back_from_the_card():
    intervals = fit_intervals(drawn(200, np.random.default_rng(4)), 0.8)
    again = Intervals.from_dict({**intervals.to_dict(), "source": "a file"})
    assert again.to_dict() == intervals.to_dict()
    assert again.energy == intervals.energy
    assert again.stress is None


INTERVALS = Intervals(0.9, 50, 450, Factors(2.0, 0.03), {"": 1.5, "H": 1.2}, Factors(3.0, 0.01))


@pytest.fixture
def with_bars(tmp_path):
    def calculator(
        pbc=False, ranges=None, intervals=INTERVALS, pieces=(), **card
    ) -> SchNetCalculator:
        model = random_model(members=3, pbc=pbc)
        everywhere = {p: [[0.3, 9.0]] for p in ("C-C", "C-H", "C-O", "H-H", "H-O", "O-O")}
        model = replace(
            model,
            distance_ranges=everywhere | (ranges or {}),
            scale=np.full(3, 100.0),  # its forces are far from chemistry
            trained_on={UNSPECIFIED: {"pieces": pieces, "distance_ranges_Ang": {}}},
            card={"intervals": intervals.to_dict(), **card},
        )
        return SchNetCalculator(save_model(tmp_path / "model", model), repulsion=None)

    return calculator


def test_bars_are_the_stds_times_their_factors(with_bars):
    atoms = ethanol()
    atoms.calc = with_bars()
    atoms.get_potential_energy()
    results = atoms.calc.results
    std = np.sqrt((results["forces_std"] ** 2).mean(axis=1))
    factors = np.where(atoms.numbers == 1, 1.2, 1.5)
    np.testing.assert_allclose(results["forces_error"], np.outer(factors * std, np.ones(3)))
    floor = 0.03 * len(atoms) * np.sqrt((results["forces_std"] ** 2).mean())
    assert results["energy_error"] == pytest.approx(2 * np.hypot(results["energy_std"], floor))
    assert atoms.calc.get_property("energy_error", atoms) == results["energy_error"]


def test_bars_turn_with_the_structure(with_bars):
    atoms = ethanol()
    atoms.calc = with_bars()
    atoms.get_potential_energy()
    before = {k: np.copy(atoms.calc.results[k]) for k in ("energy_error", "forces_error")}
    atoms.rotate(37.0, (1, 2, 3))
    atoms.get_potential_energy()
    for name, bar in before.items():
        np.testing.assert_allclose(atoms.calc.results[name], bar, rtol=1e-9)


def test_the_energy_bar_of_two_distant_molecules_is_twice_that_of_one(with_bars):
    calc = with_bars()
    one = ethanol()
    other = one.copy()
    other.translate((60.0, 0, 0))
    bars = []
    for atoms in (one, one + other):
        atoms.calc = calc
        atoms.get_potential_energy()
        bars.append(calc.results["energy_error"])
    assert bars[1] == pytest.approx(2 * bars[0], rel=1e-9)


def test_the_stress_bar_is_the_same_in_turned_cells(with_bars):
    atoms = ethanol()
    atoms.set_cell([9.0, 9.0, 9.0])
    atoms.pbc = True
    atoms.calc = with_bars(pbc=True)
    bars = []
    for _ in range(2):
        atoms.get_stress()
        bars.append(atoms.calc.results["stress_error"])
        atoms.rotate(50.0, (1, 1, 0), rotate_cell=True)
    assert bars[0].shape == (6,)
    assert np.ptp(bars[0]) == 0.0
    assert bars[0][0] > 0
    np.testing.assert_allclose(bars[1], bars[0], rtol=1e-9)


def test_bars_are_infinite_around_a_distance_outside_training_and_finite_far_from_it(with_bars):
    chain = Atoms("OHHHH", [[0, 0, 0], [1.5, 0, 0], [4.0, 0, 0], [7.0, 0, 0], [10.5, 0, 0]])
    chain.calc = with_bars(ranges={"H-O": [[0.9, 1.1], [1.8, 9.0]]})
    chain.get_potential_energy()
    finite = np.isfinite(chain.calc.results["forces_error"]).all(axis=1)
    assert finite.tolist() == [
        False,
        False,
        False,
        True,
        True,
    ]  # the third sees the second within 4 Å
    assert chain.calc.results["energy_error"] == np.inf
    chain.positions[1, 0] = 1.13  # beyond the longest, within the tolerance
    chain.get_potential_energy()
    assert np.isfinite(chain.calc.results["forces_error"]).all()


def finite_forces(atoms, calc) -> list[bool]:
    atoms.calc = calc
    atoms.get_potential_energy()
    return np.isfinite(calc.results["forces_error"]).all(axis=1).tolist()


def test_an_atom_without_a_neighbour_has_no_bar_and_the_others_keep_theirs(with_bars):
    calc = with_bars()
    apart = ethanol()
    apart.positions[8] += [0, 0, 30.0]
    assert finite_forces(apart, calc) == [True] * 8 + [False]
    assert calc.results["energy_error"] == np.inf
    assert finite_forces(Atoms("H"), calc) == [False]
    assert finite_forces(Atoms("OH", [[0, 0, 0], [3.99, 0, 0]]), calc) == [True, True]
    assert finite_forces(Atoms("OH", [[0, 0, 0], [4.01, 0, 0]]), calc) == [False, False]


def test_atoms_that_stood_alone_in_training_keep_their_bars(with_bars):
    calc = with_bars(pieces=["H", "CH4"])
    apart = Atoms("OH", [[0, 0, 0], [9.0, 0, 0]])
    assert finite_forces(apart, calc) == [False, True]
    assert finite_forces(Atoms("H"), calc) == [True]
    assert np.isfinite(calc.results["energy_error"])


def test_an_atom_that_has_only_its_own_images_is_not_alone(with_bars):
    crystal = Atoms("C", cell=[3.5, 9.0, 9.0], pbc=True)
    assert finite_forces(crystal, with_bars(pbc=True)) == [True]
    crystal.set_cell([9.0, 9.0, 9.0])
    assert finite_forces(crystal, with_bars(pbc=True)) == [False]


def test_a_molecule_come_apart_has_no_bar_where_training_was_of_one_molecule(with_bars):
    whole, two = ethanol(), ethanol()
    two.translate((40.0, 0, 0))
    broken = whole.copy()
    broken.positions[[2, 3]] += [0, 20.0, 0]  # O-H leaves C2H5
    card = {
        "training": {"species_shifts_undetermined": 2},
        "self_check": {"numbers": whole.numbers.tolist()},
    }
    model = replace(random_model(), card=card)
    known = KnownPieces(model)
    pieces = np.array([0, 0, 2, 2, 0, 0, 0, 0, 0])
    assert known.are_new(broken.numbers, pieces).all()
    assert not known.are_new((whole + two).numbers, np.repeat([0, 9], 9)).any()
    taught = replace(model, trained_on={"x": {"pieces": ["HO", "C2H5"], "distance_ranges_Ang": {}}})
    assert not KnownPieces(taught).are_new(broken.numbers, pieces).any()
    many = replace(model, card={})  # of several molecules, a fragment may be one more
    assert not KnownPieces(many).are_new(broken.numbers, pieces).any()


def test_the_oh_of_ethanol_beyond_the_cutoff_is_not_taken_for_two_molecules():
    atoms = ethanol(0.0)
    atoms.positions[[2, 3]] += 9.0 * (atoms.positions[2] - atoms.positions[1])
    assert not any(finite_forces(atoms, SchNetCalculator("ethanol")))


def test_the_one_look_that_bars_share_with_the_warning_leaves_nothing_out():
    """At every structure the bars are those of a closer look, inside training, at its edge and beyond."""
    calc, seen = SchNetCalculator(NARROW), set()
    bars, cutoff = ErrorBars(calc.trained), calc.trained.config["cutoff"]
    for k in range(60):
        atoms = ethanol(0.004 * k, seed=k)
        atoms.positions[3] += [0, 0, 5.5 * (k % 20 == 0)]
        atoms.calc = calc
        atoms.get_forces()
        pairs = half_list(atoms.positions, cutoff)
        close = bars.make(state_of(atoms), pairs, calc.results.extra)
        seen.add((calc.results.errors.ordinary, bool(np.isfinite(close["energy_error"]))))
        for name, bar in close.items():
            np.testing.assert_array_equal(calc.results[name], bar)
    assert {(True, True), (False, False)} <= seen


def test_pieces_are_what_pairs_within_the_cutoff_connect():
    rng = np.random.default_rng(5)
    for _ in range(50):
        positions = rng.uniform(0, 14.0, (30, 3))
        pairs = half_list(positions, 5.0)  # and some beyond the cutoff
        found = pieces_of(*pairs, positions, 3.5)
        near = np.linalg.norm(positions[:, None] - positions, axis=2) < 3.5
        labels = connected_components(near)[1]
        alone = near.sum(axis=1) == 1
        assert ((found < 0) == alone).all()
        same = labels[:, None] == labels
        assert ((found[:, None] == found) == same)[~alone][:, ~alone].all()


def test_a_force_less_certain_than_forces_are_large_has_no_bar(with_bars):
    atoms = ethanol()
    atoms.calc = with_bars(calibration={"forces_per_atom": {"scale": 1e6}})
    atoms.get_potential_energy()
    assert np.isinf(atoms.calc.results["forces_error"]).all()
    assert atoms.calc.results["energy_error"] == np.inf


@pytest.mark.slow
def test_a_molecule_of_another_composition_has_no_bar():
    model = load_model("ethanol")
    methanol = Atoms("COH4", ethanol().positions[:6])
    other = ethanol(0.01)
    other.translate((50.0, 0, 0))
    dimer = ethanol(0.01) + other
    for atoms, is_known in ((ethanol(0.01), True), (methanol, False), (dimer, True)):
        atoms.calc = SchNetCalculator(model.path)
        atoms.get_potential_energy()
        assert np.isfinite(atoms.calc.results["energy_error"]) == is_known


def test_bars_are_made_when_asked_for_and_hidden_from_who_iterates(with_bars):
    atoms = ethanol()
    calc = atoms.calc = with_bars()
    atoms.get_forces()
    results = calc.results
    assert "forces_error" not in results.extra  # nobody has asked yet
    assert "energy_error" in results
    assert "stress_error" not in results
    assert results.get("stress_error") is None
    SinglePointCalculator(atoms, **results)
    assert {"energy_error", "forces_error"} <= set(calc.implemented_properties)
    kept = results.copy()
    again = pickle.loads(pickle.dumps(calc))
    atoms.positions += 0.01 * np.arange(27).reshape(9, 3)
    atoms.get_forces()
    for old in (kept, again.results):  # of the structure of then
        np.testing.assert_array_equal(old["forces_error"], results["forces_error"])
    assert not np.array_equal(calc.results["forces_error"], results["forces_error"])


def test_a_model_without_intervals_has_no_bars(tmp_path):
    atoms = ethanol()
    atoms.calc = SchNetCalculator(save_model(tmp_path / "model", random_model(members=3)))
    atoms.get_potential_energy()
    assert "energy_error" not in atoms.calc.results
    assert "energy_error" not in atoms.calc.implemented_properties


def test_only_labelled_quantities_have_bars(with_bars):
    atoms = ethanol()
    atoms.calc = with_bars(intervals=replace(INTERVALS, energy=None, stress=None))
    atoms.get_potential_energy()
    assert "energy_error" not in atoms.calc.results
    assert np.isfinite(atoms.calc.results["forces_error"]).all()


def test_the_model_that_ends_at_its_data_claims_no_error_beyond_them():
    atoms = ethanol(0.0)
    atoms.calc = SchNetCalculator(NARROW)
    known = []
    for r in (0.75, 0.9, 1.0, 1.1, 1.5, 2.5):
        atoms.set_distance(2, 3, r, fix=0)
        atoms.get_potential_energy()
        known.append(bool(np.isfinite(atoms.calc.results["energy_error"])))
    assert known == [False, True, True, True, False, False]


@pytest.mark.parametrize(
    ("n", "kept_out"), [(24, 1), (50, 2), (89, 4), (90, 9), (179, 9), (200, 10), (1000, 50)]
)
def test_a_training_keeps_enough_out_for_error_bars_where_that_is_at_most_a_tenth(n, kept_out):
    assert default_kept_out(n) == kept_out

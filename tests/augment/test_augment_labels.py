"""Moves and their labels: forces are −∂E/∂Δ, exactly, whatever the labels are worth."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.harmonic import SpringCalculator
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from factory import ethanol

from ase_schnet import Dataset
from ase_schnet.augment.frames import moved_frames
from ase_schnet.augment.labels import first_order, nearest_spring, weighted_spring
from ase_schnet.augment.moves import CLASH, Move, RandomMoves, Stretches, shortest_distances
from ase_schnet.augment.relabel import delta_label
from ase_schnet.augment.settings import Augmentation, labelling
from ase_schnet.augment.springs import PairSprings, Springs, fit_springs
from ase_schnet.data.splits import FoldPlan
from ase_schnet.labelling.reference import read_reference
from ase_schnet.schnet_config import SchNetConfig
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FitSettings

OXYGEN, HYDROXYL = 2, 3  # of ASE's ethanol
STEP = 1e-3  # Å, of a difference formula of fourth order


def labelled(atoms: Atoms, calculator) -> Atoms:
    calculated = atoms.copy()
    calculated.calc = calculator
    forces, energy = calculated.get_forces(), calculated.get_potential_energy()
    atoms = atoms.copy()
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Shaken ethanol in a harmonic trough."""
    rest = molecule("CH3CH2OH")
    frames = [ethanol(0.05, seed) for seed in range(60)]
    return Dataset.from_atoms(
        [labelled(a, SpringCalculator(rest.positions, 15.0)) for a in frames], source="tethers"
    )


@pytest.fixture(scope="module")
def springs(dataset) -> Springs:
    numbers = {"C-C": 1, "C-O": 2, "C-H": 2, "H-O": 3, "H-H": 3}
    return fit_springs(dataset, 300.0, numbers)


class Reference(LennardJones):
    """Cheap, smooth and not what the labels are from."""

    def __init__(self):
        super().__init__(sigma=0.9, epsilon=0.3, rc=50.0)


def all_moves(dataset) -> list[Move]:
    return [
        *RandomMoves(2, 3, 0.3)(dataset, seed=1),
        *RandomMoves(1, 9, 0.2)(dataset, seed=2),
        *Stretches(3, (0.8, 2.0))(dataset, seed=3),
    ]


@pytest.mark.parametrize("rule", ["nearest", "weighted", "first-order", "delta"])
def test_forces_are_minus_the_gradient_of_the_labels_energy(dataset, springs, rule):
    label = {
        "nearest": partial(nearest_spring, springs=springs),
        "weighted": partial(weighted_spring, springs=springs),
        "first-order": partial(first_order, springs=springs),
        "delta": partial(delta_label, reference=Reference()),
    }[rule]
    for move in all_moves(dataset):
        atoms = dataset.atoms(move.structure)
        energy, forces = dataset.E[move.structure], dataset.F.reshape(len(dataset), -1, 3)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces[move.structure])
        moved = np.concatenate(move.pieces) if rule in ("nearest", "weighted") else range(9)
        analytic = label(atoms, move)[1]
        for i in moved:
            for axis in range(3):
                slope = sum(
                    weight * label(atoms, nudged(move, i, axis, n * STEP))[0]
                    for n, weight in ((-2, 1), (-1, -8), (1, 8), (2, -1))
                )
                assert -slope / (12 * STEP) == pytest.approx(analytic[i, axis], abs=1e-6)


def nudged(move: Move, atom: int, axis: int, by: float) -> Move:
    displacement = move.displacement.copy()
    displacement[atom, axis] += by
    return move._replace(displacement=displacement)


def test_atoms_that_do_not_move_keep_their_forces_under_the_papers_rule(dataset, springs):
    move = RandomMoves(1, 3, 0.3)(dataset)[0]
    frame = moved_frames(dataset, [move], partial(nearest_spring, springs=springs), "literal")[0]
    still = np.setdiff1d(np.arange(9), np.concatenate(move.pieces))
    before = dataset.F[dataset.ptr[move.structure] :][:9]
    np.testing.assert_array_equal(frame.get_forces()[still], before[still])


def test_the_papers_rule_is_half_k_r_squared_of_the_nearest_neighbours_spring():
    pair = PairSprings(
        np.array([1.0, 2.0]), np.array([0.1, 0.1]), np.ones(2) / 2, np.array([30.0, 4])
    )
    springs = Springs(300.0, {"H-O": pair, "H-H": pair})
    water = Atoms("OH2", [[0, 0, 0], [1.1, 0, 0], [0, 1.9, 0]])
    water.calc = SinglePointCalculator(water, energy=-7.0, forces=np.ones((3, 3)))
    step = np.array([[0, 0, 0], [0.3, 0, 0], [0, 0, 0.5]])
    move = Move(0, step, [np.array([1]), np.array([2])])
    energy, forces = nearest_spring(water, move, springs)
    assert energy == pytest.approx(-7 + 0.5 * 30 * 0.3**2 + 0.5 * 4 * 0.5**2)
    np.testing.assert_allclose(forces, [[1, 1, 1], [-30 * 0.3, 0, 0], [0, 0, -4 * 0.5]])


def test_first_order_follows_the_force_down_and_keeps_the_net_force(dataset, springs):
    """The paper's rule rises with every move; the energy does not."""
    atoms = dataset.atoms(0)
    forces = dataset.F[:9]
    atoms.calc = SinglePointCalculator(atoms, energy=dataset.E[0], forces=forces)
    downhill = Move(0, 1e-3 * forces / np.abs(forces).max(), [np.arange(9)])
    fall = -(forces * downhill.displacement).sum()
    energy, _ = first_order(atoms, downhill, springs)
    assert energy - dataset.E[0] == pytest.approx(fall, rel=0.05)
    assert nearest_spring(atoms, downhill, springs)[0] > dataset.E[0]
    far = RandomMoves(1, 3, 0.4)(dataset, seed=5)[0]._replace(structure=0)
    np.testing.assert_allclose(
        first_order(atoms, far, springs)[1].sum(axis=0), forces.sum(axis=0), atol=1e-10
    )


def test_first_order_is_exact_for_a_spring_pulled_along_itself():
    k = 25.0
    pair = PairSprings(np.array([1.5]), np.array([0.1]), np.ones(1), np.array([k]))
    stretched = 0.07
    atoms = Atoms("CO", [[0, 0, 0], [1.5 + stretched, 0, 0]])
    pull = np.array([[k * stretched, 0, 0], [-k * stretched, 0, 0]])
    atoms.calc = SinglePointCalculator(atoms, energy=0.5 * k * stretched**2, forces=pull)
    move = Move(0, np.array([[0, 0, 0], [0.2, 0, 0]]), [np.array([1])])
    energy, forces = first_order(atoms, move, Springs(300.0, {"C-O": pair}))
    assert energy == pytest.approx(0.5 * k * 0.27**2)
    np.testing.assert_allclose(forces, np.array([[1, 0, 0], [-1, 0, 0]]) * k * 0.27)


@pytest.mark.parametrize("reach", [0.1, 1.0])
def test_delta_labels_are_exact_where_the_reference_is_the_labels_method(dataset, reach):
    frames = [labelled(dataset.atoms(s), Reference()) for s in range(5)]
    data = Dataset.from_atoms(frames)
    label = partial(delta_label, reference=Reference(), reach_Ang=reach)
    for frame in moved_frames(data, Stretches(5, (0.8, 2.0))(data), label, "delta"):
        exact = labelled(Atoms(frame.numbers, frame.positions), Reference())
        assert frame.get_potential_energy() == pytest.approx(exact.get_potential_energy())
        np.testing.assert_allclose(frame.get_forces(), exact.get_forces(), atol=1e-10)


def test_delta_labels_begin_at_the_labels(dataset):
    """No move, no change: neither of the energy nor of the forces, whatever the reference says."""
    still = Move(3, np.zeros((9, 3)), [np.array([8])])
    frame = moved_frames(dataset, [still], partial(delta_label, reference=Reference()), "delta")[0]
    assert frame.get_potential_energy() == pytest.approx(dataset.E[3])
    np.testing.assert_allclose(frame.get_forces(), dataset.F[27:36], atol=1e-12)


def test_random_moves_are_of_n_atoms_and_within_epsilon(dataset):
    moves = RandomMoves(40, 3, 0.2)(dataset)
    assert len({move.structure for move in moves}) == 40
    lengths = np.array([np.linalg.norm(move.displacement, axis=1) for move in moves])
    assert ((lengths > 0).sum(axis=1) == 3).all()
    assert lengths.max() <= 0.2
    assert lengths[lengths > 0].mean() == pytest.approx(0.1, abs=0.02)
    again = RandomMoves(40, 3, 0.2)(dataset)
    np.testing.assert_array_equal([m.displacement for m in moves], [m.displacement for m in again])


def test_nothing_clashes(dataset, monkeypatch):
    limits = shortest_distances(dataset)
    with pytest.warns(UserWarning, match="more than half the shortest distance"):
        moves = RandomMoves(60, 9, 0.6)(dataset)
    for move in moves:
        atoms = dataset.atoms(move.structure)
        atoms.positions += move.displacement
        distances = shortest_distances(Dataset.from_atoms([atoms]))
        assert all(distances[name] >= CLASH * limits[name] for name in distances)
    monkeypatch.setattr("ase_schnet.augment.moves.CLASH", 2.0)  # nothing can be far enough apart
    with pytest.raises(
        ValueError, match=r"clash in each of 100 random displacements of up to 0\.2"
    ):
        RandomMoves(1, 9, 0.2)(dataset)
    with pytest.raises(ValueError, match="every stretch of structure"):
        Stretches(1)(dataset)


def test_stretches_move_the_lighter_side_as_a_whole(dataset):
    for move in Stretches(30, (1.5, 2.5))(dataset):
        (piece,) = move.pieces
        assert len(piece) <= 4  # OH or CH3 at most
        moved = np.flatnonzero(np.abs(move.displacement).max(axis=1) > 1e-12)
        np.testing.assert_array_equal(piece, moved)
        np.testing.assert_allclose(
            move.displacement[piece], move.displacement[piece[:1]].repeat(len(piece), 0), atol=1e-12
        )


class Doubtful(SpringCalculator):
    """An ensemble that doubts the hydroxyl's hydrogen alone, the more the farther it is."""

    def calculate(self, atoms, properties, system_changes):
        super().calculate(atoms, properties, system_changes)
        self.results["energy_std"] = atoms.get_distance(OXYGEN, HYDROXYL)


def test_stretches_are_where_the_ensemble_doubts(dataset):
    doubtful = Doubtful(molecule("CH3CH2OH").positions, 1.0)
    blind, seeing = (
        np.mean([m.pieces[0].tolist() == [HYDROXYL] for m in Stretches(40, (1, 2), 8, e)(dataset)])
        for e in (None, doubtful)
    )
    assert blind < 0.25  # one bond in eight
    assert seeing > 0.5  # is among eight candidates two times in three
    with pytest.raises(ValueError, match="no energy_std"):
        Stretches(1, ensemble=SpringCalculator(molecule("CH3CH2OH").positions, 1.0))(dataset)


@pytest.mark.parametrize(
    ("moves", "message"),
    [
        (RandomMoves(61), "cannot augment 61 of 60 structures"),
        (RandomMoves(5, 10), "cannot displace 10 atoms: the smallest structure has 9"),
        (RandomMoves(5, 3, 0.0), "epsilon must be a positive length"),
        (RandomMoves(5, 3, float("nan")), "epsilon must be a positive length"),
        (Stretches(5, (2.0, 1.0)), "factors must be 0 < low < high"),
        (Stretches(5, candidates=0), "candidates must be at least 1"),
    ],
)
def test_moves_that_are_none(dataset, moves, message):
    with pytest.raises(ValueError, match=message):
        moves(dataset)


def test_atoms_apart_have_no_bond_to_stretch():
    with pytest.raises(ValueError, match="structure 0 has no bond"):
        Stretches(1)(Dataset.from_atoms([Atoms("He2", [[0, 0, 0], [3, 0, 0]])]))


def test_tblite_follows_a_hydrogen_to_dissociation(dataset):
    """GFN2-xTB with fractional occupations: the O-H bond breaks at 4.3 eV, as radicals do."""
    pytest.importorskip("tblite")
    label = labelling("delta", None)
    atoms = molecule("CH3CH2OH")
    atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=np.zeros((9, 3)))
    along = atoms.get_distance(OXYGEN, HYDROXYL, vector=True)
    along /= np.linalg.norm(along)
    step = np.zeros((9, 3))
    step[HYDROXYL] = 4.0 * along
    energy, _ = label(atoms, Move(0, step, [np.array([HYDROXYL])]))
    assert 4.0 < energy < 5.0


def test_delta_labels_of_an_ion_are_those_of_its_charge():
    """Labels by the reference itself come back exactly; the neutral H3O is 11 eV/Å away."""
    pytest.importorskip("tblite")
    hydronium, method = molecule("NH3"), read_reference("gfn2-xtb")
    hydronium.numbers[0] = 8
    hydronium.info["charge"] = 1
    frames = []
    for seed in range(4):
        hydronium.rattle(0.03, seed=seed)
        frames.append(labelled(hydronium, method(hydronium)))
    said = Dataset.from_atoms(frames)
    unsaid = replace(said, charge=None, multiplicity=None)
    plan = FoldPlan((np.arange(2), np.arange(2, 4)), np.empty(0, int))
    rule = Augmentation("delta", Stretches(2))
    recipe = Recipe(SchNetConfig(), LossWeights(), FitSettings(), plan, charge=1, augment=rule)
    settled = recipe.with_defaults_for(unsaid)
    for made in (
        Dataset.from_atoms(rule.frames(said)),
        settled.augmented(unsaid, np.arange(4), 0),  # the user said the charge, not the structures
    ):
        np.testing.assert_array_equal(made.charge, 1)
        for k in range(len(made)):
            atoms = made.atoms(k)
            atoms.calc = method.calculator(charge=1)
            assert made.E[k] == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
            forces = made.F[made.ptr[k] : made.ptr[k + 1]]
            np.testing.assert_allclose(forces, atoms.get_forces(), atol=1e-3)


def test_rules_that_cannot_be():
    with pytest.raises(ValueError, match="no rule 'quadratic': known are literal"):
        Augmentation("quadratic")
    with pytest.raises(ValueError, match="needs the temperature of the data"):
        Augmentation("first-order")
    with pytest.raises(ValueError, match="for stretches use the delta rule"):
        Augmentation("literal", Stretches(), 300.0)

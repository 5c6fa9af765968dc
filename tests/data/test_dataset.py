"""Packed structures, what the labels say, and folds."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.emt import EMT
from ase.calculators.singlepoint import SinglePointCalculator
from factory import ethanol, labelled_crystals, labelled_molecules, small_dataset

from ase_schnet.data import pairs
from ase_schnet.data.dataset import Dataset, concatenated_ranges
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.pairs import sampled_distances, sampled_pieces
from ase_schnet.data.splits import plan_folds, random_split, twins_of
from ase_schnet.data.statistics import label_statistics
from ase_schnet.neighbors import half_list


def test_packing_and_unpacking():
    frames = labelled_molecules(5)
    data = Dataset.from_atoms(frames)
    assert len(data) == 5
    assert data.n_atoms.tolist() == [len(a) for a in frames]
    part = data.subset(np.array([3, 1]))
    np.testing.assert_array_equal(part.atoms(0).positions, frames[3].positions)
    np.testing.assert_array_equal(part.F[: len(frames[3])], frames[3].get_forces())
    assert part.E.tolist() == [frames[k].get_potential_energy() for k in (3, 1)]
    assert data.elements == [1, 6, 8]


def test_fingerprint_is_of_the_content():
    a, b = small_dataset(6), small_dataset(6)
    assert a.fingerprint() == b.fingerprint()
    b.E[2] += 1e-12
    assert a.fingerprint() != b.fingerprint()
    assert a.subset(np.arange(6)[::-1]).fingerprint() != a.fingerprint()


def test_concatenated_ranges():
    got = concatenated_ranges(np.array([10, 0, 5]), np.array([2, 0, 3]))
    assert got.tolist() == [10, 11, 5, 6, 7]
    assert concatenated_ranges(np.array([], int), np.array([], int)).tolist() == []


def test_a_label_in_some_frames_only_is_named():
    frames = labelled_molecules(4)
    del frames[2].calc.results["forces"]
    with pytest.raises(ValueError, match=r"forces found in 3/4 frames \(first without: frame 2\)"):
        Dataset.from_atoms(frames)


def test_dipoles_and_polarizabilities_may_be_there_in_some_frames_only():
    frames = labelled_molecules(3)
    plain = Dataset.from_atoms(frames)
    assert plain.dipole is None
    assert plain.polarizability is None
    frames[1].calc.results["dipole"] = np.array([0.1, 0.2, 0.3])
    frames[2].info["polarizability"] = np.diag([1.0, 2.0, 3.0])
    data = Dataset.from_atoms(frames)
    assert data.dipole[1].tolist() == [0.1, 0.2, 0.3]
    assert np.isnan(data.dipole[[0, 2]]).all()
    assert data.polarizability[2, 2, 2] == 3.0
    assert data.subset(np.array([2, 1])).dipole[1].tolist() == [0.1, 0.2, 0.3]
    assert data.subset(np.array([0, 2])).dipole is None
    assert data.fingerprint() != plain.fingerprint()


def test_a_dipole_that_is_no_vector_or_no_number_is_named():
    frames = labelled_molecules(2)
    frames[1].calc.results["dipole"] = np.zeros(2)
    with pytest.raises(ValueError, match=r"dipole of frame 1 has shape \(2,\), expected \(3,\)"):
        Dataset.from_atoms(frames)
    frames[1].calc.results["dipole"] = np.array([0.0, np.nan, 0.0])
    with pytest.raises(ValueError, match="dipole of frame 1 is not finite"):
        Dataset.from_atoms(frames)


def test_unlabelled_and_empty():
    data = Dataset.from_atoms([molecule("H2O")])
    assert data.E is None
    assert data.F is None
    with pytest.raises(ValueError, match="no structures"):
        Dataset.from_atoms([])
    with pytest.raises(ValueError, match="frame 1 has no atoms"):
        Dataset.from_atoms([molecule("H2O"), molecule("H2O")[:0]])


def test_labels_that_are_not_numbers_are_named_by_frame():
    frames = labelled_molecules(3)
    frames[1].calc.results["forces"][0, 0] = np.nan
    with pytest.raises(ValueError, match="forces of frame 1"):
        Dataset.from_atoms(frames)


def test_elements_beyond_the_embedding_are_named():
    frames = labelled_molecules(3)
    frames[2].numbers[0] = 100
    with pytest.raises(ValueError, match="frame 2 holds Fm; the network knows elements up to Es"):
        Dataset.from_atoms(frames)


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (0, "frame 2 has an atom of atomic number 0, which is no element"),
        (-1, "frame 2 has an atom of atomic number -1, which is no element"),
        (120, "frame 2 holds atomic number 120; the network knows elements up to Es"),
    ],
)
def test_atoms_that_are_no_element_are_named(number, message):
    """-1 was counted as einsteinium, 0 learnt like an element."""
    frames = labelled_molecules(3)
    frames[2].numbers[0] = number
    with pytest.raises(ValueError, match=message):
        Dataset.from_atoms(frames)


def test_one_energy_in_an_array_is_an_energy():
    frames = labelled_molecules(3)
    expected = Dataset.from_atoms(frames).E
    for atoms in frames:
        atoms.calc.results["energy"] = np.array([atoms.calc.results["energy"]])
    np.testing.assert_array_equal(Dataset.from_atoms(frames).E, expected)


@pytest.mark.parametrize("shapes", [((2, 3), (4, 3)), ((9,), (9,)), ((3,), (3,))])
def test_forces_of_another_number_of_atoms_are_named(shapes):
    """Two wrong numbers whose sum is right gave each atom the force of another."""
    frames = labelled_molecules(2, names=("H2O",))
    for atoms, shape in zip(frames, shapes, strict=True):
        atoms.calc.results["forces"] = np.zeros(shape)
    with pytest.raises(ValueError, match=r"forces of frame 0 has shape .*, expected \(3, 3\)"):
        Dataset.from_atoms(frames)


def test_cells_that_span_no_volume_are_named_and_zero_vectors_are_not_periodic():
    """They ended in an error of the list of neighbours, in the middle of a training."""
    frames = labelled_molecules(3)
    for atoms in frames:
        atoms.pbc = True
    assert not Dataset.from_atoms(frames).pbc.any()
    frames[1].set_cell([[30, 0, 0], [0, 30, 0], [30, 30, 0]])
    with pytest.raises(ValueError, match=r"frame 1, .*, does not span the periodic directions"):
        Dataset.from_atoms(frames)
    frames[1].pbc = [True, False, True]
    assert Dataset.from_atoms(frames).pbc.tolist() == [
        [False] * 3,
        [True, False, True],
        [False] * 3,
    ]
    frames[1].set_cell([np.nan] * 3)
    with pytest.raises(ValueError, match="the cell of frame 1 is not finite"):
        Dataset.from_atoms(frames)


def test_positions_that_are_not_finite_are_named():
    frames = labelled_molecules(3)
    frames[1].positions[0] = np.inf
    with pytest.raises(ValueError, match="positions of frame 1 are not finite"):
        Dataset.from_atoms(frames)


@pytest.mark.parametrize(
    ("pbc", "cell"),
    [
        (False, None),
        (True, [[4.0, 0, 0], [1, 5, 0], [0, 1, 6]]),
        (True, [[-4.0, 0, 0], [1, 5, 0], [0, 1, 6]]),  # left-handed
        ([True, False, False], [[4.0, 0.3, 0], [0, 0, 0], [0, 0, 0]]),
        ([True, True, False], [[4.0, 0, 0], [1, 5, 0], [0, 0, 30.0]]),
    ],
)
def test_two_atoms_in_one_place_are_named_also_through_a_face(pbc, cell):
    """Such a training was said to diverge for its learning rate."""
    frames = labelled_molecules(3)
    for atoms in frames:
        atoms.set_cell(cell)
        atoms.pbc = pbc
    Dataset.from_atoms(frames)
    shift = np.zeros(3) if cell is None else frames[1].cell.array[0]
    frames[1].positions[4] = frames[1].positions[2] + 3 * shift + 1e-12 * (cell is not None)
    with pytest.raises(ValueError, match="frame 1: atoms 2 and 4 are in the same place"):
        Dataset.from_atoms(frames)


def test_structures_are_numbered_as_numpy_numbers_them():
    """The last one as -1 was a structure without atoms."""
    frames = labelled_molecules(5)
    data = Dataset.from_atoms(frames)
    assert data.atoms(-1) == data.atoms(4)
    assert len(data.atoms(-1)) == len(frames[4])
    with pytest.raises(IndexError):
        data.atoms(5)
    expected = data.subset(np.array([3, 4])).fingerprint()
    for same in ([3, 4], [-2, -1], np.arange(5) > 2, slice(3, None)):
        assert data.subset(same).fingerprint() == expected
    assert len(data.subset([])) == 0


def known_statistics(n=3000):
    """Structures whose atoms carry energies drawn from known means and spreads per species."""
    rng = np.random.default_rng(0)
    mean, std = {1: -10.0, 8: -50.0}, {1: 0.1, 8: 0.4}
    frames = []
    for k in range(n):
        atoms = molecule("H2O") if k % 3 else molecule("H2O2")
        e = sum(rng.normal(mean[z], std[z]) for z in atoms.numbers)
        f = rng.normal(size=(len(atoms), 3)) * np.where(atoms.numbers == 1, 1.0, 3.0)[:, None]
        atoms.calc = SinglePointCalculator(atoms, energy=e, forces=f)
        frames.append(atoms)
    return Dataset.from_atoms(frames)


def test_statistics_recover_means_and_spreads_per_species():
    s = label_statistics(known_statistics())
    assert s.undetermined == 0
    assert s.energy_shift[[1, 8]] == pytest.approx([-10.0, -50.0], abs=0.05)
    # var(H2O) = 2·0.01 + 0.16, var(H2O2) = 2·0.01 + 2·0.16
    assert s.energy_std[8] ** 2 == pytest.approx(0.16, rel=0.15)
    assert s.forces_std[[1, 8]] == pytest.approx([1.0, 3.0], rel=0.05)


def test_one_composition_determines_only_a_sum():
    frames = labelled_molecules(20, names=("H2O",))
    s = label_statistics(Dataset.from_atoms(frames))
    energies = np.array([a.get_potential_energy() for a in frames])
    assert s.undetermined == 1
    assert 2 * s.energy_shift[1] + s.energy_shift[8] == pytest.approx(energies.mean())
    total_variance = 2 * s.energy_std[1] ** 2 + s.energy_std[8] ** 2
    assert total_variance == pytest.approx(energies.var())


def strained_crystals(n=40):
    """An equation of state: forces are zero by symmetry, and what rounding leaves."""
    frames = []
    for k in range(n):
        atoms = bulk("Cu")
        atoms.set_cell(atoms.cell * (0.94 + 0.12 * k / n), scale_atoms=True)
        atoms.calc = EMT()
        energy, stress = atoms.get_potential_energy(), atoms.get_stress()
        forces = np.full((1, 3), (-1.0) ** k * 1e-14)
        atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces, stress=stress)
        frames.append(atoms)
    return Dataset.from_atoms(frames)


def test_forces_that_are_rounding_are_no_scale():
    """A network of their scale, 1e-14 eV, learnt no energies; and their loss was the only one."""
    data = strained_crystals()
    s, copper = label_statistics(data), np.array([29])
    assert s.forces_std[29] == 0.0
    assert s.scale(copper) == pytest.approx(data.E.std())
    small = label_statistics(replace(data, F=1e9 * data.F))  # of a code: not zero, and not large
    assert small.forces_std[29] == pytest.approx(1e-5)
    assert small.scale(copper) == pytest.approx(data.E.std())
    assert s.virial_std[29] > 0.1
    assert label_statistics(replace(data, stress=1e-14 * data.stress)).virial_std[29] == 0.0


def test_an_atom_held_by_symmetry_has_the_spread_of_the_others():
    frames = []
    for k, d in enumerate(np.linspace(1.0, 1.3, 20)):
        atoms = Atoms("OCO", [[-d, 0, 0], [0, 0, 0], [d, 0, 0]])
        forces = np.array([[20 * (d - 1.16), 0, 0], [(-1.0) ** k * 1e-15, 0, 0], [0.0, 0, 0]])
        forces[2] = -forces[0]
        atoms.calc = SinglePointCalculator(atoms, energy=20 * (d - 1.16) ** 2, forces=forces)
        frames.append(atoms)
    data = Dataset.from_atoms(frames)
    assert label_statistics(data).forces_std[6] == pytest.approx(np.sqrt((data.F**2).mean()))


def test_real_energies_are_standardised_though_their_law_is_another(shared_data):
    """Molecules differ by whole bonds, not by independent atoms: some σ² end at their lower bound."""
    frames, _ = read_labelled(shared_data("formats", "schnetpack_old_qm9.db"), "eV")
    data = Dataset.from_atoms(frames)
    s, n = label_statistics(data), data.compositions()
    standardised = (data.E - n @ s.energy_shift) / np.sqrt(n @ s.energy_std**2)
    assert np.sqrt((standardised**2).mean()) == pytest.approx(1.0, abs=0.01)
    assert (s.energy_std[data.elements] > 0).all()


def test_standardised_energies_have_unit_variance_whatever_the_size():
    data = known_statistics()
    s = label_statistics(data)
    n = data.compositions()
    z = (data.E - n @ s.energy_shift) / np.sqrt(n @ s.energy_std**2)
    for size in (3, 4):
        assert z[data.n_atoms == size].std() == pytest.approx(1.0, abs=0.05)


def test_sampled_distances_keep_bonds_and_next_neighbours_apart():
    ranges = sampled_distances(small_dataset(24, names=("CH3CH2OH",)), cutoff=5.0)
    bond, further = ranges["H-O"][:2]
    assert bond[0] < 0.97 < bond[1] < 1.3 < further[0]
    assert set(ranges) == {"H-H", "C-H", "H-O", "C-C", "C-O"}


def test_pieces_are_told_of_structures_that_fall_apart_at_the_cutoff(monkeypatch):
    monkeypatch.setattr(pairs, "BLOCK", 40)  # several blocks
    ethanol, broken = molecule("CH3CH2OH"), molecule("CH3CH2OH")
    broken.positions[[2, 3]] += [0, 30.0, 0]
    chain = Atoms("C", cell=[3.0, 20, 20], pbc=[True, False, False])
    sparse = Atoms("Si", cell=[20.0, 20, 20], pbc=True)
    frames = [ethanol, ethanol, broken, chain, Atoms("H"), broken, sparse, ethanol]
    for atoms in frames:
        forces = np.zeros((len(atoms), 3))
        atoms.calc = SinglePointCalculator(atoms, energy=0.0, forces=forces)
    data = Dataset.from_atoms(frames)
    assert sampled_pieces(data, 5.0) == ["C2H5", "H", "HO", "Si"]
    assert sampled_pieces(data.subset(np.array([0, 1, 3, 7])), 5.0) == []


def test_sampled_distances_are_those_of_all_distances_sorted():
    data = small_dataset(30)
    ranges = sampled_distances(data, cutoff=2.5, gap=0.07)
    for name in ("H-H", "C-H", "H-O"):
        found = []
        for s in range(len(data)):
            atoms = data.atoms(s)
            d, symbols = atoms.get_all_distances(), atoms.get_chemical_symbols()
            found += [
                d[i, j]
                for i, j in zip(*np.triu_indices(len(atoms), 1), strict=True)
                if sorted((symbols[i], symbols[j])) == name.split("-") and d[i, j] < 2.5
            ]
        parts = np.split(np.sort(found), np.flatnonzero(np.diff(np.sort(found)) > 0.07) + 1)
        assert len(parts) > 2
        assert ranges[name] == [pytest.approx([p[0], p[-1]]) for p in parts]


@pytest.mark.parametrize("block", [1, 60, 10**6])
def test_pairs_of_a_whole_data_set_are_those_of_its_structures(monkeypatch, block):
    monkeypatch.setattr(pairs, "BLOCK", block)
    lone = [Atoms("H"), Atoms("H2", [[0, 0, 0], [0, 0, 9]])]
    for frames in (
        labelled_molecules(12),
        lone,
        labelled_crystals(4) + labelled_crystals(3, seed=1),
    ):
        data = Dataset.from_atoms(frames)
        blocks = pairs.pair_blocks(data.R, data.ptr, data.cells, data.pbc, cutoff=3.0)
        parts = [got for _, got in blocks]
        got = pairs.PackedPairs(*(np.concatenate(part) for part in zip(*parts, strict=True)))
        alone = [half_list(a.positions, 3.0, a.cell.array, a.pbc) for a in frames]
        assert got.n_pairs.tolist() == [len(p.idx_i) for p in alone]
        for k, name in enumerate(("idx_i", "idx_j", "shifts")):
            np.testing.assert_array_equal(getattr(got, name), np.concatenate([p[k] for p in alone]))


def test_real_ethanol_ranges_are_those_of_the_sources(shared_data):
    frames, _ = read_labelled(shared_data("rmd17-npz", "rmd17_ethanol_train_01.npz"))
    data = Dataset.from_atoms(frames)
    bond = sampled_distances(data, 5.0)["H-O"][0]
    assert bond == pytest.approx([0.88, 1.10], abs=0.01)
    assert label_statistics(data).undetermined == 2


def test_folds_hold_every_structure_once():
    plan = plan_folds(103, 5, n_kept_out=10, seed=1)
    everything = np.concatenate([*plan.folds, plan.kept_out])
    assert sorted(everything) == list(range(103))
    for k in range(5):
        assert not set(plan.training(k)) & set(plan.validation(k))
        assert not set(plan.training(k)) & set(plan.kept_out)
    assert {len(f) for f in plan.folds} <= {18, 19}
    assert plan.training(-1).tolist() == plan.training(4).tolist()  # not all folds
    again = plan_folds(103, 5, n_kept_out=10, seed=1)
    np.testing.assert_array_equal(plan.kept_out, again.kept_out)
    assert plan_folds(103, 5, n_kept_out=10, seed=2).kept_out.tolist() != plan.kept_out.tolist()


def test_contiguous_folds_are_blocks_of_time():
    plan = plan_folds(100, 4, n_kept_out=20, contiguous=True)
    assert plan.kept_out.tolist() == list(range(80, 100))
    assert [f.tolist() for f in plan.folds] == [list(range(k, k + 20)) for k in (0, 20, 40, 60)]


def with_twins():
    """24 different structures, of which 0 to 5 stand twice more, and 23 once more with the opposite label."""
    frames = labelled_molecules(24)
    other = frames[23].copy()
    other.calc = SinglePointCalculator(other, energy=1.0, forces=np.ones((len(other), 3)))
    return Dataset.from_atoms([*frames, *frames[:6], *frames[:6], other])


def test_twins_are_the_same_structures_whatever_their_labels():
    twins = twins_of(with_twins())
    assert twins.tolist() == [*range(24), *range(6), *range(6), 23]
    data = with_twins()
    moved = data.R.copy()
    moved[-1, 0] += 0.01
    assert twins_of(replace(data, R=moved))[-1] == 36


def test_a_mirror_image_turned_elsewhere_in_another_order_and_rounded_is_a_twin():
    """The network gives it the same energy: it must not judge a member that was trained on the other."""
    frames = [ethanol(seed=k) for k in range(6)]
    other = frames[2].copy()
    other.positions *= [1, 1, -1]
    other.rotate(40, (1, 2, 3))
    other.translate([3.0, -1.0, 2.0])
    other.positions = other.positions.round(6)
    crystal = labelled_crystals(3)[-1]
    moved = crystal.copy()
    moved.positions += [0.3, 0.2, 0.1]
    frames = [*frames, other[::-1], crystal, moved]
    for atoms in frames:
        atoms.calc = None
    assert twins_of(Dataset.from_atoms(frames)).tolist() == [0, 1, 2, 3, 4, 5, 2, 7, 7]


@pytest.mark.parametrize("contiguous", [False, True])
def test_twins_stay_in_one_part(contiguous):
    twins = twins_of(with_twins())
    plan = plan_folds(37, 3, n_kept_out=6, contiguous=contiguous, twins=twins)
    assert sorted(np.concatenate([*plan.folds, plan.kept_out])) == list(range(37))
    assert plan.divided(twins) == 0
    assert len(plan.kept_out) >= 4
    assert plan_folds(37, 3, n_kept_out=6, contiguous=contiguous).divided(twins) > 0


def test_without_twins_the_plan_is_what_it_was():
    plans = [plan_folds(103, 5, n_kept_out=10, twins=t) for t in (None, np.arange(103))]
    assert [f.tolist() for f in plans[0].folds] == [f.tolist() for f in plans[1].folds]


def test_structures_that_are_all_the_same_cannot_be_divided():
    with pytest.raises(ValueError, match="only 1 of 50 structures differ from each other, too few"):
        plan_folds(50, 2, n_kept_out=3, twins=np.zeros(50, dtype=int))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_folds": 1}, "at least 2 folds"),
        ({"n_kept_out": 0}, "at least one structure must be kept out"),
        ({"n_kept_out": 8}, "too few for 5 folds"),
    ],
)
def test_impossible_plans(arguments, message):
    with pytest.raises(ValueError, match=message):
        plan_folds(**({"n_structures": 10, "n_folds": 5, "n_kept_out": 2} | arguments))


def test_random_split():
    train, validation = random_split(10, 3)
    assert sorted([*train, *validation]) == list(range(10))
    with pytest.raises(ValueError, match="cannot take 10 of 10"):
        random_split(10, 10)


def test_the_old_name_of_per_atom_metrics_warns():
    dataset = small_dataset(3)
    with pytest.warns(DeprecationWarning, match=r"now named per_atom_metrics.*removed in 0\.3"):
        assert dataset.told_per_atom == dataset.per_atom_metrics

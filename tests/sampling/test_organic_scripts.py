"""The rules of models/organic: molecules from a seed, parts that share none, frames that are right."""

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms, units

from ase_schnet import read_reference

pytest.importorskip("rdkit")
pytest.importorskip("tblite")
from rdkit import Chem
from rdkit.Chem.rdMolDescriptors import CalcMolFormula

FEW = {"new": 12, "larger": 6, "group": 8, "train": 120, "rings": 60}


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    folder = str(Path(__file__).resolve().parents[2] / "models" / "organic")
    sys.path.insert(0, folder)
    yield
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def parts():
    from molecules import divided

    return divided(seed=5, parts=FEW)


@pytest.fixture
def ethylamine():
    from frames import Molecule

    return Molecule("CCN", 1)


def test_the_same_seed_makes_the_same_molecules(parts):
    from molecules import divided

    assert divided(seed=5, parts=FEW) == parts
    assert divided(seed=6, parts=FEW) != parts


def test_no_molecule_is_in_two_parts(parts):
    from molecules import skeleton

    names = [skeleton(Chem.MolFromSmiles(text)) for texts in parts.values() for text in texts]
    assert len(set(names)) == len(names) == sum(FEW.values())


def test_parts_hold_what_they_are_for(parts):
    from molecules import EXCLUDED, group_of, skeleton

    excluded = {skeleton(Chem.MolFromSmiles(text)) for text in EXCLUDED}
    for part, texts in parts.items():
        for text in texts:
            molecule = Chem.MolFromSmiles(text)
            assert {a.GetSymbol() for a in molecule.GetAtoms()} <= {"C", "N", "O"}
            assert Chem.GetFormalCharge(molecule) == 0
            assert not any(a.GetNumRadicalElectrons() for a in molecule.GetAtoms())
            assert skeleton(molecule) not in excluded
            assert CalcMolFormula(molecule) != "C7H10O2"
            assert (group_of(molecule) is not None) == (part == "group")
            low, high = {"larger": (10, 14), "rings": (9, 14)}.get(part, (1, 9))
            assert low <= molecule.GetNumHeavyAtoms() <= high


def test_rings_leave_the_other_parts_as_they_are_and_have_what_these_lack(parts):
    from molecules import AROMATIC, CONJUGATED, FUSED, LINKS, divided

    others = {part: n for part, n in FEW.items() if part != "rings"}
    assert divided(seed=5, parts=others) == {part: parts[part] for part in others}
    texts = [*FUSED, *CONJUGATED, *("".join((a, b, a)) for a in AROMATIC for b in LINKS)]
    assert all(Chem.MolFromSmiles(text) for text in texts)
    fused, joined = (Chem.MolFromSmarts(text) for text in ("a:a(:a):a(:a):a", "a-!@[*;!r]-!@a"))
    rings = [Chem.MolFromSmiles(text) for text in parts["rings"]]
    for pattern in (fused, joined):
        assert sum(molecule.HasSubstructMatch(pattern) for molecule in rings) > 5
    assert sum(any(atom.GetIsAromatic() for atom in m.GetAtoms()) for m in rings) > 50


def test_a_molecule_is_known_in_any_way_of_writing_it():
    from molecules import skeleton

    def of(text):
        return skeleton(Chem.MolFromSmiles(text))

    assert of("OCC") == of("C(O)C")
    assert of("C[C@H](O)N") == of("C[C@@H](O)N")
    assert of("Cc1ccccc1C") == of("CC1=CC=CC=C1C")
    assert of("COC") != of("CCO")
    assert of("CC=O") != of("C=CO")


def test_labels_are_those_of_the_package(ethylamine):
    atoms = Atoms(ethylamine.numbers, ethylamine.positions)
    atoms.calc = read_reference("gfn2-xtb")(atoms)
    energy, forces = ethylamine.label(ethylamine.positions)
    assert energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    np.testing.assert_allclose(forces, atoms.get_forces(), atol=2e-3)


def test_three_steps_lead_near_the_minimum(ethylamine):
    way = ethylamine.relax(4)
    assert way[-1].energy < way[0].energy
    assert np.abs(way[-1].forces).max() < 0.2 * np.abs(way[0].forces).max()


def test_drawn_positions_and_velocities_have_the_energies_of_their_temperature(ethylamine):
    """½ kT per stiff mode and half as much again per velocity: equipartition, of the Hessian of MMFF94."""
    rng, kelvin, n = np.random.default_rng(0), 400.0, 300
    drawn = [ethylamine.draw(kelvin, rng) for _ in range(n)]
    kinetic = [(0.5 * ethylamine.masses[:, None] * v**2).sum() for _, v in drawn]
    assert np.mean(kinetic) == pytest.approx(
        1.5 * len(ethylamine.numbers) * units.kB * kelvin, rel=0.05
    )
    moves = np.array([x - ethylamine.positions for x, _ in drawn]).reshape(n, -1)
    potential = 0.5 * np.einsum("si,ij,sj->s", moves, ethylamine.hessian, moves)
    soft = 4  # modes below 200 cm⁻¹ are drawn as if they were there, at most so many here
    most = 0.5 * (3 * len(ethylamine.numbers) - 6) * units.kB * kelvin
    assert most - 0.5 * soft * units.kB * kelvin < np.mean(potential) < 1.03 * most


def test_a_chunk_is_the_same_when_it_is_made_again(tmp_path):
    from frames import joined, make_chunk

    molecules = ["CO", "CC#N", "NC=O"]
    for name in ("one.npz", "two.npz"):
        make_chunk(tmp_path / name, "train", molecules, 0)
    one, two = (joined([tmp_path / name]) for name in ("one.npz", "two.npz"))
    assert one.keys() == two.keys()
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert set(one["molecule"]) == {0, 1, 2}
    both = joined([tmp_path / "one.npz", tmp_path / "two.npz"])
    assert len(both["E"]) == 2 * len(one["E"])


def test_members_are_validated_on_molecules_that_they_do_not_see_however_many_there_are():
    from train import plan_of

    few, many = (np.repeat(np.arange(n), 4) for n in (60, 400))
    for molecule in (few, many):
        plan = plan_of(molecule, molecule)
        parts = [*plan.folds, plan.kept_out]
        assert sorted(np.concatenate(parts)) == list(range(len(molecule)))
        of_part = [set(molecule[part]) for part in parts]
        assert all(not a & b for k, a in enumerate(of_part) for b in of_part[:k])
    for of_few, of_many in zip(
        [*plan_of(few, few).folds, plan_of(few, few).kept_out],
        [*plan_of(many, many).folds, plan_of(many, many).kept_out],
        strict=True,
    ):
        assert set(few[of_few]) == {m for m in many[of_many] if m < 60}


def test_frames_of_large_forces_count_less(tmp_path):
    from frames import make_chunk
    from train import training_data

    make_chunk(tmp_path / "train.npz", "train", ["C", "N", "O", "CO", "C=C", "C#C"], 0)
    dataset, plan = training_data(tmp_path)
    plan.require_whole(len(dataset))
    assert len(dataset) == len(dataset.weight)
    ends = zip(dataset.ptr, dataset.ptr[1:], strict=False)
    rms = np.sqrt([(dataset.F[a:b] ** 2).mean() for a, b in ends])
    assert (dataset.weight[rms <= 1.2] == 1).all()
    np.testing.assert_allclose((rms**2 * dataset.weight)[rms > 1.2], 1.44)


def test_every_member_knows_the_smallest_molecules_and_none_that_are_kept_out(tmp_path):
    from frames import make_chunk, read_molecules
    from train import WEIGHTS, training_data

    rows = ["part,smiles", "train,CCCCCO", "new,CC", "train,CO", "train,O"]
    (tmp_path / "molecules.csv").write_text("\n".join(rows))
    assert read_molecules(tmp_path, "small") == ["", "CO", "O"]
    make_chunk(tmp_path / "small.npz", "small", ["", "CO", "O"], 0)
    make_chunk(tmp_path / "train.npz", "train", ["CCCCCO", "CO", "O"], 0)
    dataset, plan = training_data(tmp_path)
    n_train = len(np.load(tmp_path / "train.npz")["E"])
    assert len(dataset) > 2 * n_train
    water = {k for k in range(n_train, len(dataset)) if dataset.n_atoms[k] == 3}
    assert len(water) > 30
    for fold in plan.folds:
        assert 0.2 < len(water & set(fold)) / len(water) < 0.5
    kept = np.load(tmp_path / "train.npz")["molecule"] == 0
    assert set(plan.kept_out) == set(np.flatnonzero(kept))
    assert dataset.weight[n_train:].max() == WEIGHTS["small"]

"""Augmented structures in a packed data set: their marks, their originals, and their places in files."""

import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from factory import ethanol, small_dataset

from ase_schnet import Dataset, read_dataset
from ase_schnet.cli.train_labels import Places
from ase_schnet.data.augmented import separate_augmented, true_structures
from ase_schnet.data.dataset import join
from ase_schnet.data.formats import read_labelled


@pytest.fixture(scope="module")
def frames():
    """Four ethanols; number 1 and 3 are made from 0 and 2, with weight 0.1."""
    dataset = small_dataset(4, names=("CH3CH2OH",))
    found = []
    for k in range(4):
        atoms = ethanol()
        atoms.positions = dataset.atoms(k).positions
        atoms.info = {"frame_id": f"a:{k // 2}", "units": "eV, Ang"}
        if k % 2:
            atoms.info = {"augmented": "delta", "augmented_from": f"a:{k // 2}"}
            atoms.info |= {"loss_weight": 0.1, "units": "eV, Ang"}
        part = slice(dataset.ptr[k], dataset.ptr[k + 1])
        atoms.calc = SinglePointCalculator(
            atoms, energy=dataset.E[k] - 4200.0, forces=dataset.F[part]
        )
        found.append(atoms)
    return found


@pytest.fixture
def path(frames, tmp_path):
    write(tmp_path / "more@300K.extxyz", frames, format="extxyz")
    return tmp_path / "more@300K.extxyz"


def test_marks_are_read_and_follow_subset_and_join(path, frames):
    dataset, _ = read_dataset(path)
    assert dataset.augmented.tolist() == ["", "delta", "", "delta"]
    assert dataset.augmented_from.tolist() == ["", "a:0", "", "a:1"]
    assert dataset.frame_id.tolist() == ["a:0", "", "a:1", ""]
    assert true_structures(dataset).tolist() == [0, 2]
    assert dataset.subset([3, 0]).augmented_from.tolist() == ["a:1", ""]
    plain = Dataset.from_atoms([frames[0], frames[2]])
    assert plain.augmented is None
    assert join(plain, dataset).augmented.tolist() == ["", "", "", "delta", "", "delta"]


def test_separated_structures_are_what_packing_them_alone_gives(path):
    structures, _ = read_labelled(path)
    dataset, given = separate_augmented(read_dataset(path)[0])
    alone = Dataset.from_atoms(structures[::2])
    assert dataset.fingerprint() == alone.fingerprint()
    assert dataset.weight is None
    assert dataset.augmented is None
    assert given.originals.tolist() == [0, 1]
    assert given.to_dict() == {"rule": "delta", "n_structures": 2, "moves": "from a file"}
    of_second = given(dataset, np.array([1]))
    assert of_second.fingerprint() == Dataset.from_atoms(structures[3:]).fingerprint()
    assert given(dataset, np.array([], int)) is None


def test_files_of_one_name_keep_their_own_originals(path, frames, tmp_path):
    """Or a structure would be validated beside what was made from it."""
    others = [atoms.copy() for atoms in frames]
    for atoms, like in zip(others, frames, strict=True):
        atoms.positions += 0.01 * np.random.default_rng(1).normal(size=atoms.positions.shape)
        atoms.calc = like.calc
    folder = tmp_path / "other"
    folder.mkdir()
    write(folder / path.name, others, format="extxyz")  # the same names of frames: a:0, a:1
    dataset, given = separate_augmented(read_dataset([path, folder / path.name])[0])
    assert given.originals.tolist() == [0, 1, 2, 3]
    first = given(dataset, np.array([0, 1]))  # those of the second file validate
    assert first.fingerprint() == given.structures.subset([0, 1]).fingerprint()


def test_augmented_structures_alone_are_refused(path):
    dataset, _ = read_dataset(path)
    with pytest.raises(ValueError, match="all structures are augmented: give their originals"):
        separate_augmented(dataset.subset([1, 3]))


def test_places_name_file_and_frame(path, tmp_path, frames):
    other = tmp_path / "other.extxyz"
    write(other, frames, format="extxyz")
    everything, summaries = read_dataset([path, other])
    places = Places(everything, [str(path), str(other)], summaries)
    assert [places.name(k) for k in (0, 1, 3)] == [
        f"{path}, frame 0",
        f"{path}, frame 2",
        f"{other}, frame 2",
    ]
    assert len(places.true_structures_of(1)) == 2
    assert places.true_structures_of(1).augmented.tolist() == ["", ""]

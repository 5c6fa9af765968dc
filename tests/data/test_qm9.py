"""QM9 in the layouts it comes in, from its archive to batches, in little memory."""

import numpy as np
import pytest
from factory import TINY
from qm9_cases import HARTREE, METHANE, U0, qm9_text, synthetic, write_archive

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset, read_labelled
from ase_schnet.data.splits import plan_folds
from ase_schnet.data.statistics import label_statistics
from ase_schnet.training.crossval import Recipe, cross_validate
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.settings import FitSettings


@pytest.mark.parametrize(
    ("suffix", "mode"), [(".tar.bz2", "w:bz2"), (".tgz", "w:gz"), (".tar", "w")]
)
def test_the_archive_is_read_without_unpacking_it(tmp_path, suffix, mode):
    path = write_archive(tmp_path / f"dsgdb9nsd.xyz{suffix}", [METHANE, METHANE], mode)
    frames, found = read_labelled(path)
    assert (found.n_frames, found.n_energy, found.n_forces) == (2, 2, 0)
    assert str(found.units) == "Hartree, Ang"
    assert frames[0].symbols.get_chemical_formula() == "CH4"
    assert frames[0].get_potential_energy() == pytest.approx(U0 * HARTREE, rel=1e-6)
    assert frames[0].info["gdb"] == 1


def test_numbers_with_mathematicas_exponents(tmp_path):
    path = tmp_path / "dsgdb9nsd_000001.xyz"  # one file of the archive reads the same
    path.write_text(METHANE)
    (frame,), _ = read_labelled(path)
    assert frame.positions[1] == pytest.approx([0.002150416, -0.0060313176, 0.0019761204])
    assert frame.positions[4, 2] == 0.9063972942


def test_energies_at_room_temperature_are_there_by_name(tmp_path):
    path = write_archive(tmp_path / "qm9.tar", [METHANE])
    (frame,), _ = read_labelled(path, energy_key="G")
    assert frame.get_potential_energy() == pytest.approx(-40.498597 * HARTREE, rel=1e-6)
    with pytest.raises(
        ValueError, match="has no 'gap'; of energies and forces, QM9 holds U0, U, H, G"
    ):
        read_labelled(path, energy_key="gap")
    with pytest.raises(ValueError, match="has no 'forces'"):
        read_labelled(path, forces_key="forces")
    with pytest.raises(ValueError, match="look like Hartree, not eV"):
        read_labelled(path, "eV")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("3\nplain xyz\nO 0 0 0\nH 0 0 1\nH 0 1 0\n", "no 'gdb' line"),
        (METHANE.replace("C\t-0.01", "Q\t-0.01"), "'Q'"),
        (METHANE.replace("1.0858041578", "1.08*58"), "could not convert"),
        (METHANE[:150], "fewer atoms than announced"),
        ("", "invalid literal for int"),
    ],
)
def test_a_file_that_is_not_of_qm9_is_named(tmp_path, text, reason):
    path = write_archive(tmp_path / "qm9.tar.gz", [METHANE, text], "w:gz")
    with pytest.raises(
        ValueError, match=f"dsgdb9nsd_000002.xyz is not in the layout of QM9.*{reason}"
    ):
        read_labelled(path)


def test_a_damaged_archive_is_refused(tmp_path):
    path = write_archive(tmp_path / "qm9.tar.bz2", [METHANE] * 50, "w:bz2")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"qm9\.tar\.bz2: is not a readable tar archive"):
        read_labelled(path)
    with pytest.raises(ValueError, match="is an archive without xyz files"):
        read_labelled(write_archive(tmp_path / "empty.tar", []))


def test_a_pickle_of_torch_is_refused_unopened(shared_data):
    with pytest.raises(
        ValueError, match="a pickle of torch, which can run code and is never loaded"
    ):
        read_labelled(shared_data("nff-ethanol", "dataset.pth.tar"), "kcal/mol")


def test_archive_and_database_of_schnetpack_agree(tmp_path, shared_data):
    path = write_archive(tmp_path / "qm9.tar", [METHANE])
    (ours,), _ = read_labelled(path)
    theirs, _ = read_labelled(shared_data("formats", "schnetpack_test_qm9.db"))
    old, found = read_labelled(shared_data("formats", "schnetpack_old_qm9.db"), "eV")
    assert found.n_energy == 500
    for frame in (theirs[0], old[0]):
        assert frame.get_potential_energy() == pytest.approx(ours.get_potential_energy(), abs=1e-8)
        assert frame.positions == pytest.approx(ours.positions, abs=1e-9)


def test_free_atoms_need_not_be_given(shared_data):
    """What is left of U0 after the fitted energies per species is less than after those of free atoms."""
    path = shared_data("formats", "schnetpack_old_qm9.db")
    dataset, _ = read_dataset(path, "eV")
    free_atoms = np.zeros(100)  # "atomrefs" of the schnetpack 2 file, Hartree
    free_atoms[[1, 6, 7, 8, 9]] = [-0.500273, -37.846772, -54.583861, -75.064579, -99.71873]
    statistics = label_statistics(dataset)
    assert statistics.undetermined == 0
    n = dataset.compositions()
    atomisation = dataset.E - n @ free_atoms * HARTREE
    residual = dataset.E - n @ statistics.energy_shift
    assert -8 < (atomisation / dataset.n_atoms).mean() < -3  # eV per atom: bonds
    assert residual.std() < 0.1 * atomisation.std()
    standardised = residual / np.sqrt(n @ statistics.energy_std**2)
    assert standardised.std() == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("parts", "units"),
    [
        (("formats", "schnetpack_old_qm9.db"), "eV"),
        (("formats", "schnetpack_test_ethanol_v2.db"), "kcal/mol"),
        (("formats", "spice2-1000_429_md_0-1.hdf5"), "eV, Ang, e*Ang"),
        (("mlearn", "Si_test.extxyz.gz"), "eV"),
        (("meuwly-dipoles", "ch2o_ccf12_avtz_3601.npz"), "eV"),
    ],
)
def test_a_data_set_is_the_same_with_and_without_atoms_on_the_way(shared_data, parts, units):
    path = shared_data(*parts)
    frames, found = read_labelled(path, units)
    dataset, (again,) = read_dataset(path, units)
    assert dataset.fingerprint() == Dataset.from_atoms(frames).fingerprint()
    assert again == found
    assert dataset.source == path.name


def test_several_files_become_one_data_set(tmp_path):
    rng = np.random.default_rng(0)
    texts = [qm9_text(k, *synthetic(rng, 5 + k % 3)) for k in range(9)]
    whole = write_archive(tmp_path / "whole.tar", texts)
    parts = [
        write_archive(tmp_path / "a.tar", texts[:4]),
        write_archive(tmp_path / "b.tar", texts[4:]),
    ]
    dataset, found = read_dataset(parts)
    assert dataset.fingerprint() == read_dataset(whole)[0].fingerprint()
    assert dataset.source == "a.tar, b.tar"
    assert [f.n_frames for f in found] == [4, 5]


def test_files_of_which_one_lacks_forces_do_not_join(shared_data):
    files = [
        shared_data("botnet-ethanol", name) for name in ("methanol_test.xyz", "test_H_removal.xyz")
    ]
    with pytest.raises(
        ValueError, match=r"forces found in 145/205 frames \(first without: frame 145"
    ):
        read_dataset(files, "eV")


def test_energies_alone_of_many_compositions_make_a_model(tmp_path):
    rng = np.random.default_rng(1)
    texts = [qm9_text(k, *synthetic(rng, 6 + k % 5)) for k in range(24)]
    dataset, _ = read_dataset(write_archive(tmp_path / "qm9.tar", texts))
    plan = plan_folds(24, 2, n_kept_out=4)
    weights = LossWeights(energy=1.0, forces=0.0)
    recipe = Recipe(TINY, weights, FitSettings(epochs=1), plan)
    model = cross_validate(dataset, tmp_path / "model", recipe, jobs=1)
    assert "energy_mae_meV_per_atom" in model.card["kept_out"]
    assert not any("forces" in name for name in model.card["kept_out"])
    atoms = dataset.atoms(0)
    atoms.calc = SchNetCalculator(tmp_path / "model")
    # the energies of free atoms are in the shifts: an untrained network is off by bonds, not by atoms
    assert atoms.get_potential_energy() == pytest.approx(dataset.E[0], abs=5.0 * len(atoms))
    assert np.isfinite(atoms.get_forces()).all()

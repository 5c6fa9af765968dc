"""Results: ASE's names for whoever iterates, the others for whoever asks; standard deviations in files."""

import copy
import pickle

import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.calculator import all_properties
from ase.calculators.singlepoint import SinglePointCalculator
from ase.db import connect
from ase.io import read, write
from ase.outputs import Properties

from ase_schnet import SchNetCalculator, write_predictions
from ase_schnet.results import EXTRA_RESULTS, Results


@pytest.fixture
def atoms():
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol")
    atoms.get_forces()
    return atoms


def crystal():
    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.05, seed=1)
    atoms.calc = SchNetCalculator("silicon")
    return atoms


@pytest.mark.parametrize("make", [lambda: None, crystal])
def test_a_single_point_calculator_takes_the_results(atoms, make):
    atoms = make() or atoms
    forces = atoms.get_forces()
    kept = SinglePointCalculator(atoms, **atoms.calc.results)
    np.testing.assert_array_equal(kept.get_forces(atoms), forces)
    assert kept.get_potential_energy() == atoms.get_potential_energy()
    assert set(Properties(atoms.calc.results)) <= {*all_properties, "natoms"}
    assert set(atoms.calc.export_properties()) <= {*all_properties, "natoms"}


def test_whoever_asks_gets_the_others(atoms):
    results = atoms.calc.results
    assert results["forces_std"].shape == (9, 3)
    assert "energy_std" in results
    assert results.get("energy_std") == results["energy_std"] > 0
    assert results.get("nothing", 7) == 7
    assert "nothing" not in results
    with pytest.raises(KeyError, match="nothing"):
        _ = results["nothing"]
    assert not set(EXTRA_RESULTS) & set(results)
    assert set(results) == set(dict(results)) == {"energy", "free_energy", "energies", "forces"}


def test_a_dipole_that_is_asked_for_joins_them(atoms):
    dipole = atoms.get_dipole_moment()
    np.testing.assert_array_equal(atoms.calc.results["dipole"], dipole)
    assert "dipole" in set(atoms.calc.results)
    assert "dipole_std" not in set(atoms.calc.results)
    assert atoms.calc.get_property("dipole_std", atoms).shape == (3,)


def test_copies_keep_both_kinds(atoms):
    results = atoms.calc.results
    merged = Results({}, {}) | results
    merged |= {"energy_std": 1.0, "energy": 2.0}
    assert (merged["energy"], merged.extra["energy_std"]) == (2.0, 1.0)
    assert results["energy_std"] != 1.0
    for again in (results.copy(), copy.deepcopy(results), pickle.loads(pickle.dumps(results))):
        assert list(again) == list(results)
        np.testing.assert_array_equal(again["forces_std"], results["forces_std"])
    again = results.copy()
    again["forces_std"] = 0
    assert np.ndim(results["forces_std"]) == 2


def test_equal_is_what_has_equal_values_of_both_kinds(atoms):
    results = atoms.calc.results
    again = molecule("CH3CH2OH")
    again.calc = SchNetCalculator("ethanol")
    again.get_forces()
    assert (results == again.calc.results, results != again.calc.results) == (True, False)
    assert results["energy_error"] > 0  # made now, and not in the other: they are equal still
    assert (results == again.calc.results, results != again.calc.results) == (True, False)
    for name in ("energy", "forces_std"):
        other = results.copy()
        other[name] = results[name] + 1
        assert (results == other, results != other) == (False, True)
    plain = Results({"energy": 1.0}, {})
    assert plain == {"energy": 1.0} == plain
    assert plain != {"energy": 2.0}
    assert plain != Results({"energy": 1.0}, {"energy_std": 0.1})
    assert plain != 3
    assert results != dict(results)


def test_names_of_both_kinds_are_removed(atoms):
    results = atoms.calc.results
    before = results.copy()
    assert results.pop("energy_error") == before["energy_error"]
    assert results.pop("energy") == before["energy"]
    assert results.pop("energy_std") == before["energy_std"]
    assert results.pop("energy_std", None) is None
    assert results.setdefault("energy_std", 7.0) == results.setdefault("energy_std", 8.0) == 7.0
    assert "energy_std" not in dict(results)
    del results["forces_std"]
    assert not {"energy", "energy_error", "forces_std"} & results.all_names()
    assert "forces_error" in results
    for name in ("energy_error", "forces_std", "nothing"):
        with pytest.raises(KeyError, match=name):
            results.pop(name)
    results.clear()
    assert not results.all_names()
    assert results.get("forces_error") is None
    assert before.extra
    assert "forces_std" in before


@pytest.mark.parametrize("suffix", [".extxyz", ".xyz", ".traj"])
def test_standard_deviations_go_into_files(tmp_path, atoms, suffix):
    frames = [atoms, atoms.copy()]
    frames[1].calc = atoms.calc
    frames[1].rattle(0.02, seed=1)
    assert write_predictions(tmp_path / f"p{suffix}", frames) == 2
    for frame, original in zip(read(tmp_path / f"p{suffix}", ":"), frames, strict=True):
        std = frame.arrays["forces_std"] if suffix != ".traj" else frame.info["forces_std"]
        np.testing.assert_allclose(std, _std(original, "forces_std"), atol=1e-7)
        assert frame.info["energy_std"] == pytest.approx(_std(original, "energy_std"), abs=1e-7)
        assert frame.get_potential_energy() == pytest.approx(original.get_potential_energy())
        np.testing.assert_allclose(frame.get_forces(), original.get_forces(), atol=1e-7)
    assert "forces_std" not in frames[0].arrays
    assert not frames[0].info


def test_a_database_can_be_selected_by_them(tmp_path):
    atoms = crystal()
    write_predictions(tmp_path / "p.db", atoms)
    write_predictions(tmp_path / "p.db", [atoms, atoms])
    rows = list(connect(tmp_path / "p.db").select("energy_std>0"))
    assert len(rows) == 3
    np.testing.assert_allclose(rows[0].data.forces_std, _std(atoms, "forces_std"))
    np.testing.assert_allclose(rows[0].data.stress_std, _std(atoms, "stress_std"))
    np.testing.assert_allclose(rows[0].stress, atoms.get_stress())


def test_what_cannot_be_written_is_refused(tmp_path, atoms):
    with pytest.raises(ValueError, match=r"\.extxyz, \.xyz, \.npz, \.traj or \.db"):
        write_predictions(tmp_path / "p.cif", atoms)
    with pytest.raises(ValueError, match="structure 1 has no calculator"):
        write_predictions(tmp_path / "p.xyz", [atoms, molecule("H2O")])
    for name in ("p.db", "p.npz", "p.traj"):
        with pytest.raises(ValueError, match="structure 1 has no calculator"):
            write_predictions(tmp_path / name, [atoms, molecule("H2O")])
        with pytest.raises(ValueError, match="there are no structures to write"):
            write_predictions(tmp_path / name, [])
    assert not list(tmp_path.iterdir())


def test_ase_writes_a_structure_with_a_model_as_ever(tmp_path, atoms):
    write(tmp_path / "a.extxyz", atoms)
    write(tmp_path / "a.traj", atoms)
    for name in ("a.extxyz", "a.traj"):
        again = read(tmp_path / name)
        np.testing.assert_allclose(again.get_forces(), atoms.get_forces(), atol=1e-7)


def _std(atoms, name):
    atoms.get_forces()
    return atoms.calc.results[name]

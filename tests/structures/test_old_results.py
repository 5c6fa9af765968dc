"""What a structure holds of earlier results and labels does not go on beside new ones."""

import argparse

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.emt import EMT
from ase.db import connect
from ase.io import read, write

from ase_schnet import label_structures, run_nve, write_predictions
from ase_schnet.cli import main
from ase_schnet.cli.inputs import read_structures
from ase_schnet.runs.collected import CollectedFrames
from ase_schnet.spectra import normal_modes
from ase_schnet.structures.single import read_structure
from ase_schnet.structures.writing import write_frames

OLD = {"energy_error": 9.0, "error_level": 0.5, "polarizability": np.eye(3), "energy_std": 7.0}


def structure():
    """Water with labels in kcal/mol, error bars of another model and a polarizability of its own."""
    atoms = molecule("H2O")
    atoms.info |= {**OLD, "units": "kcal/mol, Ang", "level_of_theory": "CCSD(T)", "name": "w1"}
    atoms.arrays["forces_error"] = np.ones((3, 3))
    atoms.arrays["group"] = np.array([1, 2, 2])
    return atoms


def require_new(atoms):
    assert not OLD.keys() & atoms.info.keys()
    assert "forces_error" not in atoms.arrays
    assert atoms.info["name"] == "w1"


@pytest.mark.parametrize("suffix", [".extxyz", ".traj", ".db"])
def test_predictions_have_no_bars_units_and_level_of_theory_of_the_file_before(tmp_path, suffix):
    atoms = structure()
    atoms.calc = EMT()
    write_predictions(tmp_path / f"predicted{suffix}", [atoms])
    found = read(tmp_path / f"predicted{suffix}")
    info = connect(tmp_path / "predicted.db").get(1).data if suffix == ".db" else found.info
    assert info["units"].startswith("eV, Ang")
    assert "level_of_theory" not in info
    assert not OLD.keys() & info.keys()
    assert "forces_error" not in found.arrays
    assert info["name"] == "w1"
    assert atoms.info["units"] == "kcal/mol, Ang"  # the structure itself is left as it was


def test_frames_of_a_run_do_not_repeat_the_polarizability_of_its_start(tmp_path):
    atoms = structure()
    atoms.calc = EMT()
    atoms.info |= {"frame_id": "data:3", "loss_weight": 0.1}
    run_nve(atoms, time_ps=0.002, trajectory_every=2, run_dir=tmp_path / "run", progress=False)
    frames = read(tmp_path / "run/trajectory.traj", ":")
    for frame in frames:
        require_new(frame)
        assert (
            not {"frame_id", "loss_weight"} & frame.info.keys()
        )  # else all would be one structure
        assert frame.info["units"].startswith("eV, Ang")
        assert "level_of_theory" not in frame.info


def test_collected_frames_have_no_bars_of_the_file_that_the_run_began_with(tmp_path):
    atoms = structure()
    CollectedFrames(tmp_path, 0).append(atoms, 5, 2.5, "a reason")
    frame = read(tmp_path / "collected.extxyz")
    assert "forces_error" not in frame.arrays
    assert frame.arrays["group"].tolist() == [1, 2, 2]
    assert not OLD.keys() & frame.info.keys()


def test_labels_do_not_stand_beside_what_a_model_predicted(tmp_path):
    script = tmp_path / "cheap.py"
    script.write_text("from ase.calculators.emt import EMT\n")
    result = label_structures([structure()], f"{script}:EMT", tmp_path / "labels.extxyz", jobs=1)
    for frame in (*result.frames, read(tmp_path / "labels.extxyz")):
        require_new(frame)
        assert frame.arrays["group"].tolist() == [1, 2, 2]
        assert frame.info["level_of_theory"] == "cheap.py:EMT"


def test_lengths_in_bohr_are_not_taken_for_angstrom(tmp_path, capsys):
    atoms = structure()
    atoms.info["units"] = "Hartree, Bohr"
    write(tmp_path / "bohr.xyz", atoms)
    with pytest.raises(ValueError, match=r"bohr.xyz: lengths are in Bohr \(units: Hartree, Bohr\)"):
        read_structure(tmp_path / "bohr.xyz")
    out = ["-o", str(tmp_path / "out.xyz")]
    assert main(["predict", "ethanol", str(tmp_path / "bohr.xyz"), *out]) == 2
    assert "lengths are in Bohr" in capsys.readouterr().err
    unsaid = argparse.Namespace(units=None, columns=None)
    with pytest.raises(ValueError, match="lengths are in Bohr"):
        read_structures(str(tmp_path / "bohr.xyz"), unsaid)


def test_structures_of_a_scan_are_no_originals_of_augmented_ones(tmp_path):
    atoms = structure()
    atoms.info["frame_id"] = "data:3"
    write_frames(tmp_path / "scan.xyz", [atoms, atoms], {"model_energy_eV": np.array([1.0, 2.0])})
    for frame, energy in zip(read(tmp_path / "scan.xyz", ":"), (1.0, 2.0), strict=True):
        assert frame.info["model_energy_eV"] == energy
        assert not {*OLD, "frame_id"} & frame.info.keys()


def test_a_relaxed_structure_has_results_of_its_own(tmp_path):
    atoms = structure()
    atoms.calc = EMT()
    at_rest = normal_modes(atoms).structure
    assert at_rest.info["units"].startswith("eV, Ang")
    assert not OLD.keys() & at_rest.info.keys()

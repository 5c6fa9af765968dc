"""models/ethanol as a user gets it: accuracy, honesty, physics. And the examples."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.fd import calculate_numerical_forces
from ase.optimize import BFGS
from forked import fork

from ase_schnet import SchNetCalculator, check_nve, load_model, run_nve
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble

ROOT = Path(__file__).resolve().parents[2]
KCAL_PER_MOL = 43.3641  # meV


@pytest.fixture
def atoms():
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator("ethanol")
    BFGS(atoms, logfile=None).run(fmax=0.01)
    return atoms


def test_the_card_says_where_the_model_comes_from():
    card = load_model("ethanol").card
    training = card["training"]
    assert training["source"] == "rmd17_ethanol_train_01.npz"
    assert training["n_structures"] == 1000
    assert len(card["folds"]) == 5
    assert card["self_check"]["energies_eV"]


def test_errors_on_frames_it_never_saw(shared_data):
    """Published for SchNet with 1000 frames: 0.39 kcal/mol/Å and 0.08 kcal/mol (arXiv:1706.08566)."""
    frames, _ = read_labelled(shared_data("rmd17-npz", "rmd17_ethanol_test_01.npz"))
    comparison = compare(Ensemble(load_model("ethanol")), Dataset.from_atoms(frames[::3]))
    metrics = comparison.metrics()
    assert metrics["forces_mae_meV_per_Ang"] <= 0.23 * KCAL_PER_MOL
    assert metrics["energy_mae_meV"] <= 0.045 * KCAL_PER_MOL
    calibration = comparison.calibration()
    # of single components 0.45, where errors drawn from the std itself would give 0.50
    assert calibration["forces_per_atom"].spearman >= 0.5


def test_the_training_data_are_those_of_the_card(shared_data):
    training = load_model("ethanol").card["training"]
    frames, found = read_labelled(shared_data("rmd17-npz", "rmd17_ethanol_train_01.npz"))
    assert found.sha256 == training["files"][0]["sha256"]
    assert Dataset.from_atoms(frames).fingerprint() == training["data_fingerprint"]


def test_forces_against_finite_differences(atoms):
    atoms.rattle(0.05, seed=1)
    numerical = calculate_numerical_forces(atoms, eps=1e-5)
    assert np.abs(atoms.get_forces() - numerical).max() < 1e-6


@pytest.mark.slow
def test_constant_energy_dynamics_pass(atoms):
    _, drift = check_nve(atoms, temperature_K=600, time_ps=3, test_time_ps=1.0)
    assert drift.passed, str(drift)
    assert drift.timestep_ratio == pytest.approx(4.0, abs=0.6)


def test_a_rough_model_fails_the_verdict_and_the_cutoff_is_named(atoms):
    """tests/data/rough: `ase-schnet train ... --cutoff 2.5 --envelope none --epochs 40 --folds 2`."""
    atoms.calc = SchNetCalculator(ROOT / "tests" / "helpers" / "rough_model")
    _, drift = check_nve(atoms, temperature_K=600, time_ps=0.5, test_time_ps=0.5)
    assert not drift.passed
    assert drift.timestep_ratio < 3.0
    assert "cutoff without envelope" in str(drift)


def test_the_run_is_the_same_whatever_the_skin(atoms):
    records = []
    for skin in (0.0, 1.0):
        fresh = atoms.copy()
        fresh.calc = SchNetCalculator("ethanol", skin=skin)
        records.append(run_nve(fresh, time_ps=0.02, temperature_K=300))
    np.testing.assert_allclose(
        records[0].total_energy_eV, records[1].total_energy_eV, rtol=0, atol=1e-10
    )


def test_the_scan_example_knows_where_it_stops_knowing(capsys):
    result = runpy.run_path(str(ROOT / "md_examples" / "3_oh_scan.py"))
    assert result["figure"].stat().st_size > 10_000
    std, inside, stretched = result["scan"].energy_std_eV, result["inside"], result["stretched"]
    assert np.median(std[~inside]) >= 10 * np.median(std[inside])
    error = result["error"][stretched]
    assert np.sqrt((error**2).mean()) * 23.06 < 5.0  # kcal/mol, although no label was beyond 1.1 Å
    assert 0.5 < np.sqrt((error**2).mean() / (std[stretched] ** 2).mean()) < 2.0
    assert (np.diff(result["scan"].energies_eV[stretched]) > -1e-3).all()  # it never falls again
    assert "Å" in capsys.readouterr().out


def run_example(name, *arguments):
    """As a script that its workers import."""
    path = str(ROOT / "md_examples" / name)
    sys.argv = [path, *map(str, arguments)]
    runpy.run_path(path, run_name="__main__")


@pytest.mark.slow
def test_the_training_example_trains(tmp_path, shared_data):
    """One epoch of five members in parallel processes."""
    with np.load(shared_data("rmd17-npz", "rmd17_ethanol_train_01.npz")) as file:
        few = {k: v[:60] if v.shape[:1] == (1000,) else v for k, v in file.items()}
    np.savez(tmp_path / "ethanol.npz", **few)
    arguments = "1_train.py", tmp_path / "ethanol.npz", tmp_path / "m", 1
    process = fork(run_example, *arguments, said=tmp_path / "said")
    process.join()
    said = (tmp_path / "said").read_text()
    assert process.exitcode == 0, said
    assert "Ensemble on the kept-out part" in said
    model = load_model(tmp_path / "m")
    assert model.n_members == 5
    assert model.card["training"]["n_structures"] == 60


def test_cards_and_their_page_name_no_folder_of_ours(request):
    """A reader is to run the commands in them."""
    models = request.config.rootpath / "models"
    pages = [*models.glob("*/model.json"), *models.rglob("*.md")]
    assert len(pages) >= 6
    for page in pages:
        text = page.read_text()  # megabytes without a space, in a card that lists what it has seen
        assert "shared/data" not in text, page
        assert re.search(r"[\s\"]/\w+/", text) is None, page

"""Error bars are fitted to what no member saw; nothing else of a model changes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from factory import NARROW, ethanol
from scipy.stats import binomtest

from ase_schnet import (
    SchNetCalculator,
    calibrate_intervals,
    load_model,
    read_dataset,
    write_predictions,
)
from ase_schnet.cli import main
from ase_schnet.cli.calibrate import EXAMPLE
from ase_schnet.coverage import coverage_of_bars
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.data.seen import seen_in_training, structure_hashes
from ase_schnet.evaluation import compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.lammps.restart import checksums
from ase_schnet.modelfile import save_model
from ase_schnet.uncertainty.conformal import NoIntervals

pytestmark = pytest.mark.filterwarnings("ignore:1 of .* are unlike the training")


@pytest.fixture
def copy(tmp_path):
    """A copy of a model, and what it was."""
    return shutil.copytree(NARROW, tmp_path / "model")


@pytest.fixture(scope="module")
def ethanol_data(shared_data):
    """Training and test frames of rMD17's ethanol."""
    folder = shared_data("rmd17-npz")
    return {
        part: read_dataset(folder / f"rmd17_ethanol_{part}_01.npz", units="kcal/mol")[0]
        for part in ("train", "test")
    }


def assert_nearly(value, was):
    """The last digits are those of a processor, and of the grid of the filters."""
    if isinstance(value, dict):
        assert value.keys() == was.keys()
        for name in value:
            assert_nearly(value[name], was[name])
    elif isinstance(value, (float, list)):
        np.testing.assert_allclose(value, was, rtol=1e-6)
    else:
        assert value == was


def test_frames_that_members_saw_are_refused_and_the_kept_out_part_is_taken(copy, ethanol_data):
    train, before = ethanol_data["train"], load_model(copy)
    with pytest.raises(ValueError, match="19 of 20 structures were in the training"):
        calibrate_intervals(copy, train.subset(np.arange(20)))  # number 7 was kept out
    assert load_model(copy).checksum == before.checksum
    intervals = calibrate_intervals(copy, train)
    assert intervals.n_structures == len(before.card["training"]["kept_out"]) == 50
    for name, value in intervals.to_dict().items():
        assert_nearly(value, before.card["intervals"][name])


def test_bars_of_another_level_are_wider_and_energies_the_same(copy, ethanol_data):
    before = load_model(copy)
    calibrate_intervals(copy, ethanol_data["test"].subset(np.arange(300)), level=0.99)
    after = load_model(copy)
    atoms = ethanol_data["test"].atoms(400)
    results = []
    for model in (NARROW, copy):
        atoms.calc = SchNetCalculator(model)
        atoms.get_forces()
        results.append(atoms.calc.results)
    assert results[0]["energy"] == results[1]["energy"]
    assert results[1]["energy_error"] > 1.5 * results[0]["energy_error"]
    assert (results[1]["forces_error"] > 1.5 * results[0]["forces_error"]).all()
    assert before.checksum in checksums(after)["earlier_sha256"]  # runs of LAMMPS go on


@pytest.mark.slow
def test_bars_cover_the_test_set_and_are_not_wide(ethanol_data):
    test = ethanol_data["test"].subset(np.arange(0, 1000, 3))
    for name in (NARROW, "ethanol"):
        model = load_model(name)
        for c in coverage_of_bars(model, compare(Ensemble(model), test), test):
            assert c.low - 0.04 < 0.9 < c.high + 0.04  # fitted to fifty structures
            assert c.low < c.fraction < c.high
            assert 2.0 < c.median_bar / c.median_error < 4.0
            assert c.without < 0.05


def test_labels_of_another_level_of_theory_are_refused(copy, ethanol_data):
    save_model(copy, replace(load_model(copy), level_of_theory="PBE/def2-SVP"))
    part = ethanol_data["test"].subset(np.arange(30))
    calibrate_intervals(copy, part, level_of_theory="PBE/def2-SVP")
    with pytest.raises(ValueError, match=r"are of PBE0/def2-TZVP, model .* is of PBE/def2-SVP"):
        calibrate_intervals(copy, part, level_of_theory="PBE0/def2-TZVP")


def test_too_few_structures_and_structures_unlike_the_training_are_refused(copy, ethanol_data):
    part = ethanol_data["test"].subset(np.arange(30))
    with pytest.raises(NoIntervals, match="needs at least 99 structures"):
        calibrate_intervals(copy, part, level=0.99)
    far = Dataset.from_atoms([_stretched(part, s) for s in range(10)])
    with pytest.raises(ValueError, match="none of the 10 structures is like the training"):
        calibrate_intervals(copy, far)
    mixed = Dataset.from_atoms([_stretched(part, s, 0.7 * (s < 3)) for s in range(30)])
    with pytest.warns(UserWarning, match=r"[34] of 30 structures are unlike the training"):
        assert calibrate_intervals(copy, mixed).n_structures in (26, 27)


def _stretched(dataset: Dataset, s: int, by: float = 0.7):
    atoms = dataset.atoms(s)
    forces = dataset.F[dataset.ptr[s] : dataset.ptr[s + 1]]
    atoms.set_distance(2, 8, atoms.get_distance(2, 8) + by, fix=0)
    atoms.calc = SinglePointCalculator(atoms, energy=dataset.E[s], forces=forces)
    return atoms


def test_a_shipped_model_is_not_calibrated_by_its_name(ethanol_data):
    with pytest.raises(ValueError, match="comes with the package: copy"):
        calibrate_intervals("ethanol", ethanol_data["test"])


def test_structures_are_known_again_in_other_files_and_places(tmp_path, ethanol_data):
    some = ethanol_data["test"].subset(np.arange(20))
    hashes = structure_hashes(some)
    frames = [_stretched(some, s, 0.0) for s in range(20)]
    write(tmp_path / "a.extxyz", frames)
    assert (structure_hashes(Dataset.from_atoms(read(tmp_path / "a.extxyz", ":"))) == hashes).all()
    for atoms in frames:
        atoms.translate((1.0, -2.0, 0.5))
    assert (structure_hashes(Dataset.from_atoms(frames)) == hashes).all()
    frames[0].positions[3, 1] += 0.01
    assert structure_hashes(Dataset.from_atoms(frames))[0] != hashes[0]


def test_the_card_knows_which_frames_members_saw(ethanol_data):
    card = load_model(NARROW).card
    seen = seen_in_training(card, ethanol_data["train"])
    assert np.flatnonzero(~seen).tolist() == card["training"]["kept_out"]
    assert not seen_in_training(card, ethanol_data["test"]).any()
    assert seen_in_training({}, ethanol_data["test"]) is None
    with pytest.raises(ValueError, match="damaged or edited"):
        seen_in_training({"training": {"seen": "no hashes"}}, ethanol_data["test"])


def test_the_command_fits_and_says_what_the_bars_rest_on(copy, shared_data, tmp_path, capsys):
    frames, _ = read_labelled(shared_data("rmd17-npz/rmd17_ethanol_test_01.npz"), "kcal/mol")
    write(tmp_path / "new.extxyz", frames[:40])
    data = str(tmp_path / "new.extxyz")
    assert main(["calibrate", str(copy), data, "--units", "eV", "--level", "0.8"]) == 0
    said = capsys.readouterr().out
    assert "cover 80 % of the errors: from 39 structures, 351 atoms that no member saw" in said
    assert main(["info", str(copy)]) == 0
    assert "cover 80 %" in capsys.readouterr().out
    assert main(["evaluate", str(copy), data, "--units", "eV", "--no-plot"]) == 0
    assert "% of the errors within the 80 % bars" in capsys.readouterr().out
    for frame in frames[:40]:
        frame.info["level_of_theory"] = "PBE" if frame is frames[0] else "B3LYP"
    write(tmp_path / "two.extxyz", frames[:40])
    assert main(["calibrate", str(copy), str(tmp_path / "two.extxyz"), "--units", "eV"]) == 2
    assert "labels of several methods: B3LYP, PBE" in capsys.readouterr().err


def test_the_example_of_the_help_is_true(tmp_path, capsys):
    """Its lines are run as they stand, in a directory that has what a checkout has."""
    root = Path(__file__).parents[2]
    for name in ("models", "benchmarks"):
        (tmp_path / name).symlink_to(root / name)
    lines = [line.split() for line in EXAMPLE.splitlines() if line.startswith("  ")]
    copied, command = lines[-2:]
    assert copied[:2] == ["cp", "-r"]
    shutil.copytree(*(tmp_path / name for name in copied[2:]))
    assert command[:2] == ["ase-schnet", "calibrate"]
    model, data, *options = command[2:]
    assert main(["calibrate", str(tmp_path / model), str(tmp_path / data), *options]) == 0
    assert "cover 95 % of the errors: from 100 structures" in capsys.readouterr().out


def test_evaluating_on_the_training_data_says_so(shared_data, capsys):
    data = str(shared_data("rmd17-npz/rmd17_ethanol_train_01.npz"))
    assert main(["evaluate", NARROW, data, "--no-plot"]) == 0
    assert "was trained on 950 of these 1000 structures" in capsys.readouterr().out


def _labelled(dataset: Dataset, s: int, energy: float = 0.0):
    """Structure s with its labels, its energy shifted."""
    return _relabelled(dataset, s, dataset.E[s] + energy, _forces(dataset, s))


def _forces(dataset: Dataset, s: int) -> np.ndarray:
    return dataset.F[dataset.ptr[s] : dataset.ptr[s + 1]]


def _relabelled(dataset: Dataset, s: int, energy: float, forces: np.ndarray):
    atoms = dataset.atoms(s)
    atoms.calc = SinglePointCalculator(atoms, energy=energy, forces=forces)
    return atoms


def test_the_models_own_predictions_and_labels_of_another_zero_are_refused(copy, ethanol_data):
    part = ethanol_data["test"].subset(np.arange(30))
    own = compare(Ensemble(load_model(copy)), part)
    energies, forces = own.energies.mean(axis=0), own.forces.mean(axis=0)
    frames = [
        _relabelled(part, s, energies[s], forces[part.ptr[s] : part.ptr[s + 1]]) for s in range(30)
    ]
    with pytest.raises(ValueError, match="labels are the predictions of"):
        calibrate_intervals(copy, Dataset.from_atoms(frames))
    shifted = Dataset.from_atoms([_labelled(part, s, 5.0) for s in range(30)])
    with pytest.raises(ValueError, match="another unit or another zero of energy"):
        calibrate_intervals(copy, shifted)


def test_turned_and_relabelled_training_frames_are_known_again(copy, ethanol_data):
    train, turned = ethanol_data["train"], []
    for s in range(40):
        atoms = _labelled(train, s)
        forces = atoms.get_forces()
        order = np.random.default_rng(s).permutation(9)
        atoms.calc = None
        atoms.arrays["f"] = forces
        atoms.rotate(20.0 * s, (1, 2, 3))
        atoms = atoms[order]
        forces = atoms.arrays.pop("f")
        atoms.calc = SinglePointCalculator(atoms, energy=train.E[s], forces=forces)
        turned.append(atoms)
    with pytest.raises(ValueError, match="of 40 structures were in the training"):
        calibrate_intervals(copy, Dataset.from_atoms(turned))


def test_copies_count_once_and_lost_bars_are_named(copy, ethanol_data):
    part = ethanol_data["test"].subset(np.arange(20))
    twice = Dataset.from_atoms([_labelled(part, s % 20) for s in range(40)])
    with pytest.warns(UserWarning, match="20 of 40 structures are copies of others"):
        assert calibrate_intervals(copy, twice).n_structures == 20
    energies = Dataset.from_atoms([_labelled(part, s) for s in range(20)])
    with pytest.warns(UserWarning, match="too few labels of forces"):
        calibrate_intervals(copy, replace(energies, F=None))


def test_evaluating_a_models_own_predictions_divides_by_no_zero(copy, tmp_path, capsys):
    frames = [ethanol(0.02, seed=k) for k in range(12)]
    for atoms in frames:
        atoms.calc = SchNetCalculator(copy)
    write_predictions(tmp_path / "own.extxyz", frames)
    data = str(tmp_path / "own.extxyz")
    assert main(["evaluate", str(copy), data, "--units", "eV", "--no-plot"]) == 0
    assert "100.0 % of the errors within the 90 % bars" in capsys.readouterr().out


def test_augmented_structures_are_no_evidence(copy, shared_data, tmp_path, capsys):
    frames, _ = read_labelled(shared_data("rmd17-npz/rmd17_ethanol_test_01.npz"), "kcal/mol")
    for frame in frames[:10]:
        frame.info["augmented"] = "springs"
    write(tmp_path / "mixed.extxyz", frames[:30])
    assert main(["calibrate", str(copy), str(tmp_path / "mixed.extxyz"), "--units", "eV"]) == 0
    said = capsys.readouterr().out
    assert "10 augmented structures are left out" in said
    assert "from 20 structures" in said or "from 19 structures" in said
    assert main(["calibrate", str(copy), "no.such.file", "--level", "90"]) == 2
    assert "between 0 and 1, got 90" in capsys.readouterr().err


def test_bars_of_forces_alone_are_judged_where_sizes_differ():
    """Without labels of energies `evaluate` ended in an error of Python for molecules of several sizes."""
    calculator, frames = SchNetCalculator("organic", threads=1), []
    for k, name in enumerate(["CH3OH", "H2O", "CH4", "CH3OH"]):
        atoms = molecule(name)
        atoms.rattle(0.03, seed=k)
        forces = calculator.get_forces(atoms) + 0.01
        atoms.calc = SinglePointCalculator(atoms, forces=forces)
        frames.append(atoms)
    data, model = Dataset.from_atoms(frames), load_model("organic")
    (forces,) = coverage_of_bars(model, compare(Ensemble(model), data), data)
    assert (forces.name, forces.without) == ("forces", 0.0)
    assert forces.median_error == pytest.approx(0.01)


def test_an_evaluation_says_that_labels_are_of_another_method(tmp_path, capsys):
    calculator = SchNetCalculator(NARROW, threads=1)
    for k, shift in enumerate([0.01, 3.0]):
        atoms = ethanol(0.02, seed=k)
        energy, forces = calculator.get_potential_energy(atoms), calculator.get_forces(atoms)
        atoms.calc = SinglePointCalculator(atoms, energy=energy + shift, forces=forces + 0.01)
        write(tmp_path / f"{k}.extxyz", atoms)
    for k, is_said in enumerate([False, True]):
        data = str(tmp_path / f"{k}.extxyz")
        assert main(["evaluate", str(NARROW), data, "--units", "eV", "--no-plot"]) == 0
        said = capsys.readouterr().out
        assert ("note: the energy errors are 3e+03 meV on average" in said) == is_said
        assert ("another zero of energy" in said) == is_said


@pytest.mark.parametrize(("n", "covered"), [(1, True), (12, True), (12, False)])
def test_a_coverage_that_all_structures_share_is_not_certain(n, covered):
    """Resampled, 12 of 12 errors within their bars were "100.0 % (100.0 to 100.0)"."""
    calculator, frames = SchNetCalculator(NARROW, threads=1), []
    for k in range(n):
        atoms = ethanol(0.02, seed=k)
        energy = calculator.get_potential_energy(atoms) + (1e-6 if covered else 1.0)
        atoms.calc = SinglePointCalculator(atoms, energy=energy)
        frames.append(atoms)
    data, model = Dataset.from_atoms(frames), load_model(NARROW)
    (energy,) = coverage_of_bars(model, compare(Ensemble(model), data), data)
    assert energy.fraction == covered
    ends = binomtest(n * covered, n).proportion_ci(0.95, method="exact")
    assert (energy.low, energy.high) == pytest.approx(tuple(ends))


@pytest.mark.filterwarnings("ignore:too few labels of energy")
@pytest.mark.parametrize("labels", [("energy", "forces"), ("forces",)])
def test_what_is_unlike_the_training_is_left_out_whatever_is_labelled(copy, labels):
    """Without energies it was told by their bars, and there were none."""
    calculator, frames = SchNetCalculator(NARROW, threads=1), []
    for k in range(13):
        atoms = ethanol(0.02, seed=k)
        if k == 5:
            atoms.set_distance(2, 3, 1.7, fix=0)
        atoms.calc = calculator
        rng = np.random.default_rng(k)
        found = {"forces": atoms.get_forces() + rng.normal(scale=0.05, size=(9, 3))}
        found["energy"] = atoms.get_potential_energy() + rng.normal(scale=0.02)
        atoms.calc = SinglePointCalculator(atoms, **{name: found[name] for name in labels})
        frames.append(atoms)
    with pytest.warns(UserWarning, match="1 of 13 structures are unlike the training"):
        fitted = calibrate_intervals(copy, Dataset.from_atoms(frames))
    assert fitted.n_structures == 12

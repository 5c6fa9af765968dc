"""Dipoles that are not what they are said to be: refused by name, and nothing good is written over."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write
from ase.units import Bohr, Debye
from dipole_cases import distorted, distorted_dataset, random_rotation
from factory import random_model

from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_labelled
from ase_schnet.dipole.fit import errors, fit_rpr
from ase_schnet.dipole.settings import RPRSettings
from ase_schnet.dipole.store import load_part, part_file, save_part
from ase_schnet.modelfile import save_model

FEW = RPRSettings(n_members=2, n_centres=60)
UNITS = ["--units", "eV, Ang, e*Ang"]


def centres_of_mass(data: Dataset) -> np.ndarray:
    return np.array([data.atoms(k).get_center_of_mass() for k in range(len(data))])


def relabelled(data: Dataset, slope: float = 0.0, factor: float = 1.0) -> Dataset:
    """Labels that grow by `slope` e with the centre of mass, all times `factor`."""
    return replace(data, dipole=factor * (data.dipole + slope * centres_of_mass(data)))


def zundel(shared_data, n: int, shift: float) -> Dataset:
    """H5O2+ of coupled clusters, labels about the centre of mass; each structure moved by `shift` Å."""
    rng = np.random.default_rng(0)
    frames = []
    for atoms in read(shared_data("tensoap-water", "water_zundel_1000.xyz"), f":{n}"):
        dipole = atoms.info["mu"]
        dipole = np.array(dipole.split() if isinstance(dipole, str) else dipole, dtype=float) * Bohr
        frame = Atoms(atoms.numbers, atoms.positions + shift * rng.normal(size=3))
        frame.calc = SinglePointCalculator(frame, dipole=dipole)
        frames.append(frame)
    return Dataset.from_atoms(frames)


# ---------------------------------------------------------------- the origin of an ion's dipole


@pytest.mark.parametrize("shift", [1.0, 0.03], ids=["wandering", "rattled"])
@pytest.mark.parametrize(
    ("slope", "factor", "about", "message"),
    [
        (
            1,
            1,
            "centre of mass",
            r"by 1\.0\d e .* coordinate origin.*labels_about='coordinate orig",
        ),
        (0, 1, "coordinate origin", r"do not change .* labels_about='centre of mass'"),
        (1, 1 / Debye, "coordinate origin", r"by 4\.8\d e .*Debye.*units='eV, Ang, Debye'"),
        (1, 1 / Bohr, "coordinate origin", r"by 1\.[89]\d e .*e\*Bohr.*units='eV, Ang, e\*Bohr'"),
        (1, Debye, "coordinate origin", r"by 0\.2\d e .*e\*Ang.*units='eV, Ang, e\*Ang'"),
        (2, 1, "coordinate origin", r"by 2\.0\d e .* charge \+2 .*charge=2"),
        (-1, 1, "coordinate origin", r"by -1\.0\d e .* charge -1 .*charge=-1"),
    ],
)
def test_an_ion_told_wrong_is_refused_with_the_cure(slope, factor, about, message, shift):
    rng = np.random.default_rng(1)
    data = distorted_dataset("NH3", 60)
    data = replace(data, R=data.R - np.repeat(centres_of_mass(data), 4, axis=0))
    data = replace(data, R=data.R + np.repeat(shift * rng.normal(size=(60, 3)), 4, axis=0))
    data = relabelled(data, slope, factor)
    with pytest.raises(ValueError, match=message):
        fit_rpr(data, charge=1, labels_about=about, settings=FEW)
    told = {"charge": 1, "labels_about": about, "trust_labels": True}
    assert fit_rpr(data, settings=FEW, **told).charge == 1


def test_a_neutral_molecule_whose_dipole_moves_with_it_is_an_ion():
    data = relabelled(distorted_dataset("H2O", 40), slope=1)
    with pytest.raises(ValueError, match=r"charge=1, labels_about='coordinate origin'"):
        fit_rpr(data, settings=FEW)


def test_an_ion_taken_for_neutral_and_in_another_unit_is_told_both():
    data = relabelled(distorted_dataset("NH3", 60), slope=1, factor=1 / Debye)
    with pytest.raises(
        ValueError, match=r"charge \+1 .* units='eV, Ang, Debye', charge=1, labels_a"
    ):
        fit_rpr(data, settings=FEW)


def test_a_charge_that_the_structures_state_is_that_of_the_fit():
    data = replace(distorted_dataset("NH3", 20), charge=np.r_[np.full(19, np.nan), 1.0])
    with pytest.raises(ValueError, match=r"structure 19 has charge \+1.*charge=1"):
        fit_rpr(data, settings=FEW)
    fit_rpr(data, charge=1, labels_about="centre of mass", settings=FEW)


def test_what_an_ion_is_about_cannot_be_told_where_it_does_not_move():
    data = distorted_dataset("NH3", 40)
    data = replace(data, R=data.R - np.repeat(centres_of_mass(data), 4, axis=0))
    for about in ("centre of mass", "coordinate origin"):
        model = fit_rpr(data, charge=1, labels_about=about, settings=FEW)
        assert model.training["held_out_MAE_per_component"] < 1e-3


@pytest.mark.parametrize("anchor", [0, 1], ids=["atom", "one of equivalent atoms"])
def test_an_origin_that_follows_the_geometry_is_no_reason_to_refuse(anchor):
    """An atom at the origin, as of files that were aligned: the centre of mass moves, labels need not."""
    data = distorted_dataset("NH3", 60)
    anchors = data.R.reshape(60, 4, 3)[:, anchor]
    data = replace(data, R=data.R - np.repeat(anchors, 4, axis=0))
    model = fit_rpr(data, charge=1, labels_about="centre of mass", settings=FEW)
    assert model.training["held_out_MAE_per_component"] < 1e-3


def test_the_zundel_ion_moved_about(shared_data):
    data = zundel(shared_data, 150, shift=1.0)
    right = fit_rpr(data, charge=1, labels_about="centre of mass", settings=FEW)
    assert right.training["held_out_MAE_per_component"] < 5e-3
    with pytest.raises(ValueError, match=r"labels_about='coordinate origin'"):
        fit_rpr(relabelled(data, 1), charge=1, labels_about="centre of mass", settings=FEW)
    with pytest.raises(ValueError, match=r"charge=1, labels_about='coordinate origin'"):
        fit_rpr(relabelled(data, 1), settings=FEW)
    still = zundel(shared_data, 150, shift=0.0)
    fit_rpr(still, charge=1, labels_about="coordinate origin", settings=FEW)


def test_test_structures_of_another_origin_are_refused():
    data = distorted_dataset("NH3", 60)
    model = fit_rpr(data, charge=1, labels_about="centre of mass", settings=FEW)
    test = relabelled(distorted_dataset("NH3", 20, seed=1), slope=1)
    with pytest.raises(ValueError, match="labels_about='coordinate origin'"):
        errors(model, test, "centre of mass", trust_labels=False)
    assert np.abs(errors(model, test, "centre of mass")).mean() > 0.1
    assert np.abs(errors(model, test, "coordinate origin", trust_labels=False)).mean() < 1e-3


def test_test_structures_in_another_unit_are_told_so():
    model = fit_rpr(distorted_dataset("H2O", 20), settings=FEW)
    test = relabelled(distorted_dataset("H2O", 3, seed=1), factor=1 / Debye)
    with pytest.raises(
        ValueError,
        match=r"4\.80 times that of the model, as if labels in Debye were read as e\*Ang",
    ):
        errors(model, test, trust_labels=False)


# ---------------------------------------------------------------- fits that say nothing


@pytest.mark.parametrize("quantity", ["dipole", "polarizability"])
def test_a_fit_no_better_than_the_spread_of_the_labels_is_refused(quantity):
    data = distorted_dataset("CH3OH", 40)
    order = np.random.default_rng(0).permutation(40)
    data = replace(data, **{quantity: getattr(data, quantity)[order]})
    with pytest.raises(ValueError, match=r"is above .*other axes.*other structures"):
        fit_rpr(data, quantity, settings=FEW)
    assert fit_rpr(data, quantity, settings=FEW, trust_labels=True).n_members == 2


@pytest.mark.parametrize("name", ["H2O", "NH3", "C3H4_C2v", "CH4", "CO2", "O"])
def test_a_dozen_good_labels_are_enough(name):
    fit_rpr(distorted_dataset(name, 12), settings=FEW)


def test_one_structure_many_times_has_no_spread_and_is_fitted():
    frames = distorted("H2O", 1) * 12
    assert fit_rpr(Dataset.from_atoms(frames), settings=FEW).n_members == 2


@pytest.mark.parametrize("n", [1, 3])
def test_few_test_structures_are_judged_by_the_spread_of_the_training_data(n):
    model = fit_rpr(distorted_dataset("H2O", 12), settings=FEW)
    errors(model, distorted_dataset("H2O", n, seed=1), trust_labels=False)
    with pytest.raises(ValueError, match=r"is above 0\.5 times"):
        errors(model, relabelled(distorted_dataset("H2O", n), slope=0.1), trust_labels=False)


# ---------------------------------------------------------------- magnitude


def test_a_dipole_beyond_a_whole_charge_across_the_molecule_is_in_another_unit():
    water = distorted_dataset("H2O", 20)
    sized = replace(water, dipole=water.dipole * (1.85 * Debye / 0.57))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_rpr(sized, settings=FEW)
    debye = relabelled(sized, factor=1 / Debye)
    with pytest.raises(ValueError, match=r"units='eV, Ang, Debye'.*trust_labels=True"):
        fit_rpr(debye, settings=FEW)
    fit_rpr(debye, settings=FEW, trust_labels=True)


def test_an_ion_that_stays_far_from_the_origin_is_told_by_its_size():
    data = distorted_dataset("NH3", 20)
    at_rest = np.repeat(centres_of_mass(data) - [5.0, 5.0, 5.0], 4, axis=0)
    data = relabelled(replace(data, R=data.R - at_rest), slope=1)
    with pytest.raises(
        ValueError, match=r"larger than a whole charge.*labels_about='coordinate origin'"
    ):
        fit_rpr(data, charge=1, labels_about="centre of mass", settings=FEW)


@pytest.mark.slow
def test_methanol_in_debye_is_suspected(shared_data):
    frames, _ = read_labelled(shared_data("meuwly-dipoles", "ch3oh_cc_avtz_7201.npz"), "eV")
    data = Dataset.from_atoms(frames[::200])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit_rpr(data, settings=FEW)
    with pytest.warns(UserWarning, match=r"larger than half .*units='eV, Ang, Debye'"):
        fit_rpr(relabelled(data, factor=1 / Debye), settings=FEW)


# ---------------------------------------------------------------- what lies in MODEL_DIR


def part_of(name: str, factor: float = 1.0, quantity: str = "dipole"):
    data = distorted_dataset(name, 20)
    data = replace(data, **{quantity: factor * getattr(data, quantity)})
    return fit_rpr(data, quantity, settings=FEW, trust_labels=True)


@pytest.mark.parametrize("unit", [Debye, Bohr], ids=["Debye", "e*Bohr"])
def test_a_part_in_another_unit_than_the_present_one_is_refused(tmp_path, unit):
    save_part(tmp_path, part_of("H2O"))
    before = part_file(tmp_path, "dipole").read_bytes()
    name = "Debye" if unit == Debye else r"e\*Bohr"
    with pytest.raises(ValueError, match=rf"{1 / unit:.2f} times .*{name} .*replace=True"):
        save_part(tmp_path, part_of("H2O", 1 / unit))
    assert part_file(tmp_path, "dipole").read_bytes() == before
    save_part(tmp_path, part_of("H2O", 1.1))  # another level of theory
    save_part(tmp_path, part_of("H2O", 1 / unit), replace=True)
    assert part_file(tmp_path, "dipole").read_bytes() != before


def test_a_polarizability_in_bohr3_is_noticed_beside_the_present_one(tmp_path):
    save_part(tmp_path, part_of("H2O", quantity="polarizability"))
    with pytest.raises(ValueError, match=r"97\.17 times .*Bohr\^3"):
        save_part(tmp_path, part_of("H2O", 1 / 0.0102912, quantity="polarizability"))


def test_the_part_of_another_molecule_is_kept(tmp_path):
    save_part(tmp_path, part_of("CH3OH"))
    with pytest.raises(ValueError, match=r"dipole of CH4O.*this one is of H2O: .*replace=True"):
        save_part(tmp_path, part_of("H2O"))
    save_part(tmp_path, part_of("CH3OH"))
    with pytest.raises(ValueError, match=r"dipole of CH4O.*this one is of H2O"):
        save_part(tmp_path, part_of("H2O", quantity="polarizability"))
    save_part(tmp_path, part_of("H2O"), replace=True)
    assert load_part(tmp_path, "dipole").symbols == "OHH"


def test_the_part_of_an_isomer_is_kept(tmp_path):
    save_part(tmp_path, part_of("CH3CH2OH"))
    with pytest.raises(ValueError, match=r"other bonds"):
        save_part(tmp_path, part_of("CH3OCH3"))


def test_a_potential_of_other_elements_or_another_molecule_gets_no_dipole(tmp_path):
    save_model(tmp_path / "elements", random_model())
    with pytest.raises(ValueError, match=r"knows H, C, O; this dipole is of H3N"):
        save_part(tmp_path / "elements", part_of("NH3"))
    card = {
        "training": {"species_shifts_undetermined": 2},
        "self_check": {"numbers": [6, 8, 1, 1, 1, 1]},
    }
    save_model(tmp_path / "one", replace(random_model(), card=card))
    with pytest.raises(ValueError, match=r"is of CH4O; this dipole is of H2O"):
        save_part(tmp_path / "one", part_of("H2O"))
    save_part(tmp_path / "one", part_of("CH3OH"))
    several = {**card, "training": {"species_shifts_undetermined": 1}}
    save_model(tmp_path / "several", replace(random_model(), card=several))
    save_part(tmp_path / "several", part_of("H2O"))


def test_what_cannot_be_read_is_kept_too(tmp_path):
    path = save_part(tmp_path, part_of("H2O"))
    path.write_bytes(b"from a newer version")
    with pytest.raises(ValueError, match=r"damaged: .*; replace=True writes"):
        save_part(tmp_path, part_of("H2O"))
    assert path.read_bytes() == b"from a newer version"
    save_part(tmp_path, part_of("H2O"), replace=True)
    (tmp_path / "model.json").write_text("{}")
    with pytest.raises(ValueError, match=r"model\.json is damaged .*; replace=True writes"):
        save_part(tmp_path, part_of("H2O"))


def test_a_potential_of_another_charge_gets_no_dipole(tmp_path):
    save_model(tmp_path, replace(random_model(), card={"charge": 1, "multiplicity": 1}))
    with pytest.raises(ValueError, match=r"charge \+1.*this dipole of charge \+0"):
        save_part(tmp_path, part_of("H2O"))


# ---------------------------------------------------------------- the command line


def command(tmp_path, frames: list[Atoms], *more: str, name: str = "data.xyz") -> list[str]:
    write(tmp_path / name, frames)
    data, model = str(tmp_path / name), str(tmp_path / "model")
    return ["train-dipole", data, "-o", model, "--folds", "2", "--centres", "60", *more]


def test_the_command_keeps_a_good_part_and_says_why(tmp_path, capsys):
    good = distorted("H2O", 20)
    assert main([*command(tmp_path, good), *UNITS]) == 0
    kept = part_file(tmp_path / "model", "dipole")
    before = kept.read_bytes()
    capsys.readouterr()
    labels = np.random.default_rng(0).permutation([a.get_dipole_moment() for a in good])
    bad = [a.copy() for a in good]
    for atoms, label in zip(bad, labels, strict=True):
        atoms.calc = SinglePointCalculator(atoms, dipole=label)
    wrong = {
        "above 0.5 times": [*command(tmp_path, bad, name="bad.xyz"), *UNITS],
        "--labels-about 'coordinate origin'": [
            *command(tmp_path, moved_with(good, 1), name="ion.xyz"),
            *(*UNITS, "--charge", "1", "--labels-about", "centre of mass"),
        ],
        "--replace": [*command(tmp_path, distorted("NH3", 20), name="other.xyz"), *UNITS],
    }
    for text, words in wrong.items():
        assert main(words) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert text in line
        assert "trust_labels" not in line
        assert "replace=" not in line
        assert kept.read_bytes() == before
    assert main([*wrong["above 0.5 times"], "--trust-labels"]) == 0
    assert kept.read_bytes() != before
    assert main([*wrong["--replace"], "--replace"]) == 0
    assert load_part(tmp_path / "model", "dipole").symbols == "NHHH"


def moved_with(frames: list[Atoms], charge: int) -> list[Atoms]:
    """The same with the dipoles of an ion about the coordinate origin."""
    moved = []
    for atoms in frames:
        ion = atoms.copy()
        label = atoms.get_dipole_moment() + charge * atoms.get_center_of_mass()
        ion.calc = SinglePointCalculator(ion, dipole=label)
        moved.append(ion)
    return moved


def test_the_command_judges_test_structures_too(tmp_path, capsys):
    write(tmp_path / "test.xyz", moved_with(distorted("H2O", 20, seed=1), 1))
    test = ["--test", str(tmp_path / "test.xyz")]
    assert main([*command(tmp_path, distorted("H2O", 20)), *UNITS, *test]) == 2
    assert "test structures" in capsys.readouterr().err
    assert not (tmp_path / "model").exists()


def test_an_ion_is_evaluated_about_what_it_was_trained_about():
    data = relabelled(distorted_dataset("NH3", 60), slope=1)
    model = fit_rpr(data, charge=1, labels_about="coordinate origin", settings=FEW)
    assert np.abs(errors(model, data)).mean() < 1e-3


def test_copies_in_the_data_do_not_judge_the_members_that_saw_them():
    """Labels with noise are met by who has seen them: the error was a fifth, and the penalty the least."""
    rng = np.random.default_rng(2)
    frames, copies = distorted("CH3OH", 40), []
    for atoms in frames:
        atoms.calc.results["dipole"] = atoms.calc.results["dipole"] + rng.normal(0, 0.1, 3)
        turned = atoms.copy()
        turn = random_rotation(int(rng.integers(1000)))
        turned.positions = atoms.positions @ turn + 1.0
        dipole = atoms.calc.results["dipole"] @ turn
        turned.calc = SinglePointCalculator(turned, dipole=dipole)
        copies.append(turned)
    settings = RPRSettings(n_members=8, n_centres=80)
    alone, twice = (
        fit_rpr(Dataset.from_atoms(each), settings=settings, trust_labels=True).training
        for each in (frames, [*frames, *copies])
    )
    assert twice["held_out_MAE_per_component"] > 0.9 * alone["held_out_MAE_per_component"]
    assert twice["penalty"] == alone["penalty"]

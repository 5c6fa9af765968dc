"""Stress from the energy, in the data, the loss, the metrics and the model card."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk, molecule
from ase.calculators.calculator import Calculator, all_changes
from ase.calculators.fd import calculate_numerical_stress
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write
from ase.stress import full_3x3_to_voigt_6_stress
from batches import collate
from factory import TINY, labelled_crystals, labelled_molecules, potentials, small_dataset

from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import plan_folds
from ase_schnet.data.statistics import label_statistics
from ase_schnet.evaluation import Quantity, compare
from ase_schnet.inference.engine import open_engine
from ase_schnet.model.potential import properties_of
from ase_schnet.modelfile import save_model
from ase_schnet.plotting import plot_learning_curves, plot_parity
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.crossval import Recipe, cross_validate
from ase_schnet.training.loss import Loss
from ase_schnet.training.loss_weights import DEFAULT_STRESS_WEIGHT, LossWeights
from ase_schnet.training.metrics import validation_metrics
from ase_schnet.training.report import training_summary
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit

QUICK = FitSettings(epochs=10, batch_size=4, seed=3)


def everything(data, dtype=torch.float64):
    """All structures of a data set as one batch, with labels."""
    return BatchSource(data, TINY.cutoff, dtype).batch(np.arange(len(data)))


def batch_of(atoms):
    return everything(Dataset.from_atoms([atoms]))[0]


def stress_of(potential, atoms) -> np.ndarray:
    """(6,) eV/Å³ in ASE's order."""
    stress = properties_of(potential, batch_of(atoms), forces=False, stress=True).stress
    return full_3x3_to_voigt_6_stress(stress[0].numpy())


@pytest.fixture(scope="module")
def potential():
    return potentials(members=1, dtype=torch.float64)[0]


def skewed(seed=0):
    atoms = bulk("C", "diamond", a=3.6)  # two atoms: far smaller than the cutoff
    atoms.numbers[1] = 8
    strain = np.eye(3) + 0.1 * np.random.default_rng(seed).normal(size=(3, 3))
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


class EnergyOnly(Calculator):
    """A potential's energy for ASE's finite differences."""

    implemented_properties = ("energy",)

    def calculate(self, atoms=None, properties=("energy",), system_changes=all_changes):
        super().calculate(atoms, properties, system_changes)
        self.results = {"energy": self.parameters.potential(batch_of(self.atoms)).item()}


# ---- from the energy ---------------------------------------------------------------------------


@pytest.mark.parametrize("handedness", ["right", "left"])
@pytest.mark.parametrize("repeat", [(1, 1, 1), (2, 1, 3)])
def test_stress_is_the_strain_derivative_of_the_energy(potential, handedness, repeat):
    atoms = skewed().repeat(repeat)
    if handedness == "left":
        atoms.set_cell(atoms.cell.array[[1, 0, 2]])
        assert np.linalg.det(atoms.cell.array) < 0
    stress = stress_of(potential, atoms)
    atoms.calc = EnergyOnly(potential=potential)
    numerical = full_3x3_to_voigt_6_stress(
        calculate_numerical_stress(atoms, eps=1e-4, voigt=False, force_consistent=False)
    )
    assert np.abs(stress).max() > 0.05
    np.testing.assert_allclose(stress, numerical, atol=1e-6)


def test_a_cell_smaller_than_the_cutoff_has_the_stress_of_its_supercell(potential):
    atoms = skewed()
    assert atoms.cell.lengths().max() < TINY.cutoff
    larger = stress_of(potential, atoms.repeat((3, 2, 2)))
    np.testing.assert_allclose(stress_of(potential, atoms), larger, atol=1e-12)


def test_stress_does_not_depend_on_where_atoms_lie_or_the_cell_starts(potential):
    atoms = skewed()
    moved = atoms.copy()
    moved.positions += [7.0, -3.0, 20.0]
    moved.positions[0] += atoms.cell.array[1] - 2 * atoms.cell.array[2]
    np.testing.assert_allclose(stress_of(potential, atoms), stress_of(potential, moved), atol=1e-11)


def test_forces_and_energies_do_not_notice_the_strain(potential):
    batch = batch_of(skewed())
    plain, full = properties_of(potential, batch), properties_of(potential, batch, stress=True)
    assert plain.stress is None
    torch.testing.assert_close(plain.energies, full.energies)
    torch.testing.assert_close(plain.forces, full.forces)
    assert not batch.R.requires_grad


def test_a_molecule_in_the_batch_has_no_stress_and_spoils_nobody_elses(potential):
    crystal, water = batch_of(skewed()), batch_of(molecule("H2O"))
    both = properties_of(potential, collate([water, crystal]), stress=True).stress
    alone = properties_of(potential, crystal, stress=True).stress
    assert torch.equal(both[0], torch.zeros(3, 3, dtype=torch.float64))
    torch.testing.assert_close(both[1], alone[0])


def test_slabs_and_wires_have_the_volume_of_their_cell(potential):
    """Vacuum dilutes the stress and leaves the virial."""
    slab = skewed()
    slab.pbc = (True, True, False)
    stress = stress_of(potential, slab)
    slab.cell[2] *= 2.0
    np.testing.assert_allclose(2.0 * stress_of(potential, slab), stress, atol=1e-12)


# ---- in the data -------------------------------------------------------------------------------


def mixed_frames():
    """Crystals with stress, a slab without, and molecules."""
    crystals, molecules = labelled_crystals(12), labelled_molecules(6)
    del crystals[4].calc.results["stress"]
    return [frame for pair in zip(crystals[::2], molecules, strict=True) for frame in pair] + (
        crystals[1::2]
    )


def test_stress_is_packed_with_nan_where_a_frame_has_none():
    frames = mixed_frames()
    data = Dataset.from_atoms(frames)
    for atoms, row in zip(frames, data.stress, strict=True):
        if "stress" in atoms.calc.results:
            np.testing.assert_array_equal(row, atoms.get_stress())
        else:
            assert np.isnan(row).all()
    part = data.subset(np.array([2, 1]))
    np.testing.assert_array_equal(part.stress[0], data.stress[2])
    assert data.subset(np.array([1, 3])).stress is None
    assert Dataset.from_atoms(labelled_molecules(3)).stress is None


def test_a_stress_without_a_volume_is_no_label():
    """Codes write zeros for molecules in a box that is not periodic."""
    atoms = labelled_molecules(1)[0]
    atoms.calc.results["stress"] = np.zeros(6)
    assert Dataset.from_atoms([atoms]).stress is None


def test_a_stress_that_is_not_a_number_is_named():
    frames = labelled_crystals(3)
    frames[1].calc.results["stress"][2] = np.inf
    with pytest.raises(ValueError, match="stress of frame 1 is not finite"):
        Dataset.from_atoms(frames)


def test_fingerprints_from_before_there_was_stress_still_hold():
    data = small_dataset(4)
    arrays = (data.Z, data.R, data.ptr, data.E, data.F, data.cells, data.pbc)
    assert data.fingerprint() == hashlib.sha256(b"".join(a.tobytes() for a in arrays)).hexdigest()
    crystals = Dataset.from_atoms(labelled_crystals(4))
    changed = replace(crystals, stress=crystals.stress + 1e-12)
    assert crystals.fingerprint() != changed.fingerprint()
    assert crystals.fingerprint() != replace(crystals, stress=None).fingerprint()


def random_virials(sizes, vacuum=1.0):
    """Carbon chains in boxes whose atoms contribute independent virials of rms 0.7 eV."""
    rng = np.random.default_rng(0)
    frames = []
    for n in sizes:
        virial = rng.normal(scale=0.7, size=(n, 6)).sum(axis=0)
        atoms = Atoms("C" * n, np.arange(n)[:, None] * [1.5, 0, 0], cell=[1.5 * n, 4, 4], pbc=True)
        atoms.cell[2] *= vacuum
        stress = virial / atoms.get_volume()
        atoms.calc = SinglePointCalculator(atoms, energy=-n, forces=np.zeros((n, 3)), stress=stress)
        frames.append(atoms)
    return Dataset.from_atoms(frames)


def test_standardised_virials_have_unit_variance_whatever_size_and_vacuum():
    sizes = np.tile([1, 8], 2000)
    for vacuum in (1.0, 5.0):
        data = random_virials(sizes, vacuum)
        omega = label_statistics(data).virial_std[6]
        assert omega == pytest.approx(0.7, rel=0.03)
        z = data.stress * data.volumes[:, None] / (omega * np.sqrt(sizes)[:, None])
        for n in (1, 8):
            assert z[sizes == n].std() == pytest.approx(1.0, abs=0.03)


# ---- in the loss -------------------------------------------------------------------------------

STRESS_ONLY = {kind: LossWeights(0.0, 0.0, kind, stress=1.0) for kind in ("standardised", "schnet")}


@pytest.mark.parametrize("kind", STRESS_ONLY)
def test_the_stress_term_is_its_formula(potential, kind):
    data = Dataset.from_atoms(labelled_crystals(6))
    statistics = label_statistics(data)
    batch, labels = everything(data)
    predicted = properties_of(potential, batch, stress=True).stress.numpy()
    full = labels.stress.numpy()
    squares = (((predicted - full) * data.volumes[:, None, None]) ** 2).sum(axis=(1, 2))
    if kind == "standardised":
        expected = (squares / 9 / (data.compositions() @ statistics.virial_std**2)).mean()
    else:
        expected = (squares / data.n_atoms).mean()
    loss = Loss(STRESS_ONLY[kind], statistics)(potential, batch, labels)
    assert loss.item() == pytest.approx(expected)


@pytest.mark.parametrize("kind", STRESS_ONLY)
def test_the_loss_is_the_same_however_the_cell_is_turned(potential, kind):
    rotation = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    frames = labelled_crystals(4)
    turned = []
    for atoms in frames:
        other = atoms.copy()
        other.set_cell(atoms.cell.array @ rotation.T)
        other.positions = atoms.positions @ rotation.T
        stress = rotation @ atoms.get_stress(voigt=False) @ rotation.T
        labels = {"energy": atoms.get_potential_energy(), "forces": atoms.get_forces() @ rotation.T}
        other.calc = SinglePointCalculator(
            other, **labels, stress=full_3x3_to_voigt_6_stress(stress)
        )
        turned.append(other)
    losses = [
        Loss(STRESS_ONLY[kind], label_statistics(d))(potential, *everything(d)).item()
        for d in map(Dataset.from_atoms, (frames, turned))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


@pytest.mark.parametrize("kind", STRESS_ONLY)
def test_structures_without_stress_add_nothing_and_break_nothing(kind):
    """Gradients stay finite beside molecules (no volume) and unlabelled crystals (NaN)."""
    data = Dataset.from_atoms(mixed_frames())
    known = np.flatnonzero(~np.isnan(data.stress[:, 0]))
    statistics, losses, gradients = label_statistics(data), [], []
    for part in (data, data.subset(known)):
        potential = potentials(members=1, dtype=torch.float64)[0]
        loss = len(part) * Loss(STRESS_ONLY[kind], statistics)(potential, *everything(part))
        loss.backward()
        losses.append(loss.item())
        gradients.append(potential.schnet.readout_in.weight.grad)
    assert len(known) < len(data)
    assert losses[0] == pytest.approx(losses[1])
    torch.testing.assert_close(*gradients)


def test_a_batch_of_molecules_alone_has_no_stress_loss_and_finite_gradients():
    data = Dataset.from_atoms(mixed_frames())
    molecules = np.flatnonzero(~data.pbc.any(axis=1))
    potential = potentials(members=1)[0]
    batch, labels = BatchSource(data, TINY.cutoff, torch.float32).batch(molecules)
    weights = LossWeights(1.0, 1.0, stress=1.0)
    with_stress = Loss(weights, label_statistics(data))(potential, batch, labels)
    without = Loss(replace(weights, stress=0.0), label_statistics(data))(potential, batch, labels)
    assert with_stress.item() == pytest.approx(without.item())
    with_stress.backward()
    assert all(torch.isfinite(p.grad).all() for p in potential.parameters() if p.grad is not None)


@pytest.mark.parametrize("kind", STRESS_ONLY)
def test_a_fit_learns_stress_and_its_sign(kind):
    data = Dataset.from_atoms(labelled_crystals(30))
    order = np.arange(30)
    settings = replace(QUICK, epochs=40, learning_rate=2e-3)
    fit = Fit(TINY, data.subset(order[:24]), data.subset(order[24:]), STRESS_ONLY[kind], settings)
    before = validation_metrics(fit.potential, fit.validation, fit.loss, 64)
    result = run_fit(fit)
    assert result.validation.loss < 0.2 * before.loss
    assert result.validation.energy_mae_meV is result.validation.forces_mae_meV_per_Ang is None
    batch, labels = fit.validation.batch(np.arange(6))
    predicted = properties_of(result.potential, batch, stress=True).stress
    assert torch.corrcoef(torch.stack([predicted.ravel(), labels.stress.ravel()]))[0, 1] > 0.8


def test_stress_is_trained_on_where_there_are_labels_unless_told_otherwise():
    crystals, molecules = Dataset.from_atoms(labelled_crystals(6)), small_dataset(6)
    for kind, default in DEFAULT_STRESS_WEIGHT.items():
        weights = LossWeights(kind=kind)
        assert weights.stress is None
        assert weights.with_defaults_for(crystals).stress == default > 0
        assert weights.with_defaults_for(molecules).stress == 0.0
    assert LossWeights(stress=0.0).with_defaults_for(crystals).stress == 0.0
    assert LossWeights(stress=3.0).with_defaults_for(crystals).stress == 3.0


def test_a_stress_weight_without_any_labels_is_refused(tmp_path):
    data = small_dataset(24)
    with pytest.raises(
        ValueError, match=r"no stress labels but the stress weight is 0\.5; set --stress-weight 0"
    ):
        Fit(TINY, data, data, LossWeights(stress=0.5), QUICK)
    plan = plan_folds(24, 2, n_kept_out=2)
    with pytest.raises(ValueError, match="--stress-weight"):
        cross_validate(data, tmp_path / "m", Recipe(TINY, LossWeights(stress=0.5), QUICK, plan))
    assert not (tmp_path / "m").exists()


def test_stress_without_weight_is_not_evaluated(monkeypatch):
    data = Dataset.from_atoms(labelled_crystals(6))

    def forbidden(*args):
        raise AssertionError("the stress was made for a fit without it")

    monkeypatch.setattr("ase_schnet.model.tabulated._stress", forbidden)
    fit = Fit(TINY, data, data, LossWeights(stress=0.0), replace(QUICK, epochs=1))
    assert fit.run_epoch()["validation_stress_mae_meV_per_Ang3"] is None
    fit = Fit(TINY, data, data, LossWeights(), replace(QUICK, epochs=1))
    with pytest.raises(AssertionError, match="stress was made"):
        fit.run_epoch()


# ---- in metrics, card and pictures -------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An ensemble on crystals, some without stress, and molecules."""
    data = Dataset.from_atoms(mixed_frames())
    directory = tmp_path_factory.mktemp("stress") / "model"
    recipe = Recipe(TINY, LossWeights(), replace(QUICK, epochs=2), plan_folds(18, 2, n_kept_out=8))
    return data, directory, cross_validate(data, directory, recipe, jobs=1)


def test_training_and_inference_agree_on_the_stress(trained):
    """Autograd of a strain against the virial written by hand, labels and predictions alike."""
    data, _, model = trained
    comparison = compare(open_engine(model), data)
    known = ~np.isnan(data.stress[:, 0])
    errors = (comparison.stress.mean(axis=0) - data.stress)[known]
    metrics = comparison.metrics()
    assert metrics["n_stress"] == known.sum()
    assert metrics["stress_mae_meV_per_Ang3"] == pytest.approx(1000 * np.abs(errors).mean())
    frames = [data.atoms(s) for s in range(len(data))]
    potential = potentials(members=1, dtype=torch.float64)[0]
    state = {k: torch.tensor(w[0], dtype=torch.float64) for k, w in model.weights.items()}
    potential.schnet.load_state_dict(state)
    potential.scale = model.scale[0]
    for s in (0, 1, len(data) - 1):
        stress = stress_of(potential, frames[s])
        np.testing.assert_allclose(comparison.stress[0, s], stress, atol=1e-9)


def test_the_card_tells_stress_with_unit_and_number(trained, capsys):
    _, directory, model = trained
    assert model.pbc
    card = model.card
    assert card["training"]["loss"]["stress"] == DEFAULT_STRESS_WEIGHT["standardised"]
    assert card["kept_out"]["stress_mae_meV_per_Ang3"] > 0
    assert "stress" in card["calibration"]
    text = training_summary(model)
    n = card["kept_out"]["n_stress"]
    for part in ("meV/Å³ per component", "GPa)", f"n = {6 * n} components", "meV per atom"):
        assert part in text
    assert main(["info", str(directory)]) == 0
    assert "stress 0.1" in capsys.readouterr().out


def test_one_eV_per_cubic_angstrom_is_160_GPa(trained):
    line = next(
        row for row in training_summary(trained[2]).splitlines() if row.startswith("stress  MAE")
    )
    mae, gpa = float(line.split()[2]), float(line.split("(")[1].split()[0])
    assert gpa == pytest.approx(0.1602177 * mae, abs=2e-3)


def test_energies_are_told_per_atom_where_totals_cannot_be_compared(trained):
    data, _, model = trained
    metrics = compare(open_engine(model), data).metrics()
    assert metrics["energy_mae_meV_per_atom"] < metrics["energy_mae_meV"]
    one_size = data.subset(np.flatnonzero((data.n_atoms == 9) & ~data.pbc.any(axis=1)))
    assert "energy_mae_meV_per_atom" not in compare(open_engine(model), one_size).metrics()


def test_parity_and_learning_curves_have_a_row_for_stress(trained):
    data, _, model = trained
    figure = plot_parity(compare(open_engine(model), data))
    assert len(figure.axes) == 9
    assert "meV/Å³" in figure.axes[6].texts[0].get_text()
    assert len(plot_learning_curves(model.card["folds"]).axes) == 4


def test_info_of_a_card_that_knows_of_no_training(trained, tmp_path, capsys):
    save_model(tmp_path / "bare", replace(trained[2], card={}))
    assert main(["info", str(tmp_path / "bare")]) == 0
    assert "no record of a training" in capsys.readouterr().out


def test_a_std_of_rounding_is_no_opinion():
    """Shear vanishes in a cubic crystal: its std of 1e-17 must not judge an error of 1e-9."""
    members = np.array([[1.0, 3e-17], [1.2, 0.0]])
    quantity = Quantity("stress", "meV/Å³", members, np.array([1.0, 1e-9]))
    assert quantity.std.tolist() == [pytest.approx(0.1414, abs=1e-4), 0.0]


def test_the_command_line_names_the_option_that_has_no_labels(tmp_path, capsys):
    path = tmp_path / "molecules.extxyz"
    write(path, labelled_molecules(8))
    command = ["train", str(path), "-o", str(tmp_path / "m"), "--units", "eV", "--folds", "2"]
    command += ["--kept-out", "0.2"]
    assert main([*command, "--stress-weight", "0.5"]) != 0
    assert "--stress-weight 0" in capsys.readouterr().err
    assert not (tmp_path / "m").exists()

"""Losses, one fit, its checkpoint, and the cross-validation."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from batches import energy_and_forces
from factory import TINY, labelled_molecules, potentials, small_dataset
from forked import end, fork
from safetensors.torch import load_file

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import FoldPlan, plan_folds
from ase_schnet.data.statistics import label_statistics
from ase_schnet.model.potential import Potential
from ase_schnet.modelfile import CARD, WEIGHTS
from ase_schnet.training.batches import BatchSource
from ase_schnet.training.checkpoint import load_checkpoint
from ase_schnet.training.crossval import Recipe, cross_validate
from ase_schnet.training.log import read_log
from ase_schnet.training.loss import Loss, LossWeights
from ase_schnet.training.metrics import losses_per_structure, validation_metrics
from ase_schnet.training.orthogonal import Orthogonalizer, Place
from ase_schnet.training.report import training_summary
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit, TrainingDiverged
from ase_schnet.training.workdir import WORK

QUICK = FitSettings(epochs=10, batch_size=4, seed=3)


def make_fit(settings=QUICK, weights=None, **kwargs) -> Fit:
    data = small_dataset(24)
    order = np.arange(24)
    return Fit(
        TINY,
        data.subset(order[:18]),
        data.subset(order[18:]),
        weights or LossWeights(),
        settings,
        **kwargs,
    )


def predictions(data, dtype=torch.float64):
    potential = potentials(members=1, dtype=dtype)[0]
    batch, labels = BatchSource(data, TINY.cutoff, dtype).batch(np.arange(len(data)))
    energies, forces = energy_and_forces(potential, batch)
    return potential, batch, labels, energies.numpy(), forces.numpy()


def test_standardised_loss_is_the_formula_of_the_notes():
    data = small_dataset(9)
    potential, batch, labels, energies, forces = predictions(data)
    s = label_statistics(data)
    variance = data.compositions() @ s.energy_std**2
    e_term = ((energies - data.E) ** 2 / variance).mean()
    f_term = (((forces - data.F) / s.forces_std[data.Z][:, None]) ** 2).mean()
    loss = Loss(LossWeights(0.3, 2.0), s)(potential, batch, labels)
    assert loss.item() == pytest.approx(0.3 * e_term + 2.0 * f_term)


def test_schnet_loss_is_the_papers():
    data = small_dataset(9)
    potential, batch, labels, energies, forces = predictions(data)
    per_structure = [
        ((forces - data.F)[a:b] ** 2).sum() / (b - a)
        for a, b in zip(data.ptr[:-1], data.ptr[1:], strict=True)
    ]
    expected = 0.01 * ((energies - data.E) ** 2).mean() + np.mean(per_structure)
    weights = LossWeights(kind="schnet")
    assert weights.energy == 0.01
    loss = Loss(weights, label_statistics(data))(potential, batch, labels)
    assert loss.item() == pytest.approx(expected)


def test_standardised_loss_does_not_change_with_the_unit():
    """The same data in kcal/mol: the network's scale follows, the loss stays."""
    data, k = small_dataset(9), 23.06
    scaled = replace(data, E=data.E * k, F=data.F * k)
    losses = []
    for d in (data, scaled):
        s = label_statistics(d)
        potential = Potential.create(
            TINY, s.energy_shift, s.scale(np.array(d.elements)), seed=0, dtype=torch.float64
        )
        batch, labels = BatchSource(d, TINY.cutoff, torch.float64).batch(np.arange(9))
        losses.append(Loss(LossWeights(), s)(potential, batch, labels).item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


def test_evaluate_agrees_with_the_loss_it_reports():
    fit = make_fit()
    metrics = validation_metrics(fit.potential, fit.validation, fit.loss, batch_size=2)
    each = losses_per_structure(fit.potential, fit.validation, fit.loss)
    energy_only = LossWeights(1.0, 0.0)
    e = validation_metrics(
        fit.potential, fit.validation, Loss(energy_only, label_statistics(small_dataset(24))), 64
    )
    assert metrics.energy_mae_meV == pytest.approx(e.energy_mae_meV, rel=1e-5)
    assert len(each) == metrics.n_structures == 6
    assert each.min() <= metrics.loss <= each.max()


def test_terms_of_weight_zero_are_not_evaluated(monkeypatch):
    data = replace(small_dataset(24), F=None)

    def forbidden(*args, **kwargs):
        raise AssertionError("forces were computed for an energy-only fit")

    monkeypatch.setattr("ase_schnet.model.potential.torch.autograd.grad", forbidden)
    fit = Fit(TINY, data, data, LossWeights(1.0, 0.0), replace(QUICK, epochs=1))
    record = fit.run_epoch()
    assert record["validation_forces_mae_meV_per_Ang"] is None
    assert record["validation_energy_mae_meV"] > 0


def test_a_force_only_fit_needs_no_energies():
    data = replace(small_dataset(24), E=None)
    fit = Fit(TINY, data, data, LossWeights(0.0, 1.0), replace(QUICK, epochs=2))
    first, second = fit.run_epoch(), fit.run_epoch()
    assert second["training_loss"] < first["training_loss"]
    assert first["validation_energy_mae_meV"] is None


@pytest.mark.parametrize("missing", ["energy", "forces"])
@pytest.mark.parametrize("part", ["training", "validation"])
def test_absent_labels_with_weight_are_an_error_before_training(missing, part):
    data = small_dataset(12)
    bare = replace(data, **{{"energy": "E", "forces": "F"}[missing]: None})
    parts = {"training": data, "validation": data} | {part: bare}
    with pytest.raises(ValueError, match=f"the {part} set has no {missing} labels"):
        Fit(TINY, *parts.values(), LossWeights(), QUICK)


@pytest.mark.parametrize(
    ("kind", "optimizer"),
    [
        ("standardised", "muon"),
        pytest.param("standardised", "adam", marks=pytest.mark.slow),
        pytest.param("schnet", "muon", marks=pytest.mark.slow),
        ("schnet", "adam"),
    ],
)
def test_a_fit_learns(optimizer, kind):
    settings = replace(QUICK, epochs=30, optimizer=optimizer, learning_rate=2e-3)
    fit = make_fit(settings, LossWeights(kind=kind))
    before = validation_metrics(fit.potential, fit.validation, fit.loss, 64)
    result = run_fit(fit)
    assert result.validation.loss < 0.2 * before.loss
    assert result.validation.loss == pytest.approx(result.history[-1]["validation_loss"])
    assert result.epoch == 30


def test_early_stopping_keeps_the_best_weights(tmp_path):
    settings, path = replace(QUICK, epochs=200, patience=2, learning_rate=0.05), tmp_path / "c"
    fit = make_fit(settings)
    result = run_fit(fit, path)
    assert result.stopped_early
    assert fit.epoch == result.epoch + 2
    best = min(row["validation_loss"] for row in result.history)
    assert result.validation.loss == pytest.approx(best)
    assert result.history[result.epoch - 1]["validation_loss"] == best
    assert best < result.history[-1]["validation_loss"]
    again = run_fit(make_fit(settings), path)  # stopped already
    assert again.validation == result.validation


def test_divergence_is_an_error_with_a_cure():
    fit = make_fit(replace(QUICK, learning_rate=1e12, clip_norm=1e30, optimizer="adam"))
    with pytest.raises(TrainingDiverged, match="Use a learning rate below"):
        run_fit(fit)


def test_the_paper_schedule_and_ours():
    paper = FitSettings(schedule="exponential")
    assert paper.rate(99_999, 10**6) == 1e-3
    assert paper.rate(200_000, 10**6) == pytest.approx(1e-3 * 0.96**2)
    ours = FitSettings()
    assert ours.rate(0, 10_000) < ours.rate(100, 10_000) <= 1e-3
    assert ours.rate(9_999, 10_000) < 1e-9


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"learning_rate": 0.0}, "learning rate must be positive"),
        ({"epochs": 0}, "epochs=0: it must be at least 1"),
        ({"schedule": "linear"}, "schedule must be"),
        ({"optimizer": "sgd"}, "optimizer must be"),
        ({"ema_decay": 1.0}, "ema decay"),
        ({"epochs": float("nan")}, "epochs=nan: it must be at least 1"),
        ({"batch_size": 2.5}, "batch_size=2.5: it must be a whole number"),
        ({"epochs": float("inf")}, "epochs=inf: it must be a whole number"),
        ({"seed": -1}, "seed=-1: it must be at least 0"),
        ({"patience": -1}, "patience=-1: it must be at least 0"),
        ({"clip_norm": 0.0}, "clip norm must be positive"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        FitSettings(**arguments)


def test_settings_can_be_written_into_a_card():
    """A training without clipping ended in an error when its model was written."""
    settings = FitSettings(epochs=np.int64(3), clip_norm=float("inf"))
    assert FitSettings(**json.loads(json.dumps(settings.to_dict(), allow_nan=False))) == settings
    fit, plain = make_fit(replace(QUICK, clip_norm=float("inf"))), make_fit(replace(QUICK))
    fit.parameters.gradient[:] = 1e6 * plain.parameters.values
    fit.parameters.clip(fit.settings.clip_norm)
    assert torch.equal(fit.parameters.gradient, 1e6 * plain.parameters.values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 0.0), "not all zero"),
        ((-1.0, 1.0), ">= 0"),
        ((1.0, 1.0, "huber"), "loss must be"),
        ((1.0, float("inf")), "finite"),
    ],
)
def test_bad_weights(arguments, message):
    with pytest.raises(ValueError, match=message):
        LossWeights(*arguments)


SHAPES = ((24, 16), (16, 24), (64, 50), (32, 64), (5, 70), (1, 3), (40, 40))


def matrices_in_a_vector(dtype=torch.float32):
    """Random matrices of many shapes with spectra that fall over three orders, and where they lie."""
    generator = torch.Generator().manual_seed(0)
    places, pieces, start = [], [], 0
    for rows, cols in SHAPES:
        places.append(Place(start, rows, cols))
        u = torch.randn(rows, cols, generator=generator)
        pieces += [(u * torch.logspace(0, -3, cols)).flatten(), torch.zeros(3)]  # and a gap
        start += rows * cols + 3
    return torch.cat(pieces).to(dtype), places


def test_muon_moves_every_direction_alike():
    vector, places = matrices_in_a_vector()
    vector = torch.randn(len(vector), generator=torch.Generator().manual_seed(1))
    found = Orthogonalizer(places)(vector)
    for start, rows, cols in places:
        g, x = (v[start : start + rows * cols].view(rows, cols) for v in (vector, found))
        u, s, vh = torch.linalg.svd(g, full_matrices=False)
        turned = u.mT @ x @ vh.mT  # diagonal: the iteration moves singular values alone
        large = s > 0.01 * s.norm()
        assert turned.diagonal()[large].min() > 0.6
        assert turned.diagonal().max() < 1.3
        assert (turned - torch.diag(turned.diagonal())).abs().max() < 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_and_torch_make_the_same_orthogonal_matrices(dtype):
    vector, places = matrices_in_a_vector(dtype)
    orthogonalizer, by_torch = Orthogonalizer(places), torch.zeros_like(vector)
    orthogonalizer._by_torch(vector, by_torch)
    compiled = orthogonalizer(vector)
    torch.testing.assert_close(
        compiled, by_torch, rtol=0, atol=1e-9 if dtype is torch.float64 else 1e-4
    )
    inside = torch.zeros(len(vector), dtype=torch.bool)
    for start, rows, cols in places:
        inside[start : start + rows * cols] = True
    assert (compiled[~inside] == 0).all()


def test_a_matrix_of_zeros_stays_and_nan_is_not_hidden():
    places = [Place(0, 8, 8), Place(64, 4, 8)]
    vector = torch.zeros(96)
    assert (Orthogonalizer(places)(vector) == 0).all()
    vector[70] = torch.nan
    assert Orthogonalizer(places)(vector)[64:].isnan().all()


@pytest.mark.parametrize("size", [1e-14, 1e-20, 1e-22, 1e-30, 1e-40])
def test_a_matrix_without_a_gradient_stays_where_it_is(size):
    """Directions of a layer that nothing depends on any more; one of 1e-22 moved weights by 1e16."""
    vector, places = matrices_in_a_vector()
    vector = size * torch.randn(len(vector), generator=torch.Generator().manual_seed(1))
    assert Orthogonalizer(places)(vector).abs().max() < 1.0
    assert size > 1e-19 or Orthogonalizer(places)(vector).abs().max() < 1e-5


def test_a_vector_of_parameters_is_the_parameters():
    fit = make_fit(QUICK)
    vector, named = fit.parameters, dict(fit.potential.named_parameters())
    before = vector.values.clone()
    vector.values += 1.0
    for parameter in named.values():
        parameter.data -= 1.0
    at = torch.zeros_like(before, dtype=torch.bool)
    at[before != 0] = True
    torch.testing.assert_close(vector.values[at], before[at])
    vector.gradient.zero_()
    batch, labels = next(iter(fit.training.epoch(4)))
    fit.loss(fit.model, batch, labels).backward()
    total = sum(p.grad.square().sum() for p in named.values())
    torch.testing.assert_close(vector.gradient.square().sum(), total)
    expected = torch.nn.utils.get_total_norm([p.grad for p in named.values()])
    vector.clip(0.5 * float(expected))
    torch.testing.assert_close(vector.gradient.norm(), 0.5 * expected)
    moved_by_muon = {place.rows * place.cols for place in vector.last_places}
    assert TINY.n_atom_basis * TINY.n_filters in moved_by_muon
    assert 100 * TINY.n_atom_basis not in moved_by_muon  # the embedding is Adam's


def test_training_leaves_global_state_alone():
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    threads = torch.get_num_threads()
    run_fit(make_fit(replace(QUICK, epochs=1)))
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert (np.random.get_state()[1] == numpy_state).all()  # noqa: NPY002
    assert torch.get_num_threads() == threads


# ---- resume ------------------------------------------------------------------------------------


def fit_that_saves_every_epoch(path: Path) -> None:
    run_fit(make_fit(), path, log=path.with_suffix(".csv"), checkpoint_every_s=0.0)


@pytest.mark.slow
def test_ten_epochs_equal_five_a_kill_and_five_more_bit_for_bit(tmp_path):
    whole = tmp_path / "whole.safetensors"
    run_fit(make_fit(), whole)
    path = tmp_path / "killed.safetensors"
    process = fork(fit_that_saves_every_epoch, path, said=tmp_path / "said")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        path.exists() and load_checkpoint(path)[1]["epoch"] >= 3
    ):
        time.sleep(0.005)
    end(process)
    epoch = load_checkpoint(path)[1]["epoch"]
    assert 3 <= epoch < 10, "the kill came too late to prove anything"
    run_fit(make_fit(), path, log=path.with_suffix(".csv"))
    assert read_log(path.with_suffix(".csv"))["epoch"] == list(range(1, 11))
    (a, head_a), (b, head_b) = load_checkpoint(whole), load_checkpoint(path)
    assert head_a == head_b
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_checkpoint_holds_raw_and_averaged_weights_apart(tmp_path):
    path = tmp_path / "c.safetensors"
    run_fit(make_fit(replace(QUICK, epochs=2)), path)
    tensors = load_file(path)
    name = "schnet.readout_in.weight"
    assert not torch.equal(tensors[f"raw.{name}"], tensors[f"average.{name}"])


def test_a_foreign_or_broken_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    run_fit(make_fit(replace(QUICK, epochs=1)), path)
    with pytest.raises(ValueError, match="epochs=1, not epochs=2: resume with"):
        make_fit(replace(QUICK, epochs=2)).resume(path)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="not a readable checkpoint"):
        make_fit().resume(path)


# ---- cross-validation --------------------------------------------------------------------------


def recipe(n=24, folds=3, **settings) -> Recipe:
    plan = plan_folds(n, folds, n_kept_out=4, seed=0)
    return Recipe(TINY, LossWeights(), replace(QUICK, epochs=3, **settings), plan)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (plan_folds(30, 3, n_kept_out=4), "do not hold each of the 24 structures once"),
        (plan_folds(20, 3, n_kept_out=4), "do not hold each of the 24 structures once"),
        (FoldPlan((np.arange(12), np.arange(10, 20)), np.arange(20, 24)), "24 structures once"),
        (FoldPlan((np.arange(20), np.arange(0)), np.arange(20, 24)), "2 folds of 20, 0 structures"),
        (FoldPlan((np.arange(12), np.arange(12, 24)), np.array([])), "and 0 kept out"),
    ],
    ids=["of more", "of fewer", "twice", "empty fold", "nothing kept out"],
)
def test_folds_of_other_data_are_refused_before_a_directory_is_begun(tmp_path, plan, message):
    """An index error in a process, structures that nobody trained on, an error after all members."""
    wrong = replace(recipe(), plan=plan)
    with pytest.raises(ValueError, match=message):
        cross_validate(small_dataset(24), tmp_path / "m", wrong, jobs=1)
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(("place", "member"), [(0, 1), (1, 2), ("kept out", 1)])
def test_an_element_that_a_member_would_not_see_is_refused(tmp_path, place, member):
    """Of the kept-out part alone, the model said of it an energy 10 keV off, with a std of 0.2 eV."""
    frames = labelled_molecules(24, names=("H2O",))
    plan = recipe(folds=2).plan
    frames[plan.kept_out[0] if place == "kept out" else plan.folds[place][0]].numbers[0] = 16
    data, rare = Dataset.from_atoms(frames), replace(recipe(folds=2), plan=plan)
    message = f"S is in 1 of 24 structures, and in none that member {member} is trained on"
    with pytest.raises(ValueError, match=message):
        cross_validate(data, tmp_path / "m", rare, jobs=1)
    assert not (tmp_path / "m").exists()


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An ensemble trained by one process."""
    directory = tmp_path_factory.mktemp("crossval") / "model"
    return directory, cross_validate(small_dataset(24), directory, recipe(), jobs=1)


def test_structures_that_are_all_the_same_end_in_a_model_and_a_warning(tmp_path):
    """Their errors are all alike, and no correlation of such is a number."""
    data = Dataset.from_atoms(labelled_molecules(1) * 50)
    plan = plan_folds(50, 2, n_kept_out=12)
    again = Recipe(TINY, LossWeights(), replace(QUICK, epochs=1), plan)
    with pytest.warns(UserWarning, match="the same, perhaps turned, as one in another part"):
        model = cross_validate(data, tmp_path / "m", again, jobs=1)
    assert "energy" not in model.card["calibration"]


def test_cross_validation_writes_a_model_that_runs(trained):
    directory, model = trained
    assert sorted(p.name for p in directory.iterdir()) == sorted([CARD, WORK, WEIGHTS])
    assert model.n_members == 3
    atoms = labelled_molecules(1)[0]
    atoms.calc = SchNetCalculator(directory)
    assert np.isfinite(atoms.get_potential_energy())
    card = model.card
    assert card["kept_out"]["n_structures"] == 4
    assert card["training"]["data_fingerprint"] == small_dataset(24).fingerprint()
    assert len(card["folds"]) == 3
    assert set(card["calibration"]) == {"forces", "forces_per_atom"}  # 4 energies are too few
    assert "energy           std not judged: fewer than 10 predictions" in training_summary(model)


def test_the_tables_of_the_report_are_printed(trained):
    text = training_summary(trained[1])
    assert "Validation loss per structure, by fold" in text
    assert "Ensemble std on the 4 kept-out structures" in text
    for name in ("energy", "forces_x", "forces_y", "forces_z"):
        assert name in text
    assert "meV per structure" in text
    assert "Spearman" in text


@pytest.mark.slow
@pytest.mark.usefixtures("forked_workers")
def test_processes_do_not_change_the_weights_and_are_sent_no_structures(
    trained, tmp_path, monkeypatch
):
    """They read their part of the file: what they are sent does not grow with the data."""
    sent = []
    reduce = Dataset.__reduce_ex__
    monkeypatch.setattr(
        Dataset, "__reduce_ex__", lambda self, version: sent.append(1) or reduce(self, version)
    )
    cross_validate(small_dataset(24), tmp_path / "m", recipe(), jobs=2)
    assert not sent
    assert (tmp_path / "m" / WEIGHTS).read_bytes() == (trained[0] / WEIGHTS).read_bytes()


def test_a_finished_model_is_never_overwritten(trained):
    before = (trained[0] / CARD).read_bytes()
    with pytest.raises(ValueError, match="already holds a model"):
        cross_validate(small_dataset(24), trained[0], recipe())
    assert (trained[0] / CARD).read_bytes() == before


def test_an_interrupted_cross_validation_resumes(trained, tmp_path, monkeypatch):
    directory = tmp_path / "m"
    done = []

    def stop_after_the_first(fit, *args, **kwargs):
        if done:
            raise KeyboardInterrupt
        done.append(run_fit(fit, *args, **kwargs))

    with monkeypatch.context() as patch:
        patch.setattr("ase_schnet.training.fold.run_fit", stop_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            cross_validate(small_dataset(24), directory, recipe(), jobs=1)
    assert (directory / WORK).is_dir()
    with pytest.raises(ValueError, match=r"unfinished training.*resume=True"):
        cross_validate(small_dataset(24), directory, recipe(), jobs=1)
    with pytest.raises(ValueError, match="seed=3, not seed=9: resume with"):
        cross_validate(small_dataset(24), directory, recipe(seed=9), jobs=1, resume=True)
    cross_validate(small_dataset(24), directory, recipe(), jobs=1, resume=True)
    assert (directory / WEIGHTS).read_bytes() == (trained[0] / WEIGHTS).read_bytes()


def test_kept_out_without_labels_is_an_error_before_training(tmp_path):
    data = replace(small_dataset(24), F=None)
    with pytest.raises(ValueError, match="data set has no forces"):
        cross_validate(data, tmp_path / "m", recipe())
    assert not (tmp_path / "m").exists()


def test_isolated_atoms_and_a_single_kept_out_structure_do_not_spoil_the_end(tmp_path):
    """They have no force to be uncertain about, and one energy gives no correlation."""
    frames = labelled_molecules(11)
    atom = Atoms("H")
    atom.calc = SinglePointCalculator(atom, energy=-10.0, forces=np.zeros((1, 3)))
    data = Dataset.from_atoms([atom, *frames])
    plan = FoldPlan(tuple(np.array_split(np.arange(1, 12), 2)), kept_out=np.array([0]))
    small = Recipe(TINY, LossWeights(), replace(QUICK, epochs=1), plan)
    model = cross_validate(data, tmp_path / "m", small, jobs=1)
    assert model.card["calibration"] == {}
    assert model.known_pieces == {"H"}
    assert "n = 1 structures" in training_summary(model)


def test_datasets_of_one_size_and_of_many_train_alike():
    mixed = Dataset.from_atoms(labelled_molecules(12))
    assert len(set(mixed.n_atoms)) == 3
    fit = Fit(TINY, mixed, mixed, LossWeights(), replace(QUICK, epochs=1))
    assert np.isfinite(fit.run_epoch()["training_loss"])

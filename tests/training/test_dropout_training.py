"""Dropout, trained Gaussians and weight decay: what a training does with them, and what comes out."""

import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.io import write
from engine_cases import assert_same, batch_of, evaluate
from factory import ethanol, labelled_molecules, potentials, small_dataset
from forked import end, fork
from lammps_cases import mixture
from mpi_runs import commands_in_turn, needs_lammps
from shapes import THINNED

from ase_schnet.calculator import SchNetCalculator
from ase_schnet.cli import main
from ase_schnet.inference import tables
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.model.dropout import Dropout
from ase_schnet.model.potential import properties_of
from ase_schnet.model.tabulated import Tabulated
from ase_schnet.modelfile import load_model, save_model
from ase_schnet.runs.record import MDRecord
from ase_schnet.training.checkpoint import load_checkpoint
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.optimizers import decays
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.start import Start
from ase_schnet.training.trainer import Fit
from ase_schnet.uncertainty.monte_carlo_dropout import dropout_samples

RATE = THINNED.dropout
QUICK = FitSettings(epochs=6, batch_size=4, learning_rate=5e-3, seed=3, weight_decay=0.1)


def make_fit(config=THINNED, settings=QUICK, **kwargs) -> Fit:
    data = small_dataset(24)
    parts = data.subset(np.arange(18)), data.subset(np.arange(18, 24))
    return Fit(config, *parts, LossWeights(), settings, **kwargs)


# ---- a fit -------------------------------------------------------------------------------------


def test_it_learns_and_nothing_is_left_out_in_validation():
    fit = make_fit()
    first = fit.run_epoch()
    once, again = fit._validate(), fit._validate()
    assert once == again
    assert once.loss == first["validation_loss"]
    batch, labels = fit.training.batch(np.arange(18))

    def loss_of(model) -> float:
        return float(fit.loss(model, batch, labels).detach())

    assert loss_of(fit.averaged) == pytest.approx(loss_of(fit.average), rel=1e-4)
    whole = loss_of(Tabulated(fit.potential, fit.model.grid))
    assert loss_of(fit.model) != pytest.approx(whole, rel=1e-3)
    while not fit.finished:
        last = fit.run_epoch()
    assert last["validation_loss"] < 0.9 * first["validation_loss"]
    moved = fit.average.schnet.gaussians[0]
    assert (moved.widths - torch.tensor(THINNED.widths)).abs().max() > 1e-4


def test_another_seed_leaves_out_other_units():
    losses = []
    for seed in (3, 3, 4):
        fit = make_fit(settings=replace(QUICK, seed=3))
        fit.model.dropout = Dropout(RATE, (seed, 0))
        losses.append(fit.loss(fit.model, *fit.training.batch(np.arange(4))).item())
    assert losses[0] == losses[1] != losses[2]


def test_a_resumed_fit_has_the_same_bits(tmp_path):
    whole, half = make_fit(), make_fit()
    for _ in range(3):
        half.run_epoch()
    half.save(tmp_path / "half.safetensors")
    again = make_fit()
    again.resume(tmp_path / "half.safetensors")
    for fit in (whole, again):
        while not fit.finished:
            fit.run_epoch()
    (a, head_a), (b, head_b) = whole.state(), again.state()
    assert head_a == head_b
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert whole.result().validation == again.result().validation
    other = make_fit(replace(THINNED, dropout=0.1), replace(QUICK, weight_decay=0.0))
    with pytest.raises(ValueError, match=r"dropout=0\.3, not dropout=0\.1.*weight_decay=0\.1, not"):
        other.resume(tmp_path / "half.safetensors")


def fit_that_saves_every_epoch(path: Path) -> None:
    run_fit(make_fit(settings=replace(QUICK, epochs=12)), path, checkpoint_every_s=0.0)


@pytest.mark.slow
def test_a_killed_fit_goes_on_bit_for_bit(tmp_path):
    whole, path = tmp_path / "whole.safetensors", tmp_path / "killed.safetensors"
    fit_that_saves_every_epoch(whole)
    process = fork(fit_that_saves_every_epoch, path, said=tmp_path / "said")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        path.exists() and load_checkpoint(path)[1]["epoch"] >= 3
    ):
        time.sleep(0.005)
    end(process)
    assert 3 <= load_checkpoint(path)[1]["epoch"] < 12, "the kill came too late to prove anything"
    fit_that_saves_every_epoch(path)
    (a, head_a), (b, head_b) = load_checkpoint(whole), load_checkpoint(path)
    assert head_a == head_b
    assert all(torch.equal(a[name], b[name]) for name in a)


# ---- weight decay ------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_weight_decay_acts_alike_on_dense_matrices_and_on_nothing_else(optimizer):
    """Without a gradient a weight loses rate × decay of itself, whichever optimiser moves it."""
    fit = make_fit(settings=replace(QUICK, optimizer=optimizer))
    for parameter in fit.potential.parameters():
        parameter.data += 0.1
    named = dict(fit.potential.named_parameters())
    before = {name: p.detach().clone() for name, p in named.items()}
    still = sum((0.0 * p).sum() for p in named.values())
    rate = 0.01
    fit._descend(still, rate)
    decayed = {name for name, p in named.items() if decays(name, p)}
    for name, parameter in named.items():
        share = 1.0 - rate * QUICK.weight_decay if name in decayed else 1.0
        torch.testing.assert_close(parameter.detach(), share * before[name], rtol=3e-7, atol=0)
    exempt = named.keys() - decayed
    assert {n for n in exempt if not n.endswith(".bias")} == {
        "schnet.embedding.weight",
        *(f"schnet.gaussians.{t}.{what}" for t in (0, 1) for what in ("centres", "widths")),
    }
    assert len(decayed) == 2 * 5 + 3


def test_weights_of_zero_decay_cost_no_optimiser():
    kinds = [
        type(o).__name__ for o in make_fit(settings=replace(QUICK, weight_decay=0.0)).optimizers
    ]
    assert kinds == ["Adam", "Muon"]


@pytest.mark.parametrize("decay", [-0.1, np.nan, np.inf])
def test_impossible_decays_are_refused(decay):
    with pytest.raises(ValueError, match="weight decay must be at least 0"):
        FitSettings(weight_decay=decay)


# ---- an ensemble -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An ensemble of the command line, its directory and the file that it was trained on."""
    place = tmp_path_factory.mktemp("dropout")
    data, model = place / "a.xyz", place / "model"
    write(data, labelled_molecules(24))
    options = ["--trainable-gaussians", "--dropout", "0.2", "--weight-decay", "0.01"]
    assert main([*command(data, model), *options, "--epochs", "2"]) in (0, 1)
    return data, model


def command(data, model) -> list[str]:
    fit = ["--units", "eV", "--no-plot", "--jobs", "1", "--folds", "2", "--kept-out", "0.1"]
    return ["train", str(data), "-o", str(model), *fit]


def test_the_card_and_info_say_how_it_was_trained(trained, capsys):
    card = json.loads((trained[1] / "model.json").read_text())
    assert card["config"]["trainable_gaussians"] is True
    assert card["config"]["dropout"] == 0.2
    assert card["training"]["settings"]["weight_decay"] == 0.01
    assert main(["info", str(trained[1])]) == 0
    assert "Gaussians trained; trained with dropout 0.2" in capsys.readouterr().out


def test_both_engines_are_the_network_to_1e_10(trained, monkeypatch):
    """As tables are made they are within 1e-7; with finer ones nothing but rounding is left."""
    model = load_model(trained[1])
    assert not np.array_equal(*model.weights["gaussians.1.widths"])
    expected = evaluate(TorchEnsemble(model), ethanol())
    assert_same(evaluate(Ensemble(model), ethanol()), expected, tolerance=1e-7)
    monkeypatch.setitem(tables.SLOPE_TOLERANCE, "float64", 1e-13)
    monkeypatch.setattr(tables, "LEAST_SPACING", 0.001)
    assert_same(evaluate(Ensemble(model), ethanol()), expected, tolerance=1e-10)


def test_molecular_dynamics_accepts_it(trained, tmp_path):
    write(tmp_path / "s.xyz", ethanol())
    run = [
        "md",
        str(trained[1]),
        str(tmp_path / "s.xyz"),
        "--time",
        "0.005",
        "-o",
        str(tmp_path / "r"),
    ]
    assert main([*run, "--monitor", "off"]) == 0
    assert len(MDRecord.read(tmp_path / "r").time_fs) == 11


@needs_lammps
@pytest.mark.slow
def test_lammps_accepts_it(trained, tmp_path):
    periodic = replace(load_model(trained[1]), pbc=True, card={})
    model, atoms = save_model(tmp_path / "m", periodic), mixture((2, 2, 2))
    write(tmp_path / "s.xyz", atoms)
    options = ("--time", "0.002", "--timestep", "0.5", "--monitor", "off", "--repulsion", "none")
    words = ["lammps", model, tmp_path / "s.xyz", *options, "-o", tmp_path / "r"]
    (((code, *said),),) = commands_in_turn(tmp_path, [[words]])
    assert code in (0, 3), said  # 3: too short to judge
    atoms.calc = SchNetCalculator(str(model), repulsion=None)
    first = MDRecord.read(tmp_path / "r").potential_energy_eV[0]
    assert first == pytest.approx(atoms.get_potential_energy(), rel=0, abs=1e-6)


def test_fine_tuning_keeps_its_dropout_or_takes_another(trained, tmp_path, capsys):
    model = load_model(trained[1])
    assert Start(model, "m").config.dropout == 0.2
    begin = command(trained[0], tmp_path / "tuned")
    begin += ["--start-from", str(trained[1]), "--epochs", "1"]
    assert main([*begin, "--dropout", "0", "--freeze", "gaussians"]) in (0, 1)
    tuned = load_model(tmp_path / "tuned")
    assert tuned.network.dropout == 0
    for name in ("gaussians.0.centres", "gaussians.1.widths"):
        np.testing.assert_array_equal(tuned.weights[name], model.weights[name])
    assert not np.array_equal(
        tuned.weights["readout_in.weight"], model.weights["readout_in.weight"]
    )
    capsys.readouterr()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dropout", "1"], ": --dropout must be at least 0 and below 1, got 1"),
        (["--dropout", "nan"], "dropout must be at least 0 and below 1, got nan"),
        (["--weight-decay", "-1"], "weight decay must be at least 0, got -1"),
        (["--weight-decay", "1e9"], "takes all of a weight in one step"),
        (["--start-from", "MODEL", "--trainable-gaussians"], "train without --trainable-gaussians"),
        (["--start-from", "ethanol", "--freeze", "gaussians"], "no layer 'gaussians'"),
        (["--start-from", "ethanol", "--dropout", "2"], "dropout must be at least 0"),
    ],
)
def test_contradictions_are_one_line(trained, tmp_path, capsys, options, message):
    options = [str(trained[1]) if o == "MODEL" else o for o in options]
    assert main([*command(trained[0], tmp_path / "m"), *options]) == 2
    error = capsys.readouterr().err.strip()
    assert message in error
    assert "\n" not in error
    assert not (tmp_path / "m").exists()


# ---- Monte Carlo -------------------------------------------------------------------------------


def test_samples_are_the_member_with_units_left_out(trained):
    model = load_model(trained[1])
    samples = dropout_samples(model, 60, member=1, seed=1)
    assert samples.n_members == 60
    assert samples.network == replace(model.network, dropout=0.0)
    columns = samples.weights["interactions.0.atomwise_out.weight"]
    gone = (columns == 0).all(axis=1)  # (60, units)
    assert abs(gone.mean() - 0.2) < 0.04
    whole = model.weights["interactions.0.atomwise_out.weight"][1]
    np.testing.assert_allclose(columns[0][:, ~gone[0]], whole[:, ~gone[0]] / 0.8, rtol=1e-6)
    np.testing.assert_array_equal(
        samples.weights["readout_in.weight"][7], model.weights["readout_in.weight"][1]
    )
    mean = samples.weights["readout_out.weight"].mean(axis=0)
    np.testing.assert_allclose(mean, model.weights["readout_out.weight"][1], atol=0.12)
    again = dropout_samples(model, 60, member=1, seed=1)
    np.testing.assert_array_equal(
        again.weights["readout_out.weight"], samples.weights["readout_out.weight"]
    )
    forces = evaluate(Ensemble(samples), ethanol()).forces
    assert forces.std(axis=0, ddof=1).min() > 0


def test_a_sample_is_what_a_mask_for_all_atoms_makes(trained):
    """Held against masks in the plain network: two ways to leave out the same units."""
    model = load_model(trained[1])
    samples = dropout_samples(model, 1)
    layers = [
        "interactions.0.atomwise_out",
        "interactions.1.atomwise_out",
        "interactions.2.atomwise_out",
    ]
    layers.append("readout_out")

    class Same(Dropout):
        def masks(self, config, batch):
            kept = [(samples.weights[f"{n}.weight"][0] != 0).any(axis=0) / 0.8 for n in layers]
            return [torch.tensor(k).expand(len(batch.Z), -1) for k in kept]

    potential = potentials(model.network, 1)[0]
    potential.schnet.load_state_dict(
        {n: torch.from_numpy(w[0].copy()) for n, w in model.weights.items()}
    )
    batch = batch_of(ethanol(), model.network.cutoff)
    thinned = properties_of(potential.double(), batch, dropout=Same(0.2, ())).forces
    found = evaluate(TorchEnsemble(samples), ethanol()).forces[0]
    np.testing.assert_allclose(found * 1.3 / model.scale[0], thinned, rtol=0, atol=1e-5)


def test_a_model_without_dropout_has_no_samples(trained):
    model = load_model(trained[1])
    with pytest.raises(ValueError, match="trained without dropout"):
        dropout_samples(load_model("ethanol"))
    with pytest.raises(ValueError, match="members 0 to 1, not 2"):
        dropout_samples(model, member=2)
    with pytest.raises(ValueError, match="at least 1"):
        dropout_samples(model, 0)

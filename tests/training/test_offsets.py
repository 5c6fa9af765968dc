"""Trained on forces alone, a potential has the constants of the energy fitted to labels afterwards."""

from dataclasses import replace

import numpy as np
import pytest
from ase.io import write
from factory import TINY, labelled_molecules, small_dataset

from ase_schnet.cli import main
from ase_schnet.modelfile import load_model
from ase_schnet.training.batches import BatchSource, torch
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.offsets import fit_offsets
from ase_schnet.training.result import FitResult
from ase_schnet.training.run import run_fit
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit

FORCES = LossWeights(energy=0.0)
DATA = small_dataset(24)


def trained(data=DATA, weights=FORCES) -> FitResult:
    training, validation = data.subset(np.arange(18)), data.subset(np.arange(18, 24))
    settings = FitSettings(epochs=4, batch_size=6, learning_rate=3e-3)
    return run_fit(Fit(TINY, training, validation, weights, settings), label=None)


@pytest.fixture(scope="module")
def of_forces():
    return trained().potential


def predicted(potential, data=DATA):
    batch, _ = BatchSource(data, TINY.cutoff, torch.float32).batch(np.arange(len(data)))
    found = potential.properties(batch)
    return found.energies.numpy(), found.forces.numpy()


def test_the_energies_of_the_training_part_are_met_for_each_composition():
    data = small_dataset(24, names=("CH3OH", "H2O"))
    energies, _ = predicted(trained(data).potential, data)
    error = (energies - data.E)[:18].reshape(-1, 2)  # methanol and water in turn
    assert np.abs(error).max() > 1e-3
    assert np.abs(error.mean(axis=0)).max() < 1e-5


def test_offsets_change_no_force_and_only_constants_of_the_elements(of_forces):
    other = trained(replace(DATA, E=DATA.E + 3.0 * DATA.n_atoms)).potential
    energies, forces = predicted(of_forces)
    moved, same = predicted(other)
    np.testing.assert_array_equal(forces, same)
    np.testing.assert_allclose(moved - energies, 3.0 * DATA.n_atoms, rtol=1e-5)


def test_offsets_are_fitted_once(of_forces):
    before = of_forces.shift.clone()
    fit_offsets(of_forces, DATA.subset(np.arange(18)))
    np.testing.assert_allclose(of_forces.shift.numpy(), before.numpy(), atol=1e-5)


def test_without_energies_there_is_nothing_to_fit():
    assert not trained(replace(DATA, E=None)).potential.shift.any()


def test_a_fit_that_has_learnt_energies_keeps_its_offsets():
    weights = LossWeights(energy=1.0)
    training = DATA.subset(np.arange(18))
    fit = Fit(TINY, training, training, weights, FitSettings(epochs=1, batch_size=6))
    before = fit.potential.shift.clone()
    assert torch.equal(run_fit(fit, label=None).potential.shift, before)


def test_the_command_line_trains_on_forces_alone_and_says_what_energies_rest_on(tmp_path, capsys):
    frames = labelled_molecules(24)
    write(tmp_path / "data.xyz", frames)
    options = (
        "--units",
        "eV",
        "--folds",
        "2",
        "--kept-out",
        "0.25",
        "--epochs",
        "2",
        "--jobs",
        "1",
    )
    for name, text in (("whole", "their constant was fitted"), ("bare", "only differences")):
        if name == "bare":
            for atoms in frames:
                del atoms.calc.results["energy"]
            write(tmp_path / "data.xyz", frames)
        out = tmp_path / name
        command = ["train", str(tmp_path / "data.xyz"), "-o", str(out), *options]
        assert main([*command, "--energy-weight", "0", "--no-plot"]) in (0, 1)
        assert text in capsys.readouterr().out
        judged = load_model(out).card["kept_out"]
        assert ("energy_mae_meV_per_atom" in judged) == (name == "whole")

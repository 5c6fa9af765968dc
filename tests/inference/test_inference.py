"""The direct network of the inference half against the training half, and which engine is opened."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from ase.build import bulk, molecule
from engine_cases import by_autograd, evaluate
from factory import (
    TINY,
    ethanol,
    labelled_crystals,
    potentials,
    preset,
    random_model,
    small_dataset,
)

from ase_schnet.data.dataset import Dataset
from ase_schnet.evaluation import compare
from ase_schnet.inference.engine import open_engine, self_check
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import ModelFileError


@pytest.mark.parametrize(
    "config",
    [TINY, preset("small"), preset("default"), preset("fast"), preset("fast", envelope="none")],
    ids=["tiny", "small", "default", "fast", "no envelope"],
)
def test_hand_written_forces_equal_autograd(config):
    got = evaluate(TorchEnsemble(random_model(config, members=2)), ethanol())
    for m, potential in enumerate(potentials(config, members=2)):
        energy, forces, virial = by_autograd(potential, ethanol())
        assert got.energies[m] == pytest.approx(energy, abs=1e-9)
        np.testing.assert_allclose(got.forces[m], forces, atol=1e-9)
        np.testing.assert_allclose(got.virials[m], virial, atol=1e-8)


def test_periodic_structures_agree_too():
    atoms = bulk("C", cubic=True)  # 3.57 Å: smaller than the cutoff, so atoms see their own images
    atoms.rattle(0.1, seed=3)
    atoms.positions[0] += atoms.cell[1] * 5  # outside the cell
    got = evaluate(TorchEnsemble(random_model(TINY, pbc=True)), atoms)
    energy, forces, virial = by_autograd(potentials(TINY)[0], atoms)
    assert got.energies[0] == pytest.approx(energy, abs=1e-8)
    np.testing.assert_allclose(got.forces[0], forces, atol=1e-8)
    np.testing.assert_allclose(got.virials[0], virial, atol=1e-7)


def test_atomic_energies_add_up_to_the_energy():
    got = evaluate(TorchEnsemble(random_model()), ethanol())
    np.testing.assert_allclose(got.atomic_energies.sum(axis=1), got.energies, rtol=0, atol=1e-12)
    assert got.energies.dtype == got.forces.dtype == np.float64


def test_one_atom_and_two_far_apart():
    engine = TorchEnsemble(random_model())
    one = evaluate(engine, molecule("H"))
    assert np.isfinite(one.energies).all()
    assert not one.forces.any()
    pair = molecule("H") + molecule("H")
    pair.positions[1] = [50.0, 0, 0]
    two = evaluate(engine, pair)
    np.testing.assert_allclose(two.energies, 2 * one.energies, atol=1e-10)
    assert not two.forces.any()


def test_a_molecule_a_million_angstrom_away_feels_the_same():
    engine = TorchEnsemble(random_model(), dtype="float32")
    atoms = ethanol()
    near = evaluate(engine, atoms)
    atoms.positions += 1e6
    np.testing.assert_allclose(evaluate(engine, atoms).forces, near.forces, atol=1e-4)


def test_float32_differs_little_from_float64():
    model, atoms = random_model(preset("fast")), ethanol()
    double = evaluate(TorchEnsemble(model), atoms)
    single = evaluate(TorchEnsemble(model, dtype="float32"), atoms)
    assert np.abs(single.forces - double.forces).max() < 1e-4
    assert np.abs(single.energies - double.energies).max() < 1e-4
    assert np.abs(single.forces - double.forces).max() > 0


def test_global_state_of_torch_is_left_alone():
    engine = TorchEnsemble(random_model())
    reference = evaluate(engine, ethanol()).energies
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float16)  # hostile: another package set it
    try:
        again = evaluate(TorchEnsemble(random_model()), ethanol()).energies
        assert torch.get_num_threads() == 2
        assert torch.get_default_dtype() == torch.float16
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(again, reference)


def test_pickle_gives_the_same_engine():
    engine = TorchEnsemble(random_model(), dtype="float32")
    again = pickle.loads(pickle.dumps(engine))
    np.testing.assert_array_equal(
        evaluate(again, ethanol()).forces, evaluate(engine, ethanol()).forces
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"device": "gpu"}, "device is 'cpu'"),
        ({"device": "mps"}, "device is 'cpu'"),  # torch knows it, and not all that is needed
        ({"dtype": "half"}, "dtype is 'float64' or 'float32'"),
        ({"device": "auto", "dtype": "half"}, "dtype is 'float64' or 'float32'"),
        ({"threads": 0}, "threads is a number >= 1 or None"),
    ],
)
def test_unknown_device_or_precision(arguments, message):
    with pytest.raises(ValueError, match=message):
        open_engine(random_model(), **arguments)
    if "threads" not in arguments:
        with pytest.raises(ValueError, match=message):
            TorchEnsemble(random_model(), **arguments)


def test_the_cpu_is_the_compiled_engine():
    engine = open_engine(random_model(), "cpu", "float32", threads=2)
    assert type(engine) is Ensemble
    assert (engine.device, engine.dtype, engine.threads) == ("cpu", "float32", 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="tests what happens without a GPU")
def test_a_missing_gpu_is_named():
    for make in (open_engine, TorchEnsemble):
        with pytest.raises(ValueError, match="torch finds no GPU"):
            make(random_model(), device="cuda")
    assert TorchEnsemble(random_model(), device="auto").device.type == "cpu"
    assert type(open_engine(random_model(), "auto")) is Ensemble


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_gpu_equals_cpu():
    model = random_model(preset("fast"))
    cpu, gpu = (evaluate(open_engine(model, d), ethanol()) for d in ("cpu", "cuda"))
    assert type(open_engine(model, "auto")) is TorchEnsemble
    np.testing.assert_allclose(gpu.forces, cpu.forces, atol=1e-8)


def check_of(engine, atoms):
    """What a card stores: what this engine says of a structure."""
    got = evaluate(engine, atoms)
    return {
        "numbers": atoms.numbers.tolist(),
        "positions_Ang": atoms.positions.tolist(),
        "cell_Ang": atoms.cell.array.tolist(),
        "pbc": atoms.pbc.tolist(),
        "energies_eV": got.energies.tolist(),
        "forces_eV_per_Ang": got.forces.mean(axis=0).tolist(),
    }


@pytest.mark.parametrize("atoms", [molecule("H2O"), bulk("C")], ids=["molecule", "crystal"])
@pytest.mark.parametrize("engine", [Ensemble, TorchEnsemble])
def test_self_check_notices_another_answer(engine, atoms):
    model = random_model(pbc=True)
    self_check(engine(model))  # nothing stored, nothing to check
    atoms.rattle(0.05, seed=1)
    model.card["self_check"] = stored = check_of(TorchEnsemble(model), atoms)
    self_check(engine(model))
    self_check(engine(model, dtype="float32"))
    stored["energies_eV"][1] += 2e-6
    with pytest.raises(ModelFileError, match="another answer"):
        self_check(engine(model))


@pytest.mark.parametrize("spoiled", ["energies", "forces"])
def test_self_check_notices_what_is_not_a_number(monkeypatch, spoiled):
    model = random_model()
    model.card["self_check"] = check_of(TorchEnsemble(model), molecule("H2O"))
    engine = Ensemble(model)
    answer = evaluate(engine, molecule("H2O"))
    answer = answer._replace(**{spoiled: getattr(answer, spoiled) * np.nan})
    monkeypatch.setattr(engine, "evaluate", lambda *_: answer)
    with pytest.raises(ModelFileError, match="another answer"):
        self_check(engine)


def test_self_check_measures_the_tables():
    """Filters too sharp for the finest table: the model is refused, not evaluated wrongly."""
    model = random_model(replace(TINY, gamma=3e5))
    model.card["self_check"] = check_of(TorchEnsemble(model), ethanol())
    self_check(TorchEnsemble(model))
    with pytest.raises(ModelFileError, match="another answer"):
        self_check(Ensemble(model))


def test_a_stress_that_nobody_labelled_has_no_row_in_the_table():
    labelled = Dataset.from_atoms(labelled_crystals(4))
    engine = TorchEnsemble(random_model(pbc=True))
    assert "stress_eV_per_Ang3" in compare(engine, labelled).spread()
    bare = compare(engine, replace(labelled, stress=None))
    assert bare.stress is not None
    assert set(bare.spread()) == {"energy_eV", *(f"forces_{x}_eV_per_Ang" for x in "xyz")}


def test_comparison_reports_errors_of_the_mean_and_of_a_member():
    data = small_dataset(6)
    comparison = compare(TorchEnsemble(random_model(members=3)), data)
    metrics = comparison.metrics()
    mean_error = comparison.energies.mean(axis=0) - data.E
    assert metrics["energy_mae_meV"] == pytest.approx(1000 * np.abs(mean_error).mean())
    assert metrics["forces_mae_meV_per_Ang"] <= metrics["forces_mae_of_a_member_meV_per_Ang"]
    assert (metrics["n_structures"], metrics["n_atoms"]) == (6, len(data.Z))
    spread = comparison.spread()["forces_y_eV_per_Ang"]
    assert spread["min"] <= spread["mean"] <= spread["max"]
    assert spread["max"] == pytest.approx(comparison.forces.std(axis=0, ddof=1)[:, 1].max())
    assert set(comparison.calibration()) == {"forces", "forces_per_atom"}  # 6 energies are too few
    enough = compare(TorchEnsemble(random_model(members=3)), small_dataset(10))
    assert set(enough.calibration()) == {"energy", "forces", "forces_per_atom"}


def test_comparison_refuses_what_the_model_cannot_describe():
    data = small_dataset(6)
    boxed = replace(data, pbc=data.pbc | True, cells=data.cells + 20 * np.eye(3))
    with pytest.raises(ValueError, match=r"trained on molecules, but 6 of 6 .*first: 0"):
        compare(TorchEnsemble(random_model()), boxed)
    assert compare(TorchEnsemble(random_model(pbc=True)), boxed).energies.shape == (2, 6)
    strange = replace(data, Z=np.where(data.Z == 8, 16, data.Z))
    with pytest.raises(ValueError, match="not trained on S"):
        compare(TorchEnsemble(random_model()), strange)

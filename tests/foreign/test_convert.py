"""Converted networks give the answers of the packages that made them; what is another function is refused.

The models and answers in tests/data/foreign were made by the packages themselves
(benchmarks/foreign/make.py).
"""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import molecule
from ase.calculators.calculator import InputError
from ase.calculators.singlepoint import SinglePointCalculator

from ase_schnet import ConversionHints, SchNetCalculator, calibrate_intervals, convert_model
from ase_schnet.applicability.model import limits
from ase_schnet.cli import main
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.formats import read_dataset
from ase_schnet.data.statistics import label_statistics
from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.origins import read_network
from ase_schnet.foreign.records import ForeignModelError, Record
from ase_schnet.foreign.torch_files import read_torch_file
from ase_schnet.foreign.words import label_lines
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.model_directories import shipped_models
from ase_schnet.modelfile import load_model
from ase_schnet.neighbors import half_list
from ase_schnet.training.start import Start
from ase_schnet.training.streaming import source_of
from ase_schnet.units import ENERGY_UNITS

MADE = Path(__file__).resolve().parents[1] / "data" / "foreign"
KINDS = sorted(path.parent.name for path in MADE.glob("*/reference.npz"))


class Reference:
    """What the package of a model says of real structures, in eV and eV/Å."""

    def __init__(self, kind):
        self.file = next(p for p in (MADE / kind).iterdir() if p.name != "reference.npz")
        data = dict(np.load(MADE / kind / "reference.npz"))
        self.units = str(data["units"])
        unit = ENERGY_UNITS[self.units]
        self.ends = np.cumsum(data["sizes"])[:-1]
        parts = zip(
            np.split(data["numbers"], self.ends),
            np.split(data["positions"], self.ends),
            data["cells"],
            data["pbc"],
            strict=True,
        )
        self.frames = [Atoms(z, r, cell=c, pbc=p) for z, r, c, p in parts]
        self.answers = {
            dtype: (data[f"energies_{dtype}"] * unit, data[f"forces_{dtype}"] * unit)
            for dtype in ("float64", "float32")
        }

    def dataset(self, n=3, factor=1.0):
        frames = [atoms.copy() for atoms in self.frames[:n]]
        energies, forces = self.answers["float64"]
        each = zip(frames, energies, np.split(forces, self.ends), strict=False)
        for atoms, energy, f in each:
            atoms.calc = SinglePointCalculator(atoms, energy=factor * energy, forces=factor * f)
        return Dataset.from_atoms(frames, source="reference")


@pytest.fixture(scope="module")
def references():
    return {kind: Reference(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def converted(references, tmp_path_factory):
    """Models of all kinds, each converted once."""
    folder = tmp_path_factory.mktemp("converted")
    return {
        kind: convert_model(r.file, folder / kind, dataset=r.dataset(), units=r.units)
        for kind, r in references.items()
    }


def evaluated(engine, frames):
    cutoff = engine.model.config["cutoff"]
    found = [
        engine.evaluate(a.numbers, a.positions, half_list(a.positions, cutoff, a.cell.array, a.pbc))
        for a in frames
    ]
    return np.array([p.energies[0] for p in found]), np.concatenate([p.forces[0] for p in found])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("engine", [Ensemble, TorchEnsemble])
def test_energies_and_forces_are_those_of_the_package_that_made_it(
    references, converted, kind, engine
):
    reference = references[kind]
    energies, forces = evaluated(engine(converted[kind].model), reference.frames)
    expected, expected_forces = reference.answers["float64"]
    # the energies carry single atoms' thousands of eV; the compiled engine has splines as filters
    grain = np.spacing(np.abs(expected).max())
    np.testing.assert_allclose(energies, expected, rtol=0, atol=1e-7 + 4 * grain)
    size = 1.0 if engine is TorchEnsemble else max(1.0, np.abs(expected_forces).max() / 2)
    np.testing.assert_allclose(forces, expected_forces, rtol=0, atol=1e-7 * size)
    as_shipped, forces_as_shipped = reference.answers["float32"]
    np.testing.assert_allclose(forces, forces_as_shipped, rtol=0, atol=1e-5)
    grain = np.spacing(np.float32(np.abs(expected).max()))
    np.testing.assert_allclose(energies, as_shipped, rtol=0, atol=max(4 * grain, 1e-5))


@pytest.mark.parametrize("kind", KINDS)
def test_the_card_says_where_a_model_is_from_and_how_it_fits_the_labels(converted, kind, capsys):
    said = converted[kind].converted
    assert said["labels"]["forces_mae_meV_per_Ang"] < 1e-3
    assert said["labels"]["forces_correlation"] > 0.999999
    assert said["checked"] is None
    assert main(["info", converted[kind].model.path]) == 0
    printed = capsys.readouterr().out
    assert f"from {said['origin']}" in printed
    assert "not checked against its maker" in printed
    assert ("unverified" in printed) == (kind == "schnetpack-1")  # the old container


def test_several_files_make_an_ensemble(references, tmp_path):
    first = references["schnetpack-2"]
    model = convert_model(
        [first.file] * 2, tmp_path / "two", elements=["C", "H", "O"], units="kcal/mol"
    ).model
    assert model.n_members == 2
    atoms = first.frames[0].copy()
    atoms.calc = SchNetCalculator(tmp_path / "two")
    assert atoms.get_potential_energy() == pytest.approx(first.answers["float64"][0][0], abs=1e-6)
    assert atoms.calc.results["energy_std"] == pytest.approx(0.0, abs=1e-9)
    other = references["pyg"].file
    with pytest.raises(ForeignModelError, match="members of an ensemble have one shape"):
        convert_model([first.file, other], tmp_path / "x", elements=["H"], units="eV")


def test_units_that_are_not_those_of_the_file_are_refused_before_anything_is_written(
    references, tmp_path
):
    reference = references["schnetpack-2"]
    with pytest.raises(ForeignModelError, match="units='kcal/mol, Ang'"):
        convert_model(reference.file, tmp_path / "model", dataset=reference.dataset(), units="eV")
    assert not (tmp_path / "model").exists()


def test_what_a_file_leaves_open_must_be_said(references, tmp_path):
    file = references["schnetpack-2"].file
    with pytest.raises(ValueError, match="does not say its units"):
        convert_model(file, tmp_path / "model", elements=["H"])
    with pytest.raises(ValueError, match="which elements"):
        convert_model(file, tmp_path / "model", units="eV")
    with pytest.raises(ValueError, match="chemical symbols up to Es, got Xx"):
        convert_model(file, tmp_path / "model", units="eV", elements=["Xx"])
    (tmp_path / "config.yaml").write_text(
        "data:\n  distance_unit: Ang\n  property_units:\n    energy: kcal/mol\n    forces: kcal/mol/Ang\n"
    )
    beside = tmp_path / "best_model"
    beside.write_bytes(file.read_bytes())
    conversion = convert_model(beside, tmp_path / "model", elements=["H", "C", "O"])
    assert conversion.converted["units"] == "kcal/mol, Ang"
    assert any("distances of its training are not known" in r for r in conversion.remarks)
    with pytest.raises(ValueError, match="holds a model already"):
        convert_model(beside, tmp_path / "model", elements=["H", "C", "O"])


def test_a_training_starts_from_a_converted_model(references, converted):
    """Its weights are there, and the offset is that of the new labels (fine-tuning)."""
    reference, model = references["schnetpack-2"], converted["schnetpack-2"].model
    dataset = reference.dataset(20)
    moved = replace(dataset, E=dataset.E + 9.0)
    start = Start(model, "converted", freeze=("embedding",)).of_member(0)
    potential = start.potential(moved, label_statistics(moved))
    source = source_of(moved, potential.config.cutoff, torch.float32)
    batch, _ = next(iter(source.epoch(20)))
    energies = potential(batch).detach().numpy()
    np.testing.assert_allclose(energies, moved.E, rtol=0, atol=2e-4)
    assert start.is_frozen("schnet.embedding.weight")


@pytest.mark.filterwarnings("error:outside what")
def test_where_distances_are_not_known_only_collisions_warn(references, tmp_path):
    convert_model(references["graph-pes"].file, tmp_path / "model")
    atoms = molecule("CH3CH2OH")
    atoms.calc = SchNetCalculator(tmp_path / "model")
    atoms.get_forces()
    assert atoms.calc.limits["distance_ranges_Ang"] is None
    atoms.positions[1] = atoms.positions[0] + [0.0, 0.0, 0.5]
    with pytest.raises(UserWarning, match="outside what"):
        atoms.get_forces()


def rewritten(file, path, change):
    """Write the state of a pickled file of torch again, changed, as a ``state_dict``."""
    contents = Contents(str(file), read_torch_file(file).content)
    state = {name: torch.from_numpy(t.array()) for name, t in contents.tensors.items()}
    change(state)
    torch.save(state, path)
    return path


def test_a_state_dict_is_the_same_function_as_the_whole_object(references, tmp_path):
    reference = references["schnetpack-2"]
    path = rewritten(reference.file, tmp_path / "state.pt", lambda state: None)
    known = {"dataset": reference.dataset(), "units": "kcal/mol"}
    with pytest.raises(ForeignModelError, match="readout_activation"):
        convert_model(path, tmp_path / "model", **known)
    hints = ConversionHints(readout_activation="silu")
    model = convert_model(path, tmp_path / "model", hints=hints, **known).model
    _, forces = evaluated(TorchEnsemble(model), reference.frames)
    np.testing.assert_allclose(forces, reference.answers["float64"][1], rtol=0, atol=1e-9)


def add(name, *shape):
    return lambda state: state.update({name: torch.ones(shape)})


REFUSED = {
    "PaiNN": (add("representation.interactions.0.interatomic_context_net.0.weight", 3, 3), "PaiNN"),
    "charges fed in": (
        add("representation.electronic_embeddings.0.weight", 3),
        "electronic_embeddings",
    ),
    "Bessel functions": (
        lambda s: s.pop("representation.radial_basis.offsets"),
        "only Gaussians",
    ),
    "an unknown part": (
        add("representation.attention.weight", 3),
        "representation.attention.weight",
    ),
    "a NaN": (
        lambda s: s["representation.embedding.weight"].fill_(float("nan")),
        "not finite",
    ),
    "layers that do not fit": (
        lambda s: s.update({"representation.interactions.0.f2out.1.bias": torch.ones(3)}),
        "has the shape",
    ),
    "a missing layer": (
        lambda s: s.pop("representation.interactions.1.in2f.weight"),
        "has no tensor",
    ),
}


@pytest.mark.parametrize("kind", list(REFUSED))
def test_another_function_is_refused_by_name(references, tmp_path, kind):
    change, name = REFUSED[kind]
    path = rewritten(references["schnetpack-2"].file, tmp_path / "state.pt", change)
    with pytest.raises(ForeignModelError, match=name) as refused:
        convert_model(
            path,
            tmp_path / "model",
            elements=["H"],
            units="eV",
            hints=ConversionHints(readout_activation="silu"),
        )
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "model").exists()


@pytest.mark.filterwarnings("ignore:the card of .* does not tell which structures")
def test_bars_need_the_distances_of_the_training(references, tmp_path):
    """That no structure is like a training of which nothing is known was said of the structures."""
    reference, path = references["schnetpack-2"], tmp_path / "other"
    rewritten(
        reference.file, path, lambda state: state["representation.embedding.weight"].mul_(1.1)
    )
    hints = ConversionHints(readout_activation="silu")
    known = {"elements": ["H", "C", "O"], "units": "kcal/mol", "hints": hints}
    convert_model([reference.file, path], tmp_path / "m", **known)
    with pytest.raises(ValueError, match=r"does not know the distances of its training.* --data"):
        calibrate_intervals(tmp_path / "m", reference.dataset(12))


def test_the_limit_of_a_force_does_not_depend_on_the_units_of_the_file(references, tmp_path):
    """It was what a kcal/mol is in eV: runs were stopped at an uncertainty of 0.04 eV/Å."""
    reference = references["schnetpack-2"]
    known = {"elements": ["H", "C", "O"], "units": "kcal/mol"}
    data = reference.dataset(12)
    for name, dataset, force in (("a", None, 1.0), ("b", data, np.sqrt((data.F**2).mean()))):
        given = known | {"dataset": dataset}
        model = convert_model([reference.file] * 2, tmp_path / name, **given).model
        assert limits(model)["max_forces_std_eV_per_Ang"] == pytest.approx(force)


def test_labels_that_are_all_equal_have_no_correlation(references, tmp_path):
    """A free atom alone, or one molecule again and again: nothing could be written."""
    atoms = Atoms("H")
    atoms.calc = SinglePointCalculator(atoms, energy=-13.6, forces=np.zeros((1, 3)))
    data = Dataset.from_atoms([atoms] * 4, source="atoms")
    file = references["schnetpack-2"].file
    said = convert_model(file, tmp_path / "m", dataset=data, units="kcal/mol").converted
    assert not any("correlation" in name for name in said["labels"])
    assert "labels of atoms: all are equal" in label_lines(said)


def test_members_say_their_units_each(references, tmp_path):
    """The units of the first were those of all."""
    file = references["schnetpack-2"].file
    places = [tmp_path / "a", tmp_path / "b", tmp_path / "c" / "nothing" / "beside" / "it"]
    for place, unit in zip(places, ("kcal/mol", "eV", None), strict=True):
        place.mkdir(parents=True)
        shutil.copy(file, place / "best_model")
        if unit:
            text = f"data:\n  distance_unit: Ang\n  property_units:\n    energy: {unit}\n"
            (place / "config.yaml").write_text(text)
    first, second, third = (place / "best_model" for place in places)
    with pytest.raises(
        ForeignModelError, match=r"have one unit: .* in kcal/mol, Ang, .* in eV, Ang"
    ):
        convert_model([first, second], tmp_path / "m", elements=["H"])
    with pytest.raises(ValueError, match="c/nothing/beside/it/best_model does not say its units"):
        convert_model([first, third], tmp_path / "m", elements=["H"])
    assert (
        convert_model([first] * 2, tmp_path / "m", elements=["H"])
        .converted["units"]
        .startswith("kcal")
    )


def test_a_mean_over_atoms_is_no_energy(references):
    """PyTorch Geometric keeps its readout as a module, which was not looked at."""
    file = read_torch_file(references["pyg"].file)
    whole = file.content.state["_modules"]
    assert whole["readout"].class_name == "SumAggregation"
    read_network(file, ConversionHints())
    mean = Record("torch_geometric.nn.aggr.basic.MeanAggregation")
    mean.state = whole["readout"].state
    whole["readout"] = mean
    with pytest.raises(ForeignModelError, match="has the readout MeanAggregation"):
        read_network(file, ConversionHints())


@pytest.mark.parametrize(
    ("kind", "place"),
    [
        ("pyg", "interactions.1.act"),
        ("pyg", "act"),
        ("graph-pes", "models.many_body.read_out.activation"),
        ("graph-pes", "models.many_body.interactions.1.mlp.activation"),
    ],
)
def test_another_activation_is_not_taken_for_shifted_softplus(references, kind, place):
    """SiLU was found to be one that we have, and then shifted softplus was taken."""
    file = read_torch_file(references[kind].file)
    *names, last = place.split(".")
    module = file.content
    for name in names:
        module = module.state["_modules"][name]
    other = Record("torch.nn.modules.activation.SiLU")
    other.state = module.state["_modules"][last].state
    module.state["_modules"][last] = other
    with pytest.raises(ForeignModelError, match="has the activation SiLU"):
        read_network(file, ConversionHints())


def test_a_model_of_ions_is_one_for_ions(references, tmp_path, capsys):
    """Data that state a charge were refused, and what was converted without them refused every ion."""
    reference = references["schnetpack-2"]
    atoms = reference.frames[0].copy()
    atoms.info.update(charge=1, multiplicity=2)
    data = replace(reference.dataset(), charge=np.ones(3), multiplicity=np.full(3, 2.0))
    model = convert_model(reference.file, tmp_path / "a", dataset=data, units="kcal/mol").model
    assert (model.card["charge"], model.card["multiplicity"]) == (1, 2)
    known = ["--elements", "H", "C", "O", "--units", "kcal/mol", "--charge", "1"]
    assert main(["convert", str(reference.file), *known, "-o", str(tmp_path / "b")]) == 0
    assert main(["info", str(tmp_path / "b")]) == 0
    assert "charge 1, multiplicity lowest" in capsys.readouterr().out
    for folder in ("a", "b"):
        calculator = SchNetCalculator(tmp_path / folder)
        assert np.isfinite(calculator.get_potential_energy(atoms))
        neutral = reference.frames[0].copy()
        neutral.info["charge"] = 0
        with pytest.raises(InputError, match=r"charge 0, not \+1"):
            calculator.get_potential_energy(neutral)
    with pytest.raises(ValueError, match="charge is a whole number or 'mixed'"):
        ConversionHints(charge="lowest")


def test_the_command_converts_prints_and_refuses_in_one_line(references, tmp_path, capsys):
    file, output = str(references["graph-pes"].file), str(tmp_path / "model")
    assert main(["convert", file, "-o", output]) == 0
    printed = capsys.readouterr().out
    assert "graph-pes" in printed
    assert "note: no cutoff function" in printed
    assert json.loads((tmp_path / "model" / "model.json").read_text())["elements"] == [
        "H",
        "C",
        "O",
    ]
    assert main(["convert", file, "-o", output]) == 2
    error = capsys.readouterr().err
    assert "holds a model already" in error
    assert error.count("\n") == 1
    assert main(["convert", str(tmp_path / "nothing"), "-o", output + "2"]) == 2
    assert main(["convert", __file__, "-o", output + "2"]) == 2
    assert "not a file of torch.save" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["{own}", "{own}/model.json", "{own}/weights.safetensors", "silicon"]
)
def test_a_model_of_ours_is_said_to_be_one_already(tmp_path, monkeypatch, capsys, name):
    monkeypatch.chdir(tmp_path)
    name = name.format(own=shipped_models()["methanol"])
    assert main(["convert", name, "-o", "m"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{name} is a model of this package already, and needs no conversion" in line
    (ours,) = re.findall(r"SchNetCalculator\('(.*?)'\)", line)
    assert load_model(ours).n_members > 1
    assert not (tmp_path / "m").exists()


def test_of_a_folder_the_file_in_it_is_named(tmp_path, capsys):
    (tmp_path / "best_model").touch()
    assert main(["convert", str(tmp_path), "-o", str(tmp_path / "m")]) == 2
    assert f"give the file of the model in it, {tmp_path / 'best_model'}" in capsys.readouterr().err


CHECKPOINTS = {
    "nqcd.best_model": ({"units": "eV", "elements": ["N", "H"]}, "schnetpack 0.2 to 1.0"),
    "schnetpack_0.1.best_model": (
        {"units": "kcal/mol", "elements": ["H", "C", "O"]},
        "schnetpack 0.1",
    ),
    "schnetkit_model.torch": ({"units": "eV", "elements": ["H", "O"]}, "schnetpack 0.2 to 1.0"),
    "fff_example-schnet.pt": (
        {"units": "eV", "elements": ["H", "O"]},
        "fast-finetuned-forcefields",
    ),
    "nff_ammonia.best_model": (
        {"elements": ["N", "H"], "hints": ConversionHints(cutoff=5.0, pair_list="twice")},
        "NeuralForceField",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", list(CHECKPOINTS))
def test_published_checkpoints_are_converted(shared_data, tmp_path, name):
    said, origin = CHECKPOINTS[name]
    file = shared_data("foreign-schnets", name)
    conversion = convert_model(file, tmp_path / "model", **said)
    assert conversion.converted["origin"] == origin
    assert conversion.model.card["tables"]["forces_max_difference_eV_per_Ang"] < 1e-6


@pytest.mark.slow
def test_labels_tell_how_neural_force_field_listed_its_pairs(shared_data, tmp_path):
    labels = shared_data("nff-ethanol", "ethanol_ccsd_t-train.npz")
    dataset = read_dataset(labels, "kcal/mol")[0].subset(np.arange(100))
    file = shared_data("foreign-schnets", "nff_cco_1.best_model")
    said = {"dataset": dataset, "level_of_theory": "CCSD(T)/cc-pVTZ"}
    conversion = convert_model(file, tmp_path / "m", hints=ConversionHints(cutoff=5.0), **said)
    assert "counts twice" in conversion.remarks[0]
    found = conversion.converted["labels"]
    assert found["energy_correlation"] > 0.975
    assert found["forces_correlation"] > 0.975

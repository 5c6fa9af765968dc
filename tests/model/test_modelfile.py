"""The model directory: what is written comes back, and no damage goes unnoticed."""

import hashlib
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from engine_cases import evaluate
from factory import TINY, ethanol, random_model
from safetensors.numpy import load_file, save_file

from ase_schnet.inference.engine import self_check
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.modelfile import (
    CARD,
    UNSPECIFIED,
    WEIGHTS,
    ModelFileError,
    find_model,
    load_model,
    save_model,
    shipped_models,
)

FORMAT_1 = Path(__file__).parent / "format_1"


class Hostile:
    """Writes a file when it is unpickled."""

    def __init__(self, target):
        self.target = str(target)

    def __reduce__(self):
        return (open, (self.target, "w"))


@pytest.fixture
def saved(tmp_path):
    return save_model(tmp_path / "model", random_model())


def rewrite_card(directory, **changes):
    """Change the card and give it a right checksum again, as a careless tool would."""
    card = json.loads((directory / CARD).read_text()) | changes
    card["sha256"] = "0" * 64
    text = json.dumps(card)
    digest = hashlib.sha256(text.encode()).hexdigest()
    (directory / CARD).write_text(text.replace("0" * 64, digest, 1))


def test_what_is_written_comes_back(saved):
    model, again = random_model(), load_model(saved)
    assert again.config == model.config
    assert again.elements == model.elements
    assert again.distance_ranges == model.distance_ranges
    assert again.n_members == 2
    np.testing.assert_array_equal(again.energy_shift, model.energy_shift)
    np.testing.assert_array_equal(again.scale, model.scale)
    assert again.weights.keys() == model.weights.keys()
    for name, weight in model.weights.items():
        np.testing.assert_array_equal(again.weights[name], weight)


def test_a_card_written_again_is_the_same(saved, tmp_path):
    second = save_model(tmp_path / "second", load_model(saved))
    assert (second / CARD).read_bytes() == (saved / CARD).read_bytes()


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_a_single_bit_flip_is_noticed(saved, name):
    """Some bit of every byte of the card; every bit of the weights' header, every 997th of the rest."""
    path = saved / name
    good = path.read_bytes()
    bits = range(0, 8 * len(good), 7)
    if name == WEIGHTS:
        bits = [*range(0, 8 * 64), *range(8 * 64, 8 * len(good), 997)]
    unnoticed = []
    for bit in bits:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        path.write_bytes(bad)
        try:
            load_model(saved)
        except ModelFileError:
            continue
        unnoticed.append(bit)
    assert not unnoticed
    path.write_bytes(good)
    load_model(saved)


@pytest.mark.parametrize("name", [CARD, WEIGHTS])
def test_missing_or_truncated_file(saved, name):
    data = (saved / name).read_bytes()
    (saved / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(saved)
    (saved / name).unlink()
    with pytest.raises(ModelFileError, match="missing"):
        load_model(saved)


def test_a_pickle_in_place_of_the_weights_is_refused_and_not_run(saved, tmp_path):
    target = tmp_path / "code_was_run"
    attack = pickle.dumps(Hostile(target))
    (saved / WEIGHTS).write_bytes(attack)
    with pytest.raises(ModelFileError, match="damaged"):
        load_model(saved)
    rewrite_card(saved, weights_sha256=hashlib.sha256(attack).hexdigest())
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        load_model(saved)
    (saved / CARD).write_bytes(attack)
    with pytest.raises(ModelFileError):
        load_model(saved)
    assert not target.exists()


def test_a_newer_format_says_upgrade(saved):
    rewrite_card(saved, format_version=3)
    with pytest.raises(ModelFileError, match=r"format version 3.*up to version 2: upgrade"):
        load_model(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attention_heads": 4}, r"the network has attention_heads, unknown .*: upgrade"),
        ({"activation": "gelu"}, r"activation must be one of .* got 'gelu'\): upgrade"),
        ({"envelope": "bessel"}, r"envelope must be one of .* got 'bessel'\): upgrade"),
        ({"readout_widths": "wide"}, r"readout_widths must be .*: upgrade"),
        ({"cutoff": None}, "a network that this ase_schnet does not know"),
    ],
)
def test_a_network_of_a_newer_version_is_refused_in_one_line(saved, change, message):
    rewrite_card(saved, config=random_model().config | change)
    with pytest.raises(ModelFileError, match=message) as error:
        load_model(saved)
    assert "\n" not in str(error.value)


def test_what_a_newer_version_requires_is_refused_and_what_it_only_tells_is_kept(saved):
    rewrite_card(saved, mood="sunny")
    assert load_model(saved).card["mood"] == "sunny"
    rewrite_card(saved, requires=["charges of atoms"])
    with pytest.raises(ModelFileError, match=r"requires charges of atoms, .*: upgrade"):
        load_model(saved)


def test_a_foreign_json_is_refused(saved):
    (saved / CARD).write_text("[1, 2, 3]")
    with pytest.raises(ModelFileError, match="not an ase_schnet model"):
        load_model(saved)
    rewrite = {"format": "something else", "sha256": "", "format_version": 1}
    (saved / CARD).write_text(json.dumps(rewrite))
    with pytest.raises(ModelFileError, match="not an ase_schnet model"):
        load_model(saved)


@pytest.mark.parametrize("damage", ["nan", "dtype", "shape", "extra"])
def test_weights_that_do_not_fit_the_configuration(saved, damage):
    """With right checksums: a file made by another program."""
    weights = load_file(saved / WEIGHTS)
    name = "readout_in.weight"
    if damage == "nan":
        weights[name][0, 0, 0] = np.nan
    elif damage == "dtype":
        weights[name] = weights[name].view(np.int32)
    elif damage == "shape":
        weights[name] = weights[name][:, :-1]
    else:
        weights["more"] = np.zeros(3, dtype=np.float32)
    save_file(weights, saved / WEIGHTS)
    digest = hashlib.sha256((saved / WEIGHTS).read_bytes()).hexdigest()
    rewrite_card(saved, weights_sha256=digest)
    with pytest.raises(ModelFileError, match=r"readout_in|more"):
        load_model(saved)


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ModelFileError, match=r"no model 'ethanoll'.*known:") as error:
        load_model("ethanoll")
    for name in shipped_models():
        assert name in str(error.value)


def test_a_path_is_found_and_survives_a_move(saved, tmp_path):
    assert find_model(saved) == saved
    moved = shutil.move(saved, tmp_path / "elsewhere")
    assert load_model(moved).config == TINY.to_dict()


def test_a_model_here_goes_before_a_shipped_one_of_its_name(saved, tmp_path, monkeypatch):
    """`ase-schnet train -o ethanol` and then SchNetCalculator("ethanol")."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ethanol").mkdir()  # data, or a training that has only begun
    assert find_model("ethanol") == shipped_models()["ethanol"]
    assert find_model(Path("ethanol")) == Path("ethanol")  # a Path is no name
    shutil.copytree(saved, tmp_path / "ethanol", dirs_exist_ok=True)
    assert load_model("ethanol").checksum == load_model(saved).checksum


def test_trained_range_is_the_interval_that_holds_the_distance():
    model = random_model()
    assert model.trained_range("O", "H", 0.97) == (0.9, 1.1)
    assert model.trained_range("H", "O", 2.5) == (1.8, 3.7)
    assert model.trained_range("H", "O", 1.4) is None
    assert model.trained_range("H", "H", 1.4) is None


def test_untrained_elements_are_named():
    with pytest.raises(ValueError, match="not trained on N, U; it knows H, C, O"):
        random_model().require_elements([1, 7, 92])


def test_a_model_written_by_version_0_1_is_read_and_answers_as_it_did():
    """tests/model/format_1 was written once, by version 0.1, and never again."""
    model = load_model(FORMAT_1)
    assert json.loads((FORMAT_1 / CARD).read_text())["format_version"] == 1
    assert model.card["written_by"] == "ase_schnet 0.1.0"
    for engine in (Ensemble(model), TorchEnsemble(model)):
        self_check(engine)
    assert model.network.readout_widths == (32,)
    assert (model.network.activation, model.network.trainable_gaussians) == ("ssp", False)
    assert model.level_of_theory == UNSPECIFIED
    assert model.trained_on[UNSPECIFIED]["distance_ranges_Ang"] == model.distance_ranges != {}


def test_a_model_of_the_first_format_written_again_is_the_same_function(tmp_path):
    old = load_model(FORMAT_1)
    new = load_model(save_model(tmp_path / "new", old))
    assert json.loads((tmp_path / "new" / CARD).read_text())["format_version"] == 2
    assert (tmp_path / "new" / WEIGHTS).read_bytes() == (FORMAT_1 / WEIGHTS).read_bytes()
    assert new.config == old.config
    assert new.card == old.card
    assert new.distance_ranges == old.distance_ranges
    before, after = evaluate(Ensemble(old), ethanol()), evaluate(Ensemble(new), ethanol())
    np.testing.assert_array_equal(after.forces, before.forces)


def test_a_card_of_a_training_says_how_many_structures_its_level_had(tmp_path):
    model = replace(random_model(), card={"training": {"n_structures": 24}})
    again = load_model(save_model(tmp_path / "model", model))
    assert again.trained_on[UNSPECIFIED]["n_structures"] == 24


def test_what_a_model_was_trained_on_at_several_levels(tmp_path):
    """Cheap labels first: the distances that are watched are those of the level that it predicts."""
    cheap = {"distance_ranges_Ang": {"H-O": [[0.7, 4.0]]}, "n_structures": 9000}
    own = {"n_structures": 24, "compositions": ["C2H6O"]}
    model = replace(
        random_model(),
        level_of_theory="PBE/def2-SVP",
        trained_on={"GFN2-xTB": cheap, "PBE/def2-SVP": own},
        card={"charge": -1, "multiplicity": 2, "provenance": {"from": "schnetpack 2.0.4"}},
    )
    again = load_model(save_model(tmp_path / "model", model))
    assert again.distance_ranges == model.distance_ranges
    assert again.trained_on["GFN2-xTB"] == cheap
    assert again.trained_on["PBE/def2-SVP"] == own | {"distance_ranges_Ang": model.distance_ranges}
    assert again.level_of_theory == "PBE/def2-SVP"
    assert again.card == model.card
    other = replace(again, distance_ranges={"H-O": [[0.8, 2.0]]})
    assert load_model(save_model(tmp_path / "other", other)).distance_ranges == {
        "H-O": [[0.8, 2.0]]
    }


def test_a_member_that_there_is_not_is_no_empty_ensemble():
    model = random_model(members=3)
    np.testing.assert_array_equal(model.member(-1).scale, model.scale[2:])
    for k in (3, -4):
        with pytest.raises(IndexError):
            model.member(k)

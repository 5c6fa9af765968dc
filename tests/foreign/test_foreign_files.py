"""Files of other packages are read as data: nothing in them runs, and damage is noticed where it can be."""

import io
import os
import pickle
import random
import subprocess
import zipfile

import numpy as np
import pytest
import torch

from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.foreign.torch_files import read_torch_file
from ase_schnet.foreign.values import Tensor


class Calls:
    """Is pickled as a call of a function with arguments."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def state_dict():
    generator = torch.Generator().manual_seed(0)
    return {
        "a.weight": torch.randn(5, 7, generator=generator),
        "a.bias": torch.randn(5, generator=generator, dtype=torch.float64),
        "count": torch.arange(6).reshape(2, 3).T,
        "every second": torch.randn(4, 6, generator=generator)[1:, ::2],
        "half": torch.randn(3, generator=generator).half(),
        "brain": torch.randn(3, generator=generator).bfloat16(),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "yes": torch.tensor([True, False]),
    }


def saved(content, path, layout):
    torch.save(content, path, _use_new_zipfile_serialization=layout == "zip")
    return path


LAYOUTS = ("zip", "row of pickles")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_are_those_that_torch_reads(tmp_path, layout):
    wanted = state_dict()
    file = read_torch_file(saved(wanted, tmp_path / "state.pt", layout))
    assert file.has_checksums == (layout == "zip")
    assert list(file.content) == list(wanted)
    for name, tensor in wanted.items():
        found = file.content[name].array()
        assert found.shape == tuple(tensor.shape), name
        np.testing.assert_array_equal(found, tensor.float() if name == "brain" else tensor, name)


def attacks(canary):
    """Pickled objects that would make the file `canary`, or worse, and what the refusal must name."""
    touch = f"touch {canary}"
    return {
        "a shell": (Calls(os.system, touch), "system"),
        "a process": (Calls(subprocess.Popen, ["touch", str(canary)]), "Popen"),
        "eval": (Calls(eval, f"open({str(canary)!r}, 'w')"), "eval"),
        "exec": (Calls(exec, f"open({str(canary)!r}, 'w')"), "exec"),
        "open": (Calls(open, str(canary), "w"), "open"),
        "getattr": (Calls(getattr, "text", "upper"), "getattr"),
        "a module": (Calls(__import__, "os"), "__import__"),
        "torch's own loader": (Calls(torch.storage._load_from_bytes, b""), "_load_from_bytes"),
        "torch.hub": (Calls(torch.hub.load, "nobody/nothing", "x"), "torch.hub.load"),
        "what numpy runs": (Calls(np.testing.rundocs, str(canary)), "rundocs"),
    }


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("kind", list(attacks("")))
def test_a_file_that_would_run_something_is_refused_and_nothing_runs(tmp_path, kind, layout):
    canary = tmp_path / "canary"
    attack, name = attacks(canary)[kind]
    content = {"state_dict": state_dict(), "hidden": [attack]}
    with pytest.raises(ForeignModelError, match=name):
        read_torch_file(saved(content, tmp_path / "model.pt", layout))
    assert not canary.exists()


RAW = {  # by hand: instructions that today's pickles do not use
    "INST": b"(S'touch %s'\nios\nsystem\n.",
    "OBJ": b"(cos\nsystem\nS'touch %s'\no.",
    "REDUCE of a string": b"S'os.system'\n(S'touch %s'\ntR.",
    "NEWOBJ_EX": b"\x80\x04cos\nsystem\n(S'touch %s'\nt}\x92.",
    "an extension": b"\x80\x02\x82\x01(S'touch %s'\ntR.",
    "a name in two parts": b"\x80\x04\x8c\x02os\x8c\x06system\x93(S'touch %s'\ntR.",
    "a persistent id as text": b"Ptouch %s\n.",
    "state of a text": b"S'%s'\n}S'a'\nI1\nsb.",
    "state of a name": b"ccollections\nOrderedDict\n}S'touch %s'\nNsb.",
}


@pytest.mark.parametrize("kind", list(RAW))
def test_instructions_by_hand_are_refused_and_nothing_runs(tmp_path, kind):
    canary, path = tmp_path / "canary", tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", RAW[kind] % str(canary).encode())
    with pytest.raises(ForeignModelError):
        read_torch_file(path)
    assert not canary.exists()


def test_a_bit_flip_in_an_archive_is_noticed_or_changes_nothing(tmp_path):
    whole = saved(state_dict(), tmp_path / "whole.pt", "zip").read_bytes()
    wanted = {k: t.array() for k, t in read_torch_file(tmp_path / "whole.pt").content.items()}
    draw, path, noticed = random.Random(0), tmp_path / "flipped.pt", 0
    for _ in range(32):
        data = bytearray(whole)
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        path.write_bytes(data)
        try:
            content = read_torch_file(path).content
        except ForeignModelError:
            noticed += 1
            continue
        assert list(content) == list(wanted)
        for name, array in wanted.items():  # the flip was in what zip pads with, or in a date
            np.testing.assert_array_equal(content[name].array(), array)
    assert noticed > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_file_that_breaks_off_is_refused_in_one_line(tmp_path, layout):
    data = saved(state_dict(), tmp_path / "whole.pt", layout).read_bytes()
    for n in (*np.linspace(1, len(data) - 2, 12).astype(int), len(data) - 1):
        path = tmp_path / "part.pt"
        path.write_bytes(data[:n])
        with pytest.raises(ForeignModelError) as refused:
            read_torch_file(path)
        assert "\n" not in str(refused.value)
        assert "part.pt" in str(refused.value)


def test_a_file_that_breaks_off_in_the_size_of_an_empty_tensor_is_refused(tmp_path):
    path = saved({"empty": torch.zeros(0, 3)}, tmp_path / "part.pt", "row of pickles")
    path.write_bytes(
        path.read_bytes()[:-3]
    )  # the size is eight bytes of zero, whatever is left of it
    with pytest.raises(ForeignModelError, match=r"part\.pt is damaged"):
        read_torch_file(path)


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    storage = next(
        iter(read_torch_file(saved(state_dict(), tmp_path / "s.pt", "zip")).content.values())
    )
    for offset, shape, strides in (
        (0, (36,), (1,)),
        (30, (6,), (1,)),
        (0, (5, 8), (7, 1)),
        (0, (1000, 1000), (0, 0)),
        (0, (2,), (-1,)),
        (-1, (2,), (1,)),
    ):
        with pytest.raises(ValueError, match="tensor"):
            Tensor(storage.storage, offset, shape, strides)


def test_an_archive_of_something_else_is_refused(tmp_path):
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    with pytest.raises(ForeignModelError, match="compressed"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({}))
        archive.writestr("archive/constants.pkl", pickle.dumps(()))
    with pytest.raises(ForeignModelError, match="TorchScript"):
        read_torch_file(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "text")
    with pytest.raises(ForeignModelError, match=r"not one of torch\.save"):
        read_torch_file(path)
    path.write_bytes(b"")
    with pytest.raises(ForeignModelError, match=r"not a file of torch\.save"):
        read_torch_file(path)
    with pytest.raises(ForeignModelError, match="folder"):
        read_torch_file(tmp_path)


def test_a_pickle_of_a_billion_laughs_takes_no_memory(tmp_path):
    """Lists of lists that are named again and again stay as small as the file."""
    lol: list = ["ha"] * 10
    for _ in range(60):
        lol = [lol] * 10
    file = read_torch_file(saved({"lol": lol}, tmp_path / "model.pt", "zip"))
    assert len(file.content["lol"]) == 10


def test_objects_of_allowed_packages_stay_records(tmp_path):
    layer = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.SiLU())
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    path = tmp_path / "layer.pt"
    path.write_bytes(buffer.getvalue())
    content = read_torch_file(path).content
    assert content.kind == "torch.nn.modules.container.Sequential"
    linear, silu = content.state["_modules"].values()
    np.testing.assert_array_equal(
        linear.state["_parameters"]["weight"].array(), layer[0].weight.detach()
    )
    assert silu.class_name == "SiLU"

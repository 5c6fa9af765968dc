"""Files that torch writes, as data: the zip archive of today, and the row of pickles of before torch 1.6."""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from ase_schnet.foreign.pickles import Vocabulary, read_pickle
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.foreign.values import Storage, allows, build, storage_of

#: First pickle of the old layout.
MAGIC = 0x1950A86A20F9469CFC6C
#: Names that other packages give their models.
USUAL_NAMES = ("best_model", "model.pt", "best_model.pth.tar", "best_inference_model")
LARGEST = 4 * 1024**3  # bytes; SchNets are of megabytes


@dataclass(frozen=True, eq=False)
class TorchFile:
    """Hold what a file of torch holds.

    Attributes
    ----------
    path
        The file.
    content
        Plain values, `Record` and `Tensor`.
    sha256
        Of the file.
    has_checksums
        Whether the container has checksums, which were right. If not, damage may go unnoticed.
    """

    path: Path
    content: object
    sha256: str
    has_checksums: bool


def read_torch_file(path: str | Path) -> TorchFile:
    """Read a file of ``torch.save`` without running anything in it.

    Raises
    ------
    ForeignModelError
        If it is damaged, is no such file, or wants a name that no SchNet needs.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    if path.is_dir():
        named = [name for name in USUAL_NAMES if (path / name).is_file()]
        hint = f", {path / named[0]}" if named else " (best_model, model.pt)"
        raise ForeignModelError(f"{path} is a folder: give the file of the model in it{hint}")
    if path.stat().st_size > LARGEST:
        raise ForeignModelError(f"{path} has {path.stat().st_size} bytes: no SchNet is so large")
    data = path.read_bytes()
    is_zip = data[:4] == b"PK\x03\x04"
    try:
        content = _from_zip(str(path), data) if is_zip else _from_row(str(path), data)
    except ForeignModelError:
        raise
    # what zipfile raises for damaged archives, and what `values.py` raises for damaged tensors
    except (
        *(zipfile.BadZipFile, zlib.error, struct.error, NotImplementedError, RuntimeError),
        *(LookupError, ValueError, TypeError, EOFError, OverflowError, AttributeError),
    ) as error:
        raise ForeignModelError(f"{path} is damaged, or not a file of torch: {error}") from None
    return TorchFile(path, content, hashlib.sha256(data).hexdigest(), is_zip)


class _Outside:
    """Hold the storages that a pickle refers to, each once."""

    def __init__(self):
        self.storages: dict[str, Storage] = {}

    def __call__(self, identity: object) -> object:
        found = storage_of(identity)
        if not isinstance(found, Storage):
            return found
        known = self.storages.setdefault(found.key, found)
        if (known.kind, known.size) != (found.kind, found.size):
            raise ValueError(f"storage {found.key} is said to be of two kinds")
        return known


def _from_zip(name: str, data: bytes) -> object:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values()):
            raise ForeignModelError(f"{name} is compressed, which no file of torch is")
        if sum(entry.file_size for entry in entries.values()) > len(data):
            raise ForeignModelError(f"{name} is damaged: its parts are larger than the file")
        pickles = [
            entry for entry in entries if entry.count("/") == 1 and entry.endswith("/data.pkl")
        ]
        if len(pickles) != 1:
            raise ForeignModelError(f"{name} is a zip archive, but not one of torch.save")
        folder = pickles[0].removesuffix("data.pkl")
        if f"{folder}constants.pkl" in entries:
            raise ForeignModelError(
                f"{name} is a TorchScript program (torch.jit.save): give the file that torch.save wrote"
            )
        if (
            archive.read(f"{folder}byteorder") != b"little"
            if f"{folder}byteorder" in entries
            else False
        ):
            raise ForeignModelError(f"{name} was written on a big-endian machine")
        outside = _Outside()
        pickle = io.BytesIO(archive.read(pickles[0]))
        content = read_pickle(pickle, name, Vocabulary(allows, build, outside))
        for key, storage in outside.storages.items():
            storage.fill(archive.read(f"{folder}data/{key}"))  # its CRC is checked
    return content


def _from_row(name: str, data: bytes) -> object:
    """Read the magic number, a version, a description, the object, keys of storages, the storages."""
    file, outside = io.BytesIO(data), _Outside()
    vocabulary = Vocabulary(allows, build, outside)
    if data[:1] != b"\x80" or read_pickle(file, name, vocabulary) != MAGIC:
        raise ForeignModelError(f"{name} is not a file of torch.save")
    read_pickle(file, name, vocabulary)
    described = read_pickle(file, name, vocabulary)
    if not isinstance(described, dict) or not described.get("little_endian", True):
        raise ForeignModelError(f"{name} was written on a big-endian machine")
    content = read_pickle(file, name, vocabulary)
    keys = read_pickle(file, name, vocabulary)
    if not isinstance(keys, list) or set(keys) != set(outside.storages):
        raise ForeignModelError(f"{name} is damaged: it does not list its storages")
    for key in keys:
        storage = outside.storages[key]
        (size,) = struct.unpack("<q", file.read(8))  # raises where the file breaks off
        if size != storage.size:
            raise ForeignModelError(f"{name} is damaged: storage {key} has another size")
        storage.fill(file.read(storage.nbytes))
    return content

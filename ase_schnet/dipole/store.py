"""The dipole or polarizability part of a model directory: one file, `dipole.safetensors`.

The arrays are tensors, everything else is JSON in the file's metadata, and a sha256 covers both, so that
damage of a single bit is noticed. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as dump_safetensors

from ase_schnet.dipole.rpr import RANKS, RotatePredictRotate
from ase_schnet.modelfile import ModelFileError, write_whole

FORMAT = "ase_schnet rotate-predict-rotate"


def part_file(directory: str | Path, quantity: str) -> Path:
    """Where a model directory keeps this quantity."""
    return Path(directory) / f"{quantity}.safetensors"


def save_part(directory: str | Path, part: RotatePredictRotate) -> Path:
    """Write the part into a directory, made if missing, whole or not at all. Returns the file."""
    path = part_file(directory, part.quantity)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays, card = part.arrays(), json.dumps(part.card(), allow_nan=False)
    metadata = {"format": FORMAT, "card": card, "sha256": _digest(arrays, card)}
    write_whole(path, dump_safetensors(arrays, metadata=metadata))
    return path


def load_part(directory: str | Path, quantity: str) -> RotatePredictRotate | None:
    """The part of a model directory; None where it has none.

    Raises
    ------
    ModelFileError : damaged, of a newer format, or not ours.
    """
    path = part_file(directory, quantity)
    if not path.exists():
        return None
    try:
        with safe_open(path, "np") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 no dict
        if metadata.get("format") != FORMAT:
            raise ModelFileError(f"{path} is not an ase_schnet {quantity} model")
        if metadata["sha256"] != _digest(arrays, metadata["card"]):
            raise ModelFileError(f"{path} was damaged or edited after it was written")
        part = RotatePredictRotate.from_parts(arrays, json.loads(metadata["card"]))
    except (SafetensorError, KeyError) as error:
        raise ModelFileError(f"{path} is damaged: {error}") from None
    if part.quantity != quantity:
        raise ModelFileError(f"{path} holds a {part.quantity}")
    return part


def parts_of(directory: str | Path) -> dict[str, RotatePredictRotate]:
    """All parts that a model directory has, by quantity."""
    found = {quantity: load_part(directory, quantity) for quantity in RANKS}
    return {quantity: part for quantity, part in found.items() if part is not None}


def _digest(arrays: dict[str, np.ndarray], card: str) -> str:
    digest = hashlib.sha256(card.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

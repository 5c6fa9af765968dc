"""The dipole or polarizability part of a model directory: one file, `dipole.safetensors`.

The arrays are tensors, everything else is JSON in the metadata of the file, and a sha256 covers both, so that
damage of a single bit is noticed. Nothing in it can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from ase.data import chemical_symbols
from ase.formula import Formula
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as dump_safetensors

from ase_schnet.dipole.labels import misread
from ase_schnet.dipole.rpr import RANKS, RotatePredictRotate
from ase_schnet.model_directories import CARD, ModelFileError
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.runtime.files import write_whole

T = TypeVar("T")
FORMAT = "ase_schnet rotate-predict-rotate"
# Structures near the reference at which two parts are compared, and their random displacement, Å.
COMPARED, MOVED = 50, 0.03


def part_file(directory: str | Path, quantity: str) -> Path:
    """Return the file of a quantity in a model directory."""
    return Path(directory) / f"{quantity}.safetensors"


def save_part(directory: str | Path, part: RotatePredictRotate, *, replace: bool = False) -> Path:
    """Write the part into a directory, whole or not at all.

    Parameters
    ----------
    directory
        The model directory; it is made if missing.
    part
        The model of the quantity.
    replace
        Write without the checks below.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        As `require_place`, and if the directory has a part of this quantity that differs from the new one by
        the ratio of two units.
    CannotWrite
        If the file cannot be written.
    """
    if not replace:
        require_place(directory, part.quantity, part.numbers, part.charge)
        _require_same_unit(directory, part)
    path = part_file(directory, part.quantity)
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays, card = part.arrays(), json.dumps(part.card(), allow_nan=False)
    metadata = {"format": FORMAT, "card": card, "sha256": _digest(arrays, card)}
    write_whole(path, dump_safetensors(arrays, metadata=metadata))
    return path


def load_part(directory: str | Path, quantity: str) -> RotatePredictRotate | None:
    """Return the part of a model directory; None where it has none.

    Raises
    ------
    ModelFileError
        If the file is damaged, of a newer format, or of another program.
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


def load_heads(directory: str | Path) -> dict[str, RotatePredictRotate]:
    """Return all parts of a model directory, by quantity."""
    found = {quantity: load_part(directory, quantity) for quantity in RANKS}
    return {quantity: part for quantity, part in found.items() if part is not None}


def require_place(
    directory: str | Path, quantity: str, numbers: np.ndarray, charge: int = 0
) -> None:
    """Raise ValueError if the potential or the parts of a directory are of another molecule.

    Parameters
    ----------
    directory
        The model directory.
    quantity
        Of the part that is to be written.
    numbers
        Its atomic numbers, (N,). A potential trained on several molecules must know its elements.
    charge
        Its charge, e.
    """
    cure = "choose another directory, or say replace=True"
    formula, this = _formula(numbers), f"this {quantity} is of {_formula(numbers)}"
    if (Path(directory) / CARD).exists():
        potential = _readable(load_model, Path(directory))
        known = ", ".join(potential.symbols)
        if not set(numbers) <= set(potential.elements):
            raise ValueError(f"the potential in {directory} knows {known}; {this}: {cure}")
        single = _only_composition(potential)
        if single is not None and single.reduce()[0] != formula.reduce()[0]:
            raise ValueError(f"the potential in {directory} is of {single}; {this}: {cure}")
        its = potential.card.get("charge", charge)
        if its != charge:
            raise ValueError(
                f"the potential in {directory} is of charge {its:+d}, this {quantity} of charge {charge:+d}: "
                f"{cure}"
            )
    for other, part in _readable(load_heads, directory).items():
        if _formula(part.numbers) != formula:
            raise ValueError(
                f"{part_file(directory, other)} is the {other} of {_formula(part.numbers)}, "
                f"this one is of {formula}: {cure}"
            )


def _readable(read: Callable[[str | Path], T], directory: str | Path) -> T:
    """Return what `read` finds; raise ValueError with the cure for files that cannot be read."""
    try:
        return read(directory)
    except ValueError as error:
        raise ValueError(f"{error}; replace=True writes in spite of it") from None


def _formula(numbers: np.ndarray) -> Formula:
    """Return the formula in the order of Hill."""
    return Formula.from_list([chemical_symbols[z] for z in numbers]).convert("hill")


def _only_composition(potential: TrainedModel) -> Formula | None:
    """Return the one composition that a potential was trained on, up to a factor; None if there are more."""
    # one composition determines one combination of the energies of the species, and leaves the others open
    left_open = potential.card.get("training", {}).get("species_shifts_undetermined")
    numbers = potential.card.get("self_check", {}).get("numbers")
    if numbers is None or left_open != len(potential.elements) - 1:
        return None
    return _formula(numbers)


def _require_same_unit(directory: str | Path, part: RotatePredictRotate) -> None:
    """Raise ValueError if the present part differs from the new one by the ratio of two units."""
    old = load_part(directory, part.quantity)
    if old is None:
        return
    path, replaces = part_file(directory, part.quantity), "replace=True writes over it"
    reference = part.basis.reference
    order = old.order_of(part.numbers, reference)
    if order is None:
        raise ValueError(f"{path} is of atoms {old.symbols} with other bonds: {replaces}")
    moves = np.random.default_rng(0).normal(scale=MOVED, size=(COMPARED, *reference.shape))
    new = part.predict_many(reference + moves).mean(axis=0)
    present = old.predict_many((reference + moves)[:, order]).mean(axis=0)
    found = misread(new, present, part.quantity)
    if found is not None:
        true, read, ratio = found
        raise ValueError(
            f"this {part.quantity} is {ratio:.2f} times that in {path}, as if the labels were in {true} and "
            f"read as {read}: say the units of the data, or, if the present one is wrong, {replaces}"
        )


def _digest(arrays: dict[str, np.ndarray], card: str) -> str:
    digest = hashlib.sha256(card.encode())
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

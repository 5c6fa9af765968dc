"""The model directory: `model.json` (what it is) and `weights.safetensors` (all members, stacked).

    model.json            config, elements, shifts and scales, what it was trained on, provenance, metrics,
                          sha256 of the weights and of itself
    weights.safetensors   every tensor of the network with the members first: (M, ...), float32

Nothing here can run code: JSON and safetensors only, never pickle. Both files carry a sha256, so damage of
a single bit is noticed; a checksum beside the data does not stop a forger, safetensors is what stops code.

Version 2 of the format is written, version 1 (ase_schnet 0.1) is read too. Information may be added as new
fields of the card, which older readers keep. What changes energies must be a new field of ``config`` or a
name in ``requires``: older readers refuse both.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as dump_safetensors

from ase_schnet.model_directories import (
    CARD,
    WEIGHTS,
    ModelFileError,
    check_tensors,
    find_model,
    read_part,
)
from ase_schnet.model_directories import lasting_name as lasting_name
from ase_schnet.model_directories import shipped_models as shipped_models
from ase_schnet.runtime.files import naming, write_whole
from ase_schnet.schnet_config import MAX_ELEMENTS, SchNetConfig
from ase_schnet.trained_model import BASELINE
from ase_schnet.trained_model import UNSPECIFIED as UNSPECIFIED
from ase_schnet.trained_model import TrainedModel as TrainedModel

FORMAT = "ase_schnet model"
FORMAT_VERSION = 2
READABLE_VERSIONS = (1, 2)
WRITTEN_BY_SAVE = ("format", "format_version", "requires", "weights_sha256", "units")


def save_model(directory: str | Path, model: TrainedModel) -> Path:
    """Write the two files, each to a temporary name first, the card last. Return the directory.

    Raises
    ------
    CannotWrite
        If there is no room or no permission; an OSError.
    ValueError
        If the card holds a number that is not finite.
    """
    directory = Path(directory)
    with naming(directory):
        directory.mkdir(parents=True, exist_ok=True)
    weights = dump_safetensors({k: np.ascontiguousarray(v) for k, v in model.weights.items()})
    own = model.trained_on.get(model.level_of_theory) or _counted(model.card)
    own = {**own, "distance_ranges_Ang": model.distance_ranges}
    card = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "requires": [] if model.baseline is None else [BASELINE],
        "sha256": "0" * 64,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "units": {"energy": "eV", "length": "Ang", "forces": "eV/Ang"},
        "config": model.network.to_dict(),
        "n_members": model.n_members,
        "elements": model.symbols,
        "energy_shift_eV": _by_symbol(model.energy_shift, model.elements),
        "scale_eV": model.scale.tolist(),
        "element_scale": _by_symbol(model.element_scale, model.elements),
        "pbc": bool(model.pbc),
        **({} if model.baseline is None else {BASELINE: model.baseline}),
        "level_of_theory": model.level_of_theory,
        "trained_on": {**model.trained_on, model.level_of_theory: own},
        **model.card,
    }
    text = "{\n" + ",\n".join(_entry(k, v) for k, v in card.items()) + "\n}\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    text = text.replace("0" * 64, digest, 1)
    write_whole(directory / WEIGHTS, weights)
    write_whole(directory / CARD, text.encode())
    return directory


def _by_symbol(values: np.ndarray | None, elements: list[int]) -> dict | None:
    if values is None:
        return None
    return {chemical_symbols[z]: values[:, z].tolist() for z in elements}


def _entry(name: str, value) -> str:
    try:
        return f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
    except ValueError:
        text = f"{name} of the model holds a number that is not finite: {value!r:.200}"
        raise ValueError(text) from None


def load_model(name_or_path: str | Path) -> TrainedModel:
    """Read and verify a model directory.

    Every byte is hashed before it is parsed; the weights must be finite float32 tensors of exactly the
    names and shapes that the configuration asks for.

    Raises
    ------
    ModelFileError
        If the name is unknown, a file is missing, damaged or of another program, or the model needs a newer
        ase_schnet.
    """
    directory = find_model(name_or_path)
    path = directory / CARD
    card = _read_card(path)
    data = read_part(directory / WEIGHTS)
    if hashlib.sha256(data).hexdigest() != card["weights_sha256"]:
        other = f"is damaged or belongs to another model: its sha256 is not the one in {CARD}"
        raise ModelFileError(f"{directory / WEIGHTS} {other}")
    try:
        weights = parse_safetensors(data)
    except SafetensorError as error:
        raise ModelFileError(f"{directory / WEIGHTS} is not a safetensors file: {error}") from None
    config, members = _network(path, card.pop("config")), card.pop("n_members")
    shapes = {name: (members, *shape) for name, shape in config.weight_shapes().items()}
    check_tensors(directory / WEIGHTS, weights, shapes)
    try:
        return _model(directory, card, config, members, weights)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelFileError(
            f"{path} is damaged or edited: {type(error).__name__} {error}"
        ) from None


def _model(
    path: Path, card: dict, config: SchNetConfig, members: int, weights: dict
) -> TrainedModel:
    level, trained_on = card.pop("level_of_theory"), card.pop("trained_on")
    factors = card.pop("element_scale")
    return TrainedModel(
        config=config.to_dict(),
        elements=sorted(atomic_numbers[s] for s in card.pop("elements")),
        energy_shift=_of_elements(card.pop("energy_shift_eV"), members, np.zeros),
        scale=np.array(card.pop("scale_eV"), dtype=np.float64),
        weights=weights,
        pbc=card.pop("pbc"),
        distance_ranges=trained_on[level]["distance_ranges_Ang"],
        path=str(path),
        checksum=card.pop("sha256"),
        level_of_theory=level,
        trained_on=trained_on,
        element_scale=None if factors is None else _of_elements(factors, members, np.ones),
        baseline=card.pop(BASELINE, None),
        card={k: v for k, v in card.items() if k not in WRITTEN_BY_SAVE},
    )


def _of_elements(values: dict[str, list[float]], members: int, blank) -> np.ndarray:
    """Return what a card says by symbols as (M, 100) by atomic numbers, where it is silent `blank`."""
    array = blank((members, MAX_ELEMENTS))
    for symbol, each in values.items():
        array[:, atomic_numbers[symbol]] = each
    return array


def _network(path: Path, config: dict) -> SchNetConfig:
    try:
        return SchNetConfig.from_dict(config)
    except (TypeError, ValueError) as error:
        unknown = "has a network that this ase_schnet does not know"
        raise ModelFileError(f"{path} {unknown} ({error}): upgrade ase_schnet") from None


def _read_card(path: Path) -> dict:
    """Return the JSON card as version 2 has it, its format and its own sha256 checked."""
    data = read_part(path)
    try:
        card = json.loads(data)
        digest, version = card["sha256"], card["format_version"]
        ours = card["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{path} is damaged or not an ase_schnet model") from None
    if not ours:
        raise ModelFileError(f"{path} is not an ase_schnet model (format {card['format']!r})")
    blank = data.replace(str(digest).encode(), b"0" * 64, 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise ModelFileError(f"{path} was damaged or edited after it was written (sha256 differs)")
    if version not in READABLE_VERSIONS:
        raise ModelFileError(
            f"{path} has format version {version}, this ase_schnet reads up to version {FORMAT_VERSION}: "
            "upgrade ase_schnet"
        )
    if version == 1:
        return _from_version_1(card)
    if unknown := [str(name) for name in card["requires"] if name != BASELINE]:
        raise ModelFileError(
            f"{path} requires {', '.join(unknown)}, which this ase_schnet does not have: "
            "upgrade ase_schnet"
        )
    return card


def _from_version_1(card: dict) -> dict:
    """Return a card of version 1 as one of version 2: the level of theory was not written then."""
    trained_on = {**_counted(card), "distance_ranges_Ang": card.pop("distance_ranges_Ang")}
    level = {"level_of_theory": UNSPECIFIED, "trained_on": {UNSPECIFIED: trained_on}}
    return {**card, **level, "element_scale": None}


def _counted(card: dict) -> dict:
    n = card.get("training", {}).get("n_structures")
    return {} if n is None else {"n_structures": n}

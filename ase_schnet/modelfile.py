"""The model directory: `model.json` (what it is) and `weights.safetensors` (all members, stacked).

    model.json            config, elements, shifts and scales, sampled distances, provenance, metrics,
                          sha256 of the weights and of itself
    weights.safetensors   every tensor of the network with the members first: (M, ...), float32

Nothing here can run code: JSON and safetensors only, never pickle. Both files carry a sha256, so damage of
a single bit is noticed; a checksum beside the data does not stop a forger, safetensors is what stops code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from safetensors import SafetensorError
from safetensors.numpy import load as parse_safetensors
from safetensors.numpy import save as dump_safetensors

from ase_schnet.bonds import pair_name
from ase_schnet.files import naming, write_whole

FORMAT = "ase_schnet model"
FORMAT_VERSION = 1
CARD, WEIGHTS = "model.json", "weights.safetensors"
MAX_ELEMENTS = 100  # rows of the embedding: atomic numbers 0..99
READOUT_WIDTH = 32  # hidden units between the last features and the atomic energy
_PACKAGE = Path(__file__).resolve().parent
# inside an installed wheel, and at the top of a checkout
SHIPPED_MODELS = (_PACKAGE / "pretrained", _PACKAGE.parent / "models")


class ModelFileError(ValueError):
    """A model directory that is missing, damaged, or not ours."""


@dataclass(frozen=True)
class TrainedModel:
    """An ensemble of M SchNets as plain arrays.

    config : the network's shape (`SchNetConfig.to_dict()`).
    elements : sorted atomic numbers it was trained on.
    energy_shift : (M, 100) eV per atom of each atomic number. scale : (M,) eV.
    weights : name -> (M, ...) float32.
    pbc : trained on periodic structures.
    distance_ranges : pair name ("H-O") -> [[low, high], ...] in Å, the distances seen in training.
    card : everything else worth knowing: training, metrics, calibration, self_check. JSON types.
    path : where it was read from.
    """

    config: dict
    elements: list[int]
    energy_shift: np.ndarray
    scale: np.ndarray
    weights: dict[str, np.ndarray]
    pbc: bool
    distance_ranges: dict[str, list[list[float]]]
    card: dict = field(default_factory=dict)
    path: str = ""
    checksum: str = ""

    @property
    def n_members(self) -> int:
        """M."""
        return len(self.scale)

    @property
    def symbols(self) -> list[str]:
        """Chemical symbols it was trained on."""
        return [chemical_symbols[z] for z in self.elements]

    def require_elements(self, numbers) -> None:
        """Raise ValueError naming the elements among `numbers` that the model was not trained on."""
        odd = sorted({chemical_symbols[z] for z in set(numbers) - set(self.elements)})
        if odd:
            raise ValueError(
                f"model {self.path} was not trained on {', '.join(odd)}; "
                f"it knows {', '.join(self.symbols)}"
            )

    def trained_range(self, symbol_i: str, symbol_j: str, distance: float):
        """The interval (low, high) in Å of sampled i–j distances that holds `distance`, or None."""
        name = pair_name(atomic_numbers[symbol_i], atomic_numbers[symbol_j])
        for low, high in self.distance_ranges.get(name, []):
            if low <= distance <= high:
                return low, high
        return None


def weight_shapes(config: dict) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor of one member; what a model file must hold, and nothing else."""
    basis, filters = config["n_atom_basis"], config["n_filters"]
    shapes: dict[str, tuple[int, ...]] = {"embedding.weight": (MAX_ELEMENTS, basis)}

    def dense(name: str, n_in: int, n_out: int) -> None:
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (n_out, n_in), (n_out,)

    for t in range(config["n_interactions"]):
        dense(f"interactions.{t}.atomwise_in", basis, filters)
        dense(f"interactions.{t}.cfconv.filter_in", config["n_rbf"], filters)
        dense(f"interactions.{t}.cfconv.filter_out", filters, filters)
        dense(f"interactions.{t}.atomwise_mid", filters, basis)
        dense(f"interactions.{t}.atomwise_out", basis, basis)
    dense("readout_in", basis, READOUT_WIDTH)
    dense("readout_out", READOUT_WIDTH, 1)
    return shapes


def save_model(directory: str | Path, model: TrainedModel) -> Path:
    """Write the two files, each to a temporary name first, the card last. Returns the directory.

    Raises CannotWrite, an OSError.
    """
    directory = Path(directory)
    with naming(directory):
        directory.mkdir(parents=True, exist_ok=True)
    weights = dump_safetensors({k: np.ascontiguousarray(v) for k, v in model.weights.items()})
    card = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "sha256": "0" * 64,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "units": {"energy": "eV", "length": "Ang", "forces": "eV/Ang"},
        "config": model.config,
        "n_members": model.n_members,
        "elements": model.symbols,
        "energy_shift_eV": {
            chemical_symbols[z]: model.energy_shift[:, z].tolist() for z in model.elements
        },
        "scale_eV": model.scale.tolist(),
        "pbc": bool(model.pbc),
        "distance_ranges_Ang": model.distance_ranges,
        **model.card,
    }
    text = "{\n" + ",\n".join(_entry(k, v) for k, v in card.items()) + "\n}\n"
    digest = hashlib.sha256(text.encode()).hexdigest()
    text = text.replace("0" * 64, digest, 1)
    write_whole(directory / WEIGHTS, weights)
    write_whole(directory / CARD, text.encode())
    return directory


def _entry(name: str, value) -> str:
    try:
        return f"{json.dumps(name)}: {json.dumps(value, allow_nan=False)}"
    except ValueError:
        raise ValueError(
            f"{name} of the model holds a number that is not finite: {value!r:.200}"
        ) from None


def shipped_models() -> dict[str, Path]:
    """Name -> directory of the models that come with the package."""
    return {
        card.parent.name: card.parent
        for place in reversed(SHIPPED_MODELS)
        for card in sorted(place.glob(f"*/{CARD}"))
    }


def find_model(name_or_path: str | Path) -> Path:
    """The directory of a path, or of a shipped model's name where no model of that name lies here.

    A `Path` is never taken for a name. Raises ModelFileError, naming the shipped models, when there is
    neither.
    """
    shipped, path = shipped_models(), Path(name_or_path)
    if name_or_path in shipped and not (path / CARD).exists():
        return shipped[name_or_path]
    if path.is_dir():
        return path
    known = ", ".join(shipped) or "none"
    raise ModelFileError(
        f"no model {str(name_or_path)!r}: neither a directory nor a shipped model (known: {known})"
    )


def lasting_name(name_or_path: str | Path) -> str:
    """What `find_model` finds the same model by from any directory: a shipped name, or an absolute path.

    Raises ModelFileError as `find_model`.
    """
    directory = find_model(name_or_path)
    if directory == shipped_models().get(name_or_path):
        return name_or_path
    return str(directory.absolute())


def load_model(name_or_path: str | Path) -> TrainedModel:
    """Read and verify a model directory.

    Every byte is hashed before it is parsed; the weights must be finite float32 tensors of exactly the
    names and shapes that the configuration asks for.

    Raises
    ------
    ModelFileError : unknown name, missing or damaged file, newer format version, foreign content.
    """
    directory = find_model(name_or_path)
    card = _read_card(directory / CARD)
    data = _read(directory / WEIGHTS)
    if hashlib.sha256(data).hexdigest() != card["weights_sha256"]:
        raise ModelFileError(
            f"{directory / WEIGHTS} is damaged or belongs to another model: "
            f"its sha256 is not the one in {CARD}"
        )
    try:
        weights = parse_safetensors(data)
    except SafetensorError as error:
        raise ModelFileError(f"{directory / WEIGHTS} is not a safetensors file: {error}") from None
    members = card.pop("n_members")
    _check_weights(directory / WEIGHTS, weights, card["config"], members)
    shift = np.zeros((members, MAX_ELEMENTS))
    elements = sorted(atomic_numbers[s] for s in card.pop("elements"))
    for symbol, values in card.pop("energy_shift_eV").items():
        shift[:, atomic_numbers[symbol]] = values
    return TrainedModel(
        config=card.pop("config"),
        elements=elements,
        energy_shift=shift,
        scale=np.array(card.pop("scale_eV"), dtype=np.float64),
        weights=weights,
        pbc=card.pop("pbc"),
        distance_ranges=card.pop("distance_ranges_Ang"),
        path=str(directory),
        checksum=card.pop("sha256"),
        card={k: v for k, v in card.items() if k not in _WRITTEN_BY_SAVE},
    )


_WRITTEN_BY_SAVE = ("format", "format_version", "weights_sha256", "units")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{path} is missing: not a complete model directory") from None


def _read_card(path: Path) -> dict:
    """The JSON card, its format and its own sha256 checked."""
    data = _read(path)
    try:
        card = json.loads(data)
        digest = card["sha256"]
        version = card["format_version"]
        ours = card["format"] == FORMAT
    except (ValueError, KeyError, TypeError):
        raise ModelFileError(f"{path} is damaged or not an ase_schnet model") from None
    if not ours:
        raise ModelFileError(f"{path} is not an ase_schnet model (format {card['format']!r})")
    blank = data.replace(str(digest).encode(), b"0" * 64, 1)
    if hashlib.sha256(blank).hexdigest() != digest:
        raise ModelFileError(f"{path} was damaged or edited after it was written (sha256 differs)")
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{path} has format version {version}, this ase_schnet reads version {FORMAT_VERSION}: "
            "upgrade ase_schnet"
        )
    return card


def _check_weights(path: Path, weights: dict, config: dict, members: int) -> None:
    expected = {name: (members, *shape) for name, shape in weight_shapes(config).items()}
    if set(weights) != set(expected):
        odd = sorted(set(weights) ^ set(expected))
        raise ModelFileError(f"{path} does not hold the tensors of its configuration: {odd[:3]}")
    for name, tensor in weights.items():
        if tensor.shape != expected[name] or tensor.dtype != np.float32:
            raise ModelFileError(
                f"{path}: {name} is {tensor.dtype} {tensor.shape}, expected float32 {expected[name]}"
            )
        if not np.isfinite(tensor).all():
            raise ModelFileError(f"{path}: {name} holds values that are not finite")

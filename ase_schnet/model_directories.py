"""Where model directories are: a path, or the name of a model that comes with the package."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

CARD, WEIGHTS = "model.json", "weights.safetensors"
_PACKAGE = Path(__file__).resolve().parent
# inside an installed wheel, and at the top of a checkout
SHIPPED_MODELS = (_PACKAGE / "pretrained", _PACKAGE.parent / "models")


class ModelFileError(ValueError):
    """Say that a model directory is missing, damaged, or not of this package."""


def shipped_models() -> dict[str, Path]:
    """Return name -> directory of the models that come with the package."""
    return {
        card.parent.name: card.parent
        for place in reversed(SHIPPED_MODELS)
        for card in sorted(place.glob(f"*/{CARD}"))
    }


def find_model(name_or_path: str | Path) -> Path:
    """Return the directory of a model: a path, or a shipped name where no model of that name lies here.

    A ``Path`` is never taken for a name.

    Raises
    ------
    ModelFileError
        If there is neither; it lists the shipped models.
    """
    shipped, path = shipped_models(), Path(name_or_path)
    if name_or_path in shipped and not (path / CARD).exists():
        return shipped[name_or_path]
    if path.is_dir():
        return path
    if str(name_or_path) in shipped:
        raise ModelFileError(
            f"no directory {str(name_or_path)!r}: a Path is no name of a shipped model, which is a str"
        )
    known = ", ".join(shipped) or "none"
    raise ModelFileError(
        f"no model {str(name_or_path)!r}: neither a directory nor a shipped model (known: {known}); "
        "ase-schnet learn or train makes one"
    )


def lasting_name(name_or_path: str | Path) -> str:
    """Return a name of a model that any process can use: a shipped name, or an absolute path.

    Raises
    ------
    ModelFileError
        As :func:`find_model`.
    """
    directory = find_model(name_or_path)
    if directory == shipped_models().get(name_or_path):
        return str(name_or_path)
    return str(directory.absolute())


class Written(NamedTuple):
    """Hold which model lies on the disk, to be compared: another one after it was written anew.

    Attributes
    ----------
    directory
        Its directory, without links.
    files
        Name, time, size and number of each of its files.
    """

    directory: Path
    files: tuple[tuple[str, int, int, int], ...]


def written(name_or_path: str | Path) -> Written:
    """Return which model lies at a path, or has a name, now; no file is opened.

    Raises
    ------
    ModelFileError
        As :func:`find_model`.
    """
    directory = find_model(name_or_path).resolve()
    found = [
        (path.name, path.stat())
        for path in directory.iterdir()
        if path.suffix in (".json", ".safetensors") and path.exists()
    ]
    files = ((name, s.st_mtime_ns, s.st_size, s.st_ino) for name, s in sorted(found))
    return Written(directory, tuple(files))


def read_part(path: Path) -> bytes:
    """Return the bytes of a file of a model directory. Raise ModelFileError if it is missing."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(_why_incomplete(path)) from None
    except OSError as error:
        raise ModelFileError(f"{path} cannot be read: {error.strerror or error}") from None


def _why_incomplete(path: Path) -> str:
    if any((path.parent / f"{name}.safetensors").exists() for name in ("dipole", "polarizability")):
        return (
            f"{path.parent} holds a dipole or polarizability, but no potential yet: add one with "
            f"ase-schnet train DATA -o {path.parent}"
        )
    if rounds := sorted(path.parent.glob(f"rounds/*/model/{CARD}")):
        return (
            f"{path.parent} holds a learning, which the same ase-schnet learn command continues; the model "
            f"of its last round is {rounds[-1].parent}"
        )
    if (path.parent / "training").is_dir():
        return (
            f"{path.parent} holds an unfinished training, which the command that began it continues with "
            "--resume"
        )
    if (path.parent / "run.json").exists():
        return f"{path.parent} is a run directory, not a model: give the model that the run was made with"
    return f"{path} is missing: not a complete model directory. Give one that ase-schnet learn or train wrote"


def check_tensors(path: Path, tensors: dict, shapes: dict[str, tuple[int, ...]]) -> None:
    """Raise ModelFileError unless these are finite float32 tensors of exactly these names and shapes."""
    if set(tensors) != set(shapes):
        odd = sorted(set(tensors) ^ set(shapes))
        raise ModelFileError(f"{path} does not hold the tensors of its network: {odd[:3]}")
    for name, tensor in tensors.items():
        if tensor.shape != shapes[name] or tensor.dtype != np.float32:
            raise ModelFileError(
                f"{path}: {name} is {tensor.dtype} {tensor.shape}, expected float32 {shapes[name]}"
            )
        if not np.isfinite(tensor).all():
            raise ModelFileError(f"{path}: {name} holds values that are not finite")

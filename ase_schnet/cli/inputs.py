"""What commands start from: a structure file, or a model and a structure, in the order that was asked for."""

from __future__ import annotations

from pathlib import Path


def read_start(path: str, tell: bool = True):
    """Read the structure that a command starts from, and print which frame of a longer file it is."""
    from ase_schnet.structures.single import read_structure

    atoms, remark = read_structure(path)
    if remark and tell:
        print(remark)
    return atoms


def refuse_swapped(model: str, file: str, name: str = "STRUCTURE") -> None:
    """Raise ValueError where a file stands in the place of MODEL, with the right order if that is plain."""
    if not Path(model).is_file():
        return
    if _is_model(file):
        raise ValueError(
            f"MODEL and {name} stand in each other's place: MODEL comes first, so '{file} {model}'"
        )
    raise ValueError(
        f"{model} is a file, and no model: MODEL is the name of a shipped model or a model directory"
    )


def _is_model(name: str) -> bool:
    from ase_schnet.modelfile import ModelFileError, find_model

    try:
        return not Path(name).is_file() and Path(find_model(name)).is_dir()
    except ModelFileError:
        return False

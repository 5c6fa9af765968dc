"""What commands start from: labelled data, or a model and a structure in the order that was asked for."""

from __future__ import annotations

import argparse
from pathlib import Path

from ase_schnet.cli.language import in_options


def add_reading_options(parser) -> None:
    """Options of all commands that read labelled data. parser : or a group of its options."""
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="what stands behind x y z in an xyz file without a header: forces, gradient (its negative is "
        "taken) or 'charge, forces'; comment lines that are numbers are then energies",
    )
    parser.add_argument(
        "--trust-units",
        action="store_true",
        help="read energies that look like those of another unit as what they are said to be",
    )


def reading_options(args: argparse.Namespace) -> dict:
    """Arguments of `read_labelled` by name, those that the command has."""
    names = ("energy_key", "forces_key", "mask_key", "columns", "trust_units")
    return {name: getattr(args, name) for name in names if name in args}


def print_found(found, args: argparse.Namespace) -> None:
    """Print what was found in a file, with options of the command line in place of arguments."""
    print(in_options(str(found), args.parser))


def add_no_pbc(add) -> None:
    """The option that leaves a box out. add : `add_argument` of a parser."""
    text = "leave out the box around a molecule, which is made whole where a face cuts it"
    add("--no-pbc", action="store_true", help=text)


def read_start(path: str, tell: bool = True, no_pbc: bool = False):
    """Read the structure that a command starts from, and print which frame of a longer file it is."""
    from ase_schnet.structures.single import read_structure

    atoms, remark = read_structure(path)
    if remark and tell:
        print(remark)
    return out_of_the_box(atoms, path) if no_pbc else atoms


def out_of_the_box(atoms, name: str):
    """The structure without its box; ValueError that begins with `name` if it is no molecule."""
    from ase_schnet.structures.box import without_box

    try:
        return without_box(atoms)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


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

"""Read the inputs of commands: labelled data, or a model and a structure."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ase_schnet.cli.language import in_options
from ase_schnet.cli.options import refuse_given

if TYPE_CHECKING:
    from ase import Atoms

    from ase_schnet.data.formats import FileSummary


def add_reading_options(parser: argparse._ActionsContainer) -> None:
    """Add the options of all commands that read labelled data, to a parser or a group of its options."""
    parser.add_argument(
        "--columns",
        metavar="NAMES",
        help="names of the columns behind x y z in an xyz file without a header: forces, gradient (its "
        "negative is taken) or 'charge, forces'. Comment lines that are numbers are then energies",
    )
    parser.add_argument(
        "--trust-units",
        action="store_true",
        help="accept the stated units even if the size of the energies looks like another unit",
    )


def add_label_options(parser: argparse._ActionsContainer, option: str | None = None) -> None:
    """Add DATA and the options of commands that hold a model against labelled structures.

    `option` is the help of ``--data``, for a command that can do without; None makes DATA an argument.
    """
    add = parser.add_argument
    if option is None:
        add("data", metavar="DATA", help="labelled structures: a file that ase-schnet train reads")
    else:
        add("--data", metavar="DATA", help=option)
    add("--units", help="units of the file, for example kcal/mol or 'Hartree, Bohr'")
    add("--energy-key", metavar="NAME", help="name of the energies in the file")
    add("--forces-key", metavar="NAME", help="name of the forces in the file")
    text = "extxyz column that is false for atoms whose force is not a label"
    add("--mask-key", metavar="NAME", help=text)
    add_reading_options(parser)
    add_no_pbc(add)


def refuse_without_data(args: argparse.Namespace) -> None:
    """Raise ValueError for options that say how DATA are read, of a command that is given none."""
    if args.data is None:
        units = "data_units" if "data_units" in args else "units"  # then --units mean others
        names = (units, "energy_key", "forces_key", "mask_key", "columns", "trust_units", "no_pbc")
        refuse_given(args, names, "says how --data is read, which is not given")


def read_labels(args: argparse.Namespace) -> list[Atoms]:
    """Read the structures of `add_label_options`, without augmented ones, and print what was found."""
    from ase_schnet.data.formats import read_labelled

    frames, found = read_labelled(args.data, args.units, **reading_options(args))
    print_found(found, args)
    if args.no_pbc:
        frames = [unbox(a, f"{args.data}: frame {k}") for k, a in enumerate(frames)]
    true = [atoms for atoms in frames if "augmented" not in atoms.info]
    if len(true) < len(frames):
        print(
            f"{len(frames) - len(true)} augmented structures are left out: their labels are approximate"
        )
    return true


def add_structure_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of commands that want structures and read data files too, without their labels."""
    group = parser.add_argument_group("how data files are read")
    group.add_argument("--units", help="units of the file, for example 'Hartree, Bohr'")
    add_reading_options(group)


def read_structures(name: str, args: argparse.Namespace) -> list[Atoms]:
    """Read all structures of a file of any kind, or the frame that its name ends in (@K)."""
    from ase_schnet.data.formats import READERS, read_labelled
    from ase_schnet.structures.reading import read_frames, require_angstrom
    from ase_schnet.structures.single import read_structure

    path = Path(name)
    is_data = path.suffix.lower() in READERS or args.units or args.columns or path.is_dir()
    if path.exists() and is_data:
        return read_labelled(path, args.units, **reading_options(args))[0]
    if not path.exists():
        return [read_structure(name).atoms]
    try:
        frames = list(read_frames(path))
        for atoms in frames:
            require_angstrom(atoms)
        return frames
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def state_electrons(atoms: Atoms, name: str, args: argparse.Namespace) -> None:
    """Let a structure of a file state --charge and --multiplicity; ValueError if it states others."""
    from ase_schnet.structures.electrons import signed, stated

    said = stated(atoms.info, atoms.arrays)
    for key in ("charge", "multiplicity"):
        given, there = getattr(args, key), getattr(said, key)
        if given is not None and there is not None and there != given:
            number = signed(there) if key == "charge" else f"{there:g}"
            raise ValueError(f"{name} states {key} {number}: leave --{key} {given} out")
        if given is not None:
            atoms.info[key] = given


def reading_options(args: argparse.Namespace) -> dict:
    """Return the arguments of `read_labelled` that the command has, by name."""
    names = ("energy_key", "forces_key", "mask_key", "columns", "trust_units")
    return {name: getattr(args, name) for name in names if name in args}


def print_found(summary: FileSummary, args: argparse.Namespace) -> None:
    """Print what was found in a file, with options of the command line in place of Python arguments."""
    print(in_options(str(summary), args.parser))


def add_no_pbc(add: Callable) -> None:
    """Add the option that removes a box; `add` is `add_argument` of a parser."""
    text = "remove the periodic box around a molecule; a molecule that a face cuts is made whole"
    add("--no-pbc", action="store_true", help=text)


def read_start(path: str, tell: bool = True, no_pbc: bool = False) -> Atoms:
    """Read the structure that a command starts from, and print which frame of a longer file it is."""
    from ase_schnet.structures.single import read_structure

    atoms, remark = read_structure(path)
    if remark and tell:
        print(remark)
    return unbox(atoms, path) if no_pbc else atoms


def unbox(atoms: Atoms, name: str) -> Atoms:
    """Return the structure without its box; ValueError that begins with `name` if it is not a molecule."""
    from ase_schnet.structures.box import without_box

    try:
        return without_box(atoms)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def refuse_swapped(model: str, file: str, name: str = "STRUCTURE") -> None:
    """Raise ValueError if a file is given as MODEL; the message gives the right order if it is known."""
    if not Path(model).is_file():
        return
    if _is_model(file):
        raise ValueError(
            f"MODEL and {name} are in the wrong order: MODEL comes first, so '{file} {model}'"
        )
    raise ValueError(
        f"{model} is a file, not a model: MODEL is the name of a shipped model or a model directory"
    )


def _is_model(name: str) -> bool:
    from ase_schnet.model_directories import ModelFileError, find_model

    try:
        return not Path(name).is_file() and Path(find_model(name)).is_dir()
    except ModelFileError:
        return False

"""Options that several commands share: model, device, precision, threads, repulsion."""

from __future__ import annotations

import argparse
from collections.abc import Callable

#: Largest seed, which LAMMPS and numpy take, and most processes.
LARGEST_SEED, MOST_PROCESSES = 2**31 - 1, 10_000

Add = Callable[..., argparse.Action]  # ``add_argument`` of a parser, or of a group of its options


def seed(text: str) -> int:
    """Read the value of ``--seed``: a whole number that every random generator takes."""
    return _whole(text, 0, LARGEST_SEED)


def processes(text: str) -> int:
    """Read the value of ``--jobs``: a number of processes, at least 1."""
    return _whole(text, 1, MOST_PROCESSES)


def _whole(text: str, smallest: int, largest: int) -> int:
    try:
        if smallest <= (value := int(text)) <= largest:
            return value
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(
        f"must be a whole number from {smallest} to {largest}, not {text}"
    )


def add_model(add: Add) -> None:
    """Add the argument MODEL."""
    add("model", metavar="MODEL", help="name of a shipped model, or a model directory")


def add_structure(add: Add) -> None:
    """Add the argument STRUCTURE."""
    add("structure", metavar="STRUCTURE", help="structure file in any format that ASE reads")


def add_device(add: Add) -> None:
    """Add the option ``--device``."""
    text = "cpu, cuda, cuda:1 or auto, which takes a GPU if there is one (default: %(default)s)"
    add("--device", default="cpu", help=text)


def add_dtype(add: Add) -> None:
    """Add the option ``--dtype``."""
    text = "floating-point numbers of the network (default: %(default)s)"
    add("--dtype", choices=["float64", "float32"], default="float64", help=text)


def add_threads(add: Add) -> None:
    """Add the option ``--threads``."""
    text = "maximum number of threads; small structures use fewer (default: number of cores)"
    add("--threads", type=int, metavar="N", help=text)


def add_repulsion(add: Add, default: str = "zbl") -> None:
    """Add the option ``--repulsion``."""
    text = (
        "repulsion between atoms that are closer than in the training data: zbl (screened nuclear "
        f"repulsion) or none (default: {default})"
    )
    add("--repulsion", choices=["none", "zbl"], help=text)


def repulsion_of(args: argparse.Namespace) -> str | None:
    """Return the repulsion that was asked for, else that of the run to be resumed, else the default."""
    from ase_schnet.inference.repulsion import DEFAULT_REPULSION
    from ase_schnet.runs.provenance import repulsion_of_run

    if args.repulsion is not None:
        return None if args.repulsion == "none" else args.repulsion
    if getattr(args, "resume", False):
        return repulsion_of_run(args.output, DEFAULT_REPULSION)
    return DEFAULT_REPULSION

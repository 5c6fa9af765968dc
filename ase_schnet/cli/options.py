"""Options that several commands share: model, device, precision, threads, repulsion."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable

from ase_schnet.cli.settings_file import given

LARGEST_SEED = 2**31 - 1  # which numpy, torch, scikit-learn and LAMMPS take

Add = Callable[..., argparse.Action]  # ``add_argument`` of a parser, or of a group of its options


def require_seed(args: argparse.Namespace) -> None:
    """Raise ValueError for a ``--seed`` that a random generator of the command does not take."""
    if not 0 <= getattr(args, "seed", 0) <= LARGEST_SEED:
        raise ValueError(f"--seed must be a whole number from 0 to {LARGEST_SEED}, not {args.seed}")


def refuse_given(args: argparse.Namespace, names: Iterable[str], why: str) -> None:
    """Raise ValueError, which ends in `why`, if options of these names stand on the command line."""
    odd = set(names) & given(args)
    if odd:
        options = (a for a in args.parser._actions if a.dest in odd)
        raise ValueError(f"{', '.join(a.option_strings[-1] for a in options)} {why}")


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
    text = (
        "maximum number of threads; small structures use fewer (default: OMP_NUM_THREADS if it is set, else "
        "all cores)"
    )
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

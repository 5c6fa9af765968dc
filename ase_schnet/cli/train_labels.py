"""What `train` asks and says of the labels before it begins: contradictions, masks, electrons, twins."""

from __future__ import annotations

import argparse


def add_label_options(group) -> None:
    """Options of what the labels are, and of what is to be overlooked. group : of a parser."""
    group.add_argument(
        "--mask-key",
        metavar="NAME",
        help="extxyz column that is false for atoms whose force is no label (default: force_mask; also known "
        "are zero forces of atoms that a column move_mask holds)",
    )
    for name in ("charge", "multiplicity"):
        group.add_argument(
            f"--{name}",
            type=_whole_or_word,
            metavar="N",
            help=f"{name} of the structures, for the card, where the data do not say it (default: neutral "
            "singlet); mixed: several, and none is refused",
        )
    group.add_argument(
        "--allow-contradictions",
        action="store_true",
        help="train in spite of energies, forces and stresses that contradict each other",
    )


def check_labels(frames: list, found, args: argparse.Namespace) -> None:
    """Hold the labels of one file against each other: of two files, one may be right."""
    from ase_schnet.augment.frames import separate
    from ase_schnet.data.contradictions import refuse_contradictions
    from ase_schnet.data.dataset import Dataset

    true, _ = separate(frames)
    if not true:
        return
    dataset = Dataset.from_atoms(true, units=str(found.units))
    if dataset.force_mask is not None:
        print(f"{(~dataset.force_mask).sum()} components of forces are no labels and do not count")
    if not args.allow_contradictions:
        line = refuse_contradictions(dataset, args.forces_weight > 0, str(found.path))
        if line:
            print(line)


def twins_in(dataset):
    """`twins_of` the data set, and a line that counts them, if there are any."""
    from ase_schnet.data.splits import twins_of

    twins = twins_of(dataset)
    again = sum(int(first) != s for s, first in enumerate(twins))
    if again:
        print(
            f"{again} of {len(twins)} structures stand in the data before: kept in one fold with these"
        )
    return twins


def _whole_or_word(text: str) -> int | str:
    return text if text in ("mixed", "lowest") else int(text)


def require_labels(dataset, args: argparse.Namespace, notes: list[str]) -> None:
    """Where labels are missing that the training needs, name those that the files have under other names."""
    needed = {"energy": (dataset.E, args.energy_weight), "forces": (dataset.F, args.forces_weight)}
    for name, (values, weight) in needed.items():
        if values is None and weight != 0 and notes:
            raise ValueError(
                f"no {name} found in the data ({'; '.join(notes)}); --{name}-weight 0 trains without"
            )

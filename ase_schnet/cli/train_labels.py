"""Check the labels before `train` begins: contradictions, masks, electrons, structures that occur twice."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ase_schnet.data.dataset import Dataset
    from ase_schnet.data.formats import FileSummary


def add_label_options(group: argparse._ArgumentGroup) -> None:
    """Add the options that say what the labels are, and which faults to accept."""
    group.add_argument(
        "--mask-key",
        metavar="NAME",
        help="name of an extxyz column that is false for atoms whose force is not a label (default: "
        "force_mask; zero forces on atoms that a column move_mask fixes do not count either)",
    )
    lowest = "; lowest: 1 or 2, by the number of electrons of each structure"
    for name, usual, more in (("charge", "0", ""), ("multiplicity", "the lowest", lowest)):
        group.add_argument(
            f"--{name}",
            type=whole_or_word,
            metavar="N",
            help=f"{name} of the structures, if the data do not state it (default: {usual}). It is "
            f"written into the model's card. mixed: accept several{more}",
        )
    group.add_argument(
        "--allow-contradictions",
        action="store_true",
        help="train even if energies, forces and stresses contradict each other",
    )


class Places:
    """Find the file and the frame that a structure came from.

    Parameters
    ----------
    everything
        Data set of all files, with augmented structures.
    paths, summaries
        Files in the order of reading.
    """

    def __init__(self, everything: Dataset, paths: Sequence[str], summaries: Sequence[FileSummary]):
        import numpy as np

        from ase_schnet.data.augmented import true_structures

        self._everything = everything
        self._paths = paths
        self._first = np.cumsum([0, *(summary.n_frames for summary in summaries)])
        self._true = true_structures(everything)
        self._file = np.searchsorted(self._first, self._true, side="right") - 1

    def name(self, structure: int) -> str:
        """Return the file and the frame of a structure, by its number among those not augmented."""
        file = self._file[structure]
        return f"{self._paths[file]}, frame {self._true[structure] - self._first[file]}"

    def true_structures_of(self, file: int) -> Dataset | None:
        """Return the structures of a file that are not augmented; None if there are none."""
        chosen = self._true[self._file == file]
        if len(chosen) == len(self._everything):
            return self._everything
        return self._everything.subset(chosen) if len(chosen) else None


def check_labels(dataset: Dataset | None, summary: FileSummary, args: argparse.Namespace) -> None:
    """Check the labels of one file against each other. Each file alone, because another may be right."""
    from dataclasses import replace

    from ase_schnet.data.contradictions import refuse_contradictions

    if dataset is None:
        return
    dataset = replace(dataset, units=str(summary.units))
    if dataset.force_mask is not None and not dataset.force_mask.all():
        print(f"{(~dataset.force_mask).sum()} force components are not labels and do not count")
    if not args.allow_contradictions:
        line = refuse_contradictions(dataset, args.forces_weight > 0, str(summary.path))
        if line:
            print(line)


def count_twins(dataset: Dataset) -> NDArray:
    """Return `twins_of` the data set, and print how many structures occur more than once."""
    from ase_schnet.data.splits import twins_of

    twins = twins_of(dataset)
    again = sum(int(first) != s for s, first in enumerate(twins))
    if again:
        print(f"{again} of {len(twins)} structures are copies of others: all copies go to one fold")
    return twins


def whole_or_word(text: str) -> int | str:
    """Return a charge or multiplicity: a whole number, "mixed" or "lowest"."""
    try:
        return text if text in ("mixed", "lowest") else int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number, mixed or lowest"
        ) from None


def require_labels(dataset: Dataset, args: argparse.Namespace, notes: list[str]) -> None:
    """Raise ValueError for missing labels that the training needs, with labels that have other names.

    Parameters
    ----------
    dataset
        What was read.
    args
        With the weights of the loss.
    notes
        What the files hold and was not used. Without notes nothing is raised here.
    """
    needed = {"energy": (dataset.E, args.energy_weight), "forces": (dataset.F, args.forces_weight)}
    for name, (values, weight) in needed.items():
        if values is None and weight != 0 and notes:
            raise ValueError(
                f"no {name} found in the data ({'; '.join(notes)}); --{name}-weight 0 trains without"
            )

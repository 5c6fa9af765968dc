"""Add displaced structures to labelled data: ``ase-schnet augment DATA HOW -o DATA2``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.inputs import add_reading_options, print_found, reading_options
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from ase_schnet.augment.springs import Springs
    from ase_schnet.data.dataset import Dataset

HELP = "Add displaced structures to training data, with labels from springs or from a cheap method."
EXAMPLE = """\
examples:
  ase-schnet augment rmd17_ethanol_train_01.npz "first-order, temperature=500, epsilon=0.2" -o more.extxyz
  ase-schnet augment rmd17_ethanol_train_01.npz "delta, stretch, ensemble=ethanol, weight=0.1" -o more.extxyz
  ase-schnet augment rmd17_ethanol_train_01.npz "literal, temperature=500" --figure springs.png -o more.extxyz

HOW begins with the rule of the labels: literal, weighted or first-order (three ways to use springs that are
fitted to the data), or delta (the energy change that GFN2-xTB computes; needs tblite).
Settings may follow, separated by commas:
  n=200              number of new structures
  atoms=3            number of atoms that move in each
  epsilon=0.5        largest displacement, Å
  weight=1           weight of the new structures in the loss
  seed=0             seed of the random numbers
  temperature=T      temperature in K of the run that made the data; needed if the frames have no momenta
  stretch            stretch bonds instead of moving atoms at random
  ensemble=MODEL     with stretch: choose the structures on which the members of MODEL disagree most
The file holds all structures, old and new. A training uses the new ones together with their originals and
never validates on them. To make them from the training part of each fold, use train --augment instead.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    text = "labelled structures: a file that ase-schnet train reads"
    parser.add_argument("data", metavar="DATA", help=text)
    parser.add_argument("how", metavar="HOW", help="rule of the labels and settings, see below")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DATA2", help="extxyz file to write"
    )
    parser.add_argument(
        "--units", help="units of the file, for example kcal/mol or 'Hartree, Bohr'"
    )
    parser.add_argument("--energy-key", metavar="NAME", help="name of the energies in the file")
    parser.add_argument("--forces-key", metavar="NAME", help="name of the forces in the file")
    add_reading_options(parser)
    parser.add_argument(
        "--figure",
        metavar="PLOT",
        help="picture to draw: histograms of the distances, with the fitted Gaussians",
    )
    add_save_data(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    """Read, augment, write, and print what was added."""
    from pathlib import Path

    import numpy as np
    from ase.io import write

    from ase_schnet.augment.frames import with_originals
    from ase_schnet.augment.settings import read_augmentation
    from ase_schnet.calculator import SchNetCalculator
    from ase_schnet.data.dataset import Dataset
    from ase_schnet.data.formats import read_labelled
    from ase_schnet.runtime.files import replaced

    if Path(args.output).suffix not in (".extxyz", ".xyz"):
        raise ValueError(
            f"{args.output}: only extxyz files can mark augmented structures: end the name in .extxyz"
        )
    if Path(args.output).exists():
        raise ValueError(f"{args.output} exists already; choose another name")
    check_outputs(files=[args.output], plots=[args.figure], numbers=args.save_data)
    frames, found = read_labelled(args.data, args.units, **reading_options(args))
    print_found(found, args)
    if any("augmented" in atoms.info for atoms in frames):
        raise ValueError(
            f"{args.data} holds augmented structures already: give the file that it was made from"
        )
    how = read_augmentation(_with_temperature(args.how, args.data), SchNetCalculator)
    dataset = Dataset.from_atoms(frames, source=found.path.name)
    springs = how.springs(dataset)
    if springs is not None:
        print(springs.table())
    if args.figure:
        _draw(dataset, springs, args)
    augmented = how.frames(dataset, springs)
    parents = [atoms.info["augmented_from"] for atoms in augmented]
    change = np.array([a.get_potential_energy() for a in augmented]) - dataset.E[parents]
    with replaced(args.output) as there:
        write(there, with_originals(frames, augmented, found.path.stem), format="extxyz")
    print(
        f"{len(augmented)} structures added by the {how.rule} rule, weight {how.weight:g}; energy change "
        f"{change.min():.3f} to {change.max():.3f} eV, mean {change.mean():.3f} eV\nwritten: {args.output}"
    )
    return 0


def _with_temperature(how: str, path: str) -> str:
    """Add the temperature of the file's momenta to the settings, if they need one and name none."""
    from pathlib import Path

    from ase_schnet.augment.settings import SPRING_RULES
    from ase_schnet.augment.springs import temperature_of
    from ase_schnet.data.formats import READERS
    from ase_schnet.structures.reading import read_frames

    if how.split(",")[0].strip() not in SPRING_RULES or "temperature" in how:
        return how
    has_momenta = Path(path).is_file() and Path(path).suffix.lower() not in READERS
    frames = list(read_frames(path)) if has_momenta else []
    kelvin = temperature_of(frames)
    if kelvin is None:
        raise ValueError(
            f"{path} has no momenta, so its temperature is unknown: add, for example, temperature=500"
        )
    print(f"temperature of the momenta: {kelvin:.0f} K")
    return f"{how}, temperature={kelvin!r}"


def _draw(dataset: Dataset, springs: Springs | None, args: argparse.Namespace) -> None:
    from ase_schnet.augment.springs import pair_distances
    from ase_schnet.plotting import plot_springs

    if springs is None:
        raise ValueError("--figure draws springs, and this rule has no springs: leave it out")
    figure = plot_springs(pair_distances(dataset), springs.pairs)
    print(*draw(figure, args.figure, args, "figure"), sep="\n")

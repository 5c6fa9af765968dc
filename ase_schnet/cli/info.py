"""Print the card of a model: ``ase-schnet info MODEL``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.options import add_model
from ase_schnet.cli.outputs import check_outputs
from ase_schnet.cli.pictures import add_save_data, draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ase_schnet.modelfile import TrainedModel
    from ase_schnet.schnet_config import SchNetConfig

HELP = "Print the card of a model: what it is for, how it was trained, how accurate it is."
EXAMPLE = """\
examples:
  ase-schnet info ethanol
  ase-schnet info ethanol --picture elements.png

The picture shows how alike the elements are to the network before it has seen a neighbour: the cosine of the
angle between their embeddings, mean and std of the members. What it is by chance stands beside it: networks
trained on a few elements need not learn any likeness.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    parser.epilog = EXAMPLE
    add_model(parser.add_argument)
    text = "file for a picture of how alike the elements are to the network (.png, .pdf, .svg)"
    parser.add_argument("--picture", metavar="FILE", help=text)
    add_save_data(parser.add_argument)


def run(args: argparse.Namespace) -> int:
    """Read the card and print it; return the exit code."""
    from ase_schnet.dipole.frame import FRAMES
    from ase_schnet.dipole.rpr import UNITS
    from ase_schnet.dipole.store import load_heads
    from ase_schnet.inference.repulsion import onsets
    from ase_schnet.modelfile import load_model
    from ase_schnet.training.description import electrons_of, level_lines, origin_lines
    from ase_schnet.training.report import training_summary

    check_outputs(plots=[args.picture], numbers=args.save_data)
    model = load_model(args.model)
    # what it refuses is said before all else is printed
    picture = None if args.picture is None else _draw_elements(model)
    config = model.config
    print(f"model       {model.path} (sha256 {model.checksum[:12]}…)")
    pairs = ", two of each that was trained" if "paired_members" in model.card else ""
    print(f"members     {model.n_members}{pairs}")
    print(
        f"network     SchNet, {config['n_interactions']} interactions × "
        f"{config['n_atom_basis']} features, {config['n_rbf']} Gaussians, "
        f"cutoff {config['cutoff']:g} Å ({config['envelope']} envelope){_how_trained(model.network)}"
    )
    print(
        f"elements    {', '.join(model.symbols)}; {'periodic' if model.pbc else 'molecules only'}"
    )
    print(f"electrons   {electrons_of(model.card)}")
    for line in level_lines(model):
        print(line)
    begins = ", ".join(f"{pair} {distance:.2f}" for pair, distance in onsets(model).items())
    print(f"repulsion   below {begins} Å; repulsion=None (--repulsion none) switches it off")
    if "tables" in model.card:
        off = model.card["tables"]
        print(
            f"tables      within {off['forces_max_difference_eV_per_Ang']:.0e} eV/Å, "
            f"{off['energy_max_difference_eV']:.0e} eV of the network ({off['n_structures']} structures)"
        )
    for quantity, part in load_heads(model.path).items():
        record = part.training
        print(
            f"{quantity:<12}{part.n_members} members, {record['n_structures']} structures of "
            f"{record['data']}; held-out folds: MAE {record['held_out_MAE_per_component']:.2g} "
            f"{UNITS[quantity]} per component; {FRAMES[part.basis.frame]}; atoms in the order {part.symbols}"
        )
    for line in origin_lines(model.card):
        print(line)
    print()
    print(training_summary(model))
    if picture is not None:
        print(*draw(picture, args.picture, args, "picture"), sep="\n")
    return 0


def _how_trained(network: SchNetConfig) -> str:
    """Describe what the network has beyond its size, if it has."""
    trained = "; Gaussians trained" * network.trainable_gaussians
    return trained + f"; trained with dropout {network.dropout:g}" * (network.dropout > 0)


def _draw_elements(model: TrainedModel) -> Figure:
    """Return the picture of the similarity of the elements."""
    from ase_schnet.inference.atomic_energies import element_similarity
    from ase_schnet.plotting import plot_element_similarity

    return plot_element_similarity(element_similarity(model))

"""Print the card of a model: ``ase-schnet info MODEL``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ase_schnet.cli.options import add_model
from ase_schnet.cli.outputs import check_outputs

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


def run(args: argparse.Namespace) -> int:
    """Read the card and print it; return the exit code."""
    from ase_schnet.dipole.frame import FRAMES
    from ase_schnet.dipole.rpr import UNITS
    from ase_schnet.dipole.store import load_heads
    from ase_schnet.inference.repulsion import onsets
    from ase_schnet.modelfile import load_model
    from ase_schnet.training.report import training_summary

    check_outputs(plots=[args.picture])
    model = load_model(args.model)
    picture = (
        None if args.picture is None else _draw_elements(model)
    )  # refused before all else is printed
    config = model.config
    print(f"model       {model.path} (sha256 {model.checksum[:12]}…)")
    print(f"members     {model.n_members}")
    print(
        f"network     SchNet, {config['n_interactions']} interactions × "
        f"{config['n_atom_basis']} features, {config['n_rbf']} Gaussians, "
        f"cutoff {config['cutoff']:g} Å ({config['envelope']} envelope){_how_trained(model.network)}"
    )
    print(
        f"elements    {', '.join(model.symbols)}; {'periodic' if model.pbc else 'molecules only'}"
    )
    print(f"electrons   {_electrons(model.card)}")
    for line in _levels(model):
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
    for line in _origin(model.card):
        print(line)
    print()
    print(training_summary(model))
    if picture is not None:
        from ase_schnet.plotting import save_figure

        print(f"picture: {save_figure(picture, args.picture)}")
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


def _levels(model: TrainedModel) -> list[str]:
    """Describe whose energies the model predicts, and which distances rest on which method."""
    lines = [f"level       {model.level_of_theory}"]
    if model.baseline is not None:
        lines.append(f"difference  to {model.baseline}, which DeltaCalculator adds at every step")
    lines.append(f"distances   {_ranges(model.distance_ranges)}")
    for level, known in model.trained_on.items():
        if level != model.level_of_theory:
            n = f"{known['n_structures']} structures; " if "n_structures" in known else ""
            lines.append(f"also from   {level}: {n}{_ranges(known['distance_ranges_Ang'])}")
    if pieces := sorted(model.known_pieces):
        cutoff = f"{model.config['cutoff']:g} Å"
        lines.append(f"alone       farther than {cutoff} from all other atoms: {', '.join(pieces)}")
    if start := model.card.get("training", {}).get("start"):
        frozen = f"; frozen: {', '.join(start['freeze'])}" if start["freeze"] else ""
        lines.append(f"started     from the weights of {start['model']}{frozen}")
    return lines


def _ranges(ranges: dict[str, list[list[float]]]) -> str:
    """Return the distances of every pair of elements as text."""
    if not ranges:
        return "of its training not known"
    each = (
        f"{pair} " + ", ".join(f"{low:.2f}-{high:.2f}" for low, high in intervals)
        for pair, intervals in ranges.items()
    )
    return f"{'; '.join(each)} Å"


def _electrons(card: dict) -> str:
    """Describe the charge and multiplicity of the structures that the model is for."""
    if "charge" not in card:
        return "not in the card: taken as neutral, in the lowest multiplicity"
    return f"charge {card['charge']}, multiplicity {card['multiplicity']}"


def _origin(card: dict) -> list[str]:
    """Describe data, loss weights and command, or which file it was converted from, if the card has them."""
    training = card.get("training")
    if "converted" in card:
        from ase_schnet.foreign.words import origin_lines

        return origin_lines(card["converted"])
    if not training:
        return ["trained     unknown: the card has no record of a training"]
    loss = training["loss"]
    weights = ", ".join(
        f"{name} {loss[name]:g}" for name in ("energy", "forces", "stress") if name in loss
    )
    return [
        f"data        {training['source']}, {training['n_structures']} structures, in "
        f"{training['units_in_source']}",
        f"loss        {loss['kind']}; weights {weights}",
        f"trained     {training['finished']}; {training.get('command', 'from Python')}",
    ]

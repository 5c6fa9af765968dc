"""SchNets of NeuralForceField: ``best_model`` or ``state_dict``.

``nff.nn.models.schnet.SchNet``. No cutoff function; Gaussians of each block, mostly trained; the hidden layer
of a filter is as wide as there are Gaussians. Energies are in kcal/mol, as the package's own calculator takes
them.
"""

from __future__ import annotations

from dataclasses import replace

from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.functions import activation, require_softplus
from ase_schnet.foreign.hints import ConversionHints
from ase_schnet.foreign.network import Block, Dense, ForeignNetwork
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.units import FileUnits

READOUT = "atomwisereadout.readout."


def recognises(contents: Contents) -> bool:
    """Return whether a file is of NeuralForceField."""
    return "atom_embed.weight" in contents or contents.class_name.startswith("nff.")


def read(contents: Contents, hints: ConversionHints) -> ForeignNetwork:
    """Return the network of a file of NeuralForceField.

    Its messages run along each pair of the list both ways. A list that has a pair twice, as its tutorials
    make them, counts every message twice.
    """
    if contents.class_name and contents.modules[""].class_name != "SchNet":
        kind = contents.modules[""].class_name
        raise ForeignModelError(f"{contents.path} is a {kind} of nff: only SchNet can be converted")
    if hints.cutoff is None:
        raise ForeignModelError(
            f"{contents.path} does not say its cutoff: say cutoff=5.0, or what its pairs were listed with"
        )
    if hints.pair_list is None:
        raise ForeignModelError(
            f"{contents.path} does not say whether its training listed each pair once or twice: say "
            "pair_list='once' or 'twice' (directed lists, as in the tutorials), or give labelled structures, "
            "which tell"
        )
    n = contents.count("convolutions.")
    blocks = [_block(contents, f"convolutions.{t}.moduledict.") for t in range(n)]
    if hints.pair_list == "twice":
        blocks = [replace(block, filter_out=_doubled(block.filter_out)) for block in blocks]
    readout, kind = _readout(contents)
    network = ForeignNetwork(
        origin="NeuralForceField",
        embedding=contents.array("atom_embed.weight"),
        blocks=tuple(blocks),
        readout=readout,
        cutoff=hints.cutoff,
        envelope="none",
        readout_activation=kind,
        units=FileUnits("kcal/mol", "Ang"),
        has_pair_list=True,
        remarks=(f"each pair of the training's lists counts {hints.pair_list}",),
    )
    contents.require_all_used()
    return network


def _doubled(layer: Dense) -> Dense:
    return Dense(2.0 * layer.weight, 2.0 * layer.bias)


def _block(contents: Contents, name: str) -> Block:
    edges, update = f"{name}message_edge_filter.", f"{name}update_function."
    if contents.attribute(f"{edges}0", "centered", False):
        raise ForeignModelError(
            f"{contents.path} has centred Gaussians, which our networks do not have"
        )
    for place in (f"{edges}2", f"{update}1"):
        if place in contents.modules:
            require_softplus(contents.path, contents.modules[place].class_name)
    return Block(
        into=contents.dense(f"{name}message_node_filter"),
        filter_in=contents.dense(f"{edges}1"),
        filter_out=contents.dense(f"{edges}3"),
        mid=contents.dense(f"{update}0"),
        out=contents.dense(f"{update}2"),
        centres=contents.array(f"{edges}0.offsets"),
        widths=contents.array(f"{edges}0.width"),
    )


def _readout(contents: Contents) -> tuple[tuple[Dense, ...], str]:
    """Return the layers of the energy, and their activation."""
    names = {name.removeprefix(READOUT) for name in contents.tensors if name.startswith(READOUT)}
    keys = sorted({name.split(".")[0] for name in names})
    if len(keys) != 1:
        raise ForeignModelError(
            f"{contents.path} predicts {', '.join(keys) or 'nothing'}: a model of one energy can be converted"
        )
    parts = sorted(
        {name.split(".")[1] for name in names}, key=lambda part: int(part.strip("linear_"))
    )
    layers = tuple(contents.dense(f"{READOUT}{keys[0]}.{part}") for part in parts)
    kinds = {
        activation(contents.path, module.class_name)
        for name, module in contents.modules.items()
        if name.startswith(f"{READOUT}{keys[0]}.")
        and module.class_name not in ("Linear", "Dense", "Dropout")
    }
    if len(kinds) > 1:
        raise ForeignModelError(f"{contents.path} has several activations in its readout")
    return layers, kinds.pop() if kinds else "ssp"

"""SchNets of PyTorch Geometric: ``state_dict`` or module; also those of fast-finetuned-forcefields.

``torch_geometric.nn.SchNet``. Cosine cutoff; the energy of an atom is y · std + mean + atomref, of which a
``state_dict`` has only the last.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.functions import require_softplus
from ase_schnet.foreign.hints import ConversionHints
from ase_schnet.foreign.network import Block, ForeignNetwork
from ase_schnet.foreign.records import ForeignModelError

EMBEDDINGS = ("embedding.weight", "atom_embedding.weight")
EXPANSIONS = ("distance_expansion.offset", "basis_expansion.offset")
NEIGHBOURS = (
    "this network looks at no more than 32 neighbours of an atom unless told otherwise (max_num_neighbors); "
    "here all within the cutoff count, so atoms with more neighbours get other energies"
)


def recognises(contents: Contents) -> bool:
    """Return whether a file is of PyTorch Geometric."""
    return any(name in contents for name in EXPANSIONS)


def read(contents: Contents, hints: ConversionHints) -> ForeignNetwork:
    """Return the network of a file of PyTorch Geometric."""
    if contents.attribute("", "dipole", False) or "atomic_mass" in contents:
        raise ForeignModelError(f"{contents.path} predicts a dipole moment, not an energy")
    _require_sum(contents)
    embedding = next((name for name in EMBEDDINGS if name in contents), EMBEDDINGS[0])
    expansion = next(name for name in EXPANSIONS if name in contents)
    centres = contents.array(expansion)
    cutoff = contents.attribute("", "cutoff", hints.cutoff)
    if cutoff is None:
        cutoff = float(centres[-1])
    n = contents.count("interactions.")
    scale, shift, remarks = _scale_and_shift(contents, hints)
    network = ForeignNetwork(
        origin="PyTorch Geometric" if "distance" in expansion else "fast-finetuned-forcefields",
        embedding=contents.array(embedding),
        blocks=tuple(_block(contents, t, centres) for t in range(n)),
        readout=(contents.dense("lin1"), contents.dense("lin2")),
        cutoff=float(cutoff),
        envelope="cosine",
        scale=scale,
        shift=shift,
        remarks=(*remarks, NEIGHBOURS),
    )
    again = (f"interactions.{t}.conv.nn." for t in range(n))
    contents.require_all_used((*again, "initial_atomref"))
    return network


def _require_sum(contents: Contents) -> None:
    readout = contents.attribute("", "readout", "add")
    name = contents.function("", "readout") or str(readout)
    if name not in ("add", "sum", "SumAggregation"):
        raise ForeignModelError(
            f"{contents.path} has the readout {name}: an energy is a sum over atoms, so only 'add' can be "
            "converted"
        )


def _block(contents: Contents, t: int, centres: NDArray) -> Block:
    name = f"interactions.{t}."
    for place in (f"{name}mlp.1", f"{name}act", "act"):
        if place in contents.modules:
            require_softplus(contents.path, contents.modules[place].class_name)
    # float32, as the package takes the difference
    width = np.float32(centres[1]) - np.float32(centres[0])
    return Block(
        into=contents.dense(f"{name}conv.lin1"),
        filter_in=contents.dense(f"{name}mlp.0"),
        filter_out=contents.dense(f"{name}mlp.2"),
        mid=contents.dense(f"{name}conv.lin2"),
        out=contents.dense(f"{name}lin"),
        centres=centres,
        widths=np.full(len(centres), float(width)),
    )


def _scale_and_shift(
    contents: Contents, hints: ConversionHints
) -> tuple[float, NDArray, tuple[str, ...]]:
    """Return factor on and addition to atomic energies, the latter by atomic number."""
    atomref = (
        contents.array("atomref.weight")[:, 0] if "atomref.weight" in contents else np.zeros(1)
    )
    if contents.modules:
        std, mean = (_number(contents, name) for name in ("std", "mean"))
        whole = _number(contents, "scale")
        factor = 1.0 if whole is None else whole
        if std is None or mean is None:
            std, mean = 1.0, 0.0
        return factor * std, factor * (atomref + mean), ()
    if hints.scale is None and hints.shift is None:
        text = "std 1 and mean 0 are taken: a state_dict does not say those of the module (scale=, shift=)"
        return 1.0, atomref, (text,)
    scale = 1.0 if hints.scale is None else hints.scale
    return scale, atomref + (0.0 if hints.shift is None else hints.shift), ()


def _number(contents: Contents, name: str) -> float | None:
    value = contents.attribute("", name)
    if value is None or isinstance(value, (int, float)):
        return value
    raise ForeignModelError(f"{contents.path} has {name} = {value!r:.60}, which is no number")

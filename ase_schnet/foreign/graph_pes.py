"""SchNets of graph-pes: ``model.pt``, alone or in a sum with energies of single atoms.

``graph_pes.models.SchNet``. No cutoff function; centres and width of the Gaussians are trained in each block;
atomic energies are multiplied by a factor of their element. eV and Å.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.functions import require_softplus
from ase_schnet.foreign.hints import ConversionHints
from ase_schnet.foreign.network import Block, Dense, ForeignNetwork
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.schnet_config import MAX_ELEMENTS
from ase_schnet.units import FileUnits

EMBEDDING = "chemical_embedding._embeddings"
OFFSETS = ("FixedOffset", "LearnableOffset", "EnergyOffset")


def recognises(contents: Contents) -> bool:
    """Return whether a file is of graph-pes."""
    return contents.class_name.startswith("graph_pes.") or any(
        name.endswith(EMBEDDING) for name in contents.tensors
    )


def read(contents: Contents, hints: ConversionHints) -> ForeignNetwork:
    """Return the network of a file of graph-pes."""
    inside, shift = _parts(contents)
    n = contents.count(f"{inside}interactions.")
    root = inside.rstrip(".")
    for name, module in contents.modules.items():
        if name.startswith(inside) and name.endswith(".activation"):
            require_softplus(contents.path, module.class_name)
    network = ForeignNetwork(
        origin=f"graph-pes {_version(contents, root)}".rstrip(),
        embedding=contents.array(f"{inside}{EMBEDDING}"),
        blocks=tuple(_block(contents, f"{inside}interactions.{t}.") for t in range(n)),
        readout=_layers(contents, f"{inside}read_out."),
        cutoff=contents.number(f"{inside}cutoff"),
        envelope="none",
        shift=shift,
        element_scale=contents.array(f"{inside}scaler.per_element_scaling").ravel(),
        elements=_elements(contents, inside),
        units=FileUnits("eV", "Ang"),
    )
    own = (
        *("cutoff", "three_body_cutoff", "_GRAPH_PES_VERSION", "_all_models_same_properties"),
        *("_has_been_pre_fit", "_pre_specified_Zs"),
    )
    contents.require_all_used(name for name in contents.tensors if name.rpartition(".")[2] in own)
    return network


def _parts(contents: Contents) -> tuple[str, NDArray | float]:
    """Return the beginning of the SchNet's names, and what single atoms add, by atomic number."""
    if EMBEDDING in contents:
        return "", 0.0
    if not contents.modules:
        inside = next(name for name in contents.tensors if name.endswith(EMBEDDING))
        return inside.removesuffix(EMBEDDING), _sum_of_offsets(contents)
    kind = contents.modules[""].class_name
    if kind != "AdditionModel":
        raise ForeignModelError(
            f"{contents.path} is a {kind} of graph-pes: only SchNet is converted"
        )
    found = []
    for name, module in contents.modules.items():
        if name.startswith("models.") and name.count(".") == 1:
            if module.class_name == "SchNet":
                found.append(f"{name}.")
            elif module.class_name not in OFFSETS:
                raise ForeignModelError(
                    f"{contents.path} is a sum with a {module.class_name}: only SchNet and energies of "
                    "single atoms can be converted"
                )
    if len(found) != 1:
        raise ForeignModelError(
            f"{contents.path} is a sum of {len(found)} SchNets: one can be converted"
        )
    return found[0], _sum_of_offsets(contents)


def _sum_of_offsets(contents: Contents) -> NDArray | float:
    names = [name for name in contents.tensors if name.endswith("._offsets")]
    return sum((contents.array(name).ravel() for name in names), start=np.zeros(1))


def _block(contents: Contents, name: str) -> Block:
    expansion = f"{name}cfconv.filter_generator.0."
    coefficient = contents.number(f"{expansion}coef")  # −1/2σ²
    centres = contents.array(f"{expansion}centers")
    if coefficient >= 0:
        raise ForeignModelError(f"{contents.path}: {expansion}coef is {coefficient}, not negative")
    filter_in, filter_out = _layers(contents, f"{name}cfconv.filter_generator.1.")
    mid, out = _layers(contents, f"{name}mlp.")
    return Block(
        into=contents.dense(f"{name}linear"),
        filter_in=filter_in,
        filter_out=filter_out,
        mid=mid,
        out=out,
        centres=centres,
        widths=np.full(len(centres), np.sqrt(-0.5 / coefficient)),
    )


def _layers(contents: Contents, name: str) -> tuple[Dense, ...]:
    before = f"{name}linear_layers."
    return tuple(contents.dense(f"{before}{k}") for k in range(contents.count(before)))


def _elements(contents: Contents, inside: str) -> tuple[int, ...] | None:
    """Return the atomic numbers that were registered in training; None where the file does not say."""
    names = [f"{inside}{EMBEDDING}", f"{inside}scaler.per_element_scaling"]
    names += [name for name in contents.tensors if name.endswith("._offsets")]
    for name in names:
        record = contents.modules.get(name)
        states = [] if record is None else [a for a in record.arguments if isinstance(a, dict)]
        known = states[0].get("_accessed_Zs", ()) if states else ()
        if numbers := tuple(
            sorted(z for z in known if isinstance(z, int) and 0 < z < MAX_ELEMENTS)
        ):
            return numbers
    return None


def _version(contents: Contents, root: str) -> str:
    name = f"{root}._GRAPH_PES_VERSION" if root else "_GRAPH_PES_VERSION"
    if name not in contents:
        return ""
    return ".".join(str(int(part)) for part in contents.array(name).ravel())

"""SchNets of schnetpack 2: ``best_model``, Lightning checkpoints, ``state_dict``.

Schütt, Hessmann, Gebauer, Lederer, Gastegger, J. Chem. Phys. 158, 144801 (2023), doi:10.1063/5.0138367.
Gaussians of one width at 0 ... cutoff, both ends included; SiLU in the readout unless told otherwise;
energies of atoms as postprocessors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.functions import activation, envelope
from ase_schnet.foreign.hints import ConversionHints
from ase_schnet.foreign.network import Block, ForeignNetwork
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.foreign.settings_beside import units_beside

#: Representations that are not SchNet -> a tensor that they have.
OTHERS = {"PaiNN": "interatomic_context_net", "SO3net": "so3", "FieldSchNet": "field"}


def recognises(contents: Contents) -> bool:
    """Return whether a file is of schnetpack 2."""
    return any(name.startswith("representation.radial_basis.") for name in contents.tensors) or (
        contents.class_name.startswith("schnetpack.model.")
    )


def read(contents: Contents, hints: ConversionHints) -> ForeignNetwork:
    """Return the network of a file of schnetpack 2."""
    _require_schnet(contents)
    inside = "representation."
    n = contents.count(f"{inside}interactions.")
    centres = contents.array(f"{inside}radial_basis.offsets")
    widths = contents.array(f"{inside}radial_basis.widths")
    blocks = [_block(contents, f"{inside}interactions.{t}.", centres, widths) for t in range(n)]
    output = "output_modules.0."
    layers = range(contents.count(f"{output}outnet."))
    readout = tuple(contents.dense(f"{output}outnet.{k}") for k in layers)
    shift, remarks = _offsets(contents)
    network = ForeignNetwork(
        origin=f"schnetpack {contents.attribute('', 'spk_version', '2')}",
        embedding=_embedding(contents),
        blocks=tuple(blocks),
        readout=readout,
        cutoff=contents.number(f"{inside}cutoff_fn.cutoff"),
        envelope=_envelope(contents),
        activation=_activation(contents),
        readout_activation=_readout_activation(contents, hints),
        shift=shift,
        units=units_beside(Path(contents.path)),
        remarks=remarks,
    )
    # cutoff: once more; eps: of the mollifier, 1e-7 Å; embedding.embedding: made of the others
    ignored = ["representation.cutoff", "representation.embedding.embedding"]
    if not contents.attribute("", "do_postprocessing", True):
        ignored.append("postprocessors.")
    contents.require_all_used(ignored)
    return network


def _require_schnet(contents: Contents) -> None:
    """Refuse other representations, and what is fed into a SchNet besides atoms and distances."""
    found = contents.modules.get("representation")
    name = (
        found.class_name
        if found is not None
        else next(
            (name for name, part in OTHERS.items() if any(part in t for t in contents.tensors)),
            "SchNet",
        )
    )
    if name != "SchNet":
        raise ForeignModelError(
            f"{contents.path} has the representation {name}: only SchNet can be converted"
        )
    if any(t.startswith("representation.electronic_embeddings.") for t in contents.tensors):
        raise ForeignModelError(
            f"{contents.path} has electronic_embeddings (charge or spin are fed in), which our networks do "
            "not have"
        )
    basis = contents.modules.get("representation.radial_basis")
    if "representation.radial_basis.offsets" not in contents:
        kind = "another radial basis" if basis is None else basis.class_name
        raise ForeignModelError(f"{contents.path} has {kind}: only Gaussians can be converted")
    outputs = [name for name in contents.modules if name.startswith("output_modules.")]
    for name in outputs:
        if name.count(".") == 1 and contents.modules[name].class_name not in (
            *("Atomwise", "Forces", "Strain", "Response"),
        ):
            kind = contents.modules[name].class_name
            raise ForeignModelError(
                f"{contents.path} has the output module {kind}: only energies of atoms (Atomwise) and "
                "their derivatives can be converted"
            )
    if (mode := contents.attribute("output_modules.0", "aggregation_mode", "sum")) != "sum":
        raise ForeignModelError(
            f"{contents.path} has aggregation_mode {mode!r}: an energy is a sum over atoms, so only 'sum' "
            "can be converted"
        )


def _block(contents: Contents, name: str, centres: NDArray, widths: NDArray) -> Block:
    return Block(
        into=contents.dense(f"{name}in2f"),
        filter_in=contents.dense(f"{name}filter_network.0"),
        filter_out=contents.dense(f"{name}filter_network.1"),
        mid=contents.dense(f"{name}f2out.0"),
        out=contents.dense(f"{name}f2out.1"),
        centres=centres,
        widths=widths,
    )


def _embedding(contents: Contents) -> NDArray:
    """Return features by atomic number; those of electron configurations are worked out."""
    before = "representation.embedding."
    if f"{before}element_embedding" not in contents:
        return contents.array(f"{before}weight")
    elements = contents.array(f"{before}element_embedding")  # (Z, B)
    configurations = contents.array(f"{before}electron_config")  # (Z, occupations)
    linear = contents.dense(f"{before}config_linear")
    return elements + configurations[: len(elements)] @ linear.weight.T


def _envelope(contents: Contents) -> str:
    found = contents.modules.get("representation.cutoff_fn")
    if found is not None:
        return envelope(contents.path, found.class_name)
    # a state_dict names no classes: the mollifier has one more number than the cosine
    return "mollifier" if "representation.cutoff_fn.eps" in contents else "cosine"


def _activation(contents: Contents) -> str:
    first = contents.function("representation.interactions.0.filter_network.0")
    return activation(contents.path, first or "shifted_softplus")


def _readout_activation(contents: Contents, hints: ConversionHints) -> str:
    found = contents.function("output_modules.0.outnet.0")
    if found == "Identity" or contents.count("output_modules.0.outnet.") == 1:
        return "ssp"  # there is no hidden layer
    if found is not None:
        return activation(contents.path, found)
    if hints.readout_activation is None:
        raise ForeignModelError(
            f"{contents.path} is a state_dict, which does not say the activation of the readout: say "
            "readout_activation='silu' (what schnetpack 2 takes by default) or 'ssp'"
        )
    return hints.readout_activation


def _offsets(contents: Contents) -> tuple[NDArray | float, tuple[str, ...]]:
    """Return what postprocessors add to the energy of each atom, by atomic number."""
    if not contents.modules:
        names = {name.rpartition(".")[0] for name in contents.tensors if ".atomref" in name}
        names |= {name.rpartition(".")[0] for name in contents.tensors if name.endswith(".mean")}
        if not names:
            return 0.0, ()
        added = [contents.number(f"{n}.mean", 0.0) for n in names]
        shifts = [
            contents.array(f"{n}.atomref").ravel() for n in names if f"{n}.atomref" in contents
        ]
        text = "mean and atomref of the postprocessors are added: a state_dict does not say whether they were"
        return sum(shifts, start=np.zeros(1)) + sum(added), (text,)
    shift: NDArray | float = 0.0
    if not contents.attribute("", "do_postprocessing", True):
        return shift, ("its postprocessors are off, so energies are without mean and atomrefs",)
    for k in range(len(contents.modules["postprocessors"].state["_modules"] or {})):
        name = f"postprocessors.{k}"
        module = contents.modules[name]
        if module.class_name in ("CastTo64", "CastTo32"):
            continue
        if module.class_name != "AddOffsets":
            raise ForeignModelError(
                f"{contents.path} has the postprocessor {module.class_name}, which is not converted"
            )
        if not module.state.get("is_extensive", True):
            raise ForeignModelError(
                f"{contents.path} adds an offset that does not grow with the number of atoms"
            )
        mean = contents.number(f"{name}.mean", 0.0)
        atomref = (
            contents.array(f"{name}.atomref").ravel() if f"{name}.atomref" in contents else 0.0
        )
        if module.state.get("add_mean", False):
            shift = shift + mean  # of schnetpack 2, per atom
        if module.state.get("add_atomrefs", False):
            shift = shift + atomref
    return shift, ()

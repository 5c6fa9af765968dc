"""SchNets of schnetpack 0.1 to 1.0, also as SchNarc and schnetkit keep them.

Schütt et al., J. Chem. Theory Comput. 15, 448 (2019), doi:10.1021/acs.jctc.8b00908. Shifted softplus
throughout; the energy of an atom is y · stddev + mean + atomref.
"""

from __future__ import annotations

import numpy as np

from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.functions import activation, envelope
from ase_schnet.foreign.hints import ConversionHints
from ase_schnet.foreign.network import Block, Dense, ForeignNetwork
from ase_schnet.foreign.records import ForeignModelError

INSIDE = "representation."
#: Where the layers of the energy are: 0.2 to 1.0, and 0.1.
OUTPUTS = ("output_modules.0.", "output_modules.output_dict.energy.", "output_modules.")


def recognises(contents: Contents) -> bool:
    """Return whether a file is of schnetpack 0 or 1."""
    return f"{INSIDE}distance_expansion.offsets" in contents


def read(contents: Contents, hints: ConversionHints) -> ForeignNetwork:
    """Return the network of a file of schnetpack 0 or 1."""
    centred = contents.attribute(f"{INSIDE}distance_expansion", "centered", False)
    if centred or contents.attribute("representation", "charged_systems", False):
        what = "centred Gaussians" if centred else "the charge fed in (charged_systems)"
        raise ForeignModelError(f"{contents.path} has {what}, which our networks do not have")
    output = _output(contents)
    n = contents.count(f"{INSIDE}interactions.")
    for t in range(n):
        if contents.attribute(f"{INSIDE}interactions.{t}.cfconv.agg", "average", False):
            raise ForeignModelError(
                f"{contents.path} divides by the number of neighbours (normalize_filter), which our "
                "networks do not do"
            )
    if contents.attribute(f"{output}atom_pool".rstrip("."), "average", False):
        raise ForeignModelError(
            f"{contents.path} has aggregation_mode 'avg': an energy is a sum over atoms, so only 'sum' can "
            "be converted"
        )
    atomref = f"{output}atomref.weight"
    shift = contents.array(atomref)[:, 0] if atomref in contents else np.zeros(1)
    network = ForeignNetwork(
        origin=f"schnetpack {_version(contents)}",
        embedding=contents.array(f"{INSIDE}embedding.weight"),
        blocks=tuple(_block(contents, t) for t in range(n)),
        readout=_readout(contents, output),
        cutoff=_cutoff(contents, n),
        envelope=_envelope(contents),
        activation=_activation(contents),
        readout_activation=_readout_activation(contents, output),
        scale=contents.number(f"{output}standardize.stddev", 1.0),
        shift=shift + contents.number(f"{output}standardize.mean", 0.0),
        remarks=_remarks(contents),
    )
    again = (
        f"{INSIDE}interactions.{t}.cfconv.{part}"
        for t in range(n)
        for part in ("filter_network.", "cutoff_network.")
    )
    contents.require_all_used((*again, "output_modules.cutoff_network.", "atomic_mass"))
    return network


def _version(contents: Contents) -> str:
    if any(name.startswith("output_modules.output_dict.") for name in contents.tensors):
        return "0.1"
    return "0.2 to 1.0"


def _output(contents: Contents) -> str:
    """Return the beginning of the names of the layers of the energy; refuse other properties."""
    output = next(
        (o for o in OUTPUTS if any(name.startswith(f"{o}out_net.") for name in contents.tensors)),
        None,
    )
    if output is None:
        raise ForeignModelError(f"{contents.path} has no layers of an energy (out_net)")
    module = contents.modules.get(output.rstrip("."))
    if module is not None and module.class_name not in ("Atomwise", "Energy"):
        raise ForeignModelError(
            f"{contents.path} has the output module {module.class_name}: only energies of atoms (Atomwise, "
            "Energy) can be converted"
        )
    return output


def _block(contents: Contents, t: int) -> Block:
    name = f"{INSIDE}interactions.{t}."
    return Block(
        into=contents.dense(f"{name}cfconv.in2f"),
        filter_in=contents.dense(f"{name}filter_network.0"),
        filter_out=contents.dense(f"{name}filter_network.1"),
        mid=contents.dense(f"{name}cfconv.f2out"),
        out=contents.dense(f"{name}dense"),
        centres=contents.array(f"{INSIDE}distance_expansion.offsets"),
        widths=contents.array(f"{INSIDE}distance_expansion.width"),
    )


def _readout(contents: Contents, output: str) -> tuple[Dense, ...]:
    before = f"{output}out_net.1.out_net."
    layers = tuple(contents.dense(f"{before}{k}") for k in range(contents.count(before)))
    if not layers or len(layers[-1].bias) != 1:
        raise ForeignModelError(f"{contents.path} does not end in one energy of an atom")
    return layers


def _cutoff(contents: Contents, n: int) -> float:
    cutoffs = {contents.number(f"{INSIDE}interactions.{t}.cutoff_network.cutoff") for t in range(n)}
    if len(cutoffs) != 1:
        raise ForeignModelError(f"{contents.path} has blocks with the cutoffs {sorted(cutoffs)}")
    return cutoffs.pop()


def _envelope(contents: Contents) -> str:
    found = contents.modules.get(f"{INSIDE}interactions.0.cutoff_network")
    return "cosine" if found is None else envelope(contents.path, found.class_name)


def _activation(contents: Contents) -> str:
    found = contents.function(f"{INSIDE}interactions.0.filter_network.0")
    return activation(contents.path, found or "shifted_softplus")


def _readout_activation(contents: Contents, output: str) -> str:
    found = contents.function(f"{output}out_net.1.out_net.0")
    return activation(contents.path, found or "shifted_softplus")


def _remarks(contents: Contents) -> tuple[str, ...]:
    if contents.modules:
        return ()
    return (
        "taken to have a cosine cutoff, shifted softplus and sums over atoms and neighbours: a state_dict "
        "does not say so",
    )

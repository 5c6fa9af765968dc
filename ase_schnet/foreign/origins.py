"""Which package a file is of, and its network."""

from __future__ import annotations

from pathlib import Path

from ase_schnet.foreign import graph_pes, nff, pyg, schnetpack_1, schnetpack_2
from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.hints import ConversionHints
from ase_schnet.foreign.network import ForeignNetwork
from ase_schnet.foreign.records import ForeignModelError
from ase_schnet.foreign.torch_files import TorchFile

ORIGINS = (schnetpack_1, schnetpack_2, pyg, graph_pes, nff)
KNOWN = "schnetpack 0.1 to 2.2, PyTorch Geometric, graph-pes and NeuralForceField"


def read_network(file: TorchFile, hints: ConversionHints) -> ForeignNetwork:
    """Return the network of a file of another package.

    Raises
    ------
    ForeignModelError
        If it is of none of the packages known, no SchNet, a SchNet that is another function than ours, or if
        something must be said that the file leaves open.
    """
    contents = Contents(str(file.path), file.content)
    for origin in ORIGINS:
        if origin.recognises(contents):
            return origin.read(contents, hints)
    what = f"a {contents.class_name}" if contents.class_name else "a network of unknown layers"
    raise ForeignModelError(
        f"{Path(contents.path)} holds {what}: SchNets of {KNOWN} can be converted"
    )

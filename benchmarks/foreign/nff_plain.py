"""SchNet of NeuralForceField in plain torch, written from the description of its layout.

It shares nothing with the package but the reader of the file: no table, no pair list, no network of ours. The
tests and `nff_ethanol.py` hold a converted model against it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import dropout, linear, softplus

from ase_schnet.foreign.contents import Contents
from ase_schnet.foreign.torch_files import read_torch_file

LOG2 = float(np.log(2.0))


def weights_of(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by name, in float64."""
    file = read_torch_file(path)
    contents = Contents(str(path), file.content)
    return {
        name: torch.tensor(np.array(contents.array(name)), dtype=torch.float64)
        for name in contents.tensors
    }


def energies_and_forces(
    weights: dict[str, torch.Tensor],
    numbers: np.ndarray,
    positions: np.ndarray,
    cutoff: float = 5.0,
    times: float = 2.0,
    dropped: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Return energies (M,) and forces (M, N, 3) of M structures of the same atoms, in the file's units.

    Parameters
    ----------
    weights
        Of :func:`weights_of`.
    numbers
        Atomic numbers (N,).
    positions
        (M, N, 3) in Å.
    cutoff
        Pairs below are listed, Å.
    times
        How often each message counts: 2 with a list that has each pair twice, as messages are sent both ways
        along every listed pair.
    dropped
        Probability by which outputs of dense layers are dropped, as in its training.
    """
    r = torch.tensor(positions, dtype=torch.float64, requires_grad=True)
    n = len(numbers)
    i, j = (torch.tensor(a) for a in np.nonzero(~np.eye(n, dtype=bool)))
    distances = (r[:, i] - r[:, j]).norm(dim=-1, keepdim=True)
    listed = times * (distances < cutoff)

    def dense(x: torch.Tensor, name: str) -> torch.Tensor:
        y = linear(x, weights[f"{name}.weight"], weights[f"{name}.bias"])
        return dropout(y, dropped) if dropped and "readout" not in name else y

    def activated(x: torch.Tensor) -> torch.Tensor:
        return softplus(x) - LOG2

    x = weights["atom_embed.weight"][torch.tensor(numbers, dtype=torch.long)].expand(len(r), n, -1)
    blocks = len({name.split(".")[1] for name in weights if name.startswith("convolutions.")})
    for t in range(blocks):
        at = f"convolutions.{t}.moduledict."
        edge = f"{at}message_edge_filter."
        offsets, widths = weights[f"{edge}0.offsets"], weights[f"{edge}0.width"]
        gaussians = torch.exp(-0.5 * ((distances - offsets) / widths) ** 2)
        filters = dense(activated(dense(gaussians, f"{edge}1")), f"{edge}3")
        sent = dense(x, f"{at}message_node_filter")[:, j] * filters * listed
        heard = torch.zeros_like(x[..., :1].expand(-1, -1, sent.shape[-1])).index_add(1, i, sent)
        x = x + dense(activated(dense(heard, f"{at}update_function.0")), f"{at}update_function.2")
    readout = "atomwisereadout.readout.energy."
    energies = dense(activated(dense(x, f"{readout}linear0")), f"{readout}linear2").sum((1, 2))
    forces = -torch.autograd.grad(energies.sum(), r)[0]
    return energies.detach().numpy(), forces.numpy()

"""Dropout: which hidden units of which atoms are left out while the weights are trained.

N. Srivastava et al., J. Mach. Learn. Res. 15, 1929 (2014). A unit behind a hidden layer of an interaction
block (`atomwise_mid`) or of the readout is zero with probability p, and 1/(1 − p) times itself otherwise.
Filters are left alone: they are functions of a distance, the same for all pairs, and one with units left out
at some distances and not at others would have no slope to make a force of. So, with the masks held, the
energy of a batch is a smooth function of the positions, and its forces are the slope of that very energy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ase_schnet.model.batch import AtomsBatch
from ase_schnet.schnet_config import SchNetConfig

STREAM = 0xD509  # so that the masks share no random numbers with what else is drawn from a seed


@dataclass(frozen=True)
class Dropout:
    """Draw the masks of one pass over a data set.

    The masks of a structure depend on `key` and on its number in the data set alone: not on the batch that
    it is in, nor on how many processes share the batch.

    Attributes
    ----------
    rate
        Probability p that a unit is left out, 0 < p < 1.
    key
        Whole numbers that name the pass, such as the seed and the epoch.
    """

    rate: float
    key: tuple[int, ...]

    def masks(self, config: SchNetConfig, batch: AtomsBatch) -> list[Tensor]:
        """Return for each interaction block, then for each hidden layer of the readout, a mask (N, width).

        Its values are 0 and 1/(1 − p), so that a unit keeps its mean.

        Raises
        ------
        ValueError
            For a batch that does not say which structures of a data set it holds.
        """
        if batch.structures is None:
            raise ValueError("dropout needs the numbers of the structures in the batch")
        widths = [config.n_atom_basis] * config.n_interactions + list(config.readout_widths)
        n_atoms = torch.bincount(batch.idx_m, minlength=batch.n_structures).tolist()
        drawn = [
            np.random.default_rng([STREAM, *self.key, int(structure)]).random(
                (n, sum(widths)), dtype=np.float32
            )
            for structure, n in zip(batch.structures, n_atoms, strict=True)
        ]
        kept = torch.from_numpy(np.concatenate(drawn) >= self.rate).to(batch.R)  # (N, Σ widths)
        return [mask.contiguous() for mask in (kept / (1.0 - self.rate)).split(widths, dim=1)]


def dropout_of(rate: float, *key: int) -> Dropout | None:
    """Return the dropout of a pass, None for a rate of zero."""
    return Dropout(rate, key) if rate > 0 else None


def masks_of(
    dropout: Dropout | None, config: SchNetConfig, batch: AtomsBatch
) -> Sequence[Tensor | None]:
    """Return the masks of all hidden layers in their order; None for each of them without dropout."""
    if dropout is None:
        return [None] * (config.n_interactions + len(config.readout_widths))
    return dropout.masks(config, batch)


def masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Return x ∘ mask, or x itself where there is none."""
    return x if mask is None else x * mask

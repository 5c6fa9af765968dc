"""What a user knows of a model that its file does not say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ase_schnet.schnet_config import ACTIVATIONS
from ase_schnet.structures.electrons import LOWEST, MIXED


@dataclass(frozen=True)
class ConversionHints:
    """Hold what a file may leave open; None where the user does not say it either.

    Attributes
    ----------
    cutoff
        Å; files of NeuralForceField do not have it.
    readout_activation
        "ssp" or "silu"; a ``state_dict`` of schnetpack 2 does not have it.
    pair_list
        "once" or "twice": how often the lists of the training had each pair. NeuralForceField counts its
        messages so often.
    scale, shift
        Factor on the network's atomic energies and what is added to each of them, in the file's unit of
        energy: std and mean of PyTorch Geometric, which a ``state_dict`` does not have.
    charge, multiplicity
        Of the structures that it was trained on, as for ``ase-schnet train``: a number, "mixed", and for the
        multiplicity "lowest". By default what the structures given say; neutral in the lowest multiplicity
        where they say nothing.

    Raises
    ------
    ValueError
        For other names and words, and for a cutoff that is not positive.
    """

    cutoff: float | None = None
    readout_activation: str | None = None
    pair_list: Literal["once", "twice"] | None = None
    scale: float | None = None
    shift: float | None = None
    charge: int | str | None = None
    multiplicity: int | str | None = None

    def __post_init__(self):
        if self.cutoff is not None and not self.cutoff > 0:
            raise ValueError(f"cutoff must be positive, got {self.cutoff}")
        if self.readout_activation not in (None, *ACTIVATIONS):
            raise ValueError(
                f"readout_activation is 'ssp' or 'silu', got {self.readout_activation!r}"
            )
        if self.pair_list not in (None, "once", "twice"):
            raise ValueError(f"pair_list is 'once' or 'twice', got {self.pair_list!r}")
        if not isinstance(self.charge, int) and self.charge not in (None, MIXED):
            raise ValueError(f"charge is a whole number or 'mixed', got {self.charge!r}")
        known = (None, MIXED, LOWEST)
        if not isinstance(self.multiplicity, int) and self.multiplicity not in known:
            raise ValueError(
                f"multiplicity is a whole number, 'mixed' or 'lowest', got {self.multiplicity!r}"
            )

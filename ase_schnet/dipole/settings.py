"""The settings of a fit of dipoles or polarizabilities."""

from __future__ import annotations

from dataclasses import dataclass

from ase_schnet.arguments import whole
from ase_schnet.dipole.frame import FRAMES

#: Largest group of exchanges by the frame, where the settings leave it open.
MAX_EXCHANGES = {"followed": 24, "inertia": 1}


@dataclass(frozen=True)
class RPRSettings:
    """Hold the settings of a fit.

    Attributes
    ----------
    n_members
        Members of the ensemble; each is fitted without one fold.
    n_centres
        Largest number of Gaussians; accuracy and the time of a prediction grow with it.
    max_exchanges
        Largest group of exchanges of equivalent atoms that is used. None: 24 in the followed axes; 1, which
        is none, in those of inertia, whose method has no exchanges.
    seed
        Of the folds and centres.
    frame
        Axes of the molecule in which it is predicted. "followed": those of a reference, followed through
        every crossing of moments; the dipole is continuous. "inertia": the eigenvectors of the inertia
        tensor, as in doi:10.1063/5.0230176, their signs by the overlap with the reference; the prediction
        jumps where signs change or moments cross, and does not know mirror images (benchmarks/dipoles.md).

    Raises
    ------
    ValueError
        For a number that is not a whole one of at least 1 (the seed 0), or an unknown frame.
    """

    n_members: int = 5
    n_centres: int = 500
    max_exchanges: int | None = None
    seed: int = 0
    frame: str = "followed"

    def __post_init__(self) -> None:
        whole("n_members", self.n_members, 1)
        whole("n_centres", self.n_centres, 1)
        if self.frame not in FRAMES:
            raise ValueError(f"frame must be {' or '.join(map(repr, FRAMES))}, not {self.frame!r}")
        if self.max_exchanges is None:
            object.__setattr__(self, "max_exchanges", MAX_EXCHANGES[self.frame])
        whole("max_exchanges", self.max_exchanges, 1)
        whole("seed", self.seed, 0)

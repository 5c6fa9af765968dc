"""What an ensemble answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Prediction(NamedTuple):
    """All M members' answers for one structure of N atoms, float64.

    energies (M,) eV · atomic_energies (M, N) eV · forces (M, N, 3) eV/Å ·
    virials (M, 3, 3) eV, or None for a structure without a cell.
    """

    energies: np.ndarray
    atomic_energies: np.ndarray
    forces: np.ndarray
    virials: np.ndarray | None = None

"""What an ensemble answers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

COINCIDENT = 1e-6  # Å; nearer than this two atoms have no direction between them


class Prediction(NamedTuple):
    """All M members' answers for one structure of N atoms, float64.

    energies (M,) eV · atomic_energies (M, N) eV · forces (M, N, 3) eV/Å ·
    virials (M, 3, 3) eV, −∂E/∂ε for a strain ε of all pair vectors; −virial / volume is the stress.
    """

    energies: np.ndarray
    atomic_energies: np.ndarray
    forces: np.ndarray
    virials: np.ndarray


class AtomsCoincideError(ValueError):
    """Two atoms, given by their indices, are in one place, so that there is no direction between them."""

    def __str__(self) -> str:
        i, j = self.args
        return f"atoms {i} and {j} are in the same place"

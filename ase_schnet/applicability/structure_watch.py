"""Structures on which a calculator cannot be trusted: distances, collisions, uncertain forces.

``runs.monitor`` watches dynamics with it, ``scan.driver`` scans.
"""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.applicability.calculator_parts import limits_of, uncertainty_of
from ase_schnet.applicability.distances import DistanceWatch, avoided_squares

#: Largest calibrated std of a force, for a calculator that states none; above it the force is no prediction.
MAX_FORCES_STD_EV_PER_ANG = 1.0
#: Distances outside the training data by less than this are accepted.
DISTANCE_TOLERANCE_ANG = 0.15
#: What the limit of a model with error bars means.
BEYOND = ", beyond which error bars are infinite"


class StructureWatch:
    """Watch structures for what their calculator cannot be trusted on.

    Parameters
    ----------
    atoms
        A structure with the elements, the periodicity and the calculator of those that will be looked at.
    max_forces_std_eV_per_Ang
        Largest calibrated std of the force on an atom (root mean square over x, y, z), eV/Å. None: that of
        the calculator's ``limits``, else 1 eV/Å.
    distance_tolerance_Ang
        Distances outside the training data by less than this are accepted, Å.

    Attributes
    ----------
    knows
        Whether the calculator, or one inside it, has ``limits``.
    avoided
        (100, 100, K, 2), squares in Å² of the distances that are found, see `avoided_squares`.
    largest_std
        Std of the force on an atom beyond which it is found, eV/Å, not calibrated.
    """

    def __init__(
        self,
        atoms: Atoms,
        max_forces_std_eV_per_Ang: float | None = None,
        distance_tolerance_Ang: float = DISTANCE_TOLERANCE_ANG,
    ):
        limits = limits_of(atoms.calc)
        self.knows = limits is not None
        limits = limits or {}
        self._scale = limits.get("forces_std_scale", 1.0)
        self._max_std = max_forces_std_eV_per_Ang
        own = self._max_std is None and "error_level" in limits
        self._beyond = BEYOND if own else ""
        if self._max_std is None:
            self._max_std = limits.get("max_forces_std_eV_per_Ang", MAX_FORCES_STD_EV_PER_ANG)
        self.largest_std = self._max_std / self._scale if self._scale > 0 else math.inf
        ranges, cutoff = limits.get("distance_ranges_Ang"), limits.get("cutoff_Ang", 0.0)
        known = limits.get("known_pieces")
        self._distances = DistanceWatch(atoms, ranges, cutoff, distance_tolerance_Ang, known)
        elements = [int(z) for z in np.unique(atoms.numbers)]
        self.avoided = avoided_squares(elements, ranges, cutoff, distance_tolerance_Ang)

    def find(self, atoms: Atoms) -> dict[str, str]:
        """Return the findings of a structure just evaluated: cause -> message that names the atoms."""
        found = {}
        pair = self._distances.find(atoms)
        if pair is not None:
            found[f"{'collision' if pair.collision else 'distance'} {pair.name}"] = pair.message
        force = self._uncertain_force(atoms)
        if force is not None:
            found["uncertain force"] = force
        return found

    def _uncertain_force(self, atoms: Atoms) -> str | None:
        std = uncertainty_of(atoms.calc).get("forces_std")
        if std is None:
            return None
        return uncertain_force(atoms, std, self._scale, self._max_std, self._beyond)


def uncertain_force(
    atoms: Atoms, std: NDArray, scale: float, limit: float, beyond: str = BEYOND
) -> str | None:
    """Name the atom with the most uncertain force, if that is beyond a limit; None if none is.

    Parameters
    ----------
    atoms
        The structure.
    std
        Of its forces (N, 3), eV/Å.
    scale
        Expected error of a component whose std is one.
    limit
        Largest calibrated std of a force (root mean square over x, y, z), eV/Å.
    beyond
        What it means, for the message.
    """
    squares = np.einsum("ia,ia->i", std, std)  # (N,)
    worst = int(squares.argmax())  # NaN, if there is one
    largest = scale * math.sqrt(squares[worst] / 3)
    if largest <= limit:
        return None
    return (
        f"the force on {atoms.symbols[worst]}{worst} is uncertain by {largest:.2f} eV/Å, "
        f"the limit is {limit:.2f} eV/Å{beyond}"
    )

"""Count the degrees of freedom of atoms that move, find what is held, and measure the temperature."""

import math

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms, FixBondLengths, FixCartesian
from numpy.typing import NDArray

#: Smallest over largest moment of inertia below which a molecule counts as linear: CO2 bent by
#: 0.1 degrees has 2e-7.
LINEAR_INERTIA_RATIO = 1e-6
#: Overall motion over the largest momentum of an atom below which it counts as removed.
REMOVED = 1e-6


def degrees_of_freedom(atoms: Atoms) -> int:
    """Count the degrees of freedom that carry thermal energy once overall motion is removed.

    ====================================  ===============================
    molecule                              3N - 6  (linear: 3N - 5)
    periodic in any direction             3N - 3
    single atom                           0
    fixed bond lengths                    one less for each
    constrained atoms (``FixAtoms``, …)   3N - what the constraints remove
    ====================================  ===============================

    ASE counts 3N: after removing momentum and rotation it reports ethanol at 300 K as 233 K.
    """
    if anchored(atoms):
        # Frozen atoms anchor the rest: overall motion is neither conserved nor removed.
        return int(atoms.get_number_of_degrees_of_freedom())
    if len(atoms) == 1:
        return 0
    fixed = sum(constraint.get_removed_dof(atoms) for constraint in atoms.constraints)
    if atoms.pbc.any():
        return 3 * len(atoms) - 3 - fixed
    return 3 * len(atoms) - (5 if is_linear(atoms) else 6) - fixed


def degrees_of_freedom_at_rest(atoms: Atoms) -> int:
    """Count those over which a thermostat spreads its energy if the whole never moves nor turns.

    As :func:`degrees_of_freedom`, but 3N - 6 also of a molecule of three or more atoms that is linear at the
    start. Once it bends, no angular momentum is left about its axis either: it bends in one plane, and has
    one of two bends alike. A thermostat that counts both heats CO2 by a third.
    """
    bends = len(atoms) > 2 and not (atoms.pbc.any() or anchored(atoms))
    return degrees_of_freedom(atoms) - int(bends and is_linear(atoms))


def moving_degrees_of_freedom(atoms: Atoms) -> int:
    """Count those that carry thermal energy in a frame of a run; overall motion too, unless it was removed.

    The momenta of the frame tell: a Langevin thermostat moves the whole, others keep it at rest.
    """
    at_rest = degrees_of_freedom(atoms)
    if anchored(atoms):
        return at_rest
    momenta = atoms.get_momenta()  # (N, 3)
    least = REMOVED * np.abs(momenta).max()
    moves = np.abs(momenta.sum(axis=0)).max() > least
    turns = np.abs(atoms.get_angular_momentum()).max() > least
    n_rotations = int(atoms.get_number_of_degrees_of_freedom()) - 3 - at_rest  # 0 of a crystal
    return at_rest + 3 * int(moves) + n_rotations * int(turns)


def held_components(atoms: Atoms) -> NDArray:
    """Return which components (N, 3) of the positions FixAtoms and FixCartesian hold, True if held."""
    held = np.zeros((len(atoms), 3), dtype=bool)
    for constraint in atoms.constraints:
        if isinstance(constraint, FixAtoms):
            held[constraint.index] = True
        elif isinstance(constraint, FixCartesian):
            held[constraint.index] |= np.asarray(constraint.mask, dtype=bool)
    return held


def anchored(atoms: Atoms) -> bool:
    """Tell whether constraints hold atoms in space, so that momentum is not conserved.

    Fixed bond lengths act between atoms only: the molecule as a whole still moves and turns freely.
    """
    return not all(isinstance(c, FixBondLengths) for c in atoms.constraints)


def temperature(kinetic_energy_eV: float, n_degrees_of_freedom: int) -> float:
    """Return the kinetic temperature 2 E_kin / (n kB) in K; 0 where nothing can move."""
    if n_degrees_of_freedom == 0:
        return 0.0
    return 2 * kinetic_energy_eV / (n_degrees_of_freedom * units.kB)


def kinetic_energy_eV(temperature_K: float, n_degrees_of_freedom: int) -> float:
    """Return the kinetic energy at a temperature, eV; infinity where nothing can move."""
    if n_degrees_of_freedom == 0:
        return math.inf
    return 0.5 * n_degrees_of_freedom * units.kB * temperature_K


def check_atoms(atoms: Atoms) -> None:
    """Raise ValueError for atoms that cannot move."""
    if len(atoms) == 0:
        raise ValueError("there are no atoms to move")
    if atoms.calc is None:
        raise ValueError("the atoms have no calculator: set atoms.calc first")
    if not np.isfinite(atoms.positions).all():
        raise ValueError("the atoms have positions that are not finite")
    if "momenta" in atoms.arrays and not np.isfinite(atoms.arrays["momenta"]).all():
        raise ValueError("the atoms have momenta that are not finite")
    if atoms.constraints and degrees_of_freedom(atoms) <= 0:
        raise ValueError("all atoms are held by constraints: nothing can move")


def is_linear(atoms: Atoms) -> bool:
    """Tell whether a molecule is linear, as CO2 and all of two atoms are: it turns about two axes only."""
    moments = atoms.get_moments_of_inertia()
    return moments.min() < LINEAR_INERTIA_RATIO * moments.max()

"""Relax all coordinates of a structure except those of a scan."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.calculators.calculator import CalculationFailed
from ase.constraints import FixAtoms, FixCartesian, FixInternals
from ase.optimize import BFGS

from ase_schnet.degrees_of_freedom import held_components
from ase_schnet.scan.coordinate import TOLERANCE, Coordinate

#: Largest number of steps of the optimiser before a point counts as not converged.
MAX_STEPS = 500
#: Range of angles that can be held: ASE uses their gradient, which has no direction near 0 and 180°.
HELD_ANGLES_DEG = (5.0, 175.0)


class HoldCoordinates(FixInternals):
    """Hold coordinates at given values, also in dimers, with fixed atoms, and in periodic structures.

    ASE's FixInternals also removes overall translation and rotation from the forces. That divides by zero
    for atoms on a line through the origin. If other atoms are fixed, or the structure is periodic, a net
    force or torque is real and has to relax. This class removes only the directions of the held
    coordinates, and fixed atoms do not move while a coordinate is restored.

    Parameters
    ----------
    coordinates
        The coordinates to hold.
    values
        Their values, Å or °.
    mic
        Use the minimum image convention, for periodic structures.
    """

    def __init__(
        self, coordinates: Sequence[Coordinate], values: Sequence[float], mic: bool
    ) -> None:
        held = {"distance": [], "angle": [], "dihedral": []}
        for coordinate, value in zip(coordinates, values, strict=True):
            held[coordinate.kind].append([float(value), list(coordinate.indices)])
        super().__init__(
            bonds=held["distance"],
            angles_deg=held["angle"],
            dihedrals_deg=held["dihedral"],
            mic=mic,
        )

    def initialize(self, atoms: Atoms) -> None:
        """Set up ASE's constraints with infinite masses for fixed atoms and equal masses for all others."""
        if not self.initialized:
            super().initialize(atoms)
            masses = np.where(held_components(atoms), np.inf, 1.0).ravel()  # (3N,)
            for part in self.constraints:
                part.masses = masses

    def adjust_forces(self, atoms: Atoms, forces: np.ndarray) -> None:
        """Remove the components along the held coordinates from ``forces`` (N, 3), eV/Å, in place."""
        self.initialize(atoms)
        for part in self.constraints:
            part.setup_jacobian(atoms.positions)
        gradients = np.array([part.jacobian / part.masses for part in self.constraints])  # (K, 3N)
        basis = np.linalg.qr(gradients.T)[0]  # (3N, K)
        flat = forces.ravel()
        forces -= (basis @ (basis.T @ flat)).reshape(forces.shape)


def check_relaxable(atoms: Atoms, coordinate: Coordinate, values: np.ndarray) -> None:
    """Refuse constraints and values that a relaxed scan cannot hold; ValueError."""
    for constraint in atoms.constraints:
        if not isinstance(constraint, (FixAtoms, FixCartesian)):
            raise ValueError(
                "a relaxed scan supports only FixAtoms and FixCartesian constraints, not "
                f"{type(constraint).__name__}: remove it"
            )
    low, high = HELD_ANGLES_DEG
    if coordinate.kind == "angle" and not ((values >= low) & (values <= high)).all():
        raise ValueError(f"angles of a relaxed scan must be between {low:g} and {high:g}°")


def relax(
    atoms: Atoms, coordinates: Sequence[Coordinate], values: Sequence[float], fmax: float
) -> bool:
    """Relax ``atoms`` in place with the coordinates held at their values.

    FixAtoms and FixCartesian constraints of ``atoms`` are kept.

    Parameters
    ----------
    atoms
        The structure, with its calculator.
    coordinates, values
        The coordinates to hold, and their values, Å or °.
    fmax
        Largest force on an atom that counts as relaxed, eV/Å.

    Returns
    -------
    bool
        Whether it converged.

    Raises
    ------
    CalculationFailed
        If the calculator fails, or a coordinate cannot be held because its atoms became collinear.
    """
    own = atoms.constraints
    try:
        atoms.set_constraint([*own, HoldCoordinates(coordinates, values, bool(atoms.pbc.any()))])
        # two coordinates that were placed one after the other may have changed each other
        atoms.set_positions(atoms.positions)
        # where a constraint cannot be met, ASE divides by zero before it says so
        with BFGS(atoms, logfile=None) as optimiser, np.errstate(divide="ignore", invalid="ignore"):
            converged = optimiser.run(fmax=fmax, steps=MAX_STEPS)
        return bool(converged) and all(
            abs(c.difference(c.measure(atoms), value)) < TOLERANCE[c.unit]
            for c, value in zip(coordinates, values, strict=True)
        )
    except (ValueError, ZeroDivisionError, np.linalg.LinAlgError) as error:
        raise CalculationFailed(f"relaxation failed: {error}") from error
    finally:
        atoms.set_constraint(own)

"""Draw the velocities with which a run starts, and remove the motion of the whole."""

import math

import numpy as np
from ase import Atoms
from ase.md.velocitydistribution import Stationary

from ase_schnet.degrees_of_freedom import (
    LINEAR_INERTIA_RATIO,
    anchored,
    degrees_of_freedom,
    temperature,
)

try:
    from ase.md.velocitydistribution import thermalize_momenta
except ImportError:  # ASE < 3.29 knows it under its old name
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

    def thermalize_momenta(atoms: Atoms, temperature_K: float, *, rng) -> None:
        """Draw Maxwell-Boltzmann momenta."""
        MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=rng)


def thermalise(atoms: Atoms, temperature_K: float, seed: int, n_dof: int | None = None) -> None:
    """Draw Maxwell-Boltzmann momenta without overall motion, at exactly ``temperature_K``.

    Momentum and, for a molecule, angular momentum are removed; the rest is rescaled so that the
    temperature over ``n_dof`` degrees of freedom (None: those of the atoms) is the one asked for. Atoms
    under constraints only get the draw and the rescaling. Changes the momenta of ``atoms``.
    """
    draw_momenta(atoms, temperature_K, seed)
    if not anchored(atoms):
        remove_overall_motion(atoms)
    n_dof = degrees_of_freedom(atoms) if n_dof is None else n_dof
    drawn = temperature(atoms.get_kinetic_energy(), n_dof)
    if drawn > 0:
        atoms.set_momenta(atoms.get_momenta() * np.sqrt(temperature_K / drawn))


def draw_momenta(atoms: Atoms, temperature_K: float, seed: int) -> None:
    """Draw Maxwell-Boltzmann momenta, overall motion included, for a thermostat that keeps it."""
    thermalize_momenta(atoms, temperature_K, rng=np.random.default_rng(seed))


def remove_overall_motion(atoms: Atoms, at_most: float = math.inf) -> None:
    """Remove the momentum and, of a molecule, the angular momentum.

    Only where that takes no more than the fraction ``at_most`` of the kinetic energy.
    """
    before, energy = atoms.get_momenta(), atoms.get_kinetic_energy()
    Stationary(atoms, preserve_temperature=False)
    if not atoms.pbc.any():
        _stop_rotation(atoms)
    taken = atoms.get_momenta() - before  # (N, 3)
    taken_eV = 0.5 * (taken**2 / atoms.get_masses()[:, None]).sum()
    if at_most < math.inf and taken_eV > at_most * energy:
        atoms.set_momenta(before)


def _stop_rotation(atoms: Atoms) -> None:
    """Remove the angular momentum; ASE's ZeroRotation divides 0 by 0 for linear molecules."""
    positions = atoms.positions - atoms.get_center_of_mass()  # (N, 3)
    masses = atoms.get_masses()
    second = (positions.T * masses) @ positions  # (3, 3) second moments of mass
    inertia = np.trace(second) * np.eye(3) - second
    # About the axis of a linear molecule there is no inertia; lstsq leaves that direction out.
    omega = np.linalg.lstsq(inertia, atoms.get_angular_momentum(), rcond=LINEAR_INERTIA_RATIO)[0]
    atoms.set_velocities(atoms.get_velocities() - np.cross(omega, positions))

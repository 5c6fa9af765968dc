"""Degrees of freedom, and the velocities a run starts with."""

import math

import numpy as np
from ase import Atoms, units
from ase.constraints import FixBondLengths
from ase.md.velocitydistribution import Stationary

try:
    from ase.md.velocitydistribution import thermalize_momenta
except ImportError:  # ASE < 3.29 knows it under its old name
    from ase.md.velocitydistribution import MaxwellBoltzmannDistribution

    def thermalize_momenta(atoms: Atoms, temperature_K: float, *, rng) -> None:
        MaxwellBoltzmannDistribution(atoms, temperature_K=temperature_K, rng=rng)


#: Smallest over largest moment of inertia below which a molecule counts as linear: CO2 bent by
#: 0.1 degrees has 3e-7.
LINEAR_INERTIA_RATIO = 1e-6


def degrees_of_freedom(atoms: Atoms) -> int:
    """Number of degrees of freedom that carry thermal energy once overall motion is removed.

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
    return 3 * len(atoms) - (5 if _is_linear(atoms) else 6) - fixed


def anchored(atoms: Atoms) -> bool:
    """Tell whether constraints hold atoms to the space about them, so that momentum is not conserved.

    Fixed bond lengths act between atoms: the whole moves and turns as if they were not there.
    """
    return not all(isinstance(c, FixBondLengths) for c in atoms.constraints)


def thermalise(atoms: Atoms, temperature_K: float, seed: int) -> None:
    """Draw Maxwell-Boltzmann momenta without overall motion, at exactly ``temperature_K``.

    Momentum and, for a molecule, angular momentum are removed; the rest is rescaled so that the
    temperature over :func:`degrees_of_freedom` is the one asked for. Atoms under constraints only
    get the draw and the rescaling. Changes the momenta of ``atoms``.
    """
    draw_momenta(atoms, temperature_K, seed)
    if not anchored(atoms):
        remove_overall_motion(atoms)
    n_dof = degrees_of_freedom(atoms)
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


def temperature(kinetic_energy_eV: float, n_degrees_of_freedom: int) -> float:
    """Kinetic temperature 2 E_kin / (n kB) in K; 0 where nothing can move."""
    if n_degrees_of_freedom == 0:
        return 0.0
    return 2 * kinetic_energy_eV / (n_degrees_of_freedom * units.kB)


def _is_linear(atoms: Atoms) -> bool:
    moments = atoms.get_moments_of_inertia()
    return moments.min() < LINEAR_INERTIA_RATIO * moments.max()

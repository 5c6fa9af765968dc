"""Enthalpy, entropy and free energy of a structure at rest, from its harmonic frequencies."""

from __future__ import annotations

import numpy as np
from ase import Atoms, units
from ase.thermochemistry import HarmonicThermo, IdealGasThermo
from numpy.typing import NDArray

from ase_schnet.arguments import positive, whole
from ase_schnet.degrees_of_freedom import anchored, is_linear
from ase_schnet.spectra.harmonic import SOFT_CM

#: A bar in Pa.
BAR = 1e5


def is_gas(atoms: Atoms) -> bool:
    """Tell whether a structure is a molecule that is free to move and turn, and not a crystal or held."""
    return not atoms.pbc.any() and not anchored(atoms)


def thermal_corrections(
    wavenumber_cm: NDArray,
    atoms: Atoms,
    *,
    temperature_K: float = 298.15,
    pressure_bar: float = 1.0,
    symmetry_number: int = 1,
    multiplicity: int = 1,
    raise_below_cm: float = 0.0,
) -> NDArray:
    """Return enthalpy, entropy and Gibbs energy of a molecule, counted from its potential energy.

    By ``ase.thermochemistry``: ideal gas, rigid rotor, harmonic oscillators, one electronic state. A crystal,
    and a molecule that constraints hold in space, has vibrations only, and instead of enthalpy and Gibbs
    energy its internal and its Helmholtz energy; of a crystal only the modes of the cell as it is count.

    Parameters
    ----------
    wavenumber_cm
        Of the M vibrations, cm⁻¹, all positive.
    atoms
        The structure at rest: masses, moments of inertia, periodic or not.
    temperature_K, pressure_bar
        Of the gas, K and bar.
    symmetry_number, multiplicity
        Number of rotations that leave the molecule as it is, 2 for water, 12 for benzene; 2S + 1.
    raise_below_cm
        Wavenumbers below this, cm⁻¹, count as this, since soft torsions are no harmonic oscillators: 100 is
        usual (R. F. Ribeiro et al., J. Phys. Chem. B 2011, 115, 14556).

    Returns
    -------
    NDArray
        (3,): enthalpy H − E in eV, entropy S in eV/K, Gibbs energy G − E in eV.

    Raises
    ------
    ValueError
        A mode is imaginary or has no energy; a condition is not positive.
    """
    temperature = positive("temperature_K", temperature_K)
    pressure = positive("pressure_bar", pressure_bar) * BAR
    symmetry = whole("symmetry_number", symmetry_number, 1)
    spin = (whole("multiplicity", multiplicity, 1) - 1) / 2
    raised = np.maximum(wavenumber_cm, raise_below_cm)
    if np.min(wavenumber_cm) < -SOFT_CM or raised.min() <= 0:
        raise ValueError(
            f"a mode of {np.min(wavenumber_cm):.0f} cm⁻¹ is no vibration: only a minimum has a free energy"
        )
    energies = raised * units.invcm
    if is_gas(atoms):
        gas = _ideal_gas(energies, atoms, symmetry, spin)
        enthalpy = gas.get_enthalpy(temperature, verbose=False)
        entropy = gas.get_entropy(temperature, pressure, verbose=False)
    else:
        crystal = HarmonicThermo(energies)
        enthalpy = crystal.get_internal_energy(temperature, verbose=False)
        entropy = crystal.get_entropy(temperature, verbose=False)
    return np.array([enthalpy, entropy, enthalpy - temperature * entropy])


def _ideal_gas(energies: NDArray, atoms: Atoms, symmetry: int, spin: float) -> IdealGasThermo:
    """Return ASE's gas of a molecule whose vibrations have these energies (M,), eV."""
    return IdealGasThermo(
        energies,
        "linear" if is_linear(atoms) else "nonlinear",
        atoms=atoms,
        symmetrynumber=symmetry,
        spin=spin,
        vib_selection="exact",
    )

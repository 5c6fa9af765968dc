"""Do converted labels look as if their units had been right?

Three independent marks: energies close to the sum of all-electron atoms, forces of the size that
molecules feel, and bonds of the length that bonds have.
"""

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from ase.units import Hartree

from ase_schnet.units import ENERGY_UNITS

RMS_FORCE_RANGE = (1e-3, 10.0)
"""eV/Å. MD at 500 K has 1 to 2, strongly distorted structures 3; kcal/mol/Å read as eV/Å, 27."""

BOND_RANGE = (0.6, 1.4)
"""Shortest distance over the sum of the covalent radii. Bonds lie in 0.77 (N₂) to 1.24 (F₂);
Bohr taken for Å multiply that by 1.89, Å taken for Bohr by 0.53."""

_TOLERANCE = 0.05
_ABSURD_RMS_FORCE = 5.0  # eV/Å; refutes a suspicion, so stricter than RMS_FORCE_RANGE
_NOBLE_GASES = (2, 10, 18, 36, 54, 86)

# Total energies (eV) of the atoms 0 to 118 from the Thomas-Fermi-Scott-Schwinger series,
# Schwinger, Phys. Rev. A 24, 2353 (1981): within 1 % of Hartree-Fock from beryllium on, 4 % for
# He and Li. Hydrogen, where it is 8 % off, is exact. Relativity adds 1 % at Fe and 3 % at I.
_Z = np.arange(119.0)
ATOM_ENERGIES_EV = -Hartree * (0.768745 * _Z ** (7 / 3) - _Z**2 / 2 + 0.2699 * _Z ** (5 / 3))
ATOM_ENERGIES_EV[1] = -0.5 * Hartree


def suspected_energy_unit(
    structures: list[Atoms], energies: list, rms_force: float | None, unit: str
) -> str | None:
    """Find the unit in which the energies would be all-electron totals, if it is another one.

    Total energies are within a few per cent of the sum of their atoms. If the converted ones miss
    it by just the ratio of two units, the wrong unit was named. A ratio above one has no other
    explanation. One below one also arises, for rare compositions, from valence-only energies of
    pseudopotential codes (alumina: by the factor of a Rydberg): then forces that would be absurd
    in the suspected unit refute it. Energies relative to atoms or to a mean raise no suspicion.

    Parameters
    ----------
    structures : list of Atoms
        Only their elements matter.
    energies : list
        eV, or None where a structure has none.
    rms_force : float, optional
        eV/Å per component.
    unit : str
        A key of `ENERGY_UNITS`: the unit from which the energies were converted.

    Returns
    -------
    str or None
        The unit they look like, None without suspicion.
    """
    ratios = [
        energy / ATOM_ENERGIES_EV[atoms.numbers].sum()
        for atoms, energy in zip(structures, energies, strict=True)
        if energy is not None
    ]
    if not ratios:
        return None
    ratio = np.median(ratios)
    for other, factor in ENERGY_UNITS.items():
        expected = ENERGY_UNITS[unit] / factor  # were the energies really in `other`
        if other == unit or abs(ratio / expected - 1) > _TOLERANCE:
            continue
        if expected < 1 and rms_force is not None and rms_force / expected > _ABSURD_RMS_FORCE:
            continue
        return other
    return None


def forces_suspicion(rms_force: float) -> str | None:
    """Say what is odd about forces of this size.

    Parameters
    ----------
    rms_force : float
        eV/Å per component, over all atoms of a file.

    Returns
    -------
    str or None
    """
    low, high = RMS_FORCE_RANGE
    if low <= rms_force <= high:
        return None
    if rms_force == 0.0:
        return "all forces are zero"
    guess = "minima only" if rms_force < low else "such as kcal/mol/Å in place of eV/Å"
    return (
        f"the root mean square force is {rms_force:.2g} eV/Å, outside {low:g} to {high:g} "
        f"(another unit, {guess}?)"
    )


def lengths_suspicion(structures: list[Atoms], n_probed: int = 20) -> str | None:
    """Say what is odd about the shortest distances, relative to covalent radii.

    Too long: no frame has a bond, which holds for Bohr taken for Å, but not for a scan or a
    dissociation as a whole. Too short: most frames are compressed beyond any bond. Free atoms and
    noble gases say nothing.

    Parameters
    ----------
    structures : list of Atoms
        Å; evenly spread frames of them are probed.
    n_probed : int
        How many.

    Returns
    -------
    str or None
    """
    picked = np.unique(np.linspace(0, len(structures) - 1, n_probed).astype(int))
    shortest = []
    for atoms in (structures[i] for i in picked):
        if len(atoms) > 1 and not np.isin(atoms.numbers, _NOBLE_GASES).any():
            radii = covalent_radii[atoms.numbers]
            cutoffs = list(BOND_RANGE[1] * radii)
            # Without a limit ASE spends half a second on the empty bins of a 100 Å box.
            i, j, d = neighbor_list("ijd", atoms, cutoff=cutoffs, max_nbins=len(atoms))
            shortest.append((d / (radii[i] + radii[j])).min() if len(d) else np.inf)
    if not shortest:
        return None
    if np.isinf(min(shortest)):
        return "no structure has two atoms within bonding distance (Bohr read as Å?)"
    if np.median(shortest) < BOND_RANGE[0]:
        share = np.median(shortest)
        return f"the shortest distances are {share:.2f} of a bond (Å read as Bohr, or nm as Å?)"
    return None

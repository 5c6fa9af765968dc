"""Check by size whether converted labels had the units that they were read in.

Three independent signs: energies close to the sum of all-electron atoms, forces as large as those in
molecules, and bonds as long as bonds are.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase.data import covalent_radii
from ase.neighborlist import neighbor_list
from ase.units import Hartree

from ase_schnet.bonds import LONGEST_BOND, SHORTEST_BOND
from ase_schnet.data.frame import Frame
from ase_schnet.units import ENERGY_UNITS, FileUnits

RMS_FORCE_RANGE = (1e-3, 10.0)
"""eV/Å, of MD and distorted structures; a wrong unit is outside: benchmarks/label_checks.md."""

_TOLERANCE = 0.05
_ABSURD_RMS_FORCE = 5.0  # eV/Å; refutes a suspicion, so stricter than RMS_FORCE_RANGE
_NOBLE_GASES = (2, 10, 18, 36, 54, 86)

# Total energies (eV) of the atoms 0 to 118 from the Thomas-Fermi-Scott-Schwinger series,
# Schwinger, Phys. Rev. A 24, 2353 (1981), doi:10.1103/PhysRevA.24.2353: within 1 % of Hartree-Fock from
# beryllium on, 4 % for He and Li. Hydrogen, 8 % off, is set exactly. Relativity adds 1 % at Fe and 3 % at I.
_Z = np.arange(119.0)
ATOM_ENERGIES_EV = -Hartree * (0.768745 * _Z ** (7 / 3) - _Z**2 / 2 + 0.2699 * _Z ** (5 / 3))
ATOM_ENERGIES_EV[1] = -0.5 * Hartree


def check_plausible(
    path: Path,
    frames: Sequence[Frame],
    labels: dict[str, list],
    units: FileUnits,
    stated: str | None,
    trust_units: bool = False,
) -> None:
    """Refuse energies that look like another unit; warn of unusual forces, bond lengths and charges.

    Parameters
    ----------
    path
        File, for the warning.
    frames
        In Å.
    labels
        In eV and eV/Å.
    units
        From which they were converted.
    stated
        The units that the file itself names.
    trust_units
        Accept the energies as they are.
    """
    forces = [f for f in labels.get("forces", []) if f is not None]
    rms_force = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else None
    energies = labels.get("energy", [None] * len(frames))
    suspected = suspected_energy_unit(frames, energies, rms_force, units.energy)
    if suspected and not trust_units:
        right = suspected if units.length == "Ang" else f"{suspected}, {units.length}"
        cure = f"correct what the file says ({stated})" if stated else f"pass units='{right}'"
        if rms_force is None:  # only the size of the energies points to the other unit
            cure = (
                "without forces this is a guess, because valence energies of pseudopotentials can have "
                "this size too"
            )
        raise ValueError(
            f"energies look like {suspected}, not {units.energy}: {cure}; trust_units=True if "
            f"{units.energy} is right"
        )
    suspicions = [lengths_suspicion(frames), _charges_suspicion(frames)]
    if rms_force is not None:
        suspicions.append(forces_suspicion(rms_force))
    for suspicion in filter(None, suspicions):
        warnings.warn(f"{path}: {suspicion}; read as {units}", stacklevel=4)


def suspected_energy_unit(
    frames: Sequence[Frame], energies: list, rms_force: float | None, unit: str
) -> str | None:
    """Return the unit in which the energies would be all-electron totals, if it is another one.

    Total energies are within a few per cent of the sum of their atoms. If the converted ones miss
    it by just the ratio of two units, the wrong unit was named. A ratio above one has no other
    explanation. One below one also arises, for rare compositions, from valence-only energies of
    pseudopotential codes (alumina: by the factor of a Rydberg): then forces that would be absurd
    in the suspected unit refute it. Energies relative to atoms or to a mean raise no suspicion.

    Parameters
    ----------
    frames
        Only their elements matter.
    energies
        eV, or None where a structure has none.
    rms_force
        Root mean square force component in eV/Å.
    unit
        A key of `ENERGY_UNITS`: the unit from which the energies were converted.
    """
    ratios = [
        energy / ATOM_ENERGIES_EV[frame.numbers].sum()
        for frame, energy in zip(frames, energies, strict=True)
        if energy is not None
    ]
    if not ratios:
        return None
    ratio = np.median(ratios)
    for other, factor in ENERGY_UNITS.items():
        expected = ENERGY_UNITS[unit] / factor  # if the energies were really in `other`
        if other == unit or abs(ratio / expected - 1) > _TOLERANCE:
            continue
        if expected < 1 and rms_force is not None and rms_force / expected > _ABSURD_RMS_FORCE:
            continue
        return other
    return None


def forces_suspicion(rms_force: float) -> str | None:
    """Say what is unusual about a root mean square force component in eV/Å; None if nothing is."""
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


def lengths_suspicion(frames: Sequence[Frame], n_probed: int = 20) -> str | None:
    """Say what is unusual about the shortest distances, relative to covalent radii; None if nothing is.

    Too long: no frame has a bond, which holds for Bohr taken for Å, but not for a scan or a
    dissociation as a whole. Too short: most frames are compressed beyond any bond. Free atoms and
    noble gases say nothing.

    Parameters
    ----------
    frames
        In Å.
    n_probed
        How many frames are looked at, evenly spread.
    """
    picked = np.unique(np.linspace(0, len(frames) - 1, n_probed).astype(int))
    shortest = []
    for atoms in (frames[i].atoms() for i in picked):
        if len(atoms) > 1 and not np.isin(atoms.numbers, _NOBLE_GASES).any():
            radii = covalent_radii[atoms.numbers]
            cutoffs = list(LONGEST_BOND * radii)
            # Without a limit ASE spends half a second on the empty bins of a 100 Å box.
            i, j, d = neighbor_list("ijd", atoms, cutoff=cutoffs, max_nbins=len(atoms))
            shortest.append((d / (radii[i] + radii[j])).min() if len(d) else np.inf)
    if not shortest:
        return None
    if np.isinf(min(shortest)):
        return "no structure has two atoms within bonding distance (Bohr read as Å?)"
    if np.median(shortest) < SHORTEST_BOND:
        share = np.median(shortest)
        return f"the shortest distances are {share:.2f} of a bond (Å read as Bohr, or nm as Å?)"
    return None


def _charges_suspicion(frames: Sequence[Frame]) -> str | None:
    """Name total charges that differ: a network of elements and distances cannot tell them apart."""
    charges = {frame.info["charge"] for frame in frames if frame.info and "charge" in frame.info}
    if len(charges) < 2:
        return None
    return (
        f"total charges range from {min(charges):+g} to {max(charges):+g}, which a network of elements and "
        "distances cannot see (one charge per model?)"
    )

"""What is refused or warned of once the labels of a file are in package units."""

import warnings
from pathlib import Path

import numpy as np

from ase_schnet.data._plausible import (
    forces_suspicion,
    lengths_suspicion,
    suspected_energy_unit,
)
from ase_schnet.data.frame import AtomsOf, Frame
from ase_schnet.units import FileUnits


def check_plausible(
    path: Path,
    frames: list[Frame],
    labels: dict[str, list],
    units: FileUnits,
    stated: str | None,
    trust_units: bool = False,
) -> None:
    """Refuse energies in another unit, unless units are trusted; warn of odd forces, lengths and charges."""
    forces = [f for f in labels.get("forces", []) if f is not None]
    rms_force = float(np.sqrt(np.mean(np.concatenate(forces) ** 2))) if forces else None
    structures = AtomsOf(frames)
    energies = labels.get("energy", [None] * len(frames))
    suspected = suspected_energy_unit(structures, energies, rms_force, units.energy)
    if suspected and not trust_units:
        right = suspected if units.length == "Ang" else f"{suspected}, {units.length}"
        cure = f"correct what the file says ({stated})" if stated else f"pass units='{right}'"
        if rms_force is None:  # nothing but the size of the energies speaks for the other unit
            cure = "without forces this is a guess, and valence energies of pseudopotentials look so too"
        raise ValueError(
            f"energies look like {suspected}, not {units.energy}: {cure}; trust_units=True if "
            f"{units.energy} is right"
        )
    suspicions = [lengths_suspicion(structures), _charges_suspicion(frames)]
    if rms_force is not None:
        suspicions.append(forces_suspicion(rms_force))
    for suspicion in filter(None, suspicions):
        warnings.warn(f"{path}: {suspicion}; read as {units}", stacklevel=4)


def _charges_suspicion(frames: list[Frame]) -> str | None:
    """Total charges that differ, and are not for a network that knows elements and distances to see."""
    charges = {frame.info["charge"] for frame in frames if frame.info and "charge" in frame.info}
    if len(charges) < 2:
        return None
    return (
        f"total charges range from {min(charges):+g} to {max(charges):+g}, which a network of elements and "
        "distances cannot see (one charge per model?)"
    )

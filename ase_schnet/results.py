"""What ASE calls what the models predict: names, shapes and signs of `calc.results`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase.stress import full_3x3_to_voigt_6_stress

from ase_schnet.inference.prediction import Prediction
from ase_schnet.uncertainty import committee_mean_std

SINGLE = ("energy", "free_energy", "energies", "forces")
COMMITTEE = ("energy_std", "forces_std", "energy_committee", "forces_committee")
STRESS = ("stress",)
STRESS_COMMITTEE = ("stress_std",)

#: Names that ASE's own `Properties` and its writers do not know.
OURS = (*COMMITTEE, *STRESS_COMMITTEE, "dipole_std", "polarizability", "polarizability_std")


def names_of(n_members: int, stress: bool, parts: Iterable[str]) -> list[str]:
    """What a model of M members, trained with stress or not, with these parts, can give."""
    names = [*SINGLE, *(STRESS if stress else ())]
    if n_members > 1:
        names += [*COMMITTEE, *(STRESS_COMMITTEE if stress else ())]
    return names + [name for part in parts for name in (part, f"{part}_std")]


def potential_results(prediction: Prediction, volume: float | None) -> dict:
    """Of a potential: Python floats and C-contiguous float64 arrays. volume : Å³, None for no stress."""
    several, energies = len(prediction.energies) > 1, prediction.energies
    results = {"energy": float(energies.sum() / len(energies))}
    results["free_energy"] = results["energy"]
    results["energies"] = prediction.atomic_energies.mean(axis=0)
    if several:
        results["forces"], results["forces_std"] = committee_mean_std(prediction.forces)
        results["energy_std"] = float(committee_mean_std(energies)[1])
        results["energy_committee"] = energies
        results["forces_committee"] = prediction.forces
    else:
        results["forces"] = prediction.forces[0]
    if volume is not None:
        stresses = full_3x3_to_voigt_6_stress(-prediction.virials / volume)  # (M, 6)
        results["stress"] = stresses.mean(axis=0)
        if several:
            results["stress_std"] = committee_mean_std(stresses)[1]
    return results


def part_results(quantity: str, mean: np.ndarray, std: np.ndarray) -> dict:
    """Of a dipole (3,) in e·Å about the centre of mass, or a polarizability (3, 3) in e²Å²/eV."""
    return {quantity: np.ascontiguousarray(mean), f"{quantity}_std": np.ascontiguousarray(std)}

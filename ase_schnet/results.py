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
EXTRA_RESULTS = (*COMMITTEE, *STRESS_COMMITTEE, "dipole_std", "polarizability", "polarizability_std")


class Results(dict):
    """What a calculator has found: ASE's names for whoever iterates, all names for whoever asks.

    ASE's `SinglePointCalculator(atoms, **calc.results)`, `Properties(calc.results)` and others take every
    name for a property of theirs and fail on a standard deviation. So `keys`, `items`, `len` and ``**``
    show ASE's names, while `results["forces_std"]`, `"forces_std" in results` and `results.get` know the
    others too.

    Parameters
    ----------
    known : values of ASE's names.
    extra : values of those that ASE has no name for (`EXTRA_RESULTS`); kept as an attribute.
    """

    def __init__(self, known: dict, extra: dict):
        super().__init__(known)
        self.extra = extra

    def __setitem__(self, name: str, value) -> None:
        if name in EXTRA_RESULTS:
            self.extra[name] = value
        else:
            super().__setitem__(name, value)

    def __missing__(self, name: str):
        return self.extra[name]

    def __contains__(self, name) -> bool:
        return super().__contains__(name) or name in self.extra

    def __ior__(self, other):
        self.update(other)
        return self

    def __or__(self, other) -> Results:
        both = self.copy()
        both.update(other)
        return both

    def __eq__(self, other) -> bool:
        return super().__eq__(other) and getattr(other, "extra", {}) == self.extra

    __hash__ = None

    def get(self, name: str, default=None):
        """Return the value of any name, or `default`."""
        return super().get(name, self.extra.get(name, default))

    def update(self, *args, **kwargs) -> None:
        """Take in the names of a mapping, each in its place; of another `Results` all of them."""
        for source in (*args, kwargs):
            for name, value in dict(source).items():
                self[name] = value
            self.extra.update(getattr(source, "extra", {}))

    def copy(self) -> Results:
        """Return another of the same values."""
        return Results(self, dict(self.extra))


def names_of(n_members: int, stress: bool, parts: Iterable[str]) -> list[str]:
    """What a model of M members, trained with stress or not, with these parts, can give."""
    names = [*SINGLE, *(STRESS if stress else ())]
    if n_members > 1:
        names += [*COMMITTEE, *(STRESS_COMMITTEE if stress else ())]
    return names + [name for part in parts for name in (part, f"{part}_std")]


def potential_results(prediction: Prediction, volume: float | None) -> Results:
    """Of a potential: Python floats and C-contiguous float64 arrays. volume : Å³, None for no stress."""
    several, energies = len(prediction.energies) > 1, prediction.energies
    known, extra = {"energy": float(energies.sum() / len(energies))}, {}
    known["free_energy"] = known["energy"]
    known["energies"] = prediction.atomic_energies.mean(axis=0)
    if several:
        known["forces"], extra["forces_std"] = committee_mean_std(prediction.forces)
        extra["energy_std"] = float(committee_mean_std(energies)[1])
        extra["energy_committee"] = energies
        extra["forces_committee"] = prediction.forces
    else:
        known["forces"] = prediction.forces[0]
    if volume is not None:
        stresses = full_3x3_to_voigt_6_stress(-prediction.virials / volume)  # (M, 6)
        known["stress"] = stresses.mean(axis=0)
        if several:
            extra["stress_std"] = committee_mean_std(stresses)[1]
    return Results(known, extra)


def part_results(quantity: str, mean: np.ndarray, std: np.ndarray) -> dict:
    """Of a dipole (3,) in e·Å about the centre of mass, or a polarizability (3, 3) in e²Å²/eV."""
    return {quantity: np.ascontiguousarray(mean), f"{quantity}_std": np.ascontiguousarray(std)}

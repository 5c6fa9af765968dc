"""Predictions under the names of ASE: names, shapes and signs of ``calc.results``."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from ase_schnet.inference.prediction import Prediction
from ase_schnet.uncertainty import committee_mean_std

SINGLE = ("energy", "free_energy", "energies", "forces")
COMMITTEE = ("energy_std", "forces_std", "energy_committee", "forces_committee")
STRESS = ("stress",)
STRESS_COMMITTEE = ("stress_std",)

#: Names that ASE's ``Properties`` and its writers do not know.
EXTRA_RESULTS = (
    *COMMITTEE,
    *STRESS_COMMITTEE,
    "dipole_std",
    "polarizability",
    "polarizability_std",
)


class Results(dict):
    """Hold the results of a calculator: iteration gives ASE's names, a look-up finds all names.

    ASE's ``SinglePointCalculator(atoms, **calc.results)``, ``Properties(calc.results)`` and others take every
    name for a property of ASE and fail on a standard deviation. So ``keys``, ``items``, ``len`` and ``**``
    show ASE's names only. ``results["forces_std"]``, ``"forces_std" in results`` and ``results.get`` also
    find the others.

    Parameters
    ----------
    known
        Values under ASE's names.
    extra
        Values under the names of `EXTRA_RESULTS`, kept as an attribute.
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
        """Return the value of a name of either kind, or `default`."""
        return super().get(name, self.extra.get(name, default))

    def update(self, *args, **kwargs) -> None:
        """Set the names of a mapping; of another `Results`, all names."""
        for source in (*args, kwargs):
            for name, value in dict(source).items():
                self[name] = value
            self.extra.update(getattr(source, "extra", {}))

    def copy(self) -> Results:
        """Return a copy that shares the values."""
        return Results(self, dict(self.extra))


def names_of(n_members: int, stress: bool, heads: Iterable[str]) -> list[str]:
    """Return the names of all results of a model.

    Parameters
    ----------
    n_members
        Number of members, M.
    stress
        Whether the model was trained on periodic structures.
    heads
        Quantities of its property heads.
    """
    names = [*SINGLE, *(STRESS if stress else ())]
    if n_members > 1:
        names += [*COMMITTEE, *(STRESS_COMMITTEE if stress else ())]
    return names + [name for quantity in heads for name in (quantity, f"{quantity}_std")]


def stress_volume(atoms: Atoms) -> float | None:
    """Return the volume in Å³, also of a left-handed cell; None where a stress has no meaning."""
    return atoms.cell.volume if atoms.pbc.any() and atoms.cell.rank == 3 else None


def potential_results(prediction: Prediction, volume: float | None) -> Results:
    """Return the results of a potential as Python floats and C-contiguous float64 arrays.

    Parameters
    ----------
    prediction
        Values of the M members.
    volume
        Volume of the cell in Å³; None leaves the stress out.
    """
    energies, members = prediction.energies, len(prediction.energies)
    several, energy = members > 1, float(energies.sum() / members)
    known: dict[str, float | np.ndarray] = {"energy": energy, "free_energy": energy}
    extra: dict[str, float | np.ndarray] = {}
    known["energies"] = np.add.reduce(prediction.atomic_energies) / members  # quicker than mean
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

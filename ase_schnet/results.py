"""Predictions under the names of ASE: names, shapes and signs of ``calc.results``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from ase import Atoms
from ase.stress import full_3x3_to_voigt_6_stress

from ase_schnet.inference.prediction import Prediction
from ase_schnet.modelfile import TrainedModel
from ase_schnet.uncertainty.committee import committee_mean_std

SINGLE = ("energy", "free_energy", "energies", "forces")
COMMITTEE = ("energy_std", "forces_std", "energy_committee", "forces_committee")
STRESS = ("stress",)
STRESS_COMMITTEE = ("stress_std",)
ERRORS = ("energy_error", "forces_error")
STRESS_ERRORS = ("stress_error",)
_ALL_ERRORS = frozenset((*ERRORS, *STRESS_ERRORS))

#: Names that ASE's ``Properties`` and its writers do not know.
EXTRA_RESULTS = (
    *COMMITTEE,
    *STRESS_COMMITTEE,
    *ERRORS,
    *STRESS_ERRORS,
    "dipole_std",
    "polarizability",
    "polarizability_std",
)


class Named(Protocol):
    """Have error bars."""

    @property
    def names(self) -> tuple[str, ...]:
        """Those of `ERRORS` and `STRESS_ERRORS` that there are; the latter only where there is a stress."""
        ...


class LateErrors(Named, Protocol):
    """Make the error bars of a structure from its results."""

    def __call__(self, results: Results) -> dict:
        """Return them by name, in eV, eV/Å and eV/Å³."""
        ...


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
    errors
        What makes the error bars from these results when the first of them is asked for, so that dynamics
        does not pay for them. None: there are none.
    """

    def __init__(self, known: dict, extra: dict, errors: LateErrors | None = None):
        super().__init__(known)
        self.extra, self.errors = extra, errors

    def __setitem__(self, name: str, value) -> None:
        if name in EXTRA_RESULTS:
            self.extra[name] = value
        else:
            super().__setitem__(name, value)

    def __missing__(self, name: str):
        extra = self.extra
        if name in extra:
            return extra[name]
        if name in _ALL_ERRORS:
            errors = self.errors
            if errors is not None and (name in ERRORS or "stress_std" in extra):
                extra |= errors(self)
                if name in extra:
                    return extra[name]
            raise KeyError(
                f"{name}: the model has no such error bar for this structure; ase-schnet calibrate MODEL "
                "DATA fits error bars"
            )
        raise KeyError(name)

    def __contains__(self, name) -> bool:
        return super().__contains__(name) or name in self.extra or name in self._error_names()

    def all_names(self) -> set[str]:
        """Return the names of both kinds, also of error bars that are not made yet."""
        return {*self, *self.extra, *self._error_names()}

    def _error_names(self) -> Sequence[str]:
        names = () if self.errors is None else self.errors.names
        return names if "stress_std" in self.extra else [n for n in names if n not in STRESS_ERRORS]

    def __ior__(self, other):
        self.update(other)
        return self

    def __or__(self, other) -> Results:
        both = self.copy()
        both.update(other)
        return both

    def __eq__(self, other) -> bool:
        if not isinstance(other, dict):
            return NotImplemented
        names, late = set(other), set(self._error_names())
        if isinstance(other, Results):
            names, late = other.all_names(), late & set(other._error_names())
        # error bars that both make when asked for follow from the rest, whether they are made yet or not
        return self.all_names() == names and all(
            self[name] is other[name] or np.array_equal(self[name], other[name])
            for name in names - late
        )

    def __ne__(self, other) -> bool:
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    __hash__ = None

    def __delitem__(self, name: str) -> None:
        if super().__contains__(name):
            super().__delitem__(name)
            return
        self[name]  # an error bar is made, and the others with it
        del self.extra[name]
        if name in _ALL_ERRORS:
            self.errors = None  # it would be made again

    def clear(self) -> None:
        """Remove the values of all names."""
        super().clear()
        self.extra, self.errors = {}, None

    def pop(self, name: str, *default):
        """Return the value of a name of either kind and remove it; of no such name, `default` if given."""
        try:
            value = self[name]
        except KeyError:
            if default:
                return default[0]
            raise
        del self[name]
        return value

    def setdefault(self, name: str, default=None):
        """Return the value of a name of either kind; set it to `default` first if there is none."""
        try:
            return self[name]
        except KeyError:
            self[name] = default
            return default

    def get(self, name: str, default=None):
        """Return the value of a name of either kind, or `default`."""
        try:
            return self[name]
        except KeyError:
            return default

    def update(self, *args, **kwargs) -> None:
        """Set the names of a mapping; of another `Results`, all names."""
        for source in (*args, kwargs):
            for name, value in dict(source).items():
                self[name] = value
            self.extra.update(getattr(source, "extra", {}))

    def copy(self) -> Results:
        """Return a copy that shares the values."""
        return Results(self, dict(self.extra), self.errors)


def names_of(model: TrainedModel, errors: Named | None, heads: Iterable[str]) -> list[str]:
    """Return the names of all results of a model.

    Parameters
    ----------
    model
        The ensemble.
    errors
        Its error bars, if it has any.
    heads
        Quantities of its property heads.
    """
    names = [*SINGLE, *(STRESS if model.pbc else ())]
    if model.n_members > 1:
        names += [*COMMITTEE, *(STRESS_COMMITTEE if model.pbc else ())]
    names += () if errors is None else errors.names
    return names + [name for quantity in heads for name in (quantity, f"{quantity}_std")]


def stress_volume(atoms: Atoms) -> float | None:
    """Return the volume in Å³, also of a left-handed cell; None where a stress has no meaning."""
    return atoms.cell.volume if atoms.pbc.any() and atoms.cell.rank == 3 else None


def potential_results(
    prediction: Prediction, volume: float | None, errors: LateErrors | None = None
) -> Results:
    """Return the results of a potential as Python floats and C-contiguous float64 arrays.

    Parameters
    ----------
    prediction
        Values of the M members.
    volume
        Volume of the cell in Å³; None leaves the stress out.
    errors
        What makes the error bars.
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
    return Results(known, extra, errors)

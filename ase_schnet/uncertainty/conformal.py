"""Error bars with a stated coverage: half-widths of intervals, from errors on structures that no member saw.

Split conformal prediction with a scale (Lei et al., J. Am. Stat. Assoc. 113, 1094 (2018), section 5.2,
arXiv:1604.04173): the half-width is q·s, where s is a scale that the ensemble predicts, and q the
⌈(n + 1)·level⌉-th smallest of the n known |error| / s. Whatever s is, the interval covers a new error with
the probability `level` if the new structure is drawn like those n. How far it can be believed elsewhere
depends on s:

=================  =======================================================================================
force              σ_i, the root mean square over x, y and z of the std of the force on atom i; a q for
                   each element. It is the same for the three components and turns with the structure.
energy per atom    √(σ_E² + (c·σ_F)²), σ_E the std of the energy per atom, σ_F the root mean square of all
                   σ_i. The std of one number over five members is a poor scale, by chance often far too
                   small; σ_F has many numbers. c (Å) makes c·σ_F half of σ_E in the median.
stress             likewise, with the root mean square over the nine components of the stress.
=================  =======================================================================================

The energy's grows with the number of atoms, as an error does that all atoms have in common. What else was
tried, and the coverage at other temperatures: benchmarks/intervals.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, chemical_symbols
from numpy.typing import NDArray

from ase_schnet.schnet_config import MAX_ELEMENTS
from ase_schnet.uncertainty.bars import LEVEL, ROUNDED_STD

#: Forces of an element, for a factor of its own; rarer elements have that of all atoms.
ENOUGH_FORCES = 300
#: c·σ_F over σ_E, in the median: more costs coverage on hotter structures, less widens bars at home.
FLOOR = 0.5
#: Components of Voigt's stress by how often they occur in the tensor.
_OCCURS = np.array([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])


class NoIntervals(ValueError):
    """Say why there can be no intervals: too few structures, or members without a spread."""


class Residuals(NamedTuple):
    """Hold predictions of M members and labels of one structure of N atoms that no member saw.

    Attributes
    ----------
    numbers
        (N,), atomic numbers.
    energies
        (M,), eV.
    energy
        Label, eV; None without one.
    member_forces
        (M, N, 3), eV/Å.
    forces
        (N, 3), eV/Å, rows of NaN for atoms without a label; None without labels.
    stresses
        (M, 6), eV/Å³; None of a molecule.
    stress
        (6,), eV/Å³; None without a label.
    """

    numbers: NDArray
    energies: NDArray
    energy: float | None
    member_forces: NDArray
    forces: NDArray | None
    stresses: NDArray | None = None
    stress: NDArray | None = None


class Factors(NamedTuple):
    """Hold what makes a half-width of the stds of a structure.

    Attributes
    ----------
    factor
        q, the half-width over the scale.
    from_forces
        c: what σ_F counts in the scale, Å for an energy per atom, 1/Å² for a stress.
    """

    factor: float
    from_forces: float

    def half_width(self, std: float, forces_std: float) -> float:
        """Return q √(std² + (c·σ_F)²); std in eV per atom or eV/Å³, σ_F in eV/Å."""
        return self.factor * math.hypot(std, self.from_forces * forces_std)


@dataclass(frozen=True, eq=False)
class Intervals:
    """Hold the intervals of a model.

    Attributes
    ----------
    level
        Probability with which an interval covers the error.
    n_structures, n_atoms
        Number of structures, and of atoms with forces, that the intervals rest on.
    energy, stress
        Of energies per atom and of stresses; None if there were no labels.
    forces
        Symbol of an element -> q; of all elements together under "".
    """

    level: float
    n_structures: int
    n_atoms: int
    energy: Factors | None
    forces: dict[str, float]
    stress: Factors | None

    def energy_error(self, energy_std: float, mean_forces_std: float, n_atoms: int) -> float:
        """Return the half-width of the energy of a structure, eV; NaN if energies had no labels.

        Parameters
        ----------
        energy_std
            eV.
        mean_forces_std
            Root mean square of the stds of all components of forces, eV/Å.
        n_atoms
            Number of atoms.
        """
        if self.energy is None:
            return math.nan
        return self.energy.half_width(energy_std, n_atoms * mean_forces_std)

    def stress_error(self, stress_std: NDArray, mean_forces_std: float) -> NDArray:
        """Return the half-widths of stress components (6,) in eV/Å³; NaN if stresses had no labels.

        Parameters
        ----------
        stress_std
            (6,), eV/Å³.
        mean_forces_std
            As in `energy_error`.
        """
        if self.stress is None:
            return np.full(6, math.nan)
        return np.full(6, self.stress.half_width(tensor_rms(stress_std), mean_forces_std))

    @property
    def force_factors(self) -> NDArray:
        """Return q by atomic number, (100,): that of all atoms for rare elements, NaN without labels."""
        factors = np.full(MAX_ELEMENTS, self.forces.get("", math.nan))
        for symbol, factor in self.forces.items():
            if symbol:
                factors[atomic_numbers[symbol]] = factor
        return factors

    def to_dict(self) -> dict:
        """Return the attributes as plain types for JSON."""
        parts = {
            name: None if part is None else part._asdict()
            for name, part in (("energy", self.energy), ("stress", self.stress))
        }
        counts = {"n_structures": self.n_structures, "n_atoms": self.n_atoms}
        return {"level": self.level, **counts, "forces": dict(self.forces), **parts}

    @classmethod
    def from_dict(cls, known: dict) -> Intervals:
        """Return the intervals that `to_dict` has written; other entries are left aside."""
        known = {f.name: known[f.name] for f in fields(cls)}
        parts = {k: None if known[k] is None else Factors(**known[k]) for k in ("energy", "stress")}
        return cls(**{**known, **parts})


def fit_intervals(structures: Iterable[Residuals], level: float = LEVEL) -> Intervals:
    """Fit the intervals of an ensemble to its errors on structures that no member saw.

    Parameters
    ----------
    structures
        Predictions and labels.
    level
        Probability that an interval is to cover an error, between 0 and 1.

    Raises
    ------
    NoIntervals
        The level needs more structures (0.9: nine), there is one member, or all members are the same.
    ValueError
        `level` is not between 0 and 1.
    """
    known, needed = list(structures), structures_needed(level)
    if len(known) < needed:
        raise NoIntervals(
            f"an interval of {level:.4g} needs at least {needed} structures that no member saw, "
            f"there {'is' if len(known) == 1 else 'are'} {len(known)}"
        )
    if len(known[0].energies) < 2:
        raise NoIntervals("one member has no std, so its errors have no scale: train at least two")
    stds = [atom_std(s.member_forces.std(axis=0, ddof=1)) for s in known]  # (N,) each
    if not any(std.any() for std in stds):
        raise NoIntervals("all members are the same: their std says nothing of an error")
    by_structure = np.array([rms(std) for std in stds])
    forces, n_atoms = _force_factors(known, stds, level)
    return Intervals(
        level,
        len(known),
        n_atoms,
        _energy_factors(known, by_structure, level),
        forces,
        _stress_factors(known, by_structure, level),
    )


def structures_needed(level: float) -> int:
    """Return the smallest n for which the ⌈(n + 1)·level⌉-th of n numbers exists; ValueError for no level."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"the level of an interval is between 0 and 1, got {level!r}")
    n = max(1, math.floor(level / (1.0 - level)) - 1)
    while _rank(n, level) > n:
        n += 1
    return n


def conformal_quantile(scores: NDArray, level: float) -> float:
    """Return the ⌈(n + 1)·level⌉-th smallest of n scores (Lei et al. 2018, algorithm 2)."""
    k = _rank(len(scores), level)
    return float(np.partition(scores, k - 1)[k - 1]) if k <= len(scores) else math.inf


def _rank(n: int, level: float) -> int:
    return math.ceil((n + 1) * level - 1e-9)  # 10 · 0.9 is 9.000000000000002 in some order of work


def atom_std(forces_std: NDArray) -> NDArray:
    """Return the root mean square over x, y and z, (N,) of (N, 3)."""
    return np.sqrt(np.einsum("ia,ia->i", forces_std, forces_std) / 3.0)


def rms(values: NDArray) -> float:
    """Return the root mean square of all values."""
    flat = np.ravel(values)
    return math.sqrt(np.dot(flat, flat) / len(flat))


def tensor_rms(stress: NDArray) -> float:
    """Return the root mean square over the nine components of a tensor (6,) in Voigt's order."""
    return math.sqrt(float(np.dot(_OCCURS, np.asarray(stress) ** 2)) / 9.0)


def _energy_factors(known: list[Residuals], forces_std: NDArray, level: float) -> Factors | None:
    labelled = [k for k, s in enumerate(known) if s.energy is not None]
    sizes = np.array([len(known[k].numbers) for k in labelled])
    errors = np.array([known[k].energies.mean() - known[k].energy for k in labelled]) / sizes
    stds = np.array([known[k].energies.std(ddof=1) for k in labelled]) / sizes
    return _factors(np.abs(errors)[:, None], stds, forces_std[labelled], level)


def _stress_factors(known: list[Residuals], forces_std: NDArray, level: float) -> Factors | None:
    labelled = [k for k, s in enumerate(known) if s.stress is not None and s.stresses is not None]
    errors = np.array([known[k].stresses.mean(axis=0) - known[k].stress for k in labelled])
    stds = np.array([tensor_rms(known[k].stresses.std(axis=0, ddof=1)) for k in labelled])
    return _factors(np.abs(errors), stds, forces_std[labelled], level)


def _factors(errors: NDArray, stds: NDArray, forces_std: NDArray, level: float) -> Factors | None:
    """Return q and c for |errors| (S, K), their stds (S,) and σ_F (S,); None if they are too few."""
    if len(errors) < structures_needed(level):
        return None
    middle = float(np.median(forces_std))
    from_forces = FLOOR * float(np.median(stds)) / middle if middle > 0 else 0.0
    scales = np.hypot(stds, from_forces * forces_std)
    known = scales > 0
    factor = conformal_quantile((errors[known] / scales[known, None]).ravel(), level)
    return Factors(factor, from_forces) if math.isfinite(factor) else None


def _force_factors(
    known: list[Residuals], stds: list[NDArray], level: float
) -> tuple[dict[str, float], int]:
    """Return the factor for each element with enough atoms and for all, and the number of atoms."""
    labelled = [k for k, s in enumerate(known) if s.forces is not None]
    if len(labelled) < structures_needed(level):
        return {}, 0
    errors = np.concatenate(
        [np.abs(known[k].member_forces.mean(axis=0) - known[k].forces) for k in labelled]
    )
    scales = np.concatenate([stds[k] for k in labelled])
    numbers = np.concatenate([known[k].numbers for k in labelled])
    sure = (scales > ROUNDED_STD * rms(scales)) & np.isfinite(errors).all(axis=1)
    scores, numbers = errors[sure] / scales[sure, None], numbers[sure]
    factors = {"": conformal_quantile(scores.ravel(), level)}
    if not math.isfinite(factors[""]):
        return {}, 0
    for z in np.unique(numbers):
        own = scores[numbers == z].ravel()
        if len(own) >= ENOUGH_FORCES:
            factors[chemical_symbols[z]] = conformal_quantile(own, level)
    return factors, len(numbers)

"""Error bars of a structure: the intervals of its model, and none where the structure is unlike all data.

An interval extrapolates by the std alone, and where no data are the members may agree on what is wrong. So
the half-width is infinite

- for the forces of atoms that have a distance outside all training in their surroundings, and for those
  whose calibrated std is larger than the forces of the training data (what `applicability.model.limits`
  allows);
- for energy and stress, if that is so for any atom;
- for all of a molecule of another composition than the one that the model was trained on.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from ase.data import chemical_symbols

from ase_schnet.applicability.distances import avoided_squares
from ase_schnet.applicability.model import limits
from ase_schnet.atoms_state import AtomsState
from ase_schnet.conformal import Intervals
from ase_schnet.inference.intervals import force_half_widths
from ase_schnet.inference.training_watch import composition_of_training, proportions
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs

if TYPE_CHECKING:
    from ase_schnet.results import Results


#: Distances outside all training by less than this are accepted, Å: closer ones repel steeply, and members
#: agree there on a wrong wall (benchmarks/intervals.md). Monitors accept more, for which they have no number.
TOLERANCE_ANG = 0.05


class ErrorBars:
    """Make the error bars of structures from the stds of their predictions.

    Parameters
    ----------
    model
        The ensemble; its card has ``intervals``.

    Attributes
    ----------
    intervals
        Those of the card.
    cutoff
        Å; pairs must reach to it.
    """

    def __init__(self, model: TrainedModel):
        self.intervals = Intervals.from_dict(model.card["intervals"])
        self.cutoff = float(model.config["cutoff"])
        self._factors = self.intervals.force_factors
        known = limits(model)
        largest = known["max_forces_std_eV_per_Ang"] / known["forces_std_scale"]
        self._bounds = self.cutoff, largest
        self._avoided = avoided_squares(
            model.elements, model.known_ranges, self.cutoff, TOLERANCE_ANG
        )
        one = composition_of_training(model)
        self._composition = None if one is None else proportions(one)
        self._atoms, self._numbers, self._is_same = b"", np.empty(0, np.int64), False

    @classmethod
    def of(cls, model: TrainedModel) -> ErrorBars | None:
        """Return the error bars of a model; None if its card has no intervals."""
        return cls(model) if model.card.get("intervals") and model.n_members > 1 else None

    @property
    def names(self) -> tuple[str, ...]:
        """Name the bars that the model has."""
        known = self.intervals
        return (
            *(("energy_error",) if known.energy else ()),
            *(("forces_error",) if known.forces else ()),
            *(("stress_error",) if known.stress else ()),
        )

    def later(self, state: AtomsState, pairs: Pairs) -> LateErrorBars:
        """Return what makes the bars of a structure when they are asked for."""
        return LateErrorBars(self, state, pairs)

    def make(self, state: AtomsState, pairs: Pairs, results: Mapping) -> dict:
        """Return the bars of `names`; no ``stress_error`` without a std of the stress.

        Parameters
        ----------
        state
            The structure.
        pairs
            Its pairs.
        results
            Standard deviations of its energy, forces and stress.

        Returns
        -------
        dict
            ``energy_error`` (float, eV), ``forces_error`` (N, 3) in eV/Å and ``stress_error`` (6,) in eV/Å³.
        """
        if state[1] != self._atoms:
            self._look_at(state[1])
        positions = np.frombuffer(bytearray(state[0])).reshape(
            -1, 3
        )  # compiled code takes no bytes
        forces_std = results["forces_std"]
        forces_error = np.empty_like(forces_std)
        known, mean_std = force_half_widths(
            *pairs,
            self._numbers,
            positions,
            self._avoided,
            self._bounds,
            forces_std,
            self._factors,
            forces_error,
        )
        if not self._is_same:
            known = False
            forces_error[:] = math.inf
        bars: dict[str, float | np.ndarray] = {}
        intervals = self.intervals
        if intervals.energy:
            energy_error = intervals.energy_error(
                results["energy_std"], mean_std, len(self._numbers)
            )
            bars["energy_error"] = energy_error if known else math.inf
        if intervals.forces:
            bars["forces_error"] = forces_error
        if intervals.stress and "stress_std" in results:
            stress_error = intervals.stress_error(results["stress_std"], mean_std)
            bars["stress_error"] = stress_error if known else np.full(6, math.inf)
        return bars

    def _look_at(self, numbers: bytes) -> None:
        """Note the atomic numbers of a structure, and whether the model is for its composition."""
        self._atoms, self._numbers = numbers, np.frombuffer(bytearray(numbers), np.int64)
        self._is_same = self._composition is None or (
            proportions(Counter(chemical_symbols[z] for z in self._numbers)) == self._composition
        )


class LateErrorBars:
    """Make the error bars of one structure when they are asked for.

    Parameters
    ----------
    bars
        Of the model.
    state, pairs
        The structure and its pairs.
    """

    __slots__ = ("bars", "pairs", "state")

    def __init__(self, bars: ErrorBars, state: AtomsState, pairs: Pairs):
        self.bars, self.state, self.pairs = bars, state, pairs

    @property
    def names(self) -> tuple[str, ...]:
        """Name the bars."""
        return self.bars.names

    def __call__(self, results: Results) -> dict:
        """Return the bars by name."""
        return self.bars.make(self.state, self.pairs, results)

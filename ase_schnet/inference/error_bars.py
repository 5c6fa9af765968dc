"""Error bars of a structure: the intervals of its model, and none where the structure is unlike all data.

An interval extrapolates by the std alone, and where no data are the members may agree on what is wrong. So
the half-width is infinite

- for the forces of atoms that have a distance outside all training in their surroundings, and for those
  whose calibrated std is larger than the forces of the training data (what `applicability.model.limits`
  allows);
- for the forces of atoms without a neighbour within the cutoff, and of other pieces that training did not
  have, see :class:`~ase_schnet.inference.compositions.KnownPieces`;
- for energy and stress, if that is so for any atom;
- for all of a molecule of another composition than the one that the model was trained on.

Whole molecules farther apart than the cutoff keep their bars: the energy's is that of the sum of their
energies in isolation. What acts between them beyond the cutoff (charges, dipoles, dispersion) is no part of
the model, nor of its bar.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase.data import chemical_symbols
from numpy.typing import NDArray

from ase_schnet.applicability.distances import avoided_squares
from ase_schnet.applicability.model import limits
from ase_schnet.atoms_state import AtomsState
from ase_schnet.inference.compositions import (
    KnownPieces,
    composition_of_training,
    proportions,
)
from ase_schnet.inference.pair_checks import (
    any_pair_within,
    force_half_widths,
    pieces_of,
    widen_around,
)
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs
from ase_schnet.uncertainty.conformal import Intervals

if TYPE_CHECKING:
    from ase_schnet.results import Results


#: Distances outside all training by less than this are accepted, Å: closer ones repel steeply, and members
#: agree there on a wrong wall (benchmarks/intervals.md). Monitors accept more, for which they have no number.
TOLERANCE_ANG = 0.05


class _Kind(NamedTuple):
    """Hold what the bars of all structures of N atoms of the same elements have in common.

    Attributes
    ----------
    key
        Bytes of the atomic numbers.
    numbers
        (N,), atomic numbers.
    factors
        (N, 2), half-widths of forces over their stds, and the largest std in eV/Å that has one.
    is_known
        Whether the model is for this composition.
    """

    key: bytes
    numbers: NDArray
    factors: NDArray
    is_known: bool


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
    names
        Of the bars that the model has.
    avoided
        Distances that have none, as `avoided_squares` returns them.
    """

    def __init__(self, model: TrainedModel):
        known = self.intervals = Intervals.from_dict(model.card["intervals"])
        self.names: tuple[str, ...] = (
            *(("energy_error",) if known.energy else ()),
            *(("forces_error",) if known.forces else ()),
            *(("stress_error",) if known.stress else ()),
        )
        self.cutoff = float(model.config["cutoff"])
        bounds = limits(model)
        largest = bounds["max_forces_std_eV_per_Ang"] / bounds["forces_std_scale"]
        factors = known.force_factors
        self._factors = np.column_stack([factors, np.full_like(factors, largest)])  # (100, 2)
        self.avoided = avoided_squares(
            model.elements, model.known_ranges, self.cutoff, TOLERANCE_ANG
        )
        one = composition_of_training(model)
        self._composition = None if one is None else proportions(one)
        self._pieces = KnownPieces(model)
        self._kind: _Kind | None = None

    @classmethod
    def of(cls, model: TrainedModel) -> ErrorBars | None:
        """Return the error bars of a model; None if its card has no intervals."""
        return cls(model) if model.card.get("intervals") and model.n_members > 1 else None

    def later(self, state: AtomsState, pairs: Pairs, *, ordinary: bool) -> LateErrorBars:
        """Return what makes the bars of a structure when they are asked for."""
        return LateErrorBars(self, state, pairs, ordinary)

    def make(
        self, state: AtomsState, pairs: Pairs, stds: Mapping, *, ordinary: bool = False
    ) -> dict:
        """Return the bars of `names`; no ``stress_error`` without a std of the stress.

        Parameters
        ----------
        state
            The structure.
        pairs
            Its pairs.
        stds
            Standard deviations of its energy, forces and stress.
        ordinary
            Whether `Survey` has found nothing to look for in it.

        Returns
        -------
        dict
            ``energy_error`` (float, eV), ``forces_error`` (N, 3) in eV/Å and ``stress_error`` (6,) in eV/Å³.
        """
        # In dynamics all this has left the processor's cache when it is called: few calls count for more
        # than little arithmetic.
        kind = self._kind
        if kind is None or kind.key != state[1]:
            kind = self._kind = self._kind_of(state[1])
        forces_std, intervals = stds["forces_std"], self.intervals
        forces_error = forces_std.copy()  # to be filled; quicker than np.empty_like
        finite, mean_std = force_half_widths(forces_std, kind.factors, forces_error)
        if not (ordinary and kind.is_known):
            finite = self._widen(kind, state, pairs, forces_error) and finite
        bars: dict[str, float | np.ndarray] = {}
        if intervals.energy:
            error = intervals.energy_error(stds["energy_std"], mean_std, len(kind.factors))
            bars["energy_error"] = error if finite else math.inf
        if intervals.forces:
            bars["forces_error"] = forces_error
        if intervals.stress and "stress_std" in stds:
            error = intervals.stress_error(stds["stress_std"], mean_std)
            bars["stress_error"] = error if finite else np.full(6, math.inf)
        return bars

    def _widen(self, kind: _Kind, state: AtomsState, pairs: Pairs, forces_error: NDArray) -> bool:
        """Make the bars of forces infinite where training was not; return whether none was."""
        if not kind.is_known:
            forces_error[:] = math.inf
            return False
        # a bytearray: compiled code takes no bytes
        positions = np.frombuffer(bytearray(state[0])).reshape(-1, 3)
        if any_pair_within(*pairs, kind.numbers, positions, self.avoided):
            widen_around(*pairs, kind.numbers, positions, self.avoided, self.cutoff, forces_error)
        new = self._pieces.are_new(kind.numbers, pieces_of(*pairs, positions, self.cutoff))
        forces_error[new] = math.inf
        return not np.isinf(forces_error).any()  # NaN where forces had no labels

    def _kind_of(self, key: bytes) -> _Kind:
        numbers = np.frombuffer(bytearray(key), np.int64)
        is_known = self._composition is None or (
            proportions(Counter(chemical_symbols[z] for z in numbers)) == self._composition
        )
        return _Kind(key, numbers, self._factors[numbers], is_known)


class LateErrorBars:
    """Make the error bars of one structure when they are asked for.

    Parameters
    ----------
    bars
        Of the model.
    state, pairs, ordinary
        The structure, its pairs and what `Survey` says of it.
    """

    __slots__ = ("bars", "ordinary", "pairs", "state")

    def __init__(self, bars: ErrorBars, state: AtomsState, pairs: Pairs, ordinary: bool):
        self.bars, self.state, self.pairs, self.ordinary = bars, state, pairs, ordinary

    @property
    def names(self) -> tuple[str, ...]:
        """Name the bars."""
        return self.bars.names

    def __call__(self, results: Results) -> dict:
        """Return the bars by name."""
        return self.bars.make(self.state, self.pairs, results.extra, ordinary=self.ordinary)

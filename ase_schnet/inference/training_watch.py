"""Notices, at next to no cost, that a structure leaves what a model's training has seen.

A calculator looks at every structure it evaluates until it has warned once. So single points, optimisers and
bands of images are told what `runs.monitor` tells runs of dynamics.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase import Atoms
from ase.formula import Formula
from ase.symbols import Symbols

from ase_schnet.applicability.distances import DistanceWatch, avoided_squares
from ase_schnet.applicability.structure_watch import DISTANCE_TOLERANCE_ANG
from ase_schnet.inference.compositions import (
    KnownPieces,
    composition_of_training,
    proportions,
)
from ase_schnet.inference.pair_checks import any_pair_within, pieces_of
from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs


class OutsideTrainingWarning(UserWarning):
    """Say that a structure leaves what the model was trained on; once for each calculator."""


def outside_training(model: TrainedModel, what: str) -> str:
    """Return the text of a warning, once it is known what training has not seen."""
    return f"outside what {model.path} was trained on: {what} (said once for each calculator)"


class TrainingWatch:
    """Compare structures with the distances, composition and pieces that a model was trained on.

    Parameters
    ----------
    model
        The ensemble. Distances may leave those of its level of theory by 0.15 Å; what it learnt at another
        level is named, since a monitor lets runs go there. Compositions are compared if all its training was
        of molecules of one composition.

    Attributes
    ----------
    avoided
        Distances outside training, as `avoided_squares` returns them.
    """

    def __init__(self, model: TrainedModel):
        self._model, self._cutoff = model, float(model.config["cutoff"])
        self._one_composition = composition_of_training(model)
        self._pieces = KnownPieces(model)
        self._ranges = model.distance_ranges or None  # none known: only collisions are looked for
        self.avoided = avoided_squares(
            model.elements, self._ranges, self._cutoff, DISTANCE_TOLERANCE_ANG
        )

    def find(self, atoms: Atoms, pairs: Pairs, *, new_composition: bool) -> str | None:
        """Return in words what of a structure training has not seen, or None.

        Parameters
        ----------
        atoms
            The structure.
        pairs
            Its pairs.
        new_composition
            Whether its elements are others than those of the structure before.
        """
        found = []
        if new_composition and self._one_composition is not None:
            now = Counter(atoms.symbols)
            if proportions(now) != proportions(self._one_composition):
                formula = Formula.from_dict(self._one_composition).format("hill")
                found.append(f"{atoms.get_chemical_formula()}, where training had only {formula}")
        numbers = np.ascontiguousarray(atoms.numbers, dtype=np.int64)
        positions = np.ascontiguousarray(atoms.positions, dtype=np.float64)
        if any_pair_within(*pairs, numbers, positions, self.avoided):
            pair = self._pair_outside(atoms, self._ranges)
            if pair is not None:
                found.append(pair + self._taught_by_another(atoms))
        found += self._new_pieces(numbers, pieces_of(*pairs, positions, self._cutoff))
        if not found:
            return None
        return outside_training(self._model, "; ".join(found))

    def _new_pieces(self, numbers: np.ndarray, pieces: np.ndarray) -> list[str]:
        new = np.flatnonzero(self._pieces.are_new(numbers, pieces))
        if not len(new):
            return []
        parts = [[k] if pieces[k] < 0 else np.flatnonzero(pieces == pieces[k]) for k in new]
        lost = min(parts, key=len)
        if len(lost) == len(numbers):  # all of the structure: its formula was said
            return []
        formula = Symbols(numbers[lost]).get_chemical_formula()
        return [
            f"{formula} with atom {lost[0]} farther than {self._cutoff:g} Å from all other atoms"
        ]

    def _pair_outside(self, atoms: Atoms, ranges: dict) -> str | None:
        pair = DistanceWatch(atoms, ranges, self._cutoff, DISTANCE_TOLERANCE_ANG).find(atoms)
        return None if pair is None else pair.message

    def _taught_by_another(self, atoms: Atoms) -> str:
        """Say which other level of theory has data like a structure; nothing if none has."""
        levels = self._model.other_levels
        if not levels or self._pair_outside(atoms, self._model.known_ranges) is not None:
            return ""
        return f" at {self._model.level_of_theory}; here it rests on {' and '.join(levels)}"

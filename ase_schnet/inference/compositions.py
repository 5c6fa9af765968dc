"""Compositions of structures, and of the pieces that they fall into, held against those of the training.

Atoms farther apart than the cutoff do not see each other. No distance between them is outside the training,
so a molecule that has come apart is known only by its pieces.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from ase.data import chemical_symbols
from ase.symbols import Symbols
from numpy.typing import NDArray

from ase_schnet.modelfile import TrainedModel


class KnownPieces:
    """Tell pieces of structures that the training of a model did not have.

    A piece is what pairs within the cutoff connect. Where all training was of one molecule, a piece must be
    such a molecule or several of them. Of other models only a single atom can be said to be new: where data
    differ, any molecule might be one more of them. The card lists what training had in structures of several
    pieces (`known_pieces`), and that is known too, such as isolated atoms among the frames. Cards of before
    that list have no such pieces: then single atoms are new.

    Parameters
    ----------
    model
        The ensemble.
    """

    def __init__(self, model: TrainedModel):
        self._known = frozenset(model.known_pieces)
        one = composition_of_training(model)
        self._proportions = None if one is None else proportions(one)
        self._last: tuple[tuple[bytes, bytes], NDArray] | None = None  # pieces rarely change

    def are_new(self, numbers: NDArray, pieces: NDArray) -> NDArray:
        """Return which atoms are in a piece that training did not have, (N,) bool.

        Parameters
        ----------
        numbers
            (N,), atomic numbers.
        pieces
            (N,), as `pair_checks.pieces_of` returns them.
        """
        key = numbers.tobytes(), pieces.tobytes()
        last = self._last
        if last is None or last[0] != key:
            alone = pieces < 0
            new = alone & ~np.isin(numbers, [z for z in set(numbers) if self._has(np.array([z]))])
            for first in np.unique(pieces[~alone]) if self._proportions is not None else ():
                piece = pieces == first
                new[piece] = not self._is_whole(numbers[piece]) and not self._has(numbers[piece])
            self._last = last = key, new
        return last[1]

    def _has(self, numbers: NDArray) -> bool:
        return Symbols(numbers).get_chemical_formula() in self._known

    def _is_whole(self, numbers: NDArray) -> bool:
        return proportions(Counter(chemical_symbols[z] for z in numbers)) == self._proportions


def composition_of_training(model: TrainedModel) -> dict[str, int] | None:
    """Return how many atoms of each element every molecule of the training had; None if they differed.

    They were alike if their compositions fix only one number of the elements' energies. One of these
    molecules is kept in the card.
    """
    left_free = model.card.get("training", {}).get("species_shifts_undetermined")
    one = model.card.get("self_check")
    if model.pbc or one is None or left_free != len(model.elements) - 1:
        return None
    return dict(Counter(chemical_symbols[z] for z in one["numbers"]))


def proportions(counts: dict[str, int]) -> dict[str, int]:
    """Divide numbers of atoms by their greatest common divisor: water and its clusters are alike."""
    divisor = int(np.gcd.reduce(list(counts.values())))
    return {symbol: n // divisor for symbol, n in counts.items()}

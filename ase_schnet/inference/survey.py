"""One look at every structure tells whether the watch over training and the error bars need a closer one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ase_schnet.inference.error_bars import ErrorBars
from ase_schnet.inference.pair_checks import is_ordinary
from ase_schnet.inference.training_watch import TrainingWatch
from ase_schnet.neighbors import Pairs

#: Lists of elements whose intervals are kept.
REMEMBERED = 256


class Survey:
    """Tell structures in one piece, with all distances well within training, from others.

    Nearly all are, and then the watch and the error bars have nothing to look for.

    Parameters
    ----------
    cutoff
        Å; atoms nearer than this are in one piece.
    watch, bars
        For whom it is done. Their ``avoided`` are distances outside training, (100, 100, K, 2), as
        `avoided_squares` returns them.
    """

    def __init__(self, cutoff: float, watch: TrainingWatch, bars: ErrorBars | None):
        tables = [watch.avoided, *(() if bars is None else (bars.avoided,))]
        self._avoided, self._cutoff = np.concatenate(tables, axis=2), cutoff
        self._known: dict[bytes, tuple[NDArray, NDArray]] = {}  # by atomic numbers

    def is_ordinary(self, key: bytes, positions: NDArray, pairs: Pairs) -> bool:
        """Return whether a structure is ordinary.

        Parameters
        ----------
        key
            Bytes of the atomic numbers (N,), int64.
        positions
            (N, 3), Å, float64.
        pairs
            Its pairs, at least those within the cutoff.
        """
        known = self._known.get(key)
        if known is None:
            # of a table of 100 elements a molecule needs a few entries: these stay in the processor's cache
            elements, kinds = np.unique(np.frombuffer(key, np.int64), return_inverse=True)
            known = kinds, np.ascontiguousarray(self._avoided[np.ix_(elements, elements)])
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[key] = known
        kinds, squares = known
        positions = np.ascontiguousarray(positions)
        return is_ordinary(*pairs, kinds, positions, squares, self._cutoff)

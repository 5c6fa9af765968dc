"""One look at every structure tells whether the watch over training and the error bars need a closer one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ase_schnet.inference.error_bars import ErrorBars
from ase_schnet.inference.intervals import is_ordinary
from ase_schnet.inference.training_watch import TrainingWatch
from ase_schnet.neighbors import Pairs


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
        self._key = b""

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
        if key != self._key:
            # of a table of 100 elements a molecule needs a few entries: these stay in the processor's cache
            elements, self._kinds = np.unique(np.frombuffer(key, np.int64), return_inverse=True)
            self._squares = np.ascontiguousarray(self._avoided[np.ix_(elements, elements)])
            self._key = key
        positions = np.ascontiguousarray(positions)
        return is_ordinary(*pairs, self._kinds, positions, self._squares, self._cutoff)

"""Splines of the filters, made once for each network in a process: most of the time of opening one."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256

import numpy as np

from ase_schnet.inference import tables
from ase_schnet.trained_model import TrainedModel

#: Networks whose tables are kept, some megabytes each.
KEPT = 24


def remembering(make: Callable) -> Callable:
    """Return `filter_tables` with a memory: of equal weights and limits the same read-only arrays."""
    known: dict[str, tuple[np.ndarray, float]] = {}

    def filter_tables(model: TrainedModel, dtype: str) -> tuple[np.ndarray, float]:
        key = _digest(model, dtype)
        found = known.pop(key, None) or make(model, dtype)
        found[0].flags.writeable = False
        known[key] = found
        if len(known) > KEPT:
            del known[next(iter(known))]
        return found

    return filter_tables


def _digest(model: TrainedModel, dtype: str) -> str:
    """Return a name for all that the tables are made of."""
    limits = tables.FIRST_SPACING, tables.LEAST_SPACING, tables.SLOPE_TOLERANCE
    digest = sha256(repr((dtype, sorted(model.config.items()), limits)).encode())
    for name in sorted(model.weights):
        if "cfconv" in name or "gaussians" in name:
            weights = np.ascontiguousarray(model.weights[name])
            digest.update(repr((name, weights.dtype, weights.shape)).encode())
            digest.update(weights.data)
    return digest.hexdigest()

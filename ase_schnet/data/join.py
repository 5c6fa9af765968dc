"""Two data sets as one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ase_schnet.data.dataset import Dataset

_ROWS = ("stress", "dipole", "polarizability", "charge", "multiplicity")


def join(first: Dataset, second: Dataset) -> Dataset:
    """The structures of `second` behind those of `first`, whose source and units are kept.

    Raises ValueError where one has energies or forces and the other has not: a loss cannot tell a
    missing label from a wrong one. Of what only some structures need have, rows that are missing are NaN.
    """
    for name, label in (("E", "energies"), ("F", "forces")):
        if (getattr(first, name) is None) != (getattr(second, name) is None):
            raise ValueError(f"one of two data sets to be joined has {label}, the other has none")
    sizes = (len(first), len(second))
    return replace(
        first,
        ptr=np.concatenate([first.ptr, first.ptr[-1] + second.ptr[1:]]),
        **{k: _both(first, second, k) for k in ("Z", "R", "E", "F", "cells", "pbc")},
        **{k: _filled(first, second, k, sizes, np.nan) for k in _ROWS},
        weight=_filled(first, second, "weight", sizes, 1.0),
        force_mask=_filled(first, second, "force_mask", (len(first.Z), len(second.Z)), True),
    )


def _both(first: Dataset, second: Dataset, name: str) -> np.ndarray | None:
    values = getattr(first, name), getattr(second, name)
    return None if values[0] is None else np.concatenate(values)


def _filled(
    first: Dataset, second: Dataset, name: str, sizes: tuple[int, int], missing: float | bool
) -> np.ndarray | None:
    """Values of all structures (or atoms), `missing` for a data set without; None if both lack them."""
    values = [getattr(first, name), getattr(second, name)]
    known = next((v for v in values if v is not None), None)
    if known is None:
        return None
    return np.concatenate(
        [
            np.full((n, *known.shape[1:]), missing) if v is None else v
            for v, n in zip(values, sizes, strict=True)
        ]
    )

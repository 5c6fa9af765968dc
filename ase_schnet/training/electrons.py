"""One charge and one multiplicity for all training structures, or a refusal that names two that differ."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.structures.electrons import LOWEST, MIXED, lowest_multiplicity, signed

Number = int | str | None


def settled_electrons(
    dataset: Dataset, charge: Number, multiplicity: Number
) -> tuple[int | str, int | str]:
    """Return charge and multiplicity for the card of the model.

    Parameters
    ----------
    dataset
        All structures.
    charge, multiplicity
        What the user says: a number; "mixed" where the data hold several and the model shall not ask; for the
        multiplicity also "lowest", 1 or 2 by the number of electrons. None: what the structures say, and
        where none says anything, neutral in the lowest multiplicity.

    Returns
    -------
    tuple
        Charge and multiplicity, numbers or the words above.

    Raises
    ------
    ValueError
        If structures contradict each other or the user, or for a multiplicity that is impossible with the
        number of electrons of every structure.
    """
    if charge is None or charge != MIXED:
        charge = _one("charge", charge, dataset.charge, 0)
    if multiplicity == MIXED or (multiplicity is None and charge == MIXED):
        return charge, MIXED
    if charge == MIXED:
        if multiplicity == LOWEST:
            raise ValueError(
                "the lowest multiplicity of mixed charges is not known: say multiplicity='mixed' too"
            )
        return charge, _one("multiplicity", multiplicity, dataset.multiplicity, MIXED)
    lowest = _lowest(dataset, charge)  # (S,), NaN where there is none
    said = np.full(len(dataset), np.nan) if dataset.multiplicity is None else dataset.multiplicity
    several = len(np.unique(lowest[~np.isnan(lowest)])) > 1
    all_lowest = not (~np.isnan(said) & (said != lowest)).any()
    if multiplicity == LOWEST or (multiplicity is None and several and all_lowest):
        if not all_lowest:
            k = int(np.flatnonzero(~np.isnan(said) & (said != lowest))[0])
            raise ValueError(f"structure {k} says its multiplicity is {said[k]:g}, not the lowest")
        return charge, LOWEST
    usual = 1 if np.isnan(lowest).all() else int(np.nanmin(lowest))
    multiplicity = _one("multiplicity", multiplicity, said, usual)
    if multiplicity < 1 or not (np.isnan(lowest).all() or ((multiplicity - lowest) % 2 == 0).any()):
        raise ValueError(
            f"no molecule of the data can have charge {signed(charge)} and multiplicity {multiplicity}: "
            "that needs another number of electrons. Say which with --charge and --multiplicity"
        )
    return charge, multiplicity


def stating(dataset: Dataset, charge: Number, multiplicity: Number) -> Dataset:
    """Return the data set with the charge and multiplicity that `settled_electrons` found for all of it."""
    both = {"charge": charge, "multiplicity": multiplicity}
    settled = {name: value for name, value in both.items() if isinstance(value, int)}
    return replace(dataset, **{n: np.full(len(dataset), float(v)) for n, v in settled.items()})


def _lowest(dataset: Dataset, charge: int) -> NDArray:
    """Return the lowest multiplicity of every structure, (S,); NaN for crystals and free atoms."""
    electrons = np.add.reduceat(dataset.Z, dataset.ptr[:-1])
    lowest = np.array([float(lowest_multiplicity(n, charge)) for n in electrons])
    lowest[dataset.pbc.any(axis=1) | (dataset.n_atoms < 2)] = np.nan
    return lowest


def _one(name: str, asked: int | None, said: NDArray | None, usual: int | str) -> int | str:
    """Return the value that all structures have, and that was asked for, if it was."""
    if asked is not None and int(asked) != float(asked):
        raise ValueError(f"--{name} {asked} was asked for, which is not a whole number")
    if said is None or np.isnan(said).all():
        return usual if asked is None else int(asked)
    known = np.flatnonzero(~np.isnan(said))
    values = said[known]
    first = int(known[0])
    if (values != values[0]).any():
        other = int(known[np.argmax(values != values[0])])
        raise ValueError(
            f"{name} {said[first]:g} of structure {first} and {said[other]:g} of structure {other}: a "
            "network of elements and distances cannot tell them apart. Train one model for each; or, if the "
            f"molecules differ too, one for all with {name}='mixed' (--{name} mixed)"
        )
    if asked is not None and int(asked) != values[0]:
        raise ValueError(
            f"--{name} {asked} was asked for, but structure {first} has {name} {values[0]:g}"
        )
    if values[0] != round(values[0]):
        raise ValueError(f"{name} {values[0]:g} of structure {first} is not a whole number")
    return int(values[0])

"""Total charge and multiplicity, where structures say them: a network of elements and distances sees neither.

In ``atoms.info`` the keys ``charge`` and ``total_charge``, ``multiplicity`` and ``spin_multiplicity`` are
known, and ``spin``: a multiplicity where it is 1, 2, 3, ..., S where it is half of an odd number, nothing
where it is 0. Where ``info`` says nothing, initial charges and magnetic moments say it by their sums, unless
all of them are zero, which is ASE's default. A value that is not one number says nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

CHARGES = ("charge", "total_charge")
MULTIPLICITIES = ("multiplicity", "spin_multiplicity")
SPIN, INITIAL_CHARGES, INITIAL_MAGMOMS = "spin", "initial_charges", "initial_magmoms"
MIXED = "mixed"
"""In place of a number: the training data have several, and no structure is refused for its own."""

LOWEST = "lowest"
"""In place of a multiplicity: 1 or 2, whichever the number of electrons of a structure allows."""


class Electrons(NamedTuple):
    """What is said of a structure: charge in e, multiplicity 2S + 1; None where nothing is."""

    charge: float | None = None
    multiplicity: float | None = None

    def text(self) -> str:
        """In words: "charge +1, multiplicity 2"."""
        said = [] if self.charge is None else [f"charge {signed(self.charge)}"]
        said += [] if self.multiplicity is None else [f"multiplicity {self.multiplicity:g}"]
        return ", ".join(said)


NOTHING = Electrons()


def signed(charge: float) -> str:
    """A charge as chemists write it: 0, +1, -2."""
    return f"{charge:+g}" if charge else "0"


def stated(info: Mapping, arrays: Mapping) -> Electrons:
    """What `info` and `arrays` of an `Atoms` say of charge and multiplicity."""
    if not info and len(arrays) == 2:  # numbers and positions: asked before every evaluation
        return NOTHING
    charge = _first(info, CHARGES)
    multiplicity = _first(info, MULTIPLICITIES)
    if multiplicity is None and SPIN in info:
        multiplicity = _multiplicity_of_spin(_number(info[SPIN]))
    if charge is None and INITIAL_CHARGES in arrays:
        total = _sum(arrays[INITIAL_CHARGES])
        charge = None if total is None else float(round(total))  # partial charges are rounded
    if multiplicity is None and INITIAL_MAGMOMS in arrays:
        total = _sum(arrays[INITIAL_MAGMOMS])
        multiplicity = None if total is None else float(round(abs(total))) + 1.0
    return NOTHING if charge is None and multiplicity is None else Electrons(charge, multiplicity)


def lowest_multiplicity(numbers: np.ndarray, charge: float) -> int:
    """1 for an even number of electrons, 2 for an odd one."""
    return 1 + round(float(np.sum(numbers)) - charge) % 2


def has_multiplicity(n_atoms: int, pbc: np.ndarray | None) -> bool:
    """A molecule's is its own; a crystal's grows with the cell, a free atom's is not that of its molecule."""
    return n_atoms > 1 and (pbc is None or not np.any(pbc))


def contradiction(
    charge: int | str,
    multiplicity: int | str,
    said: Electrons,
    numbers: np.ndarray,
    pbc: np.ndarray,
) -> str | None:
    """What a structure says against the charge and multiplicity of a model; None where it agrees.

    charge, multiplicity : of the model's training data, MIXED where there were several.
    """
    if said.charge is not None and charge != MIXED and abs(said.charge - charge) > 1e-3:
        return f"charge {signed(said.charge)}, not {signed(charge)}"
    if said.multiplicity is None or multiplicity == MIXED:
        return None
    if not has_multiplicity(len(numbers), pbc):
        return None
    if multiplicity == LOWEST:
        multiplicity = lowest_multiplicity(numbers, charge)
    if abs(said.multiplicity - multiplicity) > 1e-3:
        return f"multiplicity {said.multiplicity:g}, not {multiplicity}"
    return None


def _first(info: Mapping, keys: tuple[str, ...]) -> float | None:
    for key in keys:
        if key in info and (number := _number(info[key])) is not None:
            return number
    return None


def _number(value) -> float | None:
    """A finite number, or text of one; None for anything else."""
    if isinstance(value, (bool, np.bool_)) or np.size(value) != 1:
        return None
    try:
        number = float(np.asarray(value).reshape(())[()])
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _multiplicity_of_spin(spin: float | None) -> float | None:
    if not spin or spin < 0:
        return None
    return spin if spin == round(spin) else 2.0 * spin + 1.0


def _sum(values: np.ndarray) -> float | None:
    """Of one number per atom; None where all are zero, or there are vectors."""
    if values.ndim != 1 or not values.any() or not np.isfinite(values).all():
        return None
    return float(values.sum())

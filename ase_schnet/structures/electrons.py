"""Find the total charge and multiplicity that structures state.

A network of elements and distances sees neither. Known keys of ``atoms.info`` are ``charge``,
``total_charge``, ``multiplicity``, ``spin_multiplicity`` and ``spin``. A ``spin`` of 1, 2, 3, ... is a
multiplicity, a half-integer is S, and 0 is ignored. Where ``info`` states nothing, the sums of initial
charges and magnetic moments count, unless all of them are zero, which is ASE's default. A value that is not a
single number is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ase import Atoms

CHARGES = ("charge", "total_charge")
MULTIPLICITIES = ("multiplicity", "spin_multiplicity")
SPIN, INITIAL_CHARGES, INITIAL_MAGMOMS = "spin", "initial_charges", "initial_magmoms"
MIXED = "mixed"
"""Stands for a number where the training data have several; no structure is refused for its own."""

LOWEST = "lowest"
"""Stands for a multiplicity: 1 for an even number of electrons, 2 for an odd one."""


class Electrons(NamedTuple):
    """Hold what a structure states: charge in e and multiplicity 2S + 1; None where it states nothing."""

    charge: float | None = None
    multiplicity: float | None = None

    def text(self) -> str:
        """Return the text "charge +1, multiplicity 2", without what is not stated."""
        said = [] if self.charge is None else [f"charge {signed(self.charge)}"]
        said += [] if self.multiplicity is None else [f"multiplicity {self.multiplicity:g}"]
        return ", ".join(said)


NOTHING = Electrons()


def electrons_in(info: Mapping) -> dict:
    """Return what an `info` holds of charge and multiplicity, under its own keys."""
    return {key: info[key] for key in (*CHARGES, *MULTIPLICITIES, SPIN) if key in info}


def signed(charge: float) -> str:
    """Return a charge with its sign, as chemists write it: 0, +1, -2."""
    return f"{charge:+g}" if charge else "0"


def stated(info: Mapping, arrays: Mapping) -> Electrons:
    """Return the charge and multiplicity that `info` and `arrays` of an `Atoms` state."""
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


def lowest_multiplicity(numbers: NDArray, charge: float) -> int:
    """Return 1 for an even number of electrons, 2 for an odd one."""
    return 1 + round(float(np.sum(numbers)) - charge) % 2


def multiplicity_of(card: Mapping, atoms: Atoms) -> int:
    """Return 2S + 1 of the state that a model's card names; where it knows several, of that of the atoms."""
    said = stated(atoms.info, atoms.arrays)
    known = [card.get("multiplicity"), said.multiplicity]
    charges = [card.get("charge"), said.charge, 0]
    charge = next(q for q in charges if isinstance(q, (int, float)))
    whole = [int(m) for m in known if isinstance(m, (int, float)) and m == int(m)]
    return (whole or [lowest_multiplicity(atoms.numbers, charge)])[0]


def has_multiplicity(n_atoms: int, pbc: NDArray | None) -> bool:
    """Tell whether a structure has a multiplicity to compare: it is a molecule, not a crystal or a free atom.

    The multiplicity of a crystal grows with the cell. That of a free atom is not the one of its molecule.
    """
    return n_atoms > 1 and (pbc is None or not np.any(pbc))


def contradiction(
    charge: int | str,
    multiplicity: int | str,
    said: Electrons,
    numbers: NDArray,
    pbc: NDArray,
) -> str | None:
    """Say where a structure differs from the charge and multiplicity of a model; None where it agrees.

    Parameters
    ----------
    charge, multiplicity
        Of the training data of the model; MIXED where there were several.
    said
        What the structure states.
    numbers
        (N,) atomic numbers.
    pbc
        (3,) bool.
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


def _number(value: object) -> float | None:
    """Return a finite number, also from text; None for anything else."""
    if isinstance(value, (bool, np.bool_)) or np.size(value) != 1:
        return None
    try:
        number = float(np.asarray(value).reshape(())[()])
    except (TypeError, ValueError, OverflowError):
        return None
    return number if np.isfinite(number) else None


def _multiplicity_of_spin(spin: float | None) -> float | None:
    if not spin or spin < 0:
        return None
    return spin if spin == round(spin) else 2.0 * spin + 1.0


def _sum(values: NDArray) -> float | None:
    """Add one number per atom; None where all are zero, or there are vectors."""
    if values.ndim != 1 or not values.any() or not np.isfinite(values).all():
        return None
    return float(values.sum())

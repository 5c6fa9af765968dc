"""Read the first column of a structure file: symbols, atomic numbers, isotopes of hydrogen."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from ase.data import atomic_masses, chemical_symbols
from numpy.typing import NDArray

ISOTOPE_MASSES = {"D": 2.01410178, "T": 3.01604928}
"""Masses in u of the neutral atoms deuterium and tritium. To a potential both are hydrogen."""
DEUTERON_MASS = 2.01355
"""Mass in u of the bare nucleus, which ASE's reader of cif files gives to D."""

_LABEL = re.compile(r"([A-Za-z]{1,2})\d*")  # C12, the twelfth carbon


def _spellings() -> dict[str, int]:
    """Return the atomic number of every element by its symbol, in any case, and by its number as text."""
    known = {str(z): z for z in range(1, len(chemical_symbols))}
    for symbol, z in [*zip(chemical_symbols[1:], range(1, 119), strict=True), ("D", 1), ("T", 1)]:
        known |= dict.fromkeys((symbol, symbol.lower(), symbol.upper()), z)
    return known


_NUMBERS = _spellings()
_ISOTOPES = {"D", "d", "T", "t"}


def elements_of(labels: Sequence[str]) -> tuple[NDArray, NDArray | None]:
    """Read atomic numbers and, where isotopes are named, masses from one label for each atom.

    Parameters
    ----------
    labels
        Such as ``C``, ``CL``, ``6``, ``H12`` (numbered atoms), ``D`` or ``T``.

    Returns
    -------
    numbers
        (N,) int.
    masses
        (N,) in u. None where all are those of ASE.

    Raises
    ------
    ValueError
        If a label is not an element. The message names the first one.
    """
    try:
        numbers = np.array([_NUMBERS[label] for label in labels])
        names = set(labels)
    except KeyError:
        labels = [_stripped(label, k) for k, label in enumerate(labels)]
        numbers = np.array([_NUMBERS[label] for label in labels])
        names = set(labels)
    if not names & _ISOTOPES:
        return numbers, None
    masses = atomic_masses[numbers]
    for k, label in enumerate(labels):
        masses[k] = ISOTOPE_MASSES.get(label.upper(), masses[k])
    return numbers, masses


def _stripped(label: str, atom: int) -> str:
    """Return the symbol of a label, without the number of the atom behind it."""
    match = _LABEL.fullmatch(label)
    symbol = match[1] if match else label
    if symbol not in _NUMBERS:
        raise ValueError(
            f"atom {atom} is {label!r}, which is not an element: use symbols (H, D and T too) or atomic "
            "numbers, and remove dummy and ghost atoms"
        )
    return symbol

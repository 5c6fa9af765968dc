"""What the first column of a structure file says: symbols, atomic numbers, isotopes of hydrogen."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from ase.data import atomic_masses, chemical_symbols

ISOTOPE_MASSES = {"D": 2.01410178, "T": 3.01604928}
"""u, of the neutral atoms: deuterium and tritium, which are hydrogen to every potential."""
DEUTERON_MASS = 2.01355
"""u, of the bare nucleus: what ASE's reader of cif files gives to D."""

_LABEL = re.compile(r"([A-Za-z]{1,2})\d*")  # C12, the twelfth carbon


def _spellings() -> dict[str, int]:
    """Atomic number of every element by its symbol, in any case, and by its number as text."""
    known = {str(z): z for z in range(1, len(chemical_symbols))}
    for symbol, z in [*zip(chemical_symbols[1:], range(1, 119), strict=True), ("D", 1), ("T", 1)]:
        known |= dict.fromkeys((symbol, symbol.lower(), symbol.upper()), z)
    return known


_NUMBERS = _spellings()
_ISOTOPES = {"D", "d", "T", "t"}


def elements_of(labels: Sequence[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Read atomic numbers and, where isotopes are named, masses from one label for each atom.

    Parameters
    ----------
    labels : sequence of str
        Such as ``C``, ``CL``, ``6``, ``H12`` (numbered atoms), ``D`` or ``T``.

    Returns
    -------
    numbers : (N,) int
    masses : (N,) float or None
        In u; None where all are ASE's.

    Raises
    ------
    ValueError
        Naming the first label that is no element.
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
    """The symbol of a label, without the number of the atom behind it."""
    match = _LABEL.fullmatch(label)
    symbol = match[1] if match else label
    if symbol not in _NUMBERS:
        raise ValueError(
            f"atom {atom} is {label!r}, which is no element: use symbols (H, D and T too) or atomic numbers, "
            "and take dummy and ghost atoms out"
        )
    return symbol

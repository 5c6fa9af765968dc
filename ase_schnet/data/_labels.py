"""Find labels by name in files that name energies, forces, stresses and dipoles freely.

Searched in this order: the key that the user names, what ASE recognised as results of a calculator, the
common names below. One place serves a whole file, because two names in one file are often two levels of
theory.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from ase_schnet.data._candidates import few, listed, option_for
from ase_schnet.data.packing import PROPERTIES
from ase_schnet.structures.comments import BARE_NUMBER, CODE_ENERGY

# "gradient" and its kin are absent on purpose: they are minus the forces.
COMMON_NAMES = {
    "energy": (
        *("energy", "REF_energy", "dft_energy", "Energy", "E", "total_energy", "energy_U0"),
        CODE_ENERGY,
    ),
    "forces": ("forces", "force", "REF_forces", "dft_forces", "F", "atomic_forces"),
    "stress": ("stress", "REF_stress", "dft_stress"),
    # read where there is no stress, as −virial/V
    "virial": ("virial", "virials", "REF_virial", "REF_virials", "dft_virial", "dft_virials"),
    "dipole": ("dipole", "REF_dipole", "dft_dipole", "mu"),
}

FREE_ENERGY = "free_energy"
"""ASE's name for the free energy of electrons at a temperature, which some codes give beside the energy."""
_SOURCES = ("results", "extras")
NUMBERS = (int, float, np.number, np.ndarray)


class LabelSearch:
    """Collect from frame after frame what could be a label, and find the labels at the end.

    Everything else is dropped at once: a row of QM9 holds fifteen properties, of which one is wanted. Truth
    values are never labels, because ASE reads a bare word in a comment line as true.

    Parameters
    ----------
    energy_key, forces_key
        Names that the user gives.
    comment_numbers
        Read comment lines that are bare numbers as energies, if there are no others.

    Attributes
    ----------
    wanted
        All names under which labels are looked for.
    used
        Property -> name under which it was found, after `labels`.
    """

    def __init__(
        self, energy_key: str | None, forces_key: str | None, comment_numbers: bool = False
    ):
        self._keys = {"energy": energy_key, "forces": forces_key}
        self._names_of = dict(COMMON_NAMES)
        if comment_numbers:
            self._names_of["energy"] = (*COMMON_NAMES["energy"], BARE_NUMBER)
        asked = [key for key in (energy_key, forces_key) if key]
        self.wanted = frozenset(chain(asked, *COMMON_NAMES.values(), [BARE_NUMBER, FREE_ENERGY]))
        self._columns: dict[tuple[str, str], list] = {}
        self._seen: set[str] = set()
        self._words: set[str] = set()  # names that were seen and are truth values
        self._options: dict[str, str] = {}  # for every name that looks like a label
        self.used: dict[str, str] = {}
        self._n_frames = 0

    def add(self, results: Mapping[str, Any], extras: Mapping[str, Any]) -> None:
        """Add one frame: what ASE recognised as results, and everything else that the file says about it."""
        for source, found in (("results", results), ("extras", extras)):
            if not self._seen.issuperset(found):
                self._look_at({key: found[key] for key in found.keys() - self._seen})
            for key in self.wanted & found.keys():
                value = found[key]
                if isinstance(value, (bool, np.bool_)):
                    continue
                if isinstance(value, np.ndarray):
                    value = value.copy()  # a view would keep all of its row in memory
                self._padded(source, key).append(value)
        self._n_frames += 1

    def _look_at(self, new: Mapping[str, Any]) -> None:
        """Record names that no earlier frame had, and the options that would read them."""
        self._seen.update(new)
        self._words.update(k for k, v in new.items() if isinstance(v, (bool, np.bool_)))
        options = {key: option_for(key, value) for key, value in new.items()}
        self._options |= {key: option for key, option in options.items() if option is not None}

    def labels(self) -> tuple[dict[str, list], bool]:
        """Return for each property one value per frame, and whether ASE recognised all of them.

        A value is None where a frame lacks it. Virials are returned only where there is no stress.

        Raises
        ------
        ValueError
            If no label is found, or not the one that the user named. The message lists the names there are.
        """
        labels, recognised = {}, True
        for name in (*PROPERTIES, "virial"):
            if name == "virial" and "stress" in labels:
                continue
            found = self._find(name)
            if found:
                labels[name], from_results = found
                recognised &= from_results
        if self._n_frames and not labels:
            like = f" (for these: {listed(self._options)})" if self._options else ""
            raise ValueError(
                f"has no labels under a familiar name; it holds {self._names()}: name them "
                f"with energy_key= and forces_key={like}, or make labels with ase-schnet label"
            )
        return labels, recognised

    def notes(self) -> list[str]:
        """Say which labels are not used, and which of two energies is used. Call `labels` first."""
        unused = {k: v for k, v in self._options.items() if k not in self.used.values()}
        notes = []
        if self.used.get("energy") == CODE_ENERGY:
            notes.append("energies from the comment lines, in Hartree")
        if self.used.get("energy") == BARE_NUMBER:
            notes.append("energies are the numbers in the comment lines")
        if self.used.get("energy") == "energy" and FREE_ENERGY in unused:
            difference = self._free_energy_differs()
            if difference:
                notes.append(
                    f"energy is read, not free_energy, which differs by up to {difference:.3g} "
                    f"({unused[FREE_ENERGY]} reads it; with smeared electrons the forces belong to it)"
                )
            del unused[FREE_ENERGY]
        if unused:
            notes.append(f"not used: {listed(unused)}")
        return notes

    def _free_energy_differs(self) -> float:
        """Return the largest difference of the two energies, in the unit of the file; 0 for equal ones."""
        found = (
            zip(self._padded(s, "energy"), self._padded(s, FREE_ENERGY), strict=True)
            for s in _SOURCES
        )
        pairs = [(a, b) for a, b in chain(*found) if np.size(a) == np.size(b) == 1]
        pairs = [(float(np.ravel(a)[0]), float(np.ravel(b)[0])) for a, b in pairs if _both(a, b)]
        largest = max((abs(a - b) for a, b in pairs), default=0.0)
        return largest if largest > 1e-8 * max((abs(a) for a, _ in pairs), default=0.0) else 0.0

    def _find(self, name: str) -> tuple[list, bool] | None:
        """Return the values of one property from one place, and whether that place was ASE's results."""
        user_key = self._keys.get(name)
        for key in (user_key,) if user_key else self._names_of[name]:
            for source in _SOURCES:
                values = self._padded(source, key)
                if any(value is not None for value in values):
                    self.used[name] = key
                    return values, source == "results"
        if user_key:
            raise ValueError(f"has no {user_key!r}; it holds {self._names()}")
        return None

    def _padded(self, source: str, key: str) -> list:
        """Return the values under a key so far, with None for earlier frames that lacked it."""
        column = self._columns.setdefault((source, key), [])
        column.extend([None] * (self._n_frames - len(column)))
        return column

    def _names(self) -> str:
        return few(sorted(self._seen - self._words - {"numbers", "positions"})) or "structures only"


def _both(a: object, b: object) -> bool:
    return isinstance(a, NUMBERS) and isinstance(b, NUMBERS)

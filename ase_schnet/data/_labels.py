"""Labels by name: where files that name things freely keep energies, forces, stresses and dipoles.

Searched in this order: the key the user names, what ASE recognised as results of a calculator, the common
names below. One place serves a whole file, because two names in one file are often two levels of theory.
"""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np

from ase_schnet.data._raw import PROPERTIES

# "gradient" and its kin are absent on purpose: they are minus the forces.
COMMON_NAMES = {
    "energy": ("energy", "REF_energy", "dft_energy", "Energy", "E", "total_energy", "energy_U0"),
    "forces": ("forces", "force", "REF_forces", "dft_forces", "F", "atomic_forces"),
    "stress": ("stress", "REF_stress", "dft_stress"),
    # read where there is no stress, as −virial/V
    "virial": ("virial", "virials", "REF_virial", "REF_virials", "dft_virial", "dft_virials"),
    "dipole": ("dipole", "REF_dipole", "dft_dipole", "mu"),
}


class LabelSearch:
    """Takes in frame after frame, keeps what could be a label, and tells at the end what was one.

    Everything else is let go at once: a row of QM9 holds fifteen properties, of which one is wanted.
    """

    def __init__(self, energy_key: str | None, forces_key: str | None):
        self._keys = {"energy": energy_key, "forces": forces_key}
        asked = [key for key in (energy_key, forces_key) if key]
        self.wanted = frozenset(chain(asked, *COMMON_NAMES.values()))
        self._columns: dict[tuple[str, str], list] = {}
        self._seen: set[str] = set()
        self._n_frames = 0

    def add(self, results: Mapping[str, Any], extras: Mapping[str, Any]) -> None:
        """One frame: what ASE recognised, and whatever else the file says of it."""
        for source, found in (("results", results), ("extras", extras)):
            self._seen.update(found)
            for key in self.wanted & found.keys():
                value = found[key]
                if isinstance(value, np.ndarray):
                    value = value.copy()  # a view would keep all of its row in memory
                self._padded(source, key).append(value)
        self._n_frames += 1

    def labels(self) -> tuple[dict[str, list], bool]:
        """Per property one value for each frame, None where it lacks it; and whether ASE knew them all.

        Of virials only where there is no stress.

        Raises ValueError, listing the names there are, when nothing or not what the user named is found.
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
            raise ValueError(
                f"has no labels under a familiar name; it holds {self._names()}: name them "
                "with energy_key= and forces_key= (command line: --energy-key, --forces-key)"
            )
        return labels, recognised

    def _find(self, name: str) -> tuple[list, bool] | None:
        """Values of one property, all from the same place, and whether that was results."""
        user_key = self._keys.get(name)
        for key in (user_key,) if user_key else COMMON_NAMES[name]:
            for source in ("results", "extras"):
                values = self._padded(source, key)
                if any(value is not None for value in values):
                    return values, source == "results"
        if user_key:
            raise ValueError(f"has no {user_key!r}; it holds {self._names()}")
        return None

    def _padded(self, source: str, key: str) -> list:
        """Values under a key so far, with None for the frames before this one that lacked it."""
        column = self._columns.setdefault((source, key), [])
        column.extend([None] * (self._n_frames - len(column)))
        return column

    def _names(self) -> str:
        return ", ".join(sorted(self._seen - {"numbers", "positions"})) or "structures only"

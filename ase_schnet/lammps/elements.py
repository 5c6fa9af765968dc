"""Map LAMMPS's atom types to elements, and check that LAMMPS and the model agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase.data import atomic_masses, atomic_numbers, chemical_symbols

from ase_schnet.modelfile import TrainedModel


def numbers_of_types(lmp: Any, model: TrainedModel, elements: Sequence[str]) -> np.ndarray:
    """Return the atomic number by atom type (0 has none); ValueError unless all three agree."""
    if not lmp.extract_setting("box_exist"):
        raise ValueError("LAMMPS has no box yet: create box, atoms and masses, then attach")
    units = lmp.extract_global("units")
    if units != "metal":
        raise ValueError(f"LAMMPS runs in units {units}; the model needs `units metal` (eV, Å, ps)")
    n_types = lmp.extract_setting("ntypes")
    if isinstance(elements, str) or len(elements) != n_types:
        raise ValueError(
            f"LAMMPS has {n_types} atom types, elements names {elements!r}: one for each type"
        )
    unknown = [symbol for symbol in elements if symbol not in atomic_numbers]
    if unknown:
        raise ValueError(f"{unknown[0]!r} is no chemical symbol")
    numbers = np.array([0, *(atomic_numbers[symbol] for symbol in elements)])
    model.require_elements(numbers[1:])
    masses = lmp.numpy.extract_atom("mass")
    for k, z in enumerate(numbers[1:], start=1):
        # by the nearest element the model knows, so that isotopes pass
        nearest = min(model.elements, key=lambda other: abs(atomic_masses[other] - masses[k]))
        if not masses[k] > 0:
            raise ValueError(f"atom type {k} has no mass: `mass {k} {atomic_masses[z]:.4f}`")
        if nearest != z:
            raise ValueError(
                f"atom type {k} is mapped to {chemical_symbols[z]}, but its mass {masses[k]:g} is that of "
                f"{chemical_symbols[nearest]}: check the order of elements"
            )
    return numbers

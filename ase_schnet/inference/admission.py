"""Which structures a model can be asked about."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError
from ase.data import chemical_symbols

from ase_schnet.modelfile import TrainedModel


def require_known(model: TrainedModel, atoms: Atoms) -> None:
    """Raise InputError for no atoms, elements not trained on, and periodicity unknown to the model."""
    if len(atoms) == 0:
        raise InputError("the structure has no atoms")
    odd = ~np.isin(atoms.numbers, model.elements)
    if odd.any():
        names = sorted({chemical_symbols[z] for z in atoms.numbers[odd]})
        raise InputError(
            f"model {model.path!r} was not trained on {', '.join(names)} "
            f"(atoms {np.flatnonzero(odd)[:5].tolist()}); it knows {', '.join(model.symbols)}"
        )
    if not atoms.pbc.any():
        return
    if not model.pbc:
        raise InputError(
            f"model {model.path!r} was trained on molecules, the structure is "
            f"periodic (pbc {atoms.pbc.tolist()}); set atoms.pbc = False"
        )
    cell, periodic = atoms.cell.array, atoms.pbc
    if not np.isfinite(cell).all() or np.linalg.matrix_rank(cell[periodic]) < periodic.sum():
        raise InputError(f"the cell {cell.tolist()} does not span the periodic directions")


def require_finite(atoms: Atoms) -> None:
    """Raise InputError naming atoms whose positions are not numbers."""
    finite = np.isfinite(atoms.positions)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise InputError(f"positions of atoms {bad[:5].tolist()} are not finite numbers")

"""Which structures a model can be asked about, and how far its answers may be believed."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError
from ase.data import chemical_symbols

from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs
from ase_schnet.structures.electrons import LOWEST, Electrons, contradiction, stated

#: Largest calibrated std of a force that still is a prediction, over the rms force of the training data.
MAX_STD_OVER_FORCE = 1.0


def limits(model: TrainedModel) -> dict:
    """How far the model may be believed, in plain types: for whatever watches a run.

    distance_ranges_Ang : pair name ("H-O") -> [[low, high], ...] seen in training, below cutoff_Ang.
    forces_std_scale : error of a force component expected for a std of one, from the kept-out part;
        and max_forces_std_eV_per_Ang, the largest std so calibrated that still is a prediction; both of
        two or more members only.
    """
    known = {
        "distance_ranges_Ang": model.distance_ranges,
        "cutoff_Ang": float(model.config["cutoff"]),
    }
    if model.n_members > 1:
        calibration = model.card.get("calibration", {}).get("forces_per_atom", {})
        known["forces_std_scale"] = float(calibration.get("scale", 1.0))
        # the scale of a trained network is the rms force component, in eV/Å
        known["max_forces_std_eV_per_Ang"] = MAX_STD_OVER_FORCE * float(np.mean(model.scale))
    return known


def require_supported(model: TrainedModel, atoms: Atoms, *, box_of_vacuum: bool = False) -> None:
    """Raise InputError for a structure that the model cannot describe.

    That is one without atoms, with elements not trained on, periodic in a way that the model has not seen,
    or one that says it has another charge or multiplicity (`structures.electrons`) than the training data.

    box_of_vacuum : let a periodic structure pass to a model of molecules; whoever has its pairs must then
        ask `require_no_images`.
    """
    if len(atoms) == 0:
        raise InputError("the structure has no atoms")
    odd = ~np.isin(atoms.numbers, model.elements)
    if odd.any():
        names = sorted({_element(z) for z in atoms.numbers[odd]})
        raise InputError(
            f"model {model.path!r} was not trained on {', '.join(names)} "
            f"(atoms {np.flatnonzero(odd)[:5].tolist()}); it knows {', '.join(model.symbols)}"
        )
    require_electrons(model, atoms)
    if not atoms.pbc.any():
        return
    if not (model.pbc or box_of_vacuum):
        raise InputError(_periodic(model, atoms))
    cell, periodic = atoms.cell.array, atoms.pbc
    if not np.isfinite(cell).all() or np.linalg.matrix_rank(cell[periodic]) < periodic.sum():
        raise InputError(f"the cell {cell.tolist()} does not span the periodic directions")


def require_no_images(model: TrainedModel, atoms: Atoms, pairs: Pairs) -> None:
    """Raise InputError where atoms reach periodic images, of which a model of molecules knows nothing.

    A molecule in a box so large that no pair crosses a face is exactly the molecule. `pairs` may reach
    farther than the cutoff, by the skin of the list, and then hold for as long as the list does.
    """
    across = np.flatnonzero(pairs.shifts.any(axis=1))
    if len(across):
        i, j = int(pairs.idx_i[across[0]]), int(pairs.idx_j[across[0]])
        raise InputError(
            f"{_periodic(model, atoms)}, or take a larger box: atom {i} is near a periodic image of atom {j}"
        )


def _periodic(model: TrainedModel, atoms: Atoms) -> str:
    return (
        f"model {model.path!r} was trained on molecules, the structure is "
        f"periodic (pbc {atoms.pbc.tolist()}); take it out of its box, whole also where a face cuts it, by "
        "ase_schnet.structures.box.without_box(atoms) (--no-pbc)"
    )


def _element(number: int) -> str:
    """Symbol of an element, or in words a number that is none's."""
    if 0 <= number < len(chemical_symbols):
        return chemical_symbols[number]
    return f"an element of atomic number {number}, which does not exist"


def require_electrons(model: TrainedModel, atoms: Atoms) -> None:
    """Raise InputError where `atoms` says that its charge or multiplicity is not that of the model."""
    said = stated(atoms.info, atoms.arrays)
    wrong = electrons_mismatch(model, said, atoms.numbers, atoms.pbc)
    if wrong:
        raise InputError(
            f"the structure says it has {wrong}, as model {model.path!r} was trained on: it would get the "
            "energy of another state. Use a model of that state, or correct atoms.info (charge, spin, "
            "multiplicity) or the initial charges and magnetic moments"
        )


def electrons_mismatch(
    model: TrainedModel, said: Electrons, numbers: np.ndarray, pbc: np.ndarray
) -> str | None:
    """In which words a structure contradicts the charge and multiplicity of the card; None if it does not.

    Cards from before these entries are read as neutral, in the lowest multiplicity that the number of
    electrons allows, as the data of the shipped models are.
    """
    card = model.card
    expected = card.get("charge", 0), card.get("multiplicity", LOWEST)
    return contradiction(*expected, said, numbers, pbc)


def require_finite(atoms: Atoms) -> None:
    """Raise InputError naming atoms whose positions are not numbers."""
    finite = np.isfinite(atoms.positions)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise InputError(f"positions of atoms {bad[:5].tolist()} are not finite numbers")

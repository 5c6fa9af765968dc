"""Structures that a model supports, and limits within which its predictions can be trusted."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError
from ase.data import chemical_symbols

from ase_schnet.modelfile import TrainedModel
from ase_schnet.neighbors import Pairs
from ase_schnet.structures.electrons import (
    LOWEST,
    Electrons,
    contradiction,
    has_multiplicity,
    stated,
)

#: Largest calibrated std of a force that is still a prediction, over the rms force of the training data.
MAX_STD_OVER_FORCE = 1.0
#: eV/Å, for that rms force where nobody knows it: in a converted model without labels.
USUAL_FORCE_EV_PER_ANG = 1.0


def limits(model: TrainedModel) -> dict:
    """Return the limits within which a model can be trusted, in plain types.

    Monitors of runs and scans read them.

    Returns
    -------
    dict
        ``distance_ranges_Ang``: pair name ("H-O") -> [[low, high], ...], the distances of the training data
        in Å, at all its levels of theory; None where the card knows none. ``cutoff_Ang``: the cutoff in Å,
        to which these distances reach.
        ``known_pieces``: formulas of what stood alone in the training, farther than the cutoff from all
        other atoms; also of single atoms ("H").

        With two or more members also ``forces_std_scale``: the expected error of a force component whose std
        is one, from the kept-out structures; and ``max_forces_std_eV_per_Ang``: the largest std, multiplied
        by this scale, that is still a prediction. With error bars also ``error_level``, their probability.
    """
    known = {
        "distance_ranges_Ang": model.known_ranges or None,
        "cutoff_Ang": float(model.config["cutoff"]),
        "known_pieces": sorted(model.known_pieces),
    }
    if model.n_members > 1:
        calibration = model.card.get("calibration", {}).get("forces_per_atom", {})
        known["forces_std_scale"] = float(calibration.get("scale", 1.0))
        known["max_forces_std_eV_per_Ang"] = MAX_STD_OVER_FORCE * _rms_force(model)
        if intervals := model.card.get("intervals"):
            known["error_level"] = float(intervals["level"])
    return known


def _rms_force(model: TrainedModel) -> float:
    """Return the root mean square of the components of forces in the training data, eV/Å.

    It is the scale of a network that was trained from random weights. That of a converted one is a matter of
    its package and its units, and that of one that began as another model is the other's.
    """
    training, converted = model.card.get("training") or {}, model.card.get("converted")
    if "start" in training and "label_scale_eV" in training:
        return float(training["label_scale_eV"])
    if converted is None:
        return float(np.mean(model.scale))
    labels = converted.get("labels") or {}
    return float(labels.get("forces_rms_eV_per_Ang", USUAL_FORCE_EV_PER_ANG))


def require_supported(model: TrainedModel, atoms: Atoms, *, box_of_vacuum: bool = False) -> None:
    """Refuse a structure that the model does not support.

    Parameters
    ----------
    model
        The trained ensemble.
    atoms
        The structure.
    box_of_vacuum
        Accept a periodic structure with a model of molecules. The caller must then call `require_no_images`
        with its pairs.

    Raises
    ------
    InputError
        The structure has no atoms, has elements that the model was not trained on, is periodic although the
        model was trained on molecules, has a cell that does not span the periodic directions, or states
        another charge or multiplicity than the training data.
    """
    if len(atoms) == 0:
        raise InputError("the structure has no atoms")
    odd = ~np.isin(atoms.numbers, model.elements)
    if odd.any():
        names = sorted({_element(z) for z in atoms.numbers[odd]})
        raise InputError(
            f"model {model.path!r} was not trained on {', '.join(names)} "
            f"(atoms {np.flatnonzero(odd)[:5].tolist()}); it knows {', '.join(model.symbols)}. "
            "Use a model of these elements; ase-schnet learn or train makes one"
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
    """Refuse a structure with atoms near periodic images, for a model of molecules.

    A molecule in a box so large that no pair crosses a face is exactly the molecule. `pairs` may include the
    skin of the list; then the check is valid as long as the list.

    Raises
    ------
    InputError
        A pair crosses a face of the cell.
    """
    across = np.flatnonzero(pairs.shifts.any(axis=1))
    if len(across):
        i, j = int(pairs.idx_i[across[0]]), int(pairs.idx_j[across[0]])
        raise InputError(
            f"{_periodic(model, atoms)}, or use a larger box: atom {i} is near a periodic image of atom {j}"
        )


def _periodic(model: TrainedModel, atoms: Atoms) -> str:
    return (
        f"model {model.path!r} was trained on molecules, the structure is "
        f"periodic (pbc {atoms.pbc.tolist()}); remove the box with "
        "ase_schnet.structures.box.without_box(atoms) (--no-pbc), which also joins a molecule cut by a face"
    )


def _element(number: int) -> str:
    """Return the symbol of an element, or words for a number that belongs to no element."""
    if 0 <= number < len(chemical_symbols):
        return chemical_symbols[number]
    return f"an element of atomic number {number}, which does not exist"


def require_electrons(model: TrainedModel, atoms: Atoms) -> None:
    """Refuse a structure that states another charge or multiplicity than that of the model.

    Raises
    ------
    InputError
        ``atoms.info``, the initial charges or the initial magnetic moments state another.
    """
    said = stated(atoms.info, atoms.arrays)
    wrong = electrons_mismatch(model, said, atoms.numbers, atoms.pbc)
    if wrong:
        raise InputError(
            f"the structure says it has {wrong}, as model {model.path!r} was trained on. It would get the "
            "energy of another state. Use a model of that state, or correct atoms.info (charge, spin, "
            "multiplicity) or the initial charges and magnetic moments"
        )


def electrons_mismatch(
    model: TrainedModel, said: Electrons, numbers: np.ndarray, pbc: np.ndarray
) -> str | None:
    """Return the difference of charge or multiplicity between a structure and the model, in words.

    None means that there is no difference. Model cards without these entries mean a neutral system in the
    lowest multiplicity that the number of electrons allows.

    Parameters
    ----------
    model
        The trained ensemble.
    said
        Charge and multiplicity that the structure states.
    numbers
        (N,), atomic numbers.
    pbc
        (3,), periodic directions.
    """
    card = model.card
    expected = card.get("charge", 0), card.get("multiplicity", LOWEST)
    wrong = contradiction(*expected, said, numbers, pbc)
    if wrong or said.multiplicity is not None or not has_multiplicity(len(numbers), pbc):
        return wrong
    return _impossible(model, numbers)


def _impossible(model: TrainedModel, numbers: np.ndarray) -> str | None:
    """Return why a molecule that states nothing cannot have the state of the model: it is a radical, say.

    Only where training had several compositions. A model of one molecule is used for its pieces too, and
    warns of them.
    """
    card = model.card
    charge, multiplicity = card.get("charge", 0), card.get("multiplicity", LOWEST)
    left_free = card.get("training", {}).get("species_shifts_undetermined", len(model.elements))
    if isinstance(charge, str) or isinstance(multiplicity, str):
        return None
    electrons = int(np.sum(numbers)) - round(charge)
    if left_free >= len(model.elements) - 1 or (electrons - multiplicity) % 2 == 1:
        return None
    return f"{electrons} electrons, not an {'odd' if electrons % 2 == 0 else 'even'} number"


def require_finite(atoms: Atoms) -> None:
    """Refuse a structure with positions that are not finite.

    Raises
    ------
    InputError
        It names the atoms.
    """
    finite = np.isfinite(atoms.positions)
    if not finite.all():
        bad = np.flatnonzero(~finite.all(axis=1))
        raise InputError(f"positions of atoms {bad[:5].tolist()} are not finite numbers")

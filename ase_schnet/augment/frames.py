"""Moved, labelled and marked structures.

Marks, in ``atoms.info``, which extended xyz keeps:

==================  ==========================================================================
``augmented``       name of the labelling; structures without it are true ones
``augmented_from``  ``frame_id`` of the structure that it was made from; before it is written, its number
``loss_weight``     its weight in the loss, 1 if absent
==================  ==========================================================================

By them a training finds the augmented structures of a file: see `ase_schnet.data.augmented`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.typing import NDArray

from ase_schnet.augment.moves import Move
from ase_schnet.data.dataset import Dataset
from ase_schnet.structures.electrons import electrons_in

#: From a labelled structure and a move to energy (eV) and forces (N, 3) (eV/Å) of the moved one.
Labelling = Callable[[Atoms, Move], tuple[float, NDArray]]


def moved_frames(
    dataset: Dataset, moves: Sequence[Move], labelling: Labelling, name: str, weight: float = 1.0
) -> list[Atoms]:
    """Return moved structures, labelled and marked; ``augmented_from`` is the number in `dataset`.

    Parameters
    ----------
    dataset
        Structures with energies and forces.
    moves
        Displacements of the atoms of some structures.
    labelling
        Returns energy (eV) and forces (N, 3) (eV/Å) of a moved structure.
    name
        Of the labelling, for the mark.
    weight
        Of each structure in the loss.

    Raises
    ------
    ValueError
        If `dataset` has no energies or forces, for a weight that is not positive, and for labels that are not
        finite.
    """
    if dataset.E is None or dataset.F is None:
        raise ValueError("augmentation needs energies and forces of the structures it starts from")
    if dataset.force_mask is not None:
        raise ValueError("augmentation needs the forces on all atoms; those on some are no labels")
    if not 0 < weight < np.inf:
        raise ValueError(f"the weight of augmented structures must be above 0, got {weight}")
    frames = []
    for move in moves:
        atoms = labelled_atoms(dataset, move.structure)
        energy, forces = labelling(atoms, move)
        if not (np.isfinite(energy) and np.isfinite(forces).all()):
            raise ValueError(
                f"the {name} labels of structure {move.structure}, moved, are not finite"
            )
        moved = Atoms(atoms.numbers, atoms.positions + move.displacement)
        moved.info = {"augmented": name, "augmented_from": move.structure, "loss_weight": weight}
        moved.info |= electrons_in(atoms.info)
        moved.calc = SinglePointCalculator(moved, energy=energy, forces=forces)
        frames.append(moved)
    return frames


def labelled_atoms(dataset: Dataset, structure: int) -> Atoms:
    """Return structure number `structure` with its energy, forces, charge and multiplicity."""
    atoms = dataset.atoms(structure)
    for name in ("charge", "multiplicity"):
        known = getattr(dataset, name)
        if known is not None and np.isfinite(known[structure]):
            atoms.info[name] = float(known[structure])
    forces = dataset.F[dataset.ptr[structure] : dataset.ptr[structure + 1]]
    atoms.calc = SinglePointCalculator(atoms, energy=dataset.E[structure], forces=forces)
    return atoms


def with_originals(frames: Sequence[Atoms], augmented: Sequence[Atoms], name: str) -> list[Atoms]:
    """Return the structures for one file: the originals, numbered under `name`, and the augmented ones."""
    originals = [atoms.copy() for atoms in frames]
    for k, (copy, atoms) in enumerate(zip(originals, frames, strict=True)):
        copy.calc = atoms.calc
        copy.info["frame_id"] = f"{name}:{k}"
    for atoms in augmented:
        atoms.info["augmented_from"] = f"{name}:{atoms.info['augmented_from']}"
        atoms.info["units"] = originals[0].info.get("units", "eV, Ang")
    return [*originals, *augmented]

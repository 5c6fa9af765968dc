"""A pool that the user brings, in place of one that is made around the data."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols

from ase_schnet.applicability.distances import DistanceWatch
from ase_schnet.bonds import STRETCHED_BOND, bonded_pairs
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.pairs import sampled_distances
from ase_schnet.labelling.methods import Reference, whole_electrons
from ase_schnet.labelling.reference import XTB_METHODS
from ase_schnet.pretraining.difference import Electrons
from ase_schnet.structures.electrons import lowest_multiplicity, stated
from ase_schnet.structures.reading import no_such_file, read_frames, require_angstrom
from ase_schnet.units import PACKAGE_UNITS

#: `sampled_from` of structures that were made from none of the data, or from one that is not known.
NO_ORIGIN = -1
#: `sampled_by` of structures that do not say how they were made.
GIVEN = "given"


def stated_method(path: str | Path) -> str:
    """Return the text of the method that a file of labels states, as `ase-schnet label` writes it.

    Raises
    ------
    ValueError
        If the file cannot be read, or states a method that only its user can name.
    """
    level = next(_frames(path)).info.get("level_of_theory")
    known = {name: text for text, name in XTB_METHODS.items()}
    if level not in known:
        said = f"states {level}" if level else "does not state its method"
        raise ValueError(f"{path} {said}: name the cheap method too, as in 'gfn2-xtb, pool={path}'")
    return known[level]


def given_pool(
    path: str | Path,
    data: Dataset,
    cutoff: float,
    electrons: Electrons,
    thermal: str,
) -> list[Atoms]:
    """Return the structures of a file as a pool: ``info["sampled_by"]`` and ``info["sampled_from"]`` set.

    Parameters
    ----------
    path
        File of structures, with or without labels.
    data
        The dear structures.
    cutoff
        Distances up to this, Å, are compared with theirs.
    electrons
        Charge and multiplicity of all structures; None: what each states.
    thermal
        Kind of structures whose distances, and bonds of each atom, all occur in the data; others keep the
        kind that they state.

    Raises
    ------
    ValueError
        If the file cannot be read, or holds what the data do not: elements, cells, charges.
    """
    ranges = sampled_distances(data, cutoff)
    bonded = {_bonds_per_atom(data.atoms(s)) for s in range(len(data))}
    pool = []
    for k, atoms in enumerate(_frames(path)):
        if odd := _unlike(atoms, data, electrons):
            raise ValueError(f"{path}, structure {k} {odd}")
        _state(atoms, electrons)
        inside = _bonds_per_atom(atoms) in bonded
        inside &= DistanceWatch(atoms, ranges, cutoff, 0.0).find(atoms) is None
        kind = thermal if inside else str(atoms.info.get("sampled_by", GIVEN))
        atoms.info |= {"sampled_by": kind, "sampled_from": NO_ORIGIN}
        pool.append(atoms)
    return pool


def _state(atoms: Atoms, electrons: Electrons) -> None:
    """Let a structure state charge and multiplicity; labels that were computed for others are left."""
    said = dict(zip(("charge", "multiplicity"), electrons, strict=True))
    said = {name: value for name, value in said.items() if value is not None}
    before = _labelled_as(atoms) if said else None
    atoms.info |= said
    if said and _labelled_as(atoms) != before:
        atoms.calc = None


def _labelled_as(atoms: Atoms) -> tuple[int, int]:
    """Return charge and multiplicity for which a label of a structure is computed."""
    charge, multiplicity = whole_electrons(atoms)
    return charge, multiplicity or lowest_multiplicity(atoms.numbers, charge)


def _bonds_per_atom(atoms: Atoms) -> tuple:
    """Return the element and the number of bonds of every atom, sorted."""
    first, _, _ = bonded_pairs(atoms, STRETCHED_BOND)
    degrees = np.bincount(first, minlength=len(atoms))
    return tuple(sorted(zip(atoms.numbers.tolist(), degrees.tolist(), strict=True)))


def _unlike(atoms: Atoms, data: Dataset, electrons: Electrons) -> str | None:
    """Say what a structure has that the data have not."""
    unknown = set(atoms.numbers.tolist()) - set(data.Z.tolist())
    if unknown:
        return f"has {chemical_symbols[min(unknown)]}, the data have none"
    if atoms.pbc.any() != data.pbc.any():
        return f"is {'periodic' if atoms.pbc.any() else 'not periodic'}, unlike the data"
    found = stated(atoms.info, atoms.arrays)
    for name, wanted, number in zip(("charge", "multiplicity"), electrons, found, strict=True):
        if None not in (wanted, number) and number != wanted:
            return f"states {name} {number:g}, the data have {wanted}"
    return None


def has_labels(atoms: Atoms, reference: Reference) -> bool:
    """Tell whether a structure has labels of a method, as `label_structures` writes them."""
    said = atoms.info.get("level_of_theory"), atoms.info.get("units")
    if said != (reference.level_of_theory, str(PACKAGE_UNITS)) or atoms.calc is None:
        return False
    labels = [atoms.calc.results.get(name) for name in ("energy", "forces")]
    return all(label is not None and np.isfinite(label).all() for label in labels)


def is_file(text: str) -> bool:
    """Tell whether a text that may name a method names a file of structures."""
    return Path(text).suffix in (".xyz", ".extxyz", ".traj", ".db")


def digest_of(path: str | Path) -> str:
    """Return the sha256 of a file."""
    with _there(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _there(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise ValueError(no_such_file(path))
    return path


def _frames(path: str | Path) -> Iterator[Atoms]:
    path = _there(path)
    try:
        for k, atoms in enumerate(read_frames(path)):
            if not np.isfinite(atoms.positions).all():
                raise ValueError(f"structure {k} has positions that are not numbers")
            require_angstrom(atoms)
            yield atoms
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None

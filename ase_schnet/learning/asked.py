"""The structures that were given to the reference: by the rounds, and those added after the end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import InputError

from ase_schnet.bonds import overlapping
from ase_schnet.labelling.methods import whole_electrons
from ase_schnet.learning.choose import CHOSEN
from ase_schnet.learning.rounds import GOAL, RoundDirectory, folders
from ase_schnet.learning.settings import LearnSettings, Methods
from ase_schnet.modelfile import load_model
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.sampling.spread import fingerprint
from ase_schnet.structures.electrons import LOWEST, contradiction, stated

#: Number of the round in which added structures stand: after all others.
AFTER_ALL = 1_000_000


def asked(directory: Path, before: int | None = None) -> list[Atoms]:
    """Return the structures of the rounds before one; None: of all rounds, and those added after the end."""
    names = folders(directory, "")[:before]
    names += [] if before is not None else folders(directory, "added_")
    return [
        atoms for name in names for atoms in RoundDirectory(directory, name).frames("chosen", list)
    ]


def add(directory: Path, collected: Sequence[Atoms], start: Atoms) -> int:
    """Put structures behind those that were asked for, and return how many are new.

    Parameters
    ----------
    directory
        Of the learning.
    collected
        Structures; those known are left out.
    start
        What is learnt; charge and multiplicity of all are those that it states.

    Raises
    ------
    ValueError
        If one has other atoms than `start`, is periodic where that is not, or states another charge or
        multiplicity.
    """
    charge, multiplicity = whole_electrons(start)
    for number, atoms in enumerate(collected):
        if sorted(atoms.numbers) != sorted(start.numbers) or atoms.pbc.any() != start.pbc.any():
            raise ValueError(
                f"structure {number} of those collected is {_kind(atoms)}, what is learnt {_kind(start)}"
            )
        said = stated(atoms.info, atoms.arrays)
        wrong = contradiction(charge, multiplicity or LOWEST, said, start.numbers, start.pbc)
        if wrong:
            raise ValueError(
                f"structure {number} of those collected has {wrong}, as what is learnt"
            )
    earlier = asked(directory)
    known, new = {fingerprint(atoms) for atoms in earlier}, []
    for atoms in collected:
        if (mark := fingerprint(atoms)) in known:
            continue
        known.add(mark)
        told = {"share": CHOSEN, "kind": "collected", "at_goal": False, "round": AFTER_ALL}
        new.append(bare(atoms, {**said_by(start), **told, "number": len(earlier) + len(new)}))
    if new:
        name = f"added_{len(folders(directory, 'added_'))}"
        RoundDirectory(directory, name).frames("chosen", lambda: new)
    return len(new)


def apart(collected: Sequence[Atoms]) -> list[Atoms]:
    """Return the structures whose atoms do not collide: labels of the others would spoil a fit.

    Raises
    ------
    InputError
        Positions or cell of one are not numbers.
    """
    for number, atoms in enumerate(collected):
        if not (np.isfinite(atoms.positions).all() and np.isfinite(atoms.cell.array).all()):
            raise InputError(
                f"structure {number} of those collected has positions that are not numbers"
            )
    return [atoms for atoms in collected if not overlapping(atoms, SamplingPlan.shortest)]


def _kind(atoms: Atoms) -> str:
    return f"{'a cell of ' * bool(atoms.pbc.any())}{atoms.get_chemical_formula()}"


def bare(atoms: Atoms, info: dict) -> Atoms:
    """Return atoms and cell alone, with another ``info``."""
    return Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc, info=dict(info))


def said_by(atoms: Atoms) -> dict:
    """Return the charge and multiplicity that a structure states, as plain numbers; InputError for halves."""
    charge, multiplicity = whole_electrons(atoms)
    said = stated(atoms.info, atoms.arrays)
    found = {} if said.charge is None else {"charge": charge}
    return found if multiplicity is None else {**found, "multiplicity": multiplicity}


def identity_of(starts: Sequence[Atoms], settings: LearnSettings, methods: Methods) -> dict:
    """Return all that the outcome of a learning depends on, but for budget and goal, in plain types."""
    structures = [
        [a.numbers.tolist(), a.positions.tolist(), a.cell.tolist(), a.pbc.tolist(), a.info]
        for a in starts
    ]
    told = {**settings.to_dict(), "reference": methods.reference.text}  # lasting paths
    if methods.sampler not in (None, methods.reference):
        told["cheap"] = methods.sampler.text
    if settings.start_from is not None:
        told["start_sha256"] = load_model(settings.start_from).checksum
    for name in ("budget", GOAL):
        told.pop(name)
    method = methods.reference.identity  # a script may have changed, and its name has not
    return {**told, "method": method, "structures": structures}

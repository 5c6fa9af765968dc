"""What is sent to a process that labels, and what comes back."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ase_schnet.labelling.limit import TookLonger, at_most
from ase_schnet.runtime.refusals import one_line

if TYPE_CHECKING:  # a process that labels imports what its method needs, and no more
    from ase_schnet.labelling.methods import Reference

#: Decimals of positions and cell (Å) by which structures are told apart; extended xyz files have as many.
DECIMALS = 8
_own = threading.local()  # calculators, which no other thread may use


class Job(NamedTuple):
    """Hold a structure to be labelled, without all that its energy does not depend on.

    Attributes
    ----------
    key
        Fingerprint of the structure, its charge and its multiplicity.
    numbers, positions, cell, pbc
        Of the structure.
    charge
        Total charge, e.
    multiplicity
        2S + 1; None: the lowest that the number of electrons allows.
    info
        What the structure itself states of charge and multiplicity.
    """

    key: str
    numbers: NDArray
    positions: NDArray
    cell: NDArray | None
    pbc: tuple[bool, bool, bool]
    charge: int
    multiplicity: int | None
    info: dict

    def atoms(self) -> Atoms:
        """Return the structure, without constraints, momenta and labels."""
        return Atoms(
            self.numbers, self.positions, cell=self.cell, pbc=self.pbc, info=dict(self.info)
        )


class Outcome(NamedTuple):
    """Hold a label: energy (eV), forces (N, 3) in eV/Å and stress (6,) in eV/Å³; or why there is none."""

    key: str
    energy: float = float("nan")
    forces: NDArray | None = None
    stress: NDArray | None = None
    failure: str | None = None


def job_of(atoms: Atoms, charge: int, multiplicity: int | None) -> Job:
    """Return the job of a structure with a charge and multiplicity."""
    pbc = (bool(atoms.pbc[0]), bool(atoms.pbc[1]), bool(atoms.pbc[2]))
    cell = atoms.cell.array.copy() if any(pbc) else None
    digest = hashlib.sha256(np.asarray(atoms.numbers, dtype="<i8").tobytes())
    for lengths in (atoms.positions, cell):
        if lengths is not None:  # + 0.0: there is a negative zero
            digest.update((np.round(lengths, DECIMALS) + 0.0).astype("<f8").tobytes())
    digest.update(repr((pbc, charge, multiplicity)).encode())
    stated = {"charge": charge}
    if multiplicity is not None:
        stated["multiplicity"] = multiplicity
    info = stated if charge or multiplicity is not None else {}
    key = digest.hexdigest()[:32]
    numbers, positions = atoms.numbers.copy(), atoms.positions.copy()
    return Job(key, numbers, positions, cell, pbc, charge, multiplicity, info)


def label_bundle(reference: Reference, jobs: Sequence[Job]) -> tuple[list[Outcome], float]:
    """Label structures one after the other, in the process that is to do it.

    Returns
    -------
    outcomes
        Of every job.
    seconds
        That they took, without the time to make calculators.

    Raises
    ------
    ValueError
        No calculator can be made; in one line.
    """
    outcomes, seconds = [], 0.0
    for job in jobs:
        calculator = _calculator(reference, job)
        start = time.perf_counter()
        outcomes.append(_labelled(job, calculator, reference.time_limit_s))
        seconds += time.perf_counter() - start
    return outcomes, seconds


def _calculator(reference: Reference, job: Job) -> BaseCalculator:
    """Return the calculator of this thread for a charge and multiplicity; it is made once."""
    made = _own.__dict__.setdefault("calculators", {})
    key = reference, job.charge, job.multiplicity
    if key not in made:
        made[key] = reference.calculator(job.charge, job.multiplicity)
    return made[key]


def _labelled(job: Job, calculator: BaseCalculator, time_limit_s: float | None) -> Outcome:
    forget = getattr(calculator, "forget", None)
    if forget is not None:
        forget()
    atoms = job.atoms()
    atoms.calc = calculator
    try:
        with at_most(time_limit_s):
            # codes that write files give the energy with the forces, and no forces with the energy
            forces = np.array(atoms.get_forces(), dtype=float)
            energy = float(atoms.get_potential_energy())
            stress = None
            if all(job.pbc) and "stress" in getattr(calculator, "implemented_properties", ()):
                stress = np.array(atoms.get_stress(), dtype=float)
    except TookLonger as error:
        _own.calculators.clear()  # it was left in the middle of its work
        return Outcome(job.key, failure=str(error))
    except Exception as error:  # of any code that there is: the next structure may do well
        return Outcome(job.key, failure=_reason(error))
    if forces.shape != (len(atoms), 3):
        return Outcome(job.key, failure=f"forces of shape {forces.shape}")
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        return Outcome(job.key, failure="energy or forces are not finite")
    return Outcome(job.key, energy, forces, stress)


def _reason(error: Exception) -> str:
    """Return an error as one line; the kind is named unless ASE's classes say no more than the text."""
    text, kind = one_line(error), type(error).__name__
    told = any(base.__module__ == "ase.calculators.calculator" for base in type(error).__mro__)
    return f"{text:.300}" if told and text else f"{kind}: {text:.300}".rstrip(": ")

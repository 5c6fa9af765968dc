"""Delta-labelling: labels at the start plus the change of a cheap reference method along the move."""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ase_schnet.augment.moves import Move

#: Reach of the slope of the difference between the two methods, Å: farther away it makes labels worse
#: (benchmarks/defaults.md).
REACH_ANG = 0.3


def delta_label(
    atoms: Atoms, move: Move, reference: BaseCalculator, reach_Ang: float = REACH_ANG
) -> tuple[float, NDArray]:
    """Return energy and forces of a moved structure from a reference method and the labels at the start.

    The energy is E_ref(moved) + D with D = E − E_ref at the start. A piece that moves by t changes D by −(F
    − F_ref)·s(t) with s(t) = t / sqrt(1 + (t / reach)²): exact to first order in t, bounded far away. Within
    a piece, and where nothing moves, D keeps its slope.

    Parameters
    ----------
    atoms
        The structure at the start, with its labels.
    move
        The displacement.
    reference
        A calculator of the reference method.
    reach_Ang
        Length up to which the slope of D counts, Å.

    Returns
    -------
    tuple
        The energy (eV) and the forces (N, 3), which are exactly −∂E/∂Δ (eV/Å).
    """
    energy_start, forces_start = _evaluate(atoms, np.zeros((len(atoms), 3)), reference)
    energy, forces = _evaluate(atoms, move.displacement, reference)
    slope = atoms.get_forces() - forces_start  # (N, 3), of −D
    energy += atoms.get_potential_energy() - energy_start
    correction = slope.copy()
    within = move.displacement.copy()
    for piece in move.pieces:
        t, total = move.displacement[piece].mean(axis=0), slope[piece].sum(axis=0)
        within[piece] -= t
        step, jacobian = _bounded(t, reach_Ang)
        energy -= total @ step
        correction[piece] += (jacobian @ total - total) / len(piece)
    energy -= (slope * within).sum()
    return float(energy), forces + correction


def _bounded(t: NDArray, reach: float) -> tuple[NDArray, NDArray]:
    """Return s(t), shorter than `reach`, and ∂s/∂t, which is symmetric."""
    u = 1 + t @ t / reach**2
    return t / math.sqrt(u), np.eye(3) / math.sqrt(u) - np.outer(t, t) / (reach**2 * u**1.5)


def _evaluate(
    atoms: Atoms, displacement: NDArray, calculator: BaseCalculator
) -> tuple[float, NDArray]:
    moved = Atoms(atoms.numbers, atoms.positions + displacement, calculator=calculator)
    return float(moved.get_potential_energy()), moved.get_forces()

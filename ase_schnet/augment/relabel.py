"""Delta-labelling: how a cheap reference method sees the move, on top of the labels at the start."""

from __future__ import annotations

import math

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import NDArray

from ase_schnet.augment.moves import Move

#: How far the slope of the difference between the two methods is believed, Å. Pulling the hydroxyl H of
#: ethanol from 0.975 to 3 Å, GFN2-xTB is at most 9 kcal/mol off PBE without that slope, 11 with it within
#: this reach and 28 with it all the way; a start at 0.95 Å is followed to 1.1 Å within 1.5.
REACH_ANG = 0.3


def delta_label(
    atoms: Atoms, move: Move, reference: BaseCalculator, reach_Ang: float = REACH_ANG
) -> tuple[float, NDArray]:
    """E_ref(moved) + D, D = E − E_ref at the start, with D's slope believed up to `reach_Ang`.

    A piece that moves by t changes D by −(F − F_ref)·s(t) with s(t) = t / sqrt(1 + (t / reach)²): exact to
    first order in t, bounded far away. Within a piece, and where nothing moves, D keeps its slope.
    Returns the energy (eV) and the forces (N, 3), the exact −∂E/∂Δ (eV/Å).
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
    """s(t), shorter than `reach`, and ∂s/∂t, which is symmetric."""
    u = 1 + t @ t / reach**2
    return t / math.sqrt(u), np.eye(3) / math.sqrt(u) - np.outer(t, t) / (reach**2 * u**1.5)


def _evaluate(
    atoms: Atoms, displacement: NDArray, calculator: BaseCalculator
) -> tuple[float, NDArray]:
    moved = Atoms(atoms.numbers, atoms.positions + displacement, calculator=calculator)
    return float(moved.get_potential_energy()), moved.get_forces()

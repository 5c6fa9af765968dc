"""Displacements along normal modes, with thermal amplitudes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.optimize import BFGS
from ase.vibrations import Vibrations
from numpy.random import Generator
from numpy.typing import NDArray

from ase_schnet.bonds import overlapping
from ase_schnet.degrees_of_freedom import degrees_of_freedom
from ase_schnet.sampling.md import CalculatorFactory, bare, said
from ase_schnet.sampling.plan import SamplingPlan
from ase_schnet.structures.box import without_needless_box

#: Largest force after relaxation, eV/Å, and most steps.
FMAX, MAX_STEPS = 0.01, 300
#: Displacement for the Hessian, Å.
STEP_ANG = 0.01
#: Softer and imaginary modes count as this soft, cm⁻¹.
SOFTEST_CM = 50.0
#: Largest width, Å, of the displacement that a mode gives an atom: straight ones along a torsion tear it off.
WIDEST_ANG = 0.25


def mode_frames(
    start: Atoms,
    calculator: CalculatorFactory,
    plan: SamplingPlan,
    rng: Generator,
    count: int,
) -> tuple[list[Atoms], str]:
    """Return at most ``count`` displacements of the relaxed start, and the reason if there are none.

    Every mode has a Gaussian amplitude with the mean energy k_B T / 2. The temperature of a frame is uniform
    between the lowest and the highest of ``plan.temperatures_K``.
    """
    relaxed = start.copy()
    try:
        relaxed.calc = calculator(relaxed)
        with BFGS(relaxed, logfile=None) as optimiser:
            optimiser.run(fmax=FMAX, steps=MAX_STEPS)
        widths = _widths(without_needless_box(relaxed))
    except Exception as error:
        # calculators raise nearly everything where the SCF does not converge
        return [], said(error)
    frames = []
    low, high = min(plan.temperatures_K), max(plan.temperatures_K)
    for _ in range(count):
        temperature_K = rng.uniform(low, high)
        frame = bare(relaxed)
        thermal = widths * np.sqrt(units.kB * temperature_K)  # (M, N, 3) Å
        largest = np.linalg.norm(thermal, axis=2).max(axis=1)  # (M,)
        amplitude = rng.normal(size=len(widths)) * np.minimum(1, WIDEST_ANG / largest)
        frame.positions += np.tensordot(amplitude, thermal, axes=1)
        if not overlapping(frame, plan.shortest):
            frames.append(frame)
    return frames, ""


def _widths(atoms: Atoms) -> NDArray:
    """Return the displacements (M, N, 3) of the modes for k_B T = 1 eV, Å; without overall motion."""
    masses = np.repeat(atoms.get_masses(), 3)  # (3N,)
    hessian = _hessian(atoms) / np.sqrt(masses[:, None] * masses)
    squares, modes = np.linalg.eigh(hessian)  # ω² in eV/(Å² u)
    n_overall = len(squares) - degrees_of_freedom(atoms)
    kept = np.sort(np.argsort(np.abs(squares))[n_overall:])
    softest = SOFTEST_CM * units.invcm / (units._hbar * units.J * units.s)  # to ASE's 1/time
    omega = np.sqrt(np.maximum(squares[kept], softest**2))
    widths = modes[:, kept] / omega / np.sqrt(masses)[:, None]
    return widths.T.reshape(len(kept), -1, 3)


def _hessian(atoms: Atoms) -> NDArray:
    """Return the second derivatives (3N, 3N) of the energy, eV/Å²."""
    with tempfile.TemporaryDirectory() as folder:  # ASE keeps the displacements in files
        vibrations = Vibrations(atoms, name=Path(folder) / "modes", delta=STEP_ANG)
        vibrations.run()
        return vibrations.get_vibrations().get_hessian_2d()

"""Frames of short Langevin runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.md.langevin import Langevin
from numpy.random import Generator

from ase_schnet.bonds import overlapping
from ase_schnet.dynamics.velocities import thermalise
from ase_schnet.runtime.refusals import one_line
from ase_schnet.sampling.plan import SamplingPlan

CalculatorFactory = Callable[[Atoms], BaseCalculator]
"""Makes the calculator of a structure, for its charge and multiplicity; it can be pickled."""

#: A melt is sampled less often than other runs by this factor, so that atoms leave their places.
MELT_INTERVAL = 5


def langevin_frames(
    start: Atoms,
    calculator: CalculatorFactory,
    temperature_K: float,
    plan: SamplingPlan,
    rng: Generator,
    *,
    melt: bool = False,
) -> tuple[list[Atoms], str]:
    """Return frames of one run, and the reason for which it ended early ("" if it did not).

    The run ends where the calculator fails or a force exceeds ``plan.max_force_eV_per_Ang``.

    Parameters
    ----------
    start
        First structure, not among the frames.
    calculator
        Makes the calculator.
    temperature_K
        Of the velocities at the start and of the thermostat, K.
    plan
        Timestep, interval, friction and number of frames.
    rng
        Random numbers of the velocities and of the thermostat.
    melt
        Whether to leave ``MELT_INTERVAL`` times more steps between the frames.
    """
    atoms, frames = start.copy(), []
    steps = plan.interval * (MELT_INTERVAL if melt else 1)
    try:
        atoms.calc = calculator(atoms)
        thermalise(atoms, temperature_K, int(rng.integers(2**31)))
        dynamics = Langevin(
            atoms,
            plan.timestep_fs * units.fs,
            temperature_K=temperature_K,
            friction=plan.friction_per_fs / units.fs,
            fixcm=False,  # where the molecule is does not matter
            rng=rng,
        )
        for _ in range(plan.frames_per_run):
            dynamics.run(steps)
            largest = np.abs(atoms.get_forces()).max()
            if not largest <= plan.max_force_eV_per_Ang:
                return frames, f"force of {largest:.0f} eV/Å"
            if overlapping(atoms, plan.shortest):
                return frames, "overlapping atoms"
            frames.append(bare(atoms))
    except Exception as error:
        # calculators raise nearly everything where the SCF does not converge
        return frames, said(error)
    return frames, ""


def bare(atoms: Atoms) -> Atoms:
    """Return a copy without calculator and momenta."""
    copy = atoms.copy()
    copy.arrays.pop("momenta", None)
    return copy


def said(error: Exception) -> str:
    """Return an error of a calculator as one line."""
    return f"{type(error).__name__}: {one_line(error)}".rstrip(": ")

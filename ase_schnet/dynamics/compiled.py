"""Velocity Verlet, Bussi's rescaling and Langevin's BAOAB from step to step in compiled code.

    first half (momenta, positions) ─► forces ─► second half (momenta) ─► a sample, where one is due

The arithmetic is that of ASE's dynamics, in their order: the positions of velocity Verlet are theirs to the
last bit. Random numbers are drawn before, by numpy. Whatever the compiled forces leave to the calculator, and
steps that call for a closer look, end the loop; `steps.py` goes on from there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ase_schnet.inference import field, pair_checks
from ase_schnet.inference.compilation import exact_inner, exactly
from ase_schnet.inference.field import forces_at, largest_stds, virial_trace

VERLET, BUSSI, BAOAB = range(3)
#: All steps are done; the calculator has the next forces; the last step is odd.
DONE, EVALUATE, LOOK = range(3)


class Motion(NamedTuple):
    """Hold the atoms, which move in place, and what moves them in the next K steps."""

    positions: np.ndarray  # (N, 3) Å
    momenta: np.ndarray  # (N, 3), ASE's units, as all that follows
    forces: np.ndarray  # (N, 3) eV/Å, at the positions
    masses: np.ndarray  # (N,)
    timestep: float
    kind: int  # VERLET, BUSSI, BAOAB
    targets: np.ndarray  # (K,): Bussi's kinetic energy in eV, Langevin's amplitude of the noise
    noise: np.ndarray  # (K, 2) Bussi's normal number, sum of squares; (K, 3N) Langevin; (K, 0)
    damping: float  # what a step leaves: of the kinetic energy (Bussi), velocities (Langevin)
    degrees_of_freedom: float
    heat: np.ndarray  # (1,) eV, what the thermostat has given


class Looks(NamedTuple):
    """Hold when a step is sampled, and which steps the driver wants to see itself."""

    record_every: int
    watch_every: int  # steps between looks at the stds
    kinetic: float  # eV: from here on, a sample is odd
    watched_kinetic: float  # eV: beyond, a watched step is
    watched_std: float  # eV/Å: so is one with a larger std of the force on an atom


class Samples(NamedTuple):
    """Hold what was measured, S samples."""

    positions: np.ndarray  # (S, N, 3)
    momenta: np.ndarray  # (S, N, 3)
    energies: np.ndarray  # (S, M, N) eV
    forces_std: np.ndarray  # (S,) eV/Å, the largest
    virial: np.ndarray  # (S,) eV, the trace
    heat: np.ndarray  # (S,) eV


@exactly(field, pair_checks)
def take_steps(forces, made_for, reach, motion, looks, samples, step, begin):
    """Take the steps step + 1, ..., whose targets and noise are those from `begin` on.

    Parameters
    ----------
    forces
        `Field` of the atoms.
    made_for, reach
        As in `forces_at`.
    motion, looks, samples
        `Motion`, `Looks`, `Samples`.
    step
        Number of steps done before.
    begin
        How many of the K steps of `motion` are done.

    Returns
    -------
    tuple
        How many of the K steps are complete; how many samples there are; DONE, EVALUATE (in the middle of the
        next step) or LOOK.
    """
    kept = 0
    for k in range(begin, len(motion.targets)):
        now = step + 1 + k - begin
        _first_half(motion, k)
        if not forces_at(forces, made_for, reach, motion.positions, motion.forces):
            return k, kept, EVALUATE
        _kick(motion)
        sampled, watched = now % looks.record_every == 0, now % looks.watch_every == 0
        if not (sampled or watched):
            continue
        kinetic = kinetic_energy(motion)
        component, atom = largest_stds(forces.state, motion.forces)
        if not kinetic < looks.kinetic:  # NaN too
            return k + 1, kept, LOOK
        if watched and not (kinetic <= looks.watched_kinetic and atom <= looks.watched_std):
            return k + 1, kept, LOOK
        if sampled:
            _keep(samples.positions, kept, motion.positions)
            _keep(samples.momenta, kept, motion.momenta)
            _keep(samples.energies, kept, forces.state.energies)
            samples.forces_std[kept] = component
            samples.virial[kept] = virial_trace(forces.state)
            samples.heat[kept] = motion.heat[0]
            kept += 1
    return len(motion.targets), kept, DONE


@exactly()
def finish_step(motion):
    """Complete a step whose forces are those of the calculator."""
    _kick(motion)


@exact_inner
def _keep(samples, k, array):
    """Copy an array to the k-th place; numba takes seconds to compile an assignment of arrays."""
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            samples[k, i, j] = array[i, j]


@exact_inner
def kinetic_energy(motion):
    """Return the kinetic energy, eV."""
    total = 0.0
    for i in range(len(motion.masses)):
        for a in range(3):
            p = motion.momenta[i, a]
            total += p * (p / motion.masses[i])
    return 0.5 * total


@exact_inner
def _first_half(motion, k):
    """Move positions and momenta to where the forces are needed."""
    if motion.kind == BUSSI:
        _rescale(motion, k)
    _kick(motion)
    if motion.kind == BAOAB:
        _drift(motion, 0.5 * motion.timestep)
        _ornstein_uhlenbeck(motion, k)
        _drift(motion, 0.5 * motion.timestep)
        return
    for i in range(len(motion.masses)):
        for a in range(3):
            step = motion.timestep * motion.momenta[i, a] / motion.masses[i]
            motion.positions[i, a] = motion.positions[i, a] + step


@exact_inner
def _kick(motion):
    """Let the forces act for half a step; Langevin's in velocities, as ASE does."""
    half = 0.5 * motion.timestep
    for i in range(len(motion.masses)):
        mass = motion.masses[i]
        for a in range(3):
            p, force = motion.momenta[i, a], motion.forces[i, a]
            if motion.kind == BAOAB:
                motion.momenta[i, a] = mass * (p / mass + half * (force / mass))
            else:
                motion.momenta[i, a] = p + half * force


@exact_inner
def _drift(motion, time):
    for i in range(len(motion.masses)):
        for a in range(3):
            motion.positions[i, a] += time * (motion.momenta[i, a] / motion.masses[i])


@exact_inner
def _rescale(motion, k):
    """Rescale all momenta: Bussi, Donadio & Parrinello, J. Chem. Phys. 126, 014101 (2007), eq. A7."""
    kinetic, left = kinetic_energy(motion), motion.damping
    normal, squares = motion.noise[k, 0], motion.noise[k, 1]
    share = (1 - left) * motion.targets[k] / kinetic / motion.degrees_of_freedom
    alpha = np.sqrt(left + share * (squares + normal * normal) + 2 * normal * np.sqrt(left * share))
    for i in range(len(motion.masses)):
        for a in range(3):
            motion.momenta[i, a] = alpha * motion.momenta[i, a]
    motion.heat[0] += (alpha * alpha - 1.0) * kinetic


@exact_inner
def _ornstein_uhlenbeck(motion, k):
    """Let friction and noise act for a step, exactly: Leimkuhler & Matthews, eq. 6."""
    before = kinetic_energy(motion)
    for i in range(len(motion.masses)):
        mass = motion.masses[i]
        root = np.sqrt(mass)
        for a in range(3):
            velocity = motion.momenta[i, a] / mass * motion.damping
            velocity += motion.targets[k] * (motion.noise[k, 3 * i + a] / root)
            motion.momenta[i, a] = mass * velocity
    motion.heat[0] += kinetic_energy(motion) - before

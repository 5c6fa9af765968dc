"""Wrap ASE's dynamics so that a run can be trusted and resumed.

An integrator knows the right number of degrees of freedom, a conserved quantity, and the state that a
restart brings back. The degrees of freedom are the trap: ASE's Bussi counts 3N less the constraints, and its
Nosé-Hoover chains count 3N. A molecule whose overall motion was removed is then heated by 3N / (3N - 6):
ethanol at 300 K would run at 386 K. The thermostats are in :mod:`~ase_schnet.dynamics.thermostats`, the
barostat in :mod:`~ase_schnet.dynamics.barostat`.
"""

import operator
from collections.abc import Callable, Sequence

import numpy as np
from ase import Atoms, units
from ase.constraints import FixAtoms
from ase.md.md import MolecularDynamics
from ase.md.verlet import VelocityVerlet
from numpy.random import Generator
from numpy.typing import NDArray

from ase_schnet.degrees_of_freedom import (
    anchored,
    degrees_of_freedom,
    degrees_of_freedom_at_rest,
)
from ase_schnet.dynamics.velocities import remove_overall_motion, thermalise

#: A thermostat that rescales all momenta also multiplies the overall motion that rounding has left. Its
#: logarithm does a random walk: after some ns a cold molecule flies off. So every 1000 steps overall motion
#: is removed, if it is not more than rounding. The effect of forces that do not sum to zero stays visible
#: (see ``drift``).
STEPS_BETWEEN_REMOVALS = 1000
#: Kinetic energy of overall motion over that of all motion; less may be rounding, also in float32.
ROUNDING = 1e-8


class Integrator:
    """Wrap one of ASE's dynamics: its start, its step, its conserved energy, and its state.

    Parameters
    ----------
    dynamics
        Attached to atoms that are already in their first state.
    n_dof
        Degrees of freedom that carry thermal energy.
    rng
        Of a stochastic thermostat; its state is part of the restart.
    """

    #: Whether total momentum and, of a molecule, angular momentum stay what they are.
    conserves_momentum = True
    #: Whether constraints other than ``FixAtoms`` are obeyed (velocity Verlet does RATTLE).
    obeys_all_constraints = False
    #: Whether the temperature may change along the run, while the conserved energy is still known.
    follows_ramps = False
    #: Time (fs) -> temperature (K) of the thermostat, where it changes along the run.
    ramp_K: Callable[[float], float] | None = None
    #: Dotted names of attributes of ``dynamics`` that a restart brings back.
    state_names: Sequence[str] = ()
    #: Its name in :mod:`~ase_schnet.dynamics.compiled`, where it has one.
    compiled: str | None = None
    #: What a step leaves: of the velocities (Langevin), of the kinetic energy (Bussi).
    damping = 1.0

    def __init__(self, dynamics: MolecularDynamics, n_dof: int, rng: Generator | None = None):
        self.dynamics, self.n_dof, self.rng = dynamics, n_dof, rng
        self.atoms: Atoms = dynamics.atoms

    @classmethod
    def check(cls, atoms: Atoms) -> None:
        """Refuse atoms that this integrator would treat wrongly; ValueError."""
        others = [type(c).__name__ for c in atoms.constraints if not isinstance(c, FixAtoms)]
        if others and not cls.obeys_all_constraints:
            raise ValueError(
                f"this thermostat does not obey {', '.join(others)}: use thermostat='bussi', which "
                "does, or FixAtoms"
            )

    @classmethod
    def count_degrees_of_freedom(cls, atoms: Atoms) -> int:
        """Count those that carry thermal energy."""
        return degrees_of_freedom(atoms)

    @classmethod
    def draw(cls, atoms: Atoms, temperature_K: float, seed: int) -> None:
        """Give ``atoms`` the momenta to start with."""
        thermalise(atoms, temperature_K, seed, cls.count_degrees_of_freedom(atoms))

    def step(self, number: int) -> None:
        """Do step ``number`` of the run, counted from 1."""
        if self.ramp_K is not None:
            self.aim_at(self.ramp_K(number * self.dynamics.dt / units.fs))
        self.dynamics.step()

    def aim_at(self, temperature_K: float) -> None:
        """Aim at another temperature, K, from here on; only of a thermostat that follows ramps."""
        raise NotImplementedError

    def draw_ahead(self, done: int, n: int) -> tuple[NDArray, NDArray]:
        """Return what the thermostat does in the ``n`` steps after ``done``, of which none is taken.

        For :class:`~ase_schnet.dynamics.compiled.Motion`: its targets (n,) and its noise (n, W). The random
        numbers are those that ``n`` calls of :meth:`step` would draw.
        """
        targets, noise = [], []
        for number in range(done + 1, done + n + 1):
            if self.ramp_K is not None:
                self.aim_at(self.ramp_K(number * self.dynamics.dt / units.fs))
            targets.append(self.target)
            noise.append(self.draw_noise())
        return np.array(targets), np.array(noise)

    #: What the thermostat aims at, as compiled code reads it.
    target = 0.0
    #: Attribute of ``dynamics`` that adds up the energy (eV) which the thermostat gives to the atoms.
    given_name: str | None = None

    @property
    def given_eV(self) -> float:
        """Energy that the thermostat has given to the atoms, eV."""
        return 0.0 if self.given_name is None else getattr(self.dynamics, self.given_name)

    @given_eV.setter
    def given_eV(self, value: float) -> None:
        if self.given_name is not None:
            setattr(self.dynamics, self.given_name, value)

    def draw_noise(self) -> NDArray:
        """Return the random numbers (W,) of one step."""
        return np.empty(0)

    def has_moved(self) -> None:
        """Take note that somebody else has moved the atoms."""

    def after(self, number: int) -> bool:
        """Do what is due after step ``number``; return whether momenta have changed."""
        return False

    def conserved_energy(self, total_eV: float) -> float:
        """Return the total energy and what thermostat and barostat hold, eV: constant in a sound run."""
        return total_eV - self.given_eV

    def state(self) -> dict:
        """Return a copy of all that decides how the run goes on, beyond positions, momenta and cell."""
        state = {n: np.array(operator.attrgetter(n)(self.dynamics)) for n in self.state_names}
        if self.rng is not None:
            state["rng"] = self.rng.bit_generator.state
        return state

    def restore(self, state: dict) -> None:
        """Continue from what :meth:`state` returned."""
        for name in self.state_names:
            parent, _, attribute = name.rpartition(".")
            owner = operator.attrgetter(parent)(self.dynamics) if parent else self.dynamics
            setattr(owner, attribute, np.array(state[name])[()])  # an array, or a scalar
        if self.rng is not None:
            self.rng.bit_generator.state = state["rng"]


class NVE(Integrator):
    """Run velocity Verlet at constant energy."""

    obeys_all_constraints = True
    compiled = "verlet"

    def __init__(self, atoms: Atoms, timestep_fs: float, n_dof: int, rng: Generator):
        super().__init__(VelocityVerlet(atoms, timestep_fs * units.fs), n_dof)
        self._forces = None

    def step(self, number: int) -> None:
        """Do step ``number`` of the run, counted from 1."""
        self._forces = self.dynamics.step(self._forces)  # spares asking the calculator again


class Rescaling(Integrator):
    """Rescale all momenta by one factor: if the whole is at rest, it stays at rest."""

    @classmethod
    def count_degrees_of_freedom(cls, atoms: Atoms) -> int:
        """Count those that carry thermal energy while the whole is at rest."""
        return degrees_of_freedom_at_rest(atoms)

    def step(self, number: int) -> None:
        """Do step ``number`` of the run, counted from 1."""
        super().step(number)
        self.after(number)

    def after(self, number: int) -> bool:
        """Remove what rounding has made, now and then; return whether that was done."""
        due = number % STEPS_BETWEEN_REMOVALS == 0 and not anchored(self.atoms)
        if due:
            self.remove_rounding()
        return due

    def remove_rounding(self) -> None:
        """Remove the overall motion that rounding has made."""
        remove_overall_motion(self.atoms, at_most=ROUNDING)

"""Drive the compiled loop: draw its random numbers, hand it the atoms, and make rows of its samples."""

import math
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ase_schnet.degrees_of_freedom import kinetic_energy_eV
from ase_schnet.dynamics import compiled
from ase_schnet.dynamics.compiled import Looks, Motion, Samples, finish_step, take_steps
from ase_schnet.dynamics.integrators import Integrator
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.dynamics.steps import MOST_STEPS, Taken, ask
from ase_schnet.inference import field, pair_checks
from ase_schnet.inference.compilation import first_use
from ase_schnet.inference.field import Field
from ase_schnet.runs.monitor import StepMonitor

KINDS = {"verlet": compiled.VERLET, "bussi": compiled.BUSSI, "baoab": compiled.BAOAB}


class Forces(Protocol):
    """Evaluate atoms, in compiled code or by their calculator."""

    made_for: NDArray
    reach: float

    def field(self) -> Field:
        """Return what compiled code evaluates the atoms with, until one of the other methods is called."""
        ...

    def take_over(self) -> None:
        """Make what compiled code has evaluated last the results of the calculator."""

    def evaluate(self) -> NDArray:
        """Return the forces (N, 3) of the calculator, eV/Å."""
        ...


class CompiledSteps:
    """Take the steps of one run in compiled code.

    Parameters
    ----------
    integrator
        With a name in ``compiled.py``; its atoms have no constraints.
    recorder
        Makes rows of samples.
    forces
        Of the atoms.
    monitor
        Of the run, which has started. A monitor without ``quick`` limits sees every step it asks for.
    """

    most = MOST_STEPS

    def __init__(
        self,
        integrator: Integrator,
        recorder: Recorder,
        forces: Forces,
        monitor: StepMonitor | None,
    ):
        atoms = integrator.atoms
        for name in ("positions", "momenta"):
            atoms.arrays[name] = np.ascontiguousarray(atoms.arrays[name], dtype=np.float64)
        self._integrator, self._recorder, self._forces = integrator, recorder, forces
        self._f = np.array(atoms.get_forces(), dtype=np.float64, order="C")
        self._heat = np.zeros(1)
        self._first, self._ahead = 0, (np.empty(0), np.empty((0, 0)))
        self._monitor = monitor
        self._samples: Samples | None = None
        with first_use(compiled, field, pair_checks):
            self._call(self._motion(), 0, 0)  # of no steps

    def take(self, step: int, stop: int) -> Taken:
        """Take steps after ``step``, up to ``stop`` or to the first that Python has to look at."""
        self._f[:] = self._integrator.atoms.get_forces()  # somebody may have moved them
        if step - self._first >= len(self._ahead[0]):
            self._first = step
            self._ahead = self._integrator.draw_ahead(step, stop - step)
        begin = step - self._first
        motion = self._motion()
        done, kept, outcome = self._call(motion, step, begin)
        now = self._first + done
        if outcome == compiled.EVALUATE:
            now += 1
            self._f[:] = ask(self._forces.evaluate, self._recorder, now)
            finish_step(motion)
        else:
            self._forces.take_over()
        self._integrator.given_eV = float(self._heat[0])
        is_seen = outcome == compiled.DONE
        if self._integrator.after(now) and is_seen:
            is_seen, kept = False, kept - (now % self._recorder.every == 0)
        rows = self._recorder.extend(step, self._samples, kept) if kept else []
        return Taken(now, rows, is_seen)

    def _call(self, motion: Motion, step: int, begin: int) -> tuple[int, int, int]:
        forces = self._forces.field()
        where = self._forces.made_for, self._forces.reach
        room = self._room(len(forces.state.energies))
        return take_steps(forces, *where, motion, self._looks(), room, step, begin)

    def _motion(self) -> Motion:
        integrator, arrays = self._integrator, self._integrator.atoms.arrays
        self._heat[0] = integrator.given_eV
        return Motion(
            arrays["positions"],
            arrays["momenta"],
            self._f,
            self._recorder.masses,
            float(integrator.dynamics.dt),
            KINDS[integrator.compiled],
            *self._ahead,
            float(integrator.damping),
            float(integrator.n_dof),
            self._heat,
        )

    def _looks(self) -> Looks:
        recorder, monitor = self._recorder, self._monitor
        n_dof = self._integrator.n_dof
        odd = kinetic_energy_eV(recorder.largest_temperature_K(), n_dof)
        if monitor is None:
            return Looks(recorder.every, 2**62, odd, math.inf, math.inf)
        quick = getattr(monitor, "quick", None)
        if quick is None:
            return Looks(recorder.every, monitor.every, odd, -1.0, -1.0)
        hot = kinetic_energy_eV(quick.max_temperature_K, n_dof)
        return Looks(recorder.every, monitor.every, odd, hot, quick.max_forces_std_eV_per_Ang)

    def _room(self, members: int) -> Samples:
        """Return room for the samples of one sitting."""
        n_atoms = len(self._f)
        if self._samples is None:
            most = MOST_STEPS // self._recorder.every + 1
            vectors = [np.empty((most, n_atoms, 3)) for _ in range(2)]
            numbers = [np.empty(most) for _ in range(3)]
            self._samples = Samples(*vectors, np.empty((most, members, n_atoms)), *numbers)
        return self._samples

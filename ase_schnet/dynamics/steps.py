"""Take the steps of a run: one at a time with ASE, or many at once in compiled code.

The compiled way is open to calculators that have ``compiled_forces(atoms, avoided)``, as
:class:`~ase_schnet.calculator.SchNetCalculator` has, and to the integrators that ``compiled.py`` knows. A run
is the same either way, to rounding.
"""

from collections.abc import Callable
from importlib import import_module
from typing import NamedTuple, Protocol

from ase import Atoms

from ase_schnet.dynamics.integrators import Integrator
from ase_schnet.dynamics.recorder import Recorder
from ase_schnet.runs.failures import SimulationFailed
from ase_schnet.runs.monitor import StepMonitor

#: Longest sitting in compiled code. An interrupt costs no more.
MOST_STEPS = 50


class Taken(NamedTuple):
    """Hold what was done.

    Attributes
    ----------
    step
        Number of the last step that is complete.
    rows
        Of the samples that were taken.
    is_seen
        Whether the last step needs no more: its sample is among the rows, if it was due, and a monitor would
        find nothing.
    """

    step: int
    rows: list[list[float]]
    is_seen: bool


class Steps(Protocol):
    """Take steps."""

    most: int  #: steps between two looks of the driver

    def take(self, step: int, stop: int) -> Taken:
        """Take steps after ``step``, at most up to ``stop``; SimulationFailed if the calculator fails."""
        ...


class StepsOfASE:
    """Take one step with ASE."""

    most = 1

    def __init__(self, integrator: Integrator, recorder: Recorder):
        self._integrator, self._recorder = integrator, recorder

    def take(self, step: int, stop: int) -> Taken:
        """Take one step."""
        ask(lambda: self._integrator.step(step + 1), self._recorder, step + 1)
        return Taken(step + 1, [], False)


def ask(calculation: Callable, recorder: Recorder, step: int):
    """Return what a calculation returns; SimulationFailed with the time of ``step`` if it fails."""
    try:
        return calculation()
    except Exception as error:
        failure = SimulationFailed(f"{recorder.when(step)}: the calculator failed: {error}")
        failure.step = step
        raise failure from error


def steps_of(integrator: Integrator, recorder: Recorder, monitor: StepMonitor | None) -> Steps:
    """Return compiled steps where calculator, integrator and atoms allow it, else those of ASE."""
    atoms: Atoms = integrator.atoms
    compiled_forces = getattr(atoms.calc, "compiled_forces", None)
    if compiled_forces is None or integrator.compiled is None or atoms.constraints:
        return StepsOfASE(integrator, recorder)
    quick = None if monitor is None else getattr(monitor, "quick", None)
    forces = compiled_forces(atoms, None if quick is None else quick.avoided)
    if forces is None:
        return StepsOfASE(integrator, recorder)
    compiled = import_module("ase_schnet.dynamics.compiled_steps")  # numba: only where it is used
    return compiled.CompiledSteps(integrator, recorder, forces, monitor)

"""Say why a run could not go on: exceptions that carry what was measured until then."""

from ase_schnet.runs.record import MDRecord


class SimulationFailed(RuntimeError):
    """Report that the dynamics could not go on: an explosion, or a calculator that gave up.

    The message names the step and the atoms, and the last frame has been saved.

    Attributes
    ----------
    record
        What was measured until then; None where nothing was.
    step
        Number of the step that could not be completed; None if all that were begun are complete.
    """

    record: MDRecord | None = None
    step: int | None = None


class SimulationExploded(SimulationFailed):
    """Report that energies or momenta are not finite, or far too large."""


class SimulationStopped(SimulationFailed):
    """Report that a monitor ended the run on purpose; the last frame has been saved."""

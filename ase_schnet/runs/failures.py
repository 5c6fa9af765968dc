"""Say why a run could not go on: exceptions that carry what was measured until then."""

from ase_schnet.runs.record import MDRecord


class SimulationFailed(RuntimeError):
    """The dynamics could not go on: energies or momenta not finite, an explosion, a calculator
    that gave up. The message names the step and the atoms; the last frame has been saved, and
    ``record`` is the record up to there.
    """

    record: MDRecord | None = None


class SimulationExploded(SimulationFailed):
    """The failure is one of the physics: energies or momenta are not finite, or far too large."""


class SimulationStopped(SimulationFailed):
    """A monitor ended the run on purpose. The last frame has been saved."""

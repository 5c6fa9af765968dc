"""Watch the uncertainty of the forces of a run where no process has them all."""

from __future__ import annotations

import math
import warnings

from ase_schnet.lammps.reduce import GlobalPrediction
from ase_schnet.runs.failures import SimulationStopped

MONITORS = ("stop", "warn", "off")


class UncertaintyMonitor:
    """Act where the standard deviation of a force leaves its limit, as :mod:`~ase_schnet.runs.monitor` does.

    Parameters
    ----------
    action
        "stop", "warn" (once) or "off".
    limits
        Those of the model, :func:`~ase_schnet.applicability.model.limits`.
    """

    def __init__(self, action: str, limits: dict):
        self._action, self._said = action, False
        self._scale = limits.get("forces_std_scale", 1.0)
        self._limit = limits.get("max_forces_std_eV_per_Ang", math.inf)

    def check(self, answer: GlobalPrediction, step: int, timestep_fs: float) -> None:
        """Look at a step; raise SimulationStopped, in all processes, if that is the action."""
        largest = self._scale * answer.max_atom_std
        if self._action == "off" or self._said or largest <= self._limit:
            return
        message = (
            f"step {step} ({step * timestep_fs / 1000:g} ps): the force on an atom is uncertain by "
            f"{largest:.2f} eV/Å, the limit is {self._limit:.2f} eV/Å"
        )
        if self._action == "stop":
            raise SimulationStopped(message)
        self._said = True
        warnings.warn(f"{message} (said once)", stacklevel=2)

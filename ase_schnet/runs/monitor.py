"""Watch a run: warn, stop or collect frames where the model is guessing.

    run_nvt(atoms, ..., run_dir="run", monitor=Monitor("collect"))

It works with any ASE calculator. A calculator that knows where it is reliable has an attribute
``limits``, a dictionary of

===============================  ======================================================================
``distance_ranges_Ang``          pair name ("H-O") -> [[low, high], ...], distances seen in training, Å
``cutoff_Ang``                   beyond it the model sees no pair
``known_pieces``                 what may stand alone, farther than the cutoff from all other atoms ("H")
``forces_std_scale``             calibration: expected error of a force component over its std
``max_forces_std_eV_per_Ang``    largest calibrated std that still is a prediction
===============================  ======================================================================

and an ensemble puts ``forces_std`` (N, 3) and ``energy_std`` into its ``results``. Of ASE's sums of
calculators, such as a model with a dispersion correction, the parts are looked at
(:mod:`~ase_schnet.applicability.calculator_parts`). If neither the calculator nor a part of it has limits,
only temperature and collisions are watched, and a warning says so.

How far runs of the shipped models stay from the limits: benchmarks/limits.md.
"""

import math
import warnings
from pathlib import Path
from typing import NamedTuple, Protocol

from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.applicability.structure_watch import DISTANCE_TOLERANCE_ANG, StructureWatch
from ase_schnet.arguments import whole
from ase_schnet.runs.collected import CollectedFrames
from ase_schnet.runs.explosion import when
from ase_schnet.runs.failures import SimulationStopped
from ase_schnet.runs.provenance import describe_calculator

ACTIONS = ("warn", "stop", "collect")
#: K. Every molecule dissociates below it, and small molecules never reach it by chance.
MAX_TEMPERATURE_K = 10_000.0
#: Causes whose frames are not worth a calculation by a reference method.
USELESS = ("temperature", "collision")


class QuickLimits(NamedTuple):
    """Hold limits within which a monitor finds nothing: compiled dynamics looks at them itself.

    A structure must also hang together, in one piece.

    Attributes
    ----------
    max_temperature_K
        K.
    max_forces_std_eV_per_Ang
        Largest std of the force on any atom (root mean square over x, y, z), not calibrated, eV/Å.
    avoided
        (100, 100, K, 2), Å², squared distances, see `applicability.distances.avoided_squares`.
    """

    max_temperature_K: float
    max_forces_std_eV_per_Ang: float
    avoided: NDArray


class StepMonitor(Protocol):
    """Watch the steps of a run; :class:`Monitor` is one."""

    every: int  #: steps between two checks

    def start(self, atoms: Atoms, directory: Path | None, step: int) -> None:
        """Prepare for a run from ``step`` on: 0, or the step from which a resumed run goes on."""

    def check(self, atoms: Atoms, step: int, time_fs: float, temperature_K: float) -> None:
        """Look at step 0 and every ``every`` steps; SimulationStopped ends the run."""


class Monitor:
    """Watch forces, distances and temperature, and act when one of them leaves its limits.

    Parameters
    ----------
    action
        "stop" ends the run with :class:`~ase_schnet.runs.failures.SimulationStopped`; its last frame is the
        one outside the limits. "warn" warns once for each cause. "collect" appends the frame to
        ``collected.extxyz`` in the run directory, to be labelled, and goes on; it stops at collisions and at
        ``max_temperature_K``, because such frames are of no use.
    every
        Steps between looks.
    max_forces_std_eV_per_Ang
        Largest calibrated standard deviation of the force on any atom (root mean square over x, y, z), eV/Å.
        None: the calculator's own limit, else 1 eV/Å.
    max_temperature_K
        Highest temperature, K.
    distance_tolerance_Ang
        Å beyond the distances of training (see :class:`~ase_schnet.applicability.distances.DistanceWatch`).
    min_spacing_fs
        Shortest time between two collected frames, fs; closer frames tell the same twice.
    max_frames
        Largest number of collected frames; beyond it the run goes on without collecting.

    Raises
    ------
    ValueError
        For an unknown action, or a limit that is negative or NaN.
    """

    def __init__(
        self,
        action: str = "stop",
        *,
        every: int = 5,
        max_forces_std_eV_per_Ang: float | None = None,
        max_temperature_K: float = MAX_TEMPERATURE_K,
        distance_tolerance_Ang: float = DISTANCE_TOLERANCE_ANG,
        min_spacing_fs: float = 20.0,
        max_frames: int = 200,
    ):
        if action not in ACTIONS:
            raise ValueError(f"action is 'warn', 'stop' or 'collect', not {action!r}")
        for name, value in (
            ("max_forces_std_eV_per_Ang", max_forces_std_eV_per_Ang),
            ("max_temperature_K", max_temperature_K),
            ("distance_tolerance_Ang", distance_tolerance_Ang),
            ("min_spacing_fs", min_spacing_fs),
        ):
            if value is not None and not value >= 0:  # infinity switches a limit off
                raise ValueError(f"{name} must be 0 or more, not {value}")
        self.action, self.every = action, whole("every", every, 1)
        self.max_forces_std_eV_per_Ang = max_forces_std_eV_per_Ang
        self.max_temperature_K = max_temperature_K
        self.distance_tolerance_Ang = distance_tolerance_Ang
        self.min_spacing_fs = min_spacing_fs
        self.max_frames = whole("max_frames", max_frames, 1)

    def start(self, atoms: Atoms, directory: Path | None, step: int) -> None:
        """Prepare for a run from ``step`` on; drop the frames that were collected beyond it."""
        self._watch = StructureWatch(
            atoms, self.max_forces_std_eV_per_Ang, self.distance_tolerance_Ang
        )
        if not self._watch.knows:
            warnings.warn(
                f"the calculator {describe_calculator(atoms.calc)['name']} does not say how far it may be "
                "believed, nor does any part of it: this run is watched for collisions and temperature only",
                stacklevel=2,
            )
        self._warned: set[str] = set()
        self._frames = None
        if self.action == "collect":
            if directory is None:
                raise ValueError("a monitor that collects needs a run directory: pass run_dir")
            self._frames = CollectedFrames(Path(directory), step)

    @property
    def quick(self) -> QuickLimits | None:
        """Return limits within which a look finds nothing, known once the run has started.

        None for a subclass that looks for something else: it sees every step that it asks for.
        """
        if type(self).check is not Monitor.check or type(self)._findings is not Monitor._findings:
            return None
        return QuickLimits(self.max_temperature_K, self._watch.largest_std, self._watch.avoided)

    def check(self, atoms: Atoms, step: int, time_fs: float, temperature_K: float) -> None:
        """Check a step whose forces are known, and act.

        Raises
        ------
        SimulationStopped
            If the action is "stop", or the frame is of no use to "collect".
        """
        found = self._findings(atoms, temperature_K)
        if not found:
            return
        message = f"{when(step, time_fs)}: {'; '.join(found.values())}"
        if self.action == "warn":
            if not self._warned.issuperset(found):
                self._warned.update(found)
                warnings.warn(f"{message} (said once for each cause)", stacklevel=2)
            return
        useless = any(cause.startswith(USELESS) for cause in found)
        if self.action == "stop" or useless:
            raise SimulationStopped(message)
        frames = self._frames
        since = math.inf if frames.last_time_fs is None else time_fs - frames.last_time_fs
        # After a kill before the first restart point step 0 is looked at twice: 0 fs since.
        if since > 0 and since >= self.min_spacing_fs and frames.n_frames < self.max_frames:
            frames.append(atoms, step, time_fs, "; ".join(found.values()))

    def _findings(self, atoms: Atoms, temperature_K: float) -> dict[str, str]:
        """Return what is outside the limits: cause -> message that names the atoms."""
        found = {}
        if not temperature_K <= self.max_temperature_K:
            limit = f"the monitor's limit is {self.max_temperature_K:g} K"
            found["temperature"] = f"{temperature_K:.0f} K, {limit}"
        return found | self._watch.find(atoms)

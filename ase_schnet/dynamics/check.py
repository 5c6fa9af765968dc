"""Run constant-energy dynamics twice and judge whether it conserves its energy."""

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from ase import Atoms
from ase.io import read

from ase_schnet.dynamics.arguments import START_TEMPERATURE_K
from ase_schnet.dynamics.md import run_nve
from ase_schnet.runs.drift import HALF_STEP_DIR, Drift, drift, require_samples
from ase_schnet.runs.failures import SimulationExploded
from ase_schnet.runs.options import RunKeywords, RunOptions, refuse_unknown, takes
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.restart import TRAJECTORY_FILE


@dataclass(frozen=True)
class NVEOptions(RunOptions):
    """Hold the options of :func:`~ase_schnet.dynamics.md.run_nve`."""

    temperature_K: float | None = START_TEMPERATURE_K
    keep_momenta: bool = False


class NVEKeywords(RunKeywords, total=False):
    """Name the fields of :class:`NVEOptions` for type checkers."""

    temperature_K: float | None
    keep_momenta: bool


@takes(NVEOptions)
def check_nve(
    atoms: Atoms, *, test_time_ps: float = 1.0, **options: Unpack[NVEKeywords]
) -> tuple[MDRecord, Drift]:
    """Run NVE and judge it, with a second, short run at half the time step for the dt² test.

    Works with any calculator. What one trajectory never visits it cannot show: a jump at the
    cutoff is seen only when a pair of atoms crosses it, so for a potential with a cutoff check
    a system larger than that, not one small molecule.

    Parameters
    ----------
    atoms
        Any structure with any calculator.
    test_time_ps
        Length of the half-step run, ps; 0 leaves it out. Its directory is ``run_dir/half_step``.
    **options
        As in :func:`~ase_schnet.dynamics.md.run_nve`.

    Returns
    -------
    record, drift
        Of the main run; ``atoms`` end as its last frame. Of a run that explodes or whose forces are not
        finite, what there is of it, and a verdict that says so.
    """
    refuse_unknown("check_nve", options, NVEOptions)
    asked = NVEOptions(**options)
    if not (test_time_ps == 0 or 1000 * test_time_ps >= asked.timestep_fs):
        raise ValueError(f"test_time_ps must be 0 or at least one step, not {test_time_ps} ps")
    require_samples(1000 * asked.time_ps / asked.timestep_fs / asked.record_every)
    start = atoms.copy()
    try:
        record = run_nve(atoms, **options)
    except SimulationExploded as explosion:
        if explosion.record is None:
            raise
        return explosion.record, drift(explosion.record)
    half_time_ps = min(asked.time_ps, test_time_ps)
    if half_time_ps == 0:
        return record, drift(record)
    half: NVEKeywords = {"time_ps": half_time_ps, "timestep_fs": asked.timestep_fs / 2}
    if asked.run_dir is not None:  # resumed, the atoms given may have been somewhere along the run
        half["run_dir"] = Path(asked.run_dir) / HALF_STEP_DIR
        start = read(Path(asked.run_dir) / TRAJECTORY_FILE, index=0)
        half["temperature_K"] = None
    start.calc = atoms.calc
    half["monitor"] = None  # it has seen these structures
    return record, drift(record, run_nve(start, **(options | half)))

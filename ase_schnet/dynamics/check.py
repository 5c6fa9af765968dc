"""Run constant-energy dynamics twice and judge whether it conserves its energy."""

from pathlib import Path

from ase import Atoms
from ase.io import read

from ase_schnet.dynamics.md import run_nve
from ase_schnet.runs.drift import HALF_STEP_DIR, Drift, drift, require_samples
from ase_schnet.runs.failures import SimulationExploded
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.rundir import TRAJECTORY_FILE


def check_nve(
    atoms: Atoms,
    *,
    time_ps: float = 10.0,
    timestep_fs: float = 0.5,
    test_time_ps: float = 1.0,
    run_dir: str | Path | None = None,
    **options,
) -> tuple[MDRecord, Drift]:
    """Run NVE and judge it, with a second, short run at half the time step for the dt² test.

    Works with any calculator. What one trajectory never visits it cannot show: a jump at the
    cutoff is seen only when a pair of atoms crosses it, so for a potential with a cutoff check
    a system larger than that, not one small molecule.

    Parameters
    ----------
    atoms, time_ps, timestep_fs, run_dir, **options
        As in :func:`~ase_schnet.dynamics.md.run_nve`.
    test_time_ps
        Length of the half-step run, ps; 0 leaves it out. Its directory is ``run_dir/half_step``.

    Returns
    -------
    record, drift
        Of the main run; ``atoms`` end as its last frame. Of a run that explodes or whose forces are not
        finite, what there is of it, and a verdict that says so.
    """
    if not (test_time_ps == 0 or 1000 * test_time_ps >= timestep_fs):
        raise ValueError(f"test_time_ps must be 0 or at least one step, not {test_time_ps} ps")
    if time_ps > 0 and timestep_fs > 0:  # else run_nve says so
        require_samples(1000 * time_ps / timestep_fs / max(options.get("record_every", 1), 1))
    start = atoms.copy()
    try:
        record = run_nve(
            atoms, time_ps=time_ps, timestep_fs=timestep_fs, run_dir=run_dir, **options
        )
    except SimulationExploded as explosion:
        return explosion.record, drift(explosion.record)
    half_time_ps = min(time_ps, test_time_ps)
    if half_time_ps == 0:
        return record, drift(record)
    half_dir = None
    if run_dir is not None:  # resumed, the atoms given may have been somewhere along the run
        half_dir = Path(run_dir) / HALF_STEP_DIR
        start = read(Path(run_dir) / TRAJECTORY_FILE, index=0)
        options["temperature_K"] = None
    start.calc = atoms.calc
    options["monitor"] = None  # it has seen these structures
    half = run_nve(
        start, time_ps=half_time_ps, timestep_fs=timestep_fs / 2, run_dir=half_dir, **options
    )
    return record, drift(record, half)

"""Judge whether a run conserves its energy: drift, fluctuation, and a verdict that names the cause.

At constant energy the total energy is judged; with a thermostat or barostat the total energy and what
these hold. Whether the forces are its slope: :mod:`~ase_schnet.runs.force_scale`. The limits and
what they mean: :mod:`~ase_schnet.runs.verdict`.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_schnet.runs.force_scale import force_scale
from ase_schnet.runs.record import MDRecord
from ase_schnet.runs.timeseries import (
    N_BLOCKS,
    jump_time,
    line_fit,
    slope_error,
    slope_swing,
    walk_slope_error,
)
from ase_schnet.runs.verdict import MAX_DRIFT, MAX_LEAK, Drift

__all__ = ["Drift", "drift", "half_step_of", "require_samples", "starts_as_half_step"]

#: Steps over which a run is compared with its half-step run. Trajectories of different time steps part, those
#: of hot molecules within a picosecond, and what they then meet fluctuates differently.
MOST_STEPS = 500
#: ... and samples, to say something of a fluctuation.
LEAST_SAMPLES = 32
#: Sub-directory of a run for its half-step run.
HALF_STEP_DIR = "half_step"


def drift(
    record: MDRecord | str | Path, half_step_record: MDRecord | str | Path | None = None
) -> Drift:
    """Judge a run and, at constant energy with a half-step run, also its order in the time step.

    Parameters
    ----------
    record
        Of the run, or its directory. At least 64 samples, unless the run failed.
    half_step_record
        Constant-energy run from the same state with half the time step; it may be shorter.

    Raises
    ------
    ValueError
        If the record is too short, or the other is not its half-step run; if a directory holds no run.
    """
    record = _read(record)
    half_step_record = None if half_step_record is None else _read(half_step_record)
    failed = record.failure is not None
    if failed and len(record) < 2 * N_BLOCKS:
        return _unmeasured(record)
    require_samples(len(record))
    time_ps = record.time_fs / 1000
    energy = conserved_meV_per_atom(record)
    slope, residual = line_fit(time_ps, energy)
    # What a thermostat does to the atoms makes the integrator's error a random walk.
    error = slope_error if record.ensemble == "nve" else walk_slope_error
    deviation = record.n_atoms / 1000 * np.abs(energy).max()
    thermal_eV = record.kinetic_energy_eV.mean() / max(record.n_degrees_of_freedom, 1)
    scale = (force_scale(half_step_record) if half_step_record else None) or force_scale(record)
    return Drift(
        drift_meV_per_atom_per_ps=slope,
        drift_stderr_meV_per_atom_per_ps=error(time_ps, energy),
        rms_fluctuation_meV_per_atom=float(np.sqrt(np.mean(residual**2))),
        max_deviation_over_kinetic_std=_ratio(deviation, record.kinetic_energy_eV.std()),
        timestep_ratio=_timestep_ratio(record, half_step_record) if half_step_record else None,
        jump_ps=jump_time(time_ps, energy),
        time_ps=float(time_ps[-1]),
        ensemble=record.ensemble,
        allowed_drift_meV_per_atom_per_ps=_allowed_drift(record),
        translation_gained_over_thermal=_largest(record.translation_gained_eV, thermal_eV),
        rotation_gained_over_thermal=_largest(record.rotation_gained_eV, thermal_eV),
        failure=record.failure,
        force_scale=scale.value if scale else None,
        force_scale_error=scale.error if scale else None,
        drift_swing_meV_per_atom_per_ps=slope_swing(time_ps, energy),
    )


def _read(run: MDRecord | str | Path) -> MDRecord:
    return run if isinstance(run, MDRecord) else MDRecord.read(run)


def conserved_meV_per_atom(record: MDRecord) -> NDArray:
    """Return the conserved energy less its first value, (T,), meV/atom."""
    energy = record.conserved_energy_eV
    if energy is None:
        energy = record.total_energy_eV
    return 1000 * (energy - energy[0]) / record.n_atoms


def starts_as_half_step(record: MDRecord, other: MDRecord) -> bool:
    """Return whether ``other`` starts from the state of ``record`` and has half its time step."""
    return (
        min(len(record), len(other)) > 0
        and record.ensemble == other.ensemble == "nve"
        and record.n_atoms == other.n_atoms
        and math.isclose(record.timestep_fs, 2 * other.timestep_fs)
        and math.isclose(record.kinetic_energy_eV[0], other.kinetic_energy_eV[0], rel_tol=1e-9)
        # Loose enough for a calculator with a memory (tblite: 1e-4 eV between histories).
        and abs(record.potential_energy_eV[0] - other.potential_energy_eV[0]) < 1e-3
    )


def half_step_of(
    run_dir: Path, record: MDRecord, others: Iterable[MDRecord] = ()
) -> MDRecord | None:
    """Find the run with half the time step from the same state: in the directory of a run, or among others.

    Parameters
    ----------
    run_dir, record
        A run, and what it measured.
    others
        Runs to look among; one in ``run_dir/half_step`` is preferred.

    Raises
    ------
    ValueError
        If the run in ``run_dir/half_step`` is damaged.
    """
    known = [*others]
    if (run_dir / HALF_STEP_DIR).is_dir():
        known.append(MDRecord.read(run_dir / HALF_STEP_DIR))
    halves = [other for other in known if starts_as_half_step(record, other)]
    return halves[-1] if halves else None


def require_samples(n_samples: float) -> None:
    """Raise ValueError for a run with too few samples to judge."""
    if n_samples < 2 * N_BLOCKS:
        raise ValueError(f"the run is too short to judge: it needs {2 * N_BLOCKS} samples")


def _unmeasured(record: MDRecord) -> Drift:
    """Return the verdict on a run that failed before there was anything to measure."""
    return Drift(
        drift_meV_per_atom_per_ps=math.nan,
        drift_stderr_meV_per_atom_per_ps=math.nan,
        rms_fluctuation_meV_per_atom=math.nan,
        max_deviation_over_kinetic_std=math.nan,
        timestep_ratio=None,
        jump_ps=None,
        time_ps=float(record.time_fs[-1]) / 1000 if len(record) else 0.0,
        ensemble=record.ensemble,
        failure=record.failure,
    )


def _allowed_drift(record: MDRecord) -> float:
    if record.ensemble == "nve":
        return MAX_DRIFT
    kinetic_meV = 1000 * record.kinetic_energy_eV.mean() / record.n_atoms
    within_ps = (record.time_constant_fs or math.inf) / 1000
    return max(MAX_DRIFT, MAX_LEAK * kinetic_meV / within_ps)


def _largest(gained_eV: NDArray | None, thermal_eV: float) -> float | None:
    return None if gained_eV is None else _ratio(gained_eV.max(), thermal_eV)


def _timestep_ratio(record: MDRecord, half: MDRecord) -> float | None:
    """Return the ratio of the fluctuations about the mean, which a drift spoils; None if too short."""
    if not starts_as_half_step(record, half):
        raise ValueError(
            f"the run with steps of {half.timestep_fs} fs is not the half-step run of the one "
            f"with {record.timestep_fs} fs: it needs half the step and the same first state"
        )
    window_ps = min(record.time_fs[-1], half.time_fs[-1], MOST_STEPS * record.timestep_fs) / 1000
    if min(len(record.first(window_ps)), len(half.first(window_ps))) < LEAST_SAMPLES:
        return None
    long, short = record.first(window_ps).total_energy_eV, half.first(window_ps).total_energy_eV
    if long.std() < 1e-13 * max(1.0, np.abs(long).max()):
        return None  # nothing fluctuates but the last digit
    return _ratio(long.std(), short.std())


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return 0.0 if numerator == 0 else math.inf
    return float(numerator / denominator)

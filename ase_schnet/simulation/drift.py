"""Does a run conserve its energy? The drift, the fluctuation, and a verdict that names the cause.

Definitions follow others so that figures can be compared: the slope of the total energy per atom
and the deviation in units of the spread of kinetic energy are those of ml-peg and mlipaudit; that
the fluctuation of a symplectic integrator must fall with the square of the time step is the
integrator test of physical_validation (Merz & Shirts, PLoS ONE 13, e0202764 (2018)).
"""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read

from ase_schnet.simulation.md import MDRecord, run_nve
from ase_schnet.simulation.rundir import TRAJECTORY_FILE
from ase_schnet.simulation.timeseries import N_BLOCKS, jump_time, line_fit, slope_error

#: meV/atom/ps. It heats a solid (3 kB per atom) by 0.04 K/ps, 4 K in 100 ps. GROMACS allows 0.05
#: for its pair lists and sees 0.0005 to 0.005.
MAX_DRIFT = 0.01
#: ... or this many standard errors, so that a short run is not failed for its noise.
MAX_STANDARD_ERRORS = 2.0
#: Largest |E - E(0)| over the standard deviation of the kinetic energy (ml-peg). At 1 the lost
#: energy is as large as what the atoms exchange: the ensemble is no longer microcanonical.
MAX_DEVIATION = 1.0
#: Halving the step must divide the fluctuation by 4; 1 ps windows of healthy runs scatter by 0.2.
TIMESTEP_RATIO, TIMESTEP_RATIO_TOLERANCE = 4.0, 0.6
#: Sub-directory of a run for its half-step run.
HALF_STEP_DIR = "half_step"


@dataclass(frozen=True)
class Drift:
    """How well a constant-energy run conserved its energy; ``print`` it for the verdict.

    Attributes
    ----------
    drift_meV_per_atom_per_ps, drift_stderr_meV_per_atom_per_ps
        Least-squares slope of the total energy and its standard error, autocorrelation included.
    rms_fluctuation_meV_per_atom
        Root mean square of the total energy about that line.
    max_deviation_over_kinetic_std
        Largest |E(t) - E(0)| over the standard deviation of the kinetic energy.
    timestep_ratio
        Standard deviation of the total energy over that of the run with half the time step from
        the same state and over the same time; None where there is no such run.
    jump_ps
        Time of the largest sudden change of the total energy; None if it is smooth.
    time_ps
        Length of the run.
    """

    drift_meV_per_atom_per_ps: float
    drift_stderr_meV_per_atom_per_ps: float
    rms_fluctuation_meV_per_atom: float
    max_deviation_over_kinetic_std: float
    timestep_ratio: float | None
    jump_ps: float | None
    time_ps: float

    @property
    def reasons(self) -> tuple[str, ...]:
        """Which criteria failed and the likely cause; empty if none did."""
        return tuple(_reasons(self))

    @property
    def passed(self) -> bool:
        return not self.reasons

    def __str__(self) -> str:
        slope = round(self.drift_meV_per_atom_per_ps, 4) + 0.0  # never -0
        error = self.drift_stderr_meV_per_atom_per_ps
        ratio = "not tested" if self.timestep_ratio is None else f"{self.timestep_ratio:.2f}"
        verdict = "PASS" if self.passed else "FAIL: " + "; ".join(self.reasons)
        return f"""\
energy drift       {slope:+.4f} ± {error:.4f} meV/atom/ps over {self.time_ps:g} ps \
(allowed {MAX_DRIFT:g} or {MAX_STANDARD_ERRORS:g} standard errors)
rms fluctuation    {self.rms_fluctuation_meV_per_atom:.3g} meV/atom
largest deviation  {self.max_deviation_over_kinetic_std:.2g} of the kinetic energy's spread \
(allowed {MAX_DEVIATION:g})
half the step      divides the fluctuation by {ratio} \
(expected {TIMESTEP_RATIO:g} ± {TIMESTEP_RATIO_TOLERANCE:g})
{verdict}"""


def drift(record: MDRecord, half_step_record: MDRecord | None = None) -> Drift:
    """Judge a constant-energy run, and with a half-step run also its order in the time step.

    Parameters
    ----------
    record
        At least 64 samples.
    half_step_record
        Run from the same state with half the time step; it may be shorter.

    Raises
    ------
    ValueError
        If the record is too short, or the other is not its half-step run.
    """
    _require_samples(len(record))
    time_ps = record.time_fs / 1000
    energy = 1000 * (record.total_energy_eV - record.total_energy_eV[0]) / record.n_atoms  # meV
    slope, residual = line_fit(time_ps, energy)
    deviation = record.n_atoms / 1000 * np.abs(energy).max()
    return Drift(
        drift_meV_per_atom_per_ps=slope,
        drift_stderr_meV_per_atom_per_ps=slope_error(time_ps, energy),
        rms_fluctuation_meV_per_atom=float(np.sqrt(np.mean(residual**2))),
        max_deviation_over_kinetic_std=_ratio(deviation, record.kinetic_energy_eV.std()),
        timestep_ratio=_timestep_ratio(record, half_step_record) if half_step_record else None,
        jump_ps=jump_time(time_ps, energy),
        time_ps=float(time_ps[-1]),
    )


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
        As in :func:`~ase_schnet.simulation.md.run_nve`.
    test_time_ps
        Length of the half-step run, ps; 0 leaves it out. Its directory is ``run_dir/half_step``.

    Returns
    -------
    record, drift
        Of the main run; ``atoms`` end as its last frame.
    """
    if not (test_time_ps == 0 or 1000 * test_time_ps >= timestep_fs):
        raise ValueError(f"test_time_ps must be 0 or at least one step, not {test_time_ps} ps")
    if time_ps > 0 and timestep_fs > 0:  # else run_nve says so
        _require_samples(1000 * time_ps / timestep_fs / max(options.get("record_every", 1), 1))
    start = atoms.copy()
    record = run_nve(atoms, time_ps=time_ps, timestep_fs=timestep_fs, run_dir=run_dir, **options)
    half_time_ps = min(time_ps, test_time_ps)
    if half_time_ps == 0:
        return record, drift(record)
    half_dir = None
    if run_dir is not None:  # resumed, the atoms given may have been somewhere along the run
        half_dir = Path(run_dir) / HALF_STEP_DIR
        start = read(Path(run_dir) / TRAJECTORY_FILE, index=0)
        options["temperature_K"] = None
    start.calc = atoms.calc
    half = run_nve(
        start, time_ps=half_time_ps, timestep_fs=timestep_fs / 2, run_dir=half_dir, **options
    )
    return record, drift(record, half)


def starts_as_half_step(record: MDRecord, other: MDRecord) -> bool:
    """Whether ``other`` starts from the state of ``record`` and has half its time step."""
    return (
        record.n_atoms == other.n_atoms
        and math.isclose(record.timestep_fs, 2 * other.timestep_fs)
        and math.isclose(record.kinetic_energy_eV[0], other.kinetic_energy_eV[0], rel_tol=1e-9)
        # Loose enough for a calculator with a memory (tblite: 1e-4 eV between histories).
        and abs(record.potential_energy_eV[0] - other.potential_energy_eV[0]) < 1e-3
    )


def _require_samples(n_samples: float) -> None:
    if n_samples < 2 * N_BLOCKS:
        raise ValueError(f"the run is too short to judge: it needs {2 * N_BLOCKS} samples")


def _timestep_ratio(record: MDRecord, half: MDRecord) -> float | None:
    """Ratio of the fluctuations about the mean, so that a drift spoils it, as it should."""
    if not starts_as_half_step(record, half):
        raise ValueError(
            f"the run with steps of {half.timestep_fs} fs is not the half-step run of the one "
            f"with {record.timestep_fs} fs: it needs half the step and the same first state"
        )
    window_ps = min(record.time_fs[-1], half.time_fs[-1]) / 1000
    long, short = record.first(window_ps).total_energy_eV, half.first(window_ps).total_energy_eV
    if long.std() < 1e-13 * max(1.0, np.abs(long).max()):
        return None  # nothing fluctuates but the last digit
    return _ratio(long.std(), short.std())


def _ratio(numerator: float, denominator: float) -> float:
    if denominator == 0:
        return 0.0 if numerator == 0 else math.inf
    return float(numerator / denominator)


def _reasons(d: Drift) -> list[str]:
    reasons = []
    slope, error = d.drift_meV_per_atom_per_ps, d.drift_stderr_meV_per_atom_per_ps
    ratio, tolerance = d.timestep_ratio, TIMESTEP_RATIO_TOLERANCE
    if abs(slope) > max(MAX_DRIFT, MAX_STANDARD_ERRORS * error):
        reason = f"the total energy drifts by {slope:+.3g} ± {error:.2g} meV/atom/ps"
        if ratio is None:
            reason += " (a run with half the time step would tell the cause)"
        elif abs(ratio - TIMESTEP_RATIO) <= tolerance:
            reason += " (time step too long, or rounding: float32, a loosely converged SCF)"
        reasons.append(reason)
    if d.max_deviation_over_kinetic_std >= MAX_DEVIATION:
        reasons.append(
            "the total energy leaves its start by "
            f"{d.max_deviation_over_kinetic_std:.3g} times the spread of the kinetic energy"
        )
    if d.jump_ps is not None:
        reasons.append(
            f"the total energy jumps at {d.jump_ps:g} ps (a cutoff without envelope, or a switch "
            "of electronic state)"
        )
    if ratio is not None and ratio < TIMESTEP_RATIO - tolerance:
        reasons.append(
            f"halving the time step divides the fluctuation by {ratio:.2f}, not 4 (forces that are "
            "not -dE/dx, a cutoff without envelope, or noise: float32, a loosely converged SCF)"
        )
    if ratio is not None and ratio > TIMESTEP_RATIO + tolerance:
        reasons.append(
            f"halving the time step divides the fluctuation by {ratio:.2f}, not 4 (time step too "
            "long for the fastest vibration)"
        )
    return reasons

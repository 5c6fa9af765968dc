"""Hold the figures of a drift check against their limits, and say what it means to miss one.

A figure with its error is an interval. Within the limits it passes, beyond them it fails. Where it crosses a
limit, the run is too short or too coarse: the verdict is inconclusive, and says which run would decide.

Limits come with their reasons. The slope of the total energy per atom and the deviation in units of
the spread of kinetic energy are those of ml-peg and mlipaudit; that the fluctuation of a symplectic
integrator must fall with the square of the time step is the integrator test of physical_validation
(Merz & Shirts, PLoS ONE 13, e0202764 (2018)).
"""

import math
from dataclasses import dataclass

#: meV/atom/ps at constant energy. It heats a solid (3 kB per atom) by 0.04 K/ps, 4 K in 100 ps.
#: GROMACS allows 0.05 for its pair lists and sees 0.0005 to 0.005.
MAX_DRIFT = 0.01
#: Under a thermostat: the share of the kinetic energy that may leak within the thermostat's time
#: constant. The thermostat carries it away, and so the temperature is wrong by about this much.
MAX_LEAK = 0.01
#: Standard errors on either side of the slope.
STANDARD_ERRORS = 2.0
#: Deviation of (forces over the negative gradient of the energy) from 1. Right forces are within 0.001. One
#: percent too much is twice the limit; without a half-step run no other criterion notices it.
MAX_FORCE_SCALE_ERROR = 0.005
#: Largest |E - E(0)| over the standard deviation of the kinetic energy (ml-peg). At 1 the lost
#: energy is as large as what the atoms exchange: the ensemble is no longer microcanonical.
MAX_DEVIATION = 1.0
#: Halving the step must divide the fluctuation by 4; 1 ps windows of healthy runs scatter by 0.2.
TIMESTEP_RATIO, TIMESTEP_RATIO_TOLERANCE = 4.0, 0.6
#: meV/atom. An energy that fluctuates less than this does not fluctuate at all.
STILL = 1e-9
#: Energy of the whole gained from the forces, over that of a thermal degree of freedom. What sums
#: to zero gives 1e-28, in float32 too, and tblite 4e-14 in 0.25 ps of ethanol.
MAX_OVERALL_MOTION = 0.01


@dataclass(frozen=True)
class Drift:
    """Hold how well a run conserved its energy; ``print`` it for figures, limits and the verdict.

    Attributes
    ----------
    drift_meV_per_atom_per_ps, drift_stderr_meV_per_atom_per_ps
        Least-squares slope of the conserved energy and its standard error, autocorrelation included.
    rms_fluctuation_meV_per_atom
        Root mean square of that energy about that line.
    max_deviation_over_kinetic_std
        Largest ``|E(t) - E(0)|`` of it over the standard deviation of the kinetic energy.
    timestep_ratio
        Standard deviation of the total energy over that of the run with half the time step from
        the same state and over the same time; None where there is no such run.
    jump_ps
        Time of the largest sudden change of the conserved energy; None if it is smooth.
    time_ps
        Length of the run.
    ensemble
        "nve", "nvt" or "npt".
    allowed_drift_meV_per_atom_per_ps
        Limit of the slope for this run.
    translation_gained_over_thermal, rotation_gained_over_thermal
        Largest energy of overall motion that the forces have made, over the mean kinetic energy per
        degree of freedom; None where it is not a conserved motion.
    failure
        Why the run ended early; None if it did not.
    force_scale, force_scale_error
        Forces over the energy's negative gradient and by how much that may be wrong; None where it was not
        tested, for which every step has to be recorded.
    drift_swing_meV_per_atom_per_ps
        How much the slopes of the two halves differ (`slope_swing`); a drift fails only beyond it.
    """

    drift_meV_per_atom_per_ps: float
    drift_stderr_meV_per_atom_per_ps: float
    rms_fluctuation_meV_per_atom: float
    max_deviation_over_kinetic_std: float
    timestep_ratio: float | None
    jump_ps: float | None
    time_ps: float
    ensemble: str = "nve"
    allowed_drift_meV_per_atom_per_ps: float = MAX_DRIFT
    translation_gained_over_thermal: float | None = None
    rotation_gained_over_thermal: float | None = None
    failure: str | None = None
    force_scale: float | None = None
    force_scale_error: float | None = None
    drift_swing_meV_per_atom_per_ps: float = 0.0

    @property
    def quantity(self) -> str:
        """Return the name of the energy that is judged."""
        return "total energy" if self.ensemble == "nve" else "conserved energy"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return the criteria that failed, with the likely cause; empty if none did."""
        return tuple(_reasons(self))

    @property
    def doubts(self) -> tuple[str, ...]:
        """Return what the run cannot decide, and what would; empty if it decides all."""
        return () if self.failure is not None else tuple(_doubts(self))

    @property
    def outcome(self) -> str:
        """Return "PASS", "FAIL" or "INCONCLUSIVE"."""
        return "FAIL" if self.reasons else "INCONCLUSIVE" if self.doubts else "PASS"

    @property
    def passed(self) -> bool:
        """Return whether the outcome is "PASS"."""
        return self.outcome == "PASS"

    def __str__(self) -> str:
        outcome = ": ".join(filter(None, (self.outcome, "; ".join(self.reasons or self.doubts))))
        if math.isnan(self.drift_meV_per_atom_per_ps):
            return outcome
        slope = round(self.drift_meV_per_atom_per_ps, 4) + 0.0  # never -0
        lines = [
            f"energy drift       {slope:+.4f} ± {self.drift_stderr_meV_per_atom_per_ps:.4f} "
            f"meV/atom/ps of the {self.quantity} over {self.time_ps:g} ps (allowed "
            f"{self.allowed_drift_meV_per_atom_per_ps:.3g})",
            f"rms fluctuation    {self.rms_fluctuation_meV_per_atom:.3g} meV/atom",
            "forces             "
            + (
                "not compared with the energy's slope"
                if self.force_scale is None
                else f"{_scale(self)} (allowed 1 ± {MAX_FORCE_SCALE_ERROR:g})"
            ),
        ]
        if self.ensemble == "nve":
            halved = "not tested"
            if self.timestep_ratio is not None:
                halved = (
                    f"divides the fluctuation by {self.timestep_ratio:.2f} (expected "
                    f"{TIMESTEP_RATIO:g} ± {TIMESTEP_RATIO_TOLERANCE:g})"
                )
            lines += [
                f"largest deviation  {self.max_deviation_over_kinetic_std:.2g} of the kinetic "
                f"energy's spread (allowed {MAX_DEVIATION:g})",
                f"half the step      {halved}",
            ]
        gained = (self.translation_gained_over_thermal, self.rotation_gained_over_thermal)
        gained = [value for value in gained if value is not None]
        if gained:
            lines.append(
                f"overall motion     gains {max(gained):.1g} of a thermal energy (allowed "
                f"{MAX_OVERALL_MOTION:g})"
            )
        return "\n".join([*lines, outcome])


def _reasons(d: Drift) -> list[str]:
    """Return the criteria that are missed and the likely cause."""
    if d.failure is not None:
        return [d.failure]
    if math.isnan(d.drift_meV_per_atom_per_ps):
        return ["energies that are not finite (NaN): the forces are not, or a structure is broken"]
    found = [_slope(d), _force_scale(d), _deviation(d), _jump(d), _timestep(d), *_overall_motion(d)]
    return [reason for reason in found if reason is not None]


def _doubts(d: Drift) -> list[str]:
    """Return the criteria that may be missed."""
    if math.isnan(d.drift_meV_per_atom_per_ps):
        return []
    return [doubt for doubt in (_doubtful_slope(d), _doubtful_force_scale(d)) if doubt is not None]


def _within(value: float, error: float, allowed: float) -> bool | None:
    """Return whether value ± error lies within ± allowed; None if it crosses a limit."""
    if abs(value) + error <= allowed:
        return True
    return False if abs(value) - error > allowed else None


def _slope_within(d: Drift) -> bool | None:
    slope, allowed = d.drift_meV_per_atom_per_ps, d.allowed_drift_meV_per_atom_per_ps
    within = _within(slope, STANDARD_ERRORS * d.drift_stderr_meV_per_atom_per_ps, allowed)
    beyond = abs(slope) - STANDARD_ERRORS * d.drift_swing_meV_per_atom_per_ps > allowed
    return within if within or beyond else None  # a swing of a short run is no drift


def _scale_within(d: Drift) -> bool | None:
    if d.force_scale is None or d.force_scale_error is None:
        return None
    return _within(d.force_scale - 1, d.force_scale_error, MAX_FORCE_SCALE_ERROR)


def _slope(d: Drift) -> str | None:
    if _slope_within(d) is not False:
        return None
    slope, error = d.drift_meV_per_atom_per_ps, d.drift_stderr_meV_per_atom_per_ps
    reason = f"the {d.quantity} drifts by {slope:+.3g} ± {error:.2g} meV/atom/ps"
    if d.ensemble != "nve":
        return reason + " (time step too long; a run at constant energy with check_nve tells more)"
    if d.timestep_ratio is None:
        return reason + " (a run with half the time step would tell the cause)"
    if abs(d.timestep_ratio - TIMESTEP_RATIO) <= TIMESTEP_RATIO_TOLERANCE:
        reason += " (time step too long, or rounding: float32, a loosely converged SCF)"
    return reason


def _doubtful_slope(d: Drift) -> str | None:
    if _slope_within(d) is not None:
        return None
    slope = d.drift_meV_per_atom_per_ps
    error = max(d.drift_stderr_meV_per_atom_per_ps, d.drift_swing_meV_per_atom_per_ps)
    allowed = d.allowed_drift_meV_per_atom_per_ps
    # The error falls as T^-1/2 in a random walk, and about a line at first hardly faster; one error of slack.
    longer = max(2.0, ((STANDARD_ERRORS + 1) * error / allowed) ** 2)
    return (
        f"a drift of {slope:+.2g} ± {error:.1g} meV/atom/ps may or may not exceed {allowed:.3g}: a run "
        f"of about {_rounded_up(longer * d.time_ps):g} ps would decide"
    )


def _rounded_up(time_ps: float) -> float:
    """Round up to one digit."""
    digit = 10.0 ** math.floor(math.log10(time_ps))
    return math.ceil(time_ps / digit) * digit


def _scale(d: Drift) -> str:
    """Describe how the forces compare with the slope of the energy."""
    return f"{d.force_scale:.4f} ± {d.force_scale_error:.4f} of the energy's slope"


def _force_scale(d: Drift) -> str | None:
    if d.force_scale is None or _scale_within(d) is not False:
        return None
    if math.isinf(d.force_scale):
        return "the atoms move under forces, and the potential energy does not change"
    return (
        f"the forces are {_scale(d)} (forces and energy of different models, in different units, or one of "
        "them scaled)"
    )


def _doubtful_force_scale(d: Drift) -> str | None:
    if d.force_scale is not None:
        if _scale_within(d) is not None:
            return None
        return (
            f"forces of {_scale(d)} may or may not be right: a shorter time step tells more, or else the "
            "energy has jumps or noise"
        )
    if d.timestep_ratio is not None or d.rms_fluctuation_meV_per_atom < STILL:
        return None  # half the step tells as much; there is nothing to tell
    return (
        "whether the forces are the energy's slope cannot be told from a part of the steps, nor "
        "from fewer than a dozen between exchanges: record every step"
    )


def _deviation(d: Drift) -> str | None:
    # A thermostat lets the integrator's error accumulate as a random walk, without harm.
    if d.ensemble != "nve" or not d.max_deviation_over_kinetic_std >= MAX_DEVIATION:
        return None
    return (
        "the total energy leaves its start by "
        f"{d.max_deviation_over_kinetic_std:.3g} times the spread of the kinetic energy"
    )


def _jump(d: Drift) -> str | None:
    if d.jump_ps is None:
        return None
    return (
        f"the {d.quantity} jumps at {d.jump_ps:g} ps (a cutoff without envelope, or a switch "
        "of electronic state)"
    )


def _timestep(d: Drift) -> str | None:
    ratio = d.timestep_ratio
    if ratio is None or abs(ratio - TIMESTEP_RATIO) <= TIMESTEP_RATIO_TOLERANCE:
        return None
    if ratio > TIMESTEP_RATIO:
        cause = "time step too long for the fastest vibration"
    else:
        cause = (
            "forces that are not -dE/dx, a cutoff without envelope, or noise: float32, a loosely "
            "converged SCF"
        )
    return f"halving the time step divides the fluctuation by {ratio:.2f}, not 4 ({cause})"


def _overall_motion(d: Drift) -> list[str]:
    found = []
    for gained, what, cause in (
        (d.translation_gained_over_thermal, "as a whole to move", "do not sum to zero"),
        (d.rotation_gained_over_thermal, "as a whole to turn", "exert a torque on the whole"),
    ):
        if gained is not None and gained > MAX_OVERALL_MOTION:
            found.append(
                f"the atoms begin {what}, with {gained:.2g} of a thermal energy: the forces {cause}"
            )
    return found

"""Refusals, one clear line each, of arguments and structures that make no run."""

import math
import warnings

from ase import Atoms

#: Of momenta drawn for a run at constant energy, unless it is told otherwise.
START_TEMPERATURE_K = 300.0
#: Longest time step accepted; heavy atoms at room temperature allow about this.
MAX_TIMESTEP_FS = 10.0
#: A bond to hydrogen vibrates in 9 to 11 fs; more than a tenth of that is coarse.
MAX_HYDROGEN_TIMESTEP_FS = 1.0


def require_motion(n_degrees_of_freedom: int, cure: str) -> None:
    """Refuse a thermostat where there is nothing for it to act on; ValueError."""
    if n_degrees_of_freedom == 0:
        raise ValueError(
            "nothing moves: a single atom has only the motion of the whole, which this thermostat keeps at "
            f"rest; {cure}"
        )


def start_temperature_K(temperature_K: float | None, keep_momenta: bool) -> float | None:
    """Temperature at which a run at constant energy draws its momenta; None where it keeps what there is.

    Raises ValueError for what is no temperature, and for one beside momenta that are kept.
    """
    if temperature_K is None:
        return None
    if not 0 <= temperature_K < math.inf:
        raise ValueError(f"temperature_K must be 0 or more, not {temperature_K}")
    if not keep_momenta:
        return float(temperature_K)
    if temperature_K != START_TEMPERATURE_K:
        raise ValueError(
            f"temperature_K={temperature_K:g} is of momenta that are drawn, keep_momenta=True keeps those of "
            "the atoms: leave one of the two out"
        )
    return None


def draws_momenta(settings: dict) -> bool:
    """Whether a run of these settings draws its momenta, or keeps those of the atoms."""
    return settings["temperature_K"] is not None and not settings.get("keep_momenta", False)


def number_of_steps(time_ps: float, timestep_fs: float) -> int:
    """Steps in the run; ValueError if there are none or they are too long."""
    if not 0 < timestep_fs <= MAX_TIMESTEP_FS:
        raise ValueError(f"timestep_fs must be above 0 and at most 10 fs, not {timestep_fs}")
    n_steps = round(1000 * time_ps / timestep_fs) if math.isfinite(time_ps) else 0
    if n_steps < 1:
        raise ValueError(f"time_ps must be at least one step of {timestep_fs} fs, not {time_ps} ps")
    return n_steps


def warn_of_coarse_steps(atoms: Atoms, timestep_fs: float, stacklevel: int) -> None:
    light = (atoms.numbers == 1) & (atoms.get_masses() < 1.5)
    if timestep_fs > MAX_HYDROGEN_TIMESTEP_FS and light.any():
        warnings.warn(
            f"a step of {timestep_fs} fs is coarse for hydrogen, whose bonds vibrate in about "
            "10 fs; 0.5 fs is usual",
            stacklevel=stacklevel,
        )

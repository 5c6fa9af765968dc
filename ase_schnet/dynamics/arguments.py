"""Refuse arguments that make no run, one clear line each, and warn of a coarse time step."""

import math
import warnings

from ase import Atoms

#: K; of the momenta that a run at constant energy draws by default.
START_TEMPERATURE_K = 300.0
#: A bond to hydrogen vibrates in 9 to 11 fs; more than a tenth of that is coarse.
MAX_HYDROGEN_TIMESTEP_FS = 1.0


def require_motion(n_degrees_of_freedom: int, cure: str) -> None:
    """Raise ValueError where a thermostat has no motion to act on."""
    if n_degrees_of_freedom == 0:
        raise ValueError(
            "nothing moves: a single atom has only the motion of the whole, which this thermostat keeps at "
            f"rest; {cure}"
        )


def require_three_periods(atoms: Atoms) -> None:
    """Raise ValueError for a structure whose volume a barostat cannot change."""
    if not (atoms.pbc.all() and atoms.cell.rank == 3):
        raise ValueError(
            "constant pressure needs a structure periodic in all three directions: run it at constant "
            "volume (nvt), or give it a cell"
        )


def start_temperature_K(temperature_K: float | None, keep_momenta: bool) -> float | None:
    """Return the temperature (K) at which a run at constant energy draws momenta; None where it keeps them.

    Raises ValueError for a negative temperature, and for a temperature beside momenta that are kept.
    """
    if temperature_K is None:
        return None
    if not 0 <= temperature_K < math.inf:
        raise ValueError(f"temperature_K must be 0 or more, not {temperature_K}")
    if not keep_momenta:
        return float(temperature_K)
    if temperature_K != START_TEMPERATURE_K:
        raise ValueError(
            f"temperature_K={temperature_K:g} is for drawn momenta, keep_momenta=True keeps those of the "
            "atoms: leave one of the two out"
        )
    return None


def draws_momenta(settings: dict) -> bool:
    """Return whether a run of these settings draws its momenta, or keeps those of the atoms."""
    return settings["temperature_K"] is not None and not settings.get("keep_momenta", False)


def warn_of_coarse_steps(atoms: Atoms, timestep_fs: float, stacklevel: int) -> None:
    """Warn of a time step (fs) that is coarse for the hydrogen among ``atoms``."""
    light = (atoms.numbers == 1) & (atoms.get_masses() < 1.5)
    if timestep_fs > MAX_HYDROGEN_TIMESTEP_FS and light.any():
        warnings.warn(
            f"a step of {timestep_fs} fs is coarse for hydrogen, whose bonds vibrate in about "
            "10 fs; 0.5 fs is usual",
            stacklevel=stacklevel,
        )

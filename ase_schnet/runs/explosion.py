"""Notice that a run has exploded, from the temperatures of its start and of now."""

import math
import re

from ase_schnet.runs.failures import SimulationExploded

#: A run is stopped as exploded beyond this many times its starting temperature ...
EXPLOSION_FACTOR = 100.0
#: ... where a start colder than this counts as this (K): strain alone may heat a cold start that much.
EXPLOSION_START_K = 300.0


def has_exploded(now_K: float, start_K: float | None) -> bool:
    """Whether ``now_K`` is no temperature, or far above that of the start (None: this is the start)."""
    return not now_K < limit_K(start_K)  # NaN too


def limit_K(start_K: float | None) -> float:
    """Return the temperature from which on a run has exploded, K."""
    return math.inf if start_K is None else EXPLOSION_FACTOR * max(start_K, EXPLOSION_START_K)


def explosion(
    when: str, now_K: float, start_K: float | None, timestep_fs: float, who: str = ""
) -> SimulationExploded:
    """Return the SimulationExploded that says so; ``who`` names the atoms, as "; the fastest are O2"."""
    start_K = now_K if start_K is None else start_K
    return SimulationExploded(
        f"{when}: exploded, {now_K:.0f} K after a start at {start_K:.0f} K{who} (a time step of "
        f"{timestep_fs:g} fs is too long, or the potential knows no such structure)"
    )


def require_finite_energy(when: str, energy_eV: float) -> None:
    """Raise SimulationExploded for a potential energy that is not finite."""
    if not math.isfinite(energy_eV):
        raise SimulationExploded(f"{when}: the potential energy is {energy_eV}")


def when(step: int, time_fs: float) -> str:
    """Return the time of a step for messages: "step 20 (0.01 ps)"."""
    return f"step {step} ({time_fs / 1000:g} ps)"


def time_of(message: str) -> float | None:
    """Return the time, ps, of a message that begins as :func:`when` says it; None for any other."""
    found = re.match(r"step \d+ \(([^ ()]+) ps\)", message)
    return float(found[1]) if found else None

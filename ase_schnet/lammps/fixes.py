"""Choose the integrators of LAMMPS for an ensemble: settings of a run, and the fixes for them."""

from __future__ import annotations

import math

from ase_schnet.arguments import positive
from ase_schnet.dynamics.arguments import start_temperature_K
from ase_schnet.dynamics.ensembles import ENSEMBLES_OF_OPTION, refuse_options_of_other_ensembles
from ase_schnet.dynamics.plans import PRESSURE_TIME_CONSTANT_FS, TIME_CONSTANT_FS
from ase_schnet.lammps.options import LammpsOptions

THERMOSTATS = ("bussi", "nose-hoover")
BAR_PER_GPA = 1e4


def physics_of(ensemble: str, temperature_K: float | None, asked: LammpsOptions) -> dict:
    """Return the settings of "nve", "nvt" or "npt", as :mod:`~ase_schnet.dynamics.md` writes them.

    Raises
    ------
    ValueError
        For an option of another ensemble, and for a value that is none.
    """
    coupling = {k: getattr(asked, k) for k in ENSEMBLES_OF_OPTION if hasattr(asked, k)}
    refuse_options_of_other_ensembles(ensemble, **coupling)
    if ensemble == "nve":
        start_K = start_temperature_K(temperature_K, asked.keep_momenta)
        return {"ensemble": "nve", "temperature_K": start_K}
    thermostat = asked.thermostat or ("bussi" if ensemble == "nvt" else "nose-hoover")
    if thermostat not in THERMOSTATS:
        raise ValueError(
            f"no thermostat {thermostat!r} that LAMMPS can restart: there are {', '.join(THERMOSTATS)}"
        )
    physics = {
        "ensemble": ensemble,
        "temperature_K": positive("temperature_K", temperature_K),
        # not that of ASE: neither can go on with the other's run
        "thermostat": f"{thermostat} (LAMMPS)",
        "time_constant_fs": positive(
            "time_constant_fs", asked.time_constant_fs or TIME_CONSTANT_FS
        ),
        "keep_momenta": bool(asked.keep_momenta),
    }
    if ensemble == "npt":
        pressure_GPa = float(asked.pressure_GPa or 0.0)
        if not math.isfinite(pressure_GPa):
            raise ValueError(f"pressure_GPa must be a finite number, not {pressure_GPa}")
        constant_fs = asked.pressure_time_constant_fs or PRESSURE_TIME_CONSTANT_FS
        physics |= {
            "pressure_GPa": pressure_GPa,
            "pressure_time_constant_fs": positive("pressure_time_constant_fs", constant_fs),
            "full_cell": bool(asked.full_cell),
        }
    return physics


def commands(physics: dict, seed: int) -> list[str]:
    """Return the fixes for these settings; a restart brings their state back by their names."""
    if physics["ensemble"] == "nve":
        return ["fix move all nve"]
    kelvin, bath_ps = physics["temperature_K"], physics["time_constant_fs"] / 1000
    if physics["ensemble"] == "npt":
        bar, piston_ps = (
            physics["pressure_GPa"] * BAR_PER_GPA,
            physics["pressure_time_constant_fs"] / 1000,
        )
        shape = "tri" if physics["full_cell"] else "iso"
        piston = f"{shape} {bar!r} {bar!r} {piston_ps!r} flip no"
        return [f"fix move all npt temp {kelvin!r} {kelvin!r} {bath_ps!r} {piston}"]
    if physics["thermostat"].startswith("bussi"):
        bath = f"fix bath all temp/csvr {kelvin!r} {kelvin!r} {bath_ps!r} {seed + 1}"
        return ["fix move all nve", bath]
    return [f"fix move all nvt temp {kelvin!r} {kelvin!r} {bath_ps!r}"]

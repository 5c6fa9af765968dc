"""Plan an ensemble: which integrator, with which settings; what cannot be is refused here."""

import math
from typing import NamedTuple

from ase_schnet.arguments import positive
from ase_schnet.dynamics.arguments import START_TEMPERATURE_K, start_temperature_K
from ase_schnet.dynamics.barostat import MTKFullCell, MTKIsothermalIsobaric
from ase_schnet.dynamics.integrators import NVE, Integrator
from ase_schnet.dynamics.thermostats import THERMOSTATS, LangevinNVT

#: Time constant of a thermostat that rescales, and of Langevin's friction (its inverse): the latter
#: acts on every single vibration and so must be gentler.
TIME_CONSTANT_FS, LANGEVIN_TIME_CONSTANT_FS = 100.0, 1000.0
#: Time constant of the barostat, ten times that of the thermostat, as ASE advises.
PRESSURE_TIME_CONSTANT_FS = 1000.0
#: Of a Nosé-Hoover chain: its conserved energy is that of one temperature.
NO_RAMP = "keeps one temperature: temperature_end_K is for the thermostats bussi and langevin"


class Plan(NamedTuple):
    """Hold an ensemble.

    Attributes
    ----------
    kind
        Class of the integrator.
    parameters
        What it takes beyond atoms, timestep_fs, n_dof and rng.
    physics
        Settings of the ensemble: ``ensemble``, ``temperature_K`` and those of its integrator.
    """

    kind: type[Integrator]
    parameters: dict
    physics: dict


def plan_nve(temperature_K: float | None = START_TEMPERATURE_K, keep_momenta: bool = False) -> Plan:
    """Plan a run at constant energy; see `run_nve`."""
    start_K = start_temperature_K(temperature_K, keep_momenta)
    return Plan(NVE, {}, {"ensemble": "nve", "temperature_K": start_K})


def plan_nvt(
    temperature_K: float = START_TEMPERATURE_K,
    temperature_end_K: float | None = None,
    thermostat: str = "bussi",
    time_constant_fs: float | None = None,
    keep_momenta: bool = False,
) -> Plan:
    """Plan a run at constant temperature; see `run_nvt`."""
    if thermostat not in THERMOSTATS:
        raise ValueError(f"no thermostat {thermostat!r}: there are {', '.join(THERMOSTATS)}")
    kind = THERMOSTATS[thermostat]
    if time_constant_fs is None:
        time_constant_fs = LANGEVIN_TIME_CONSTANT_FS if kind is LangevinNVT else TIME_CONSTANT_FS
    parameters = {
        "temperature_K": positive("temperature_K", temperature_K),
        "time_constant_fs": positive("time_constant_fs", time_constant_fs),
    }
    physics = {"ensemble": "nvt", "thermostat": thermostat, **parameters}
    physics["keep_momenta"] = bool(keep_momenta)
    if temperature_end_K is not None:
        if not kind.follows_ramps:
            raise ValueError(f"thermostat={thermostat!r} {NO_RAMP}")
        physics["temperature_end_K"] = positive("temperature_end_K", temperature_end_K)
    return Plan(kind, parameters, physics)


def plan_npt(
    temperature_K: float = START_TEMPERATURE_K,
    pressure_GPa: float = 0.0,
    full_cell: bool = False,
    time_constant_fs: float = TIME_CONSTANT_FS,
    pressure_time_constant_fs: float = PRESSURE_TIME_CONSTANT_FS,
    keep_momenta: bool = False,
) -> Plan:
    """Plan a run at constant temperature and pressure; see `run_npt`."""
    if not math.isfinite(pressure_GPa):
        raise ValueError(f"pressure_GPa must be a finite number, not {pressure_GPa}")
    kind = MTKFullCell if full_cell else MTKIsothermalIsobaric
    parameters = {
        "temperature_K": positive("temperature_K", temperature_K),
        "pressure_GPa": float(pressure_GPa),
        "time_constant_fs": positive("time_constant_fs", time_constant_fs),
        "pressure_time_constant_fs": positive(
            "pressure_time_constant_fs", pressure_time_constant_fs
        ),
    }
    physics = {"ensemble": "npt", "thermostat": "nose-hoover", "full_cell": bool(full_cell)}
    return Plan(kind, parameters, physics | {**parameters, "keep_momenta": bool(keep_momenta)})


PLANS = {"nve": plan_nve, "nvt": plan_nvt, "npt": plan_npt}

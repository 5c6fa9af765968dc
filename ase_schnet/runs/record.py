"""Hold what a run has measured, in memory and as a csv file."""

import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ase_schnet.runtime.files import write_csv

#: File names inside a run directory.
RUN_FILE, LOG_FILE = "run.json", "log.csv"
#: Before the number of a replica, in the names of their directories.
REPLICA_PREFIX = "replica_"

#: In every log ...
COLUMNS = (
    "time_fs",
    "potential_energy_eV",
    "kinetic_energy_eV",
    "total_energy_eV",
    "conserved_energy_eV",
    "temperature_K",
)
CONSERVED, TEMPERATURE = COLUMNS.index("conserved_energy_eV"), COLUMNS.index("temperature_K")
#: ... and where there is such a thing, in this order.
OPTIONAL_COLUMNS = (
    "pressure_GPa",
    "volume_Ang3",
    "translation_gained_eV",
    "rotation_gained_eV",
    "energy_std_eV",
    "max_forces_std_eV_per_Ang",
)


def columns(*, pressure: bool, volume: bool, overall: Sequence[str], std: bool) -> list[str]:
    """Return the names of a log's columns, in their order.

    ``overall`` are those of the gained overall motion, as far as a run has them.
    """
    names = [*COLUMNS]
    names += ["pressure_GPa"] if pressure else []
    names += ["volume_Ang3"] if volume else []
    names += overall
    return names + (["energy_std_eV", "max_forces_std_eV_per_Ang"] if std else [])


@dataclass(frozen=True, eq=False)
class MDRecord:
    """Hold what was measured along a run: T samples of float64.

    Attributes
    ----------
    time_fs
        (T,) time since the start of the run, fs.
    potential_energy_eV, kinetic_energy_eV
        (T,) eV, of the whole system.
    temperature_K
        (T,) kinetic temperature over ``n_degrees_of_freedom``, K.
    energy_std_eV
        (T,) standard deviation of the potential energy over an ensemble, eV; None without an ensemble.
    max_forces_std_eV_per_Ang
        (T,) largest standard deviation of any force component, eV/Å.
    timestep_fs
        Length of a step, fs.
    n_atoms, n_degrees_of_freedom
        Numbers of atoms and of degrees of freedom that carry thermal energy.
    conserved_energy_eV
        (T,) total energy plus what thermostat and barostat hold, eV; None where that is the total energy.
    pressure_GPa
        (T,) of the virial and of the motion; None where the forces came without a stress.
    volume_Ang3
        (T,) Å³, at constant pressure; else None.
    translation_gained_eV, rotation_gained_eV
        (T,) ``|ΔP|²/2M`` and ``|ΔL|²/2I`` of the changes since the start of momentum and (of a molecule)
        angular momentum, which forces between atoms cannot change; every tenth is computed, and repeated up
        to the next. None where something else may change them.
    ensemble
        "nve", "nvt" or "npt".
    thermostat
        Name; None at constant energy.
    target_temperature_K
        Temperature of the thermostat, K; (T,) where it was changed along the run.
    target_pressure_GPa
        Pressure of the barostat, GPa.
    time_constant_fs
        Of the thermostat, fs.
    exchange_every
        Steps between attempts to exchange the structure with another temperature; None without such.
    failure
        Why the run ended early; None if it did not.
    """

    time_fs: NDArray
    potential_energy_eV: NDArray
    kinetic_energy_eV: NDArray
    temperature_K: NDArray
    energy_std_eV: NDArray | None
    max_forces_std_eV_per_Ang: NDArray | None
    timestep_fs: float
    n_atoms: int
    n_degrees_of_freedom: int
    conserved_energy_eV: NDArray | None = None
    pressure_GPa: NDArray | None = None
    volume_Ang3: NDArray | None = None
    translation_gained_eV: NDArray | None = None
    rotation_gained_eV: NDArray | None = None
    ensemble: str = "nve"
    thermostat: str | None = None
    target_temperature_K: float | NDArray | None = None
    target_pressure_GPa: float | None = None
    time_constant_fs: float | None = None
    exchange_every: int | None = None
    failure: str | None = None

    @property
    def total_energy_eV(self) -> NDArray:
        """Potential plus kinetic energy, (T,), eV."""
        return self.potential_energy_eV + self.kinetic_energy_eV

    def __len__(self) -> int:
        return len(self.time_fs)

    def first(self, time_ps: float) -> "MDRecord":
        """Return the part of the record up to and including ``time_ps``."""
        # Half a step of slack: k * timestep_fs need not hit the limit to the last bit.
        keep = self.time_fs <= 1000 * time_ps + self.timestep_fs / 2
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return MDRecord(
            **{k: v[keep] if isinstance(v, np.ndarray) else v for k, v in values.items()}
        )

    def write_csv(self, path: str | Path) -> None:
        """Write one line per sample; every float reads back to the same bits."""
        write_csv(path, {name: getattr(self, name) for name in COLUMNS + OPTIONAL_COLUMNS})

    @classmethod
    def read(cls, run_dir: str | Path) -> "MDRecord":
        """Read the log of a run directory, also of a run that is still going or was killed.

        Raises
        ------
        ValueError
            If ``run_dir`` is not a run directory or its log is damaged.
        """
        run_dir = Path(run_dir)
        run = read_about(run_dir)
        try:
            names, rows = read_log(run_dir / LOG_FILE)
            known = {key: run[key] for key in ("n_atoms", "n_degrees_of_freedom")}
            _require_every_sample(rows, run["settings"])
            return cls.from_rows(names, rows, run["settings"], **known, failure=run.get("failure"))
        except FileNotFoundError as error:
            raise ValueError(no_run(run_dir, f"it has no {Path(error.filename).name}")) from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{run_dir} is damaged: {error}") from None

    @classmethod
    def from_rows(cls, names: Sequence[str], rows: NDArray, settings: dict, **known) -> "MDRecord":
        """Make a record of a table ``rows`` (T, len(names)) whose columns are ``names``."""
        table = dict(zip(names, np.ascontiguousarray(rows.T), strict=True))
        del table["total_energy_eV"]  # the sum of two others
        known |= _known_of(settings, table["time_fs"])
        return cls(**dict.fromkeys(OPTIONAL_COLUMNS) | table, **known)


def read_about(run_dir: str | Path) -> dict:
    """Return what the ``run.json`` of a run directory says; ValueError where it is none, or damaged."""
    try:
        return dict(json.loads((Path(run_dir) / RUN_FILE).read_text()))
    except FileNotFoundError:
        raise ValueError(no_run(run_dir, f"it has no {RUN_FILE}")) from None
    except NotADirectoryError:
        raise ValueError(no_run(run_dir, "it is a file")) from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{run_dir} is damaged: {RUN_FILE}: {error}") from None


def replicas_in(path: str | Path) -> list[Path]:
    """Return the directories of the replicas in a directory, in order; none of a single run."""
    path = Path(path)
    if (path / RUN_FILE).exists():
        return []
    found = (file.parent for file in path.glob(f"{REPLICA_PREFIX}*/{RUN_FILE}"))
    return sorted(found, key=lambda one: (len(one.name), one.name))


def no_run(path: str | Path, why: str) -> str:
    """Return the message that a path is no run directory, with what is one."""
    one = next(iter(sorted(Path(path).glob(f"*/{RUN_FILE}"))), None)
    if one is not None:
        every = f" (drift, average and spectrum take all: {Path(path) / REPLICA_PREFIX}*)"
        return (
            f"{path} is no run directory but holds some: give one of them, such as {one.parent}"
            + every * one.parent.name.startswith(REPLICA_PREFIX)
        )
    return f"{path} is no run directory: {why}. Give the directory that ase-schnet md or lammps wrote (-o)"


def target_temperature_K(settings: dict, time_fs: float | NDArray) -> float | NDArray:
    """Return the temperature of the thermostat (K): one number, or of a ramp that at each time."""
    start_K, end_K = settings["temperature_K"], settings.get("temperature_end_K")
    if end_K is None:
        return start_K
    return start_K + (end_K - start_K) * time_fs / (1000 * settings["ramp_time_ps"])


def _known_of(settings: dict, time_fs: NDArray) -> dict:
    """Return what a record keeps of the settings of a run."""
    thermal = settings["ensemble"] != "nve"  # at constant energy the temperature is but the start's
    return {
        "timestep_fs": float(settings["timestep_fs"]),
        "ensemble": settings["ensemble"],
        "thermostat": settings.get("thermostat"),
        "target_temperature_K": target_temperature_K(settings, time_fs) if thermal else None,
        "target_pressure_GPa": settings.get("pressure_GPa"),
        "time_constant_fs": settings.get("time_constant_fs"),
        "exchange_every": settings.get("exchange_every"),
    }


def _require_every_sample(rows: NDArray, settings: dict) -> None:
    """Raise ValueError where a sample is missing among the rows of a log, whose first column is the time."""
    if not len(rows):
        return
    spacing_fs = float(settings["timestep_fs"]) * settings["record_every"]
    late = np.flatnonzero(~np.isclose(rows[:, 0], spacing_fs * np.arange(len(rows)), rtol=1e-9))
    if len(late):
        raise ValueError(f"{LOG_FILE} lacks the sample at {spacing_fs * late[0] / 1000:g} ps")


def csv_line(values: Iterable[float]) -> str:
    """Return one csv line; ``repr`` writes the shortest decimal that reads back to the same float64."""
    return ",".join(map(repr, values)) + "\n"


def read_log(path: Path) -> tuple[list[str], NDArray]:
    """Return column names and rows (T, C) of a log; drop a last line that a kill cut short."""
    text = path.read_text()
    header, _, body = text[: text.rfind("\n") + 1].partition("\n")
    names = header.split(",")
    try:
        rows = np.loadtxt(io.StringIO(body), delimiter=",", ndmin=2) if body else np.empty((0, 0))
    except ValueError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if rows.size and rows.shape[1] != len(names):
        raise ValueError(f"{path} has {rows.shape[1]} columns under {len(names)} names")
    return names, rows.reshape(-1, len(names))

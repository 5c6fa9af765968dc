"""What spectra are made of: momenta, dipoles and polarizabilities at equal intervals of time."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io.trajectory import TrajectoryReader
from ase.io.ulm import InvalidULMFileError
from numpy.typing import NDArray

from ase_schnet.degrees_of_freedom import degrees_of_freedom, temperature
from ase_schnet.runs.record import RUN_FILE
from ase_schnet.runs.rundir import TRAJECTORY_FILE

#: Of light, cm/fs.
SPEED_OF_LIGHT = units._c * 100 / 1e15
#: No bond to hydrogen vibrates faster by much (HF: 4138 cm⁻¹).
HIGHEST_WAVENUMBER_CM = 4000.0
#: The stiffest bonds between other atoms are triple (N2: 23 mdyn/Å; ν = 1302.8 sqrt(k/μ)).
TRIPLE_BOND_MDYN_PER_ANG = 23.0


@dataclass(frozen=True, eq=False)
class Motion:
    """T frames of a run at equal intervals.

    Attributes
    ----------
    interval_fs
        Between frames, fs.
    masses : (N,) array
        amu.
    momenta : (T, N, 3) array
        ASE's units, sqrt(amu eV).
    n_degrees_of_freedom
        That carry the thermal energy.
    dipoles : (T, 3) array or None
        e·Å.
    polarizabilities : (T, 3, 3) array or None
        e²Å²/eV.
    positions : (T, N, 3) array or None
        Å, of a molecule, to find out how it has shared its energy among its vibrations.
    timestep_fs
        Of the velocity Verlet integrator, fs; None where unknown: the axis is then not corrected.
    """

    interval_fs: float
    masses: NDArray
    momenta: NDArray
    n_degrees_of_freedom: int
    dipoles: NDArray | None = None
    polarizabilities: NDArray | None = None
    timestep_fs: float | None = None
    positions: NDArray | None = None

    def __post_init__(self):
        if not 0 < self.interval_fs < np.inf:
            raise ValueError(f"interval_fs must be above 0, not {self.interval_fs}")
        if not self.temperature_K > 0:  # also NaN
            raise ValueError("the frames have no momenta: spectra need frames of a run")

    def __len__(self) -> int:
        return len(self.momenta)

    @property
    def temperature_K(self) -> float:
        """Mean kinetic temperature, K."""
        kinetic = 0.5 * (self.momenta**2).sum(axis=2) / self.masses  # (T, N)
        return temperature(kinetic.sum() / len(self), self.n_degrees_of_freedom)

    @property
    def nyquist_cm(self) -> float:
        """Highest wavenumber that the frames resolve, cm⁻¹."""
        return 1 / (2 * SPEED_OF_LIGHT * self.interval_fs)

    @classmethod
    def read(cls, run_dir: str | Path, *, skip_ps: float = 0.0) -> "Motion":
        """Read a run directory, without its first ``skip_ps``.

        Raises
        ------
        ValueError
            If it is no run directory, or damaged, or its frames make no spectrum.
        """
        run_dir = Path(run_dir)
        if not 0 <= skip_ps < np.inf:
            raise ValueError(f"skip_ps must be 0 or more, not {skip_ps}")
        try:
            run = json.loads((run_dir / RUN_FILE).read_text())
            settings = run["settings"]
            interval_fs = settings["timestep_fs"] * settings["trajectory_every"]
            with TrajectoryReader(run_dir / TRAJECTORY_FILE) as trajectory:
                frames = list(trajectory[round(1000 * skip_ps / interval_fs) :])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise ValueError(f"{run_dir} is no run directory: {error.filename} missing") from None
        except (KeyError, ValueError, InvalidULMFileError) as error:
            raise ValueError(f"{run_dir} is damaged: {error}") from None
        steps = np.array([frame.info["step"] for frame in frames])  # (T,)
        on_time = steps % settings["trajectory_every"] == 0  # a failed run ends between two
        kept = [frame for frame, keep in zip(frames, on_time, strict=True) if keep]
        try:
            return cls.from_frames(
                kept,
                interval_fs,
                timestep_fs=settings["timestep_fs"],
                n_degrees_of_freedom=run["n_degrees_of_freedom"],
            )
        except ValueError as error:
            raise ValueError(f"{run_dir}: {error}") from None

    @classmethod
    def from_frames(
        cls,
        frames: Sequence[Atoms],
        interval_fs: float,
        *,
        timestep_fs: float | None = None,
        n_degrees_of_freedom: int | None = None,
    ) -> "Motion":
        """Take what the frames hold: momenta, ``calc.results["dipole"]``, ``info["polarizability"]``.

        ``n_degrees_of_freedom`` is by default that of a molecule at rest as a whole, of
        :func:`~ase_schnet.degrees_of_freedom.degrees_of_freedom`.
        """
        if len(frames) < 2:
            raise ValueError(f"a spectrum needs more than {len(frames)} frames")
        if n_degrees_of_freedom is None:
            n_degrees_of_freedom = degrees_of_freedom(frames[0])
        dipoles = [getattr(frame.calc, "results", {}).get("dipole") for frame in frames]
        return cls(
            interval_fs=float(interval_fs),
            masses=frames[0].get_masses(),
            momenta=np.array([frame.get_momenta() for frame in frames]),
            n_degrees_of_freedom=n_degrees_of_freedom,
            dipoles=_if_all(dipoles),
            polarizabilities=_if_all([frame.info.get("polarizability") for frame in frames]),
            timestep_fs=timestep_fs,
            positions=None if any(frame.pbc.any() for frame in frames) else _positions(frames),
        )

    def check_resolves(self, highest_cm: float | None) -> None:
        """ValueError if vibrations up to ``highest_cm`` would be folded to lower wavenumbers.

        By default 4000 cm⁻¹ with hydrogen, and without it what a triple bond between two of the
        lightest atoms would have.
        """
        if highest_cm is None:
            stiffest = 1302.8 * np.sqrt(2 * TRIPLE_BOND_MDYN_PER_ANG / self.masses.min())
            highest_cm = min(HIGHEST_WAVENUMBER_CM, float(stiffest))
        if self.nyquist_cm >= highest_cm:
            return
        interval_fs = 1 / (2 * SPEED_OF_LIGHT * highest_cm)
        cure = f"save a frame every {interval_fs:.3g} fs or more often"
        if self.timestep_fs is not None:
            every = int(interval_fs / self.timestep_fs)
            cure = f"run again with trajectory_every={every} (--trajectory-every {every}) or less"
            if every < 1:
                cure = (
                    f"run again with a time step below {interval_fs:.3g} fs and trajectory_every=1"
                )
        raise ValueError(
            f"frames every {self.interval_fs:g} fs resolve up to {self.nyquist_cm:.0f} cm⁻¹, and "
            f"vibrations up to {highest_cm:.0f} cm⁻¹ would appear at false places: {cure}"
        )


def read_motions(runs: Motion | str | Path | Iterable[Motion | str | Path]) -> list[Motion]:
    """One run or several, each as Motion or as the path of its directory.

    Raises
    ------
    ValueError
        For anything else, and what :meth:`Motion.read` raises.
    """
    if isinstance(runs, (Motion, str, Path)):
        runs = [runs]
    if not isinstance(runs, Iterable):
        raise ValueError(f"{_WANTED}, not of {type(runs).__name__}")
    return [_motion(run) for run in runs]


def _motion(run: Motion | str | Path) -> Motion:
    if isinstance(run, Motion):
        return run
    if isinstance(run, (str, Path)):
        return Motion.read(run)
    raise ValueError(f"{_WANTED}, not of {type(run).__name__}")


_WANTED = (
    "a spectrum is made of run directories or of Motion, one or several (frames become it by "
    "Motion.from_frames)"
)


def _positions(frames: Sequence[Atoms]) -> NDArray:
    return np.array([frame.positions for frame in frames])


def _if_all(values: list) -> NDArray | None:
    return None if any(value is None for value in values) else np.array(values, dtype=float)

"""The signals of a trajectory: momenta, dipoles and polarizabilities at equal intervals of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.io.trajectory import TrajectoryReader
from ase.io.ulm import InvalidULMFileError
from numpy.typing import NDArray

from ase_schnet.arguments import positive
from ase_schnet.degrees_of_freedom import degrees_of_freedom, temperature
from ase_schnet.runs.record import no_run, read_about
from ase_schnet.runs.restart import TRAJECTORY_FILE

#: Speed of light, cm/fs.
SPEED_OF_LIGHT = units._c * 100 / 1e15
#: Highest wavenumber of vibrations of hydrogen, cm⁻¹; of two atoms alone, since HF has 4138 and H2 4401.
HIGHEST_WAVENUMBER_CM, HIGHEST_OF_TWO_CM = 4000.0, 4500.0
#: Force constant k of the stiffest bonds without hydrogen, that of N2; ν = 1302.8 sqrt(k/μ) cm⁻¹, μ in amu.
TRIPLE_BOND_MDYN_PER_ANG = 23.0


@dataclass(frozen=True, eq=False)
class TrajectorySignals:
    """Hold momenta, dipoles and polarizabilities of T frames at equal intervals of time.

    Attributes
    ----------
    interval_fs
        Time between frames, fs.
    masses
        Masses (N,), amu.
    momenta
        Momenta (T, N, 3) in ASE's unit, sqrt(amu eV).
    n_degrees_of_freedom
        Number of degrees of freedom that carry thermal energy.
    dipoles
        Dipoles (T, 3), e·Å, or None.
    polarizabilities
        Polarizabilities (T, 3, 3), e²Å²/eV, or None.
    timestep_fs
        Time step of the velocity Verlet integrator, fs, to correct the wavenumbers for it; None if unknown.
    positions
        Positions (T, N, 3) of a molecule, Å, to measure the energies of its vibrations; None for crystals.
    """

    interval_fs: float
    masses: NDArray
    momenta: NDArray
    n_degrees_of_freedom: int
    dipoles: NDArray | None = None
    polarizabilities: NDArray | None = None
    timestep_fs: float | None = None
    positions: NDArray | None = None

    def __post_init__(self) -> None:
        if not 0 < self.interval_fs < np.inf:
            raise ValueError(f"interval_fs must be above 0, not {self.interval_fs}")
        if not self.temperature_K > 0:  # also NaN
            raise ValueError("the frames have no momenta: spectra need the frames of an MD run")

    def __len__(self) -> int:
        return len(self.momenta)

    @property
    def temperature_K(self) -> float:
        """Return the mean kinetic temperature, K."""
        kinetic = 0.5 * (self.momenta**2).sum(axis=2) / self.masses  # (T, N)
        return temperature(kinetic.sum() / len(self), self.n_degrees_of_freedom)

    @property
    def nyquist_cm(self) -> float:
        """Return the highest wavenumber that the frames resolve, cm⁻¹."""
        return 1 / (2 * SPEED_OF_LIGHT * self.interval_fs)

    @classmethod
    def read(cls, run_dir: str | Path, *, skip_ps: float = 0.0) -> "TrajectorySignals":
        """Read the frames of a run directory.

        Parameters
        ----------
        run_dir
            Directory that ``run_nve``, ``ase-schnet md`` or another run wrote.
        skip_ps
            Time to leave out at the start, ps.

        Returns
        -------
        TrajectorySignals
            Of all frames that were saved at regular steps; not of that which a failed run ended with.

        Raises
        ------
        ValueError
            If it is not a run directory, or is damaged, or of a replica exchange, or has too few frames or
            none with momenta.
        """
        run_dir = Path(run_dir)
        if not 0 <= skip_ps < np.inf:
            raise ValueError(f"skip_ps must be 0 or more, not {skip_ps}")
        run = read_about(run_dir)
        try:
            settings = run["settings"]
            interval_fs = settings["timestep_fs"] * settings["trajectory_every"]
            exchanged = settings.get("exchange_every")
            with TrajectoryReader(run_dir / TRAJECTORY_FILE) as trajectory:
                frames = list(trajectory[round(1000 * skip_ps / interval_fs) :])
            if run.get("failure") is not None:
                frames = frames[:-1]  # the last one is of the step that was not completed
        except FileNotFoundError as error:
            raise ValueError(no_run(run_dir, f"it has no {Path(error.filename).name}")) from None
        except (KeyError, ValueError, InvalidULMFileError) as error:
            raise ValueError(f"{run_dir} is damaged: {error}") from None
        if exchanged:
            raise ValueError(
                f"{run_dir} is of a replica exchange: every {exchanged} steps another structure may come to "
                "its temperature, so that no motion goes on. A spectrum needs runs without (--exchange)"
            )
        # a run that was killed as it failed ends with one between two regular steps
        kept = [frame for frame in frames if frame.info["step"] % settings["trajectory_every"] == 0]
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
    ) -> "TrajectorySignals":
        """Take momenta, ``calc.results["dipole"]`` and ``info["polarizability"]`` of frames.

        Parameters
        ----------
        frames
            Frames of a run, at equal intervals.
        interval_fs
            Time between frames, fs.
        timestep_fs
            Time step of the run, fs; None if unknown.
        n_degrees_of_freedom
            Number of degrees of freedom that carry thermal energy. By default
            :func:`~ase_schnet.degrees_of_freedom.degrees_of_freedom` of the first frame.

        Returns
        -------
        TrajectorySignals
            Dipoles and polarizabilities are None unless all frames have them.

        Raises
        ------
        ValueError
            For fewer than two frames, and frames without momenta.
        """
        if len(frames) < 2:
            raise ValueError(f"a spectrum needs more than {len(frames)} frames")
        if n_degrees_of_freedom is None:
            n_degrees_of_freedom = degrees_of_freedom(frames[0])
        periodic = any(frame.pbc.any() for frame in frames)
        dipoles = [getattr(frame.calc, "results", {}).get("dipole") for frame in frames]
        return cls(
            interval_fs=float(interval_fs),
            masses=frames[0].get_masses(),
            momenta=np.array([frame.get_momenta() for frame in frames]),
            n_degrees_of_freedom=n_degrees_of_freedom,
            dipoles=_if_all(dipoles),
            polarizabilities=_if_all([frame.info.get("polarizability") for frame in frames]),
            timestep_fs=timestep_fs,
            positions=None if periodic else np.array([frame.positions for frame in frames]),
        )

    def check_resolves(self, highest_cm: float | None) -> None:
        """Refuse frames that are too far apart to resolve vibrations.

        Parameters
        ----------
        highest_cm
            Highest wavenumber to resolve, cm⁻¹. By default 4000 cm⁻¹ with hydrogen (4500 of two atoms);
            without hydrogen that of a triple bond between two of the lightest atoms.

        Raises
        ------
        ValueError
            If vibrations up to that wavenumber would be folded to lower ones (aliasing), and if it is no
            wavenumber.
        """
        if highest_cm is None:
            stiffest = 1302.8 * np.sqrt(2 * TRIPLE_BOND_MDYN_PER_ANG / self.masses.min())
            highest = HIGHEST_OF_TWO_CM if len(self.masses) == 2 else HIGHEST_WAVENUMBER_CM
            highest_cm = min(highest, float(stiffest))
        if self.nyquist_cm >= positive("highest_cm", highest_cm):
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
            f"vibrations up to {highest_cm:.0f} cm⁻¹ would appear at wrong wavenumbers: {cure}"
        )


def _if_all(values: list) -> NDArray | None:
    """Stack the values of all frames; None if a frame has none."""
    return None if any(value is None for value in values) else np.array(values, dtype=float)

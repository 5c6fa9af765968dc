"""The frames of one run at constant temperature, or of several, whose averages are to be expanded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms, units
from numpy.typing import NDArray

from ase_schnet.arguments import positive
from ase_schnet.calculator import SchNetCalculator
from ase_schnet.degrees_of_freedom import moving_degrees_of_freedom, temperature
from ase_schnet.runs.record import RUN_FILE, MDRecord, read_about
from ase_schnet.runs.restart import TRAJECTORY_FILE, open_trajectory

#: Part of a run that is left out at its start, where nothing else is said.
SKIPPED = 0.1
#: −Cov(P, V) / kT of a run at constant pressure; 1 at equilibrium, less where the volume has not moved.
VOLUME_SAMPLED = (0.6, 1.7)
#: Standard deviations by which the kinetic temperature of frames may differ from that of their run.
MAX_OFF = 4.0
#: Energies of frames may differ by this from those of the model, eV per atom; float32 is worth 1e-6.
SAME_ENERGY = 1e-4


class Frames(NamedTuple):
    """Hold frames of a run, or of several one after the other.

    Attributes
    ----------
    atoms
        The frames.
    temperature_K
        Temperature that they were sampled at, K.
    least_inefficiency
        Frames from one independent frame to the next, at least: a thermostat changes the energy of a
        molecule no faster than its time constant τ, whatever oscillates within, and 2τ is what an exponential
        correlation of τ costs. A list of frames does not tell: 1.
    interval_ps
        Time between frames, ps; 0 where it is not known.
    n_degrees_of_freedom
        Those over which the thermostat of the run spread its energy; None where momenta alone tell.
    held
        What was held besides the temperature, in words: the cell or the pressure; "" where it is not known.
    """

    atoms: list[Atoms]
    temperature_K: float
    least_inefficiency: float = 1.0
    interval_ps: float = 0.0
    n_degrees_of_freedom: int | None = None
    held: str = ""


def frames_of(
    runs: str | Path | Sequence[str | Path] | Sequence[Atoms],
    calculator: SchNetCalculator,
    temperature_K: float | None,
    skip_ps: float | None,
) -> Frames:
    """Return the frames of a run directory, of several, or those given.

    Parameters
    ----------
    runs
        Directory of a run at constant temperature by the ensemble, several that differ by their seeds, or
        frames of a run.
    calculator
        The ensemble.
    temperature_K
        Of given frames; a run directory says it.
    skip_ps
        Time at the start of each run in ps to leave out; None: a tenth of it.

    Raises
    ------
    ValueError
        A run was not at constant temperature, by another model, or ended early; there are fewer than two
        frames; their temperature is not known; runs are not alike, or one is there twice.
    """
    given = [runs] if isinstance(runs, (str, Path)) else list(runs)
    if given and all(isinstance(one, (str, Path)) for one in given):
        if temperature_K is not None:
            raise ValueError("temperature_K is for a list of frames: a run directory says its own")
        paths = [Path(one) for one in given]
        return _together(paths, [_frames_of_run(path, calculator, skip_ps) for path in paths])
    if skip_ps is not None:
        raise ValueError("skip_ps is for a run directory: give fewer frames instead")
    if temperature_K is None:
        raise ValueError("temperature_K is missing: frames do not say what they were sampled at")
    return _checked(Frames(given, positive("temperature_K", temperature_K)), "the frames")


def _frames_of_run(path: Path, calculator: SchNetCalculator, skip_ps: float | None) -> Frames:
    """Return the frames of a run directory."""
    about = _read_about(path)
    settings = about["settings"]
    _require_canonical(path, settings, about.get("failure"))
    _require_same_model(path, about, calculator)
    with open_trajectory(path / TRAJECTORY_FILE) as trajectory:
        atoms = [f for f in trajectory if f.info["step"] % settings["trajectory_every"] == 0]
    interval_ps = settings["timestep_fs"] * settings["trajectory_every"] / 1000
    if skip_ps is None:
        n_skipped = int(np.ceil(SKIPPED * len(atoms)))
    elif 0 <= skip_ps < np.inf:
        n_skipped = int(np.ceil(skip_ps / interval_ps - 1e-9))
    else:
        raise ValueError(f"skip_ps must be 0 or more, not {skip_ps}")
    _require_complete(path, about, atoms)
    least = max(1.0, 2 * settings.get("time_constant_fs", 0.0) / (1000 * interval_ps))
    n_dof = about.get("n_degrees_of_freedom")
    held = (
        f"at {settings['pressure_GPa']:g} GPa" if settings["ensemble"] == "npt" else _cell(atoms[0])
    )
    kelvin = float(settings["temperature_K"])
    frames = Frames(atoms[n_skipped:], kelvin, least, interval_ps, n_dof, held)
    frames = _checked(frames, str(path))
    if settings["ensemble"] == "npt":
        _require_volume_sampled(path, n_skipped * interval_ps, frames.temperature_K)
    return frames


def _together(paths: list[Path], runs: list[Frames]) -> Frames:
    """Return the frames of all runs, one run after the other; ValueError if they are not alike.

    How far the averages of whole runs differ counts in the statistical inefficiency as it does within a run.
    """
    first, ends = runs[0], {}
    for path, run in zip(paths, runs, strict=True):
        pair = f"{path} and {paths[0]} cannot be averaged together"
        for name, value in (
            ("at {:g} K", "temperature_K"),
            ("with a frame every {:g} ps", "interval_ps"),
            ("with {} degrees of freedom", "n_degrees_of_freedom"),
            ("{}", "held"),
        ):
            ours, theirs = getattr(run, value), getattr(first, value)
            if ours != theirs:
                raise ValueError(f"{pair}: one is {name.format(ours)}, one {name.format(theirs)}")
        if not np.array_equal(run.atoms[0].numbers, first.atoms[0].numbers):
            raise ValueError(f"{pair}: their atoms differ")
        same = ends.setdefault(run.atoms[-1].positions.tobytes(), path)
        if same is not path:
            raise ValueError(f"{path} and {same} are the same run: give runs with different seeds")
    atoms = [frame for run in runs for frame in run.atoms]
    return first._replace(
        atoms=atoms, least_inefficiency=max(run.least_inefficiency for run in runs)
    )


def _cell(atoms: Atoms) -> str:
    """Return the cell of a run at constant volume in words."""
    if not atoms.pbc.any():
        return "without a cell"
    return f"in a cell of {', '.join(f'{x:.5g}' for x in atoms.cell.cellpar())} (Å, °)"


def volume_sampling(volume_Ang3: NDArray, pressure_GPa: NDArray, temperature_K: float) -> float:
    """Return −Cov(P, V) / kT of a run at constant pressure, (T,) each.

    At equilibrium it is 1: V is distributed as exp(−β(F(V) + P₀V)), and ⟨(P − P₀)(V − ⟨V⟩)⟩ = −kT by partial
    integration.
    """
    covariance = np.cov(volume_Ang3, pressure_GPa * units.GPa)[0, 1]
    return float(-covariance / (units.kB * temperature_K))


def _require_volume_sampled(path: Path, skipped_ps: float, temperature_K: float) -> None:
    """Raise ValueError for a run whose volume has not fluctuated as it does at equilibrium."""
    record = MDRecord.read(path)
    if record.volume_Ang3 is None or record.pressure_GPa is None:
        return
    kept = record.time_fs >= 1000 * skipped_ps
    found = volume_sampling(record.volume_Ang3[kept], record.pressure_GPa[kept], temperature_K)
    low, high = VOLUME_SAMPLED
    if not low <= found <= high:
        raise ValueError(
            f"{path}: volume and pressure covary by {found:.2f} kT, at equilibrium by 1: the volume is not "
            "sampled yet. Make the run longer, or leave out more of its start (skip_ps)"
        )


def _read_about(path: Path) -> dict:
    about = read_about(path)
    try:
        _ = about["settings"]["ensemble"], about["settings"]["trajectory_every"]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {RUN_FILE}: {error}") from None
    return about


def _checked(frames: Frames, name: str) -> Frames:
    if len(frames.atoms) < 2:
        raise ValueError(f"{name}: {len(frames.atoms)} frames are left, an average needs many")
    first = frames.atoms[0]
    if any(not np.array_equal(atoms.numbers, first.numbers) for atoms in frames.atoms):
        raise ValueError(f"{name}: the atoms differ from frame to frame")
    return frames


def _require_complete(path: Path, about: dict, atoms: list[Atoms]) -> None:
    """Raise ValueError for a run that was stopped before its end: it can go on."""
    settings = about["settings"]
    last = atoms[-1].info["step"] + settings["trajectory_every"] if atoms else 0
    done_ps, time_ps = last * settings["timestep_fs"] / 1000, about.get("time_ps", 0.0)
    if done_ps < time_ps * (1 - 1e-9):
        raise ValueError(
            f"{path} has {done_ps:.3g} of its {time_ps:g} ps: let it come to its end (--resume) first"
        )


def require_temperature(frames: Frames, inefficiency: float) -> None:
    """Raise ValueError for frames whose velocities are not at their temperature: they are too few.

    The kinetic temperature of n independent frames with f degrees of freedom scatters by T √(2 / (f n)).
    Frames without velocities are not judged.

    Parameters
    ----------
    frames
        The frames.
    inefficiency
        Frames from one independent frame to the next.
    """
    free = frames.n_degrees_of_freedom
    if free is None:
        free = moving_degrees_of_freedom(frames.atoms[0])
    kinetic = np.array([atoms.get_kinetic_energy() for atoms in frames.atoms])
    if free == 0 or not kinetic.any():
        return
    found = temperature(float(kinetic.mean()), free)
    expected = frames.temperature_K * np.sqrt(2 * inefficiency / (free * len(kinetic)))
    if abs(found - frames.temperature_K) > MAX_OFF * expected:
        raise ValueError(
            f"the velocities of the frames are at {found:.0f} K, not at {frames.temperature_K:g} ± "
            f"{expected:.0f} K: this is no equilibrium yet. Make the run longer, or leave out more of "
            "its start"
        )


def _require_canonical(path: Path, settings: dict, failure: str | None) -> None:
    """Raise ValueError for a run whose frames do not follow Boltzmann's law at one temperature."""
    if failure is not None:
        raise ValueError(f"{path} ended early ({failure}): it is no average at equilibrium")
    if settings["ensemble"] == "nve":
        raise ValueError(
            f"{path} is a run at constant energy, where no member's average follows from another's: run at "
            "constant temperature (--ensemble nvt), or let each member have a run of its own"
        )
    if settings.get("temperature_end_K") is not None:
        raise ValueError(
            f"{path} was heated or cooled along the way: average a run at one temperature"
        )


def _require_same_model(path: Path, about: dict, calculator: SchNetCalculator) -> None:
    info = (about.get("calculator") or {}).get("model_info") or {}
    if "member" in info:
        raise ValueError(
            f"{path} is a run of member {info['member']} alone: averages are expanded from a run of all"
        )
    if "sha256" in info and info["sha256"] not in calculator.trained.checksums:
        raise ValueError(
            f"{path} is a run of another model ({info.get('model')}): give the model of the run"
        )
    if "repulsion" in info and info["repulsion"] != calculator.parameters.repulsion:
        raise ValueError(
            f"{path} is a run with repulsion={info['repulsion']!r}: give SchNetCalculator(..., "
            f"repulsion={info['repulsion']!r})"
        )


def require_energies(frames: Sequence[Atoms], energies: np.ndarray) -> None:
    """Raise ValueError where frames have energies that are not those (T,) of the mean potential, eV."""
    for k, atoms in enumerate(frames):
        known = getattr(atoms.calc, "results", {}).get("energy")
        if known is not None and not abs(known - energies[k]) < SAME_ENERGY * len(atoms):
            raise ValueError(
                f"frame {k} has the energy {known:.4f} eV and by this model {energies[k]:.4f} eV: give the "
                "model that made the run, with its repulsion. A run by a sum of calculators has no spread"
            )

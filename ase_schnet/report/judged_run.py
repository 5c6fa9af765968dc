"""Judge a run for a report: energy, length, temperature, what the model knew of its structures."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.applicability.distances import DistanceWatch
from ase_schnet.applicability.model import limits
from ase_schnet.applicability.structure_watch import DISTANCE_TOLERANCE_ANG
from ase_schnet.model_directories import ModelFileError
from ase_schnet.modelfile import load_model
from ase_schnet.plotting.dynamics import EQUILIBRATION
from ase_schnet.report.page import Verdict
from ase_schnet.report.viewer import thinned
from ase_schnet.runs.collected import COLLECTED_FILE
from ase_schnet.runs.drift import Drift, drift, half_step_of
from ase_schnet.runs.provenance import unfinished
from ase_schnet.runs.record import MDRecord, read_about
from ase_schnet.runs.restart import TRAJECTORY_FILE, open_trajectory


class RunFrames(NamedTuple):
    """Hold the frames shown, (S,), and of how many; of an ensemble the std of force components (N, 3)."""

    shown: list[Atoms]
    total: int
    forces_std: list[NDArray] | None


class JudgedRun(NamedTuple):
    """Hold what run.json says, the record, the frames shown, `drift`'s judgement or None, all verdicts."""

    about: dict
    record: MDRecord
    frames: RunFrames
    drift: Drift | None
    verdicts: list[Verdict]


def judged_run(directory: Path) -> JudgedRun:
    """Read a run and judge it; ValueError if it is none, is damaged or has no sample."""
    record = MDRecord.read(directory)
    if not len(record):
        raise ValueError(
            f"{directory} has no sample yet: wait until the run has begun, or start it again with --resume"
        )
    about = read_about(directory)
    frames = _read_frames(directory / TRAJECTORY_FILE, record)
    judged, why_not = _judged(directory, record)
    verdicts = [
        _conservation(judged, why_not),
        _length(directory, record),
        _temperature(record),
        *_knowledge(about, record, frames),
        *_collected(directory / COLLECTED_FILE),
    ]
    return JudgedRun(about, record, frames, judged, verdicts)


def _read_frames(path: Path, record: MDRecord) -> RunFrames:
    """Read the frames of a trajectory that can be shown; those after the last sample are left out."""
    with open_trajectory(path) as trajectory:
        total = len(trajectory)
        read = [trajectory[k] for k in thinned(total, record.n_atoms).tolist()]
    last_fs = record.time_fs[-1] + 1e-6
    shown = [atoms for atoms in read if atoms.info.get("time_fs", 0.0) <= last_fs]
    stds = [np.asarray(a.info["forces_std"]) for a in shown if "forces_std" in a.info]
    return RunFrames(shown, total, stds if shown and len(stds) == len(shown) else None)


def _judged(directory: Path, record: MDRecord) -> tuple[Drift | None, str]:
    """Return the verdict of `drift`; None with the reason where the run is too short for one."""
    try:
        return drift(record, half_step_of(directory, record)), ""
    except ValueError as error:
        return None, str(error)


def _conservation(judged: Drift | None, why_not: str) -> Verdict:
    about = "Energy conservation"
    if judged is None:
        return Verdict(about, "INCONCLUSIVE", why_not)
    if why := judged.reasons or judged.doubts:
        return Verdict(about, judged.outcome, "; ".join(why))
    slope, error = judged.drift_meV_per_atom_per_ps, judged.drift_stderr_meV_per_atom_per_ps
    return Verdict(
        about,
        judged.outcome,
        f"the {judged.quantity} drifts by {slope:+.2g} ± {error:.1g} meV/atom/ps over {judged.time_ps:g} ps "
        f"(allowed {judged.allowed_drift_meV_per_atom_per_ps:.3g})",
    )


def _length(directory: Path, record: MDRecord) -> Verdict:
    done = f"{record.time_fs[-1] / 1000:g} ps in steps of {record.timestep_fs:g} fs"
    if record.failure is not None:
        return Verdict("Length", "FAIL", f"ended early, after {done}: {record.failure}")
    if asked_ps := unfinished(directory, record):
        return Verdict(
            "Length",
            "INCONCLUSIVE",
            f"{done} of the {asked_ps:g} ps asked for; the same command with --resume goes on",
        )
    return Verdict("Length", "PASS", done)


def _temperature(record: MDRecord) -> Verdict:
    thermal = record.ensemble != "nve"
    late = record.temperature_K[int(EQUILIBRATION * len(record)) if thermal else 0 :]
    words = f"mean {late.mean():.1f} K, standard deviation {late.std():.1f} K"
    if not thermal:
        return Verdict("Temperature", "NOTE", f"{words}; at constant energy nothing holds it")
    target = np.asarray(record.target_temperature_K, dtype=float)
    aim = f"{target:g} K" if target.ndim == 0 else f"{target[0]:g} to {target[-1]:g} K"
    part = f"of the last {100 * (1 - EQUILIBRATION):.0f} %"
    return Verdict(
        "Temperature", "NOTE", f"{words} {part}; the thermostat ({record.thermostat}) aims at {aim}"
    )


def _knowledge(about: dict, record: MDRecord, frames: RunFrames) -> list[Verdict]:
    """Say how uncertain the ensemble was, and whether the structures are like those of its training."""
    found = []
    if record.energy_std_eV is not None:
        std = 1000 * record.energy_std_eV / record.n_atoms
        top = int(np.nanargmax(std))
        found.append(
            Verdict(
                "Uncertainty",
                "NOTE",
                f"std of the energy: median {np.nanmedian(std):.2g} meV/atom, largest {std[top]:.2g} "
                f"at {record.time_fs[top] / 1000:g} ps",
            )
        )
    known = _limits_of_model(about)
    if known is None or not frames.shown:
        return found
    return [*found, _within(known, frames)]


def _limits_of_model(about: dict) -> dict | None:
    """Return the limits of the model of a run, if that very model is at hand."""
    info = (about.get("calculator") or {}).get("model_info") or {}
    try:
        model = load_model(info["model"])
    except (KeyError, ModelFileError):
        return None
    return limits(model) if info.get("sha256") in model.checksums else None


def _within(known: dict, frames: RunFrames) -> Verdict:
    """Hold frames against what a model was trained on, as a monitor of a run would have done."""
    about = "Inside what the model was trained on"
    watch = DistanceWatch(
        frames.shown[0],
        known["distance_ranges_Ang"],
        known["cutoff_Ang"],
        DISTANCE_TOLERANCE_ANG,
        known["known_pieces"],
    )
    outside: dict[int, str] = {}
    for k, atoms in enumerate(frames.shown):
        if pair := watch.find(atoms):
            outside[k] = pair.message
        elif frames.forces_std is not None and "max_forces_std_eV_per_Ang" in known:
            std = (
                known["forces_std_scale"] * np.sqrt((frames.forces_std[k] ** 2).mean(axis=1)).max()
            )
            if not std <= known["max_forces_std_eV_per_Ang"]:
                outside[k] = f"the force on an atom is uncertain by {std:.2g} eV/Å"
    looked = f"{len(frames.shown)} frames"
    if not outside:
        return Verdict(about, "PASS", f"distances and forces of all {looked} that were looked at")
    first, why = next(iter(outside.items()))
    time_ps = frames.shown[first].info.get("time_fs", 0.0) / 1000
    return Verdict(
        about, "FAIL", f"{len(outside)} of {looked} are not; the first at {time_ps:g} ps: {why}"
    )


def _collected(path: Path) -> list[Verdict]:
    if not path.exists():
        return []
    n = path.read_text(encoding="utf-8").count("time_fs=")
    words = (
        f"{n} frames in {path.name}, where the model was guessing: label them and train with them, or "
        f"ase-schnet learn --continue DIR --collect {path}"
    )
    return [Verdict("Collected", "NOTE", words)]

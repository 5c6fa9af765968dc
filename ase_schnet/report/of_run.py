"""What a report says of a run: was the energy conserved, how hot was it, did the model know what it met."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ase_schnet.plotting import plot_drift
from ase_schnet.plotting.style import as_png
from ase_schnet.report.judged_run import RunFrames, judged_run
from ase_schnet.report.page import Page, Picture, Section, Text
from ase_schnet.report.viewer import Property, Structures
from ase_schnet.runs.drift import Drift
from ase_schnet.runs.record import MDRecord


def run_page(directory: Path, *, structures: bool) -> Page:
    """Collect what a report says of a run directory.

    Parameters
    ----------
    directory
        Of a run that is finished, failed, killed or still going.
    structures
        Whether the trajectory is shown.

    Raises
    ------
    ValueError
        If it is no run directory or is damaged.
    """
    about, record, frames, judged, verdicts = judged_run(directory)
    sections = [
        Section(
            "Energy, temperature, uncertainty",
            [
                Picture(as_png(plot_drift(record, judged)), _caption(record)),
                *([Text(str(judged), exact=True)] if judged else []),
            ],
        )
    ]
    if structures and frames.shown:
        sections.append(Section("Structures along the run", _structures(record, frames)))
    return Page(
        f"Run {directory.resolve().name}: {about.get('formula', '')}",
        about_run(directory, about, record),
        verdicts,
        sections,
        numbers_of_run(record, judged),
    )


def _caption(record: MDRecord) -> str:
    energy = "Total energy" if record.ensemble == "nve" else "Conserved energy"
    parts = [f"{energy} since the start with its fitted line", "temperature"]
    if record.ensemble == "npt":
        parts += ["pressure", "volume"]
    if record.energy_std_eV is not None:
        parts.append("std of the energy over the ensemble")
    return f"{', '.join(parts)}, against time."


def _structures(record: MDRecord, frames: RunFrames) -> list[Text | Structures]:
    shown = frames.shown
    time_ps = np.array([atoms.info.get("time_fs", np.nan) for atoms in shown]) / 1000
    sample = np.searchsorted(record.time_fs, 1000 * time_ps - 1e-6).clip(0, len(record) - 1)
    properties = {
        "time": Property(time_ps, "ps", "since the start of the run"),
        "temperature": Property(record.temperature_K[sample], "K", "of the kinetic energy"),
        "potential energy": Property(
            1000 * (record.potential_energy_eV[sample] - record.potential_energy_eV[0]),
            "meV",
            "less that of the first sample",
        ),
    }
    of_atoms, y = {}, "potential energy"
    if record.energy_std_eV is not None:
        std = Property(1000 * record.energy_std_eV[sample], "meV", "std of the ensemble")
        properties["energy_std"], y = std, "energy_std"
    if record.max_forces_std_eV_per_Ang is not None:
        largest = record.max_forces_std_eV_per_Ang[sample]
        properties["largest forces_std"] = Property(largest, "eV/Å", "of any force component")
    if frames.forces_std is not None:
        rms = np.concatenate([np.sqrt((std**2).mean(axis=1)) for std in frames.forces_std])
        of_atoms["forces_std"] = Property(rms, "eV/Å", "std of the ensemble, rms of x, y and z")
    name = "Frames of the trajectory"
    left_out = f", evenly spread over {frames.total}" if len(shown) < frames.total else ""
    colour = "; the colour of an atom is forces_std, the std of the force on it" if of_atoms else ""
    words = (
        f"{len(shown)} frames{left_out}. Click a point to see the structure{colour}. The menus of the map "
        "choose other axes, those of the structure other colours; the slider plays the run."
    )
    y_of = {"x": "time", "y": y, "colour": "temperature", "joined": True}
    return [Text(words), Structures(name, shown, properties, of_atoms, **y_of)]


def about_run(directory: Path, about: dict, record: MDRecord) -> list[tuple[str, str]]:
    """Return where a run lies and how it was made, in pairs of a name and a value."""
    calculator = about.get("calculator") or {}
    info = calculator.get("model_info") or {}
    settings = about.get("settings", {})
    model = f"{info['model']} (sha256 {str(info.get('sha256'))[:12]}…)" if "model" in info else ""
    rows = [
        ("run", str(directory.resolve())),
        ("calculator", " ".join(filter(None, (calculator.get("name"), model)))),
        ("ensemble", f"{record.ensemble.upper()}, {record.n_atoms} atoms"),
        ("start", f"{settings['temperature_K']:g} K" if settings.get("temperature_K") else ""),
        ("versions", ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items())),
    ]
    return [(name, value) for name, value in rows if value]


def numbers_of_run(record: MDRecord, judged: Drift | None) -> dict:
    """Return what programs may want to read of a run, in JSON types."""
    found = {
        "kind": "run",
        "time_ps": float(record.time_fs[-1]) / 1000,
        "n_atoms": record.n_atoms,
        "mean_temperature_K": float(record.temperature_K.mean()),
    }
    if judged is not None:
        found["drift_meV_per_atom_per_ps"] = judged.drift_meV_per_atom_per_ps
        found["drift_stderr_meV_per_atom_per_ps"] = judged.drift_stderr_meV_per_atom_per_ps
    return found

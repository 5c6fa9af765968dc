"""What a report says of the replicas in a directory: a verdict and a line of a table for each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ase_schnet.plotting import plot_exchange
from ase_schnet.plotting.style import as_png
from ase_schnet.report.judged_run import JudgedRun, judged_run
from ase_schnet.report.of_run import about_run, numbers_of_run
from ase_schnet.report.page import Page, Picture, Section, Table, Verdict
from ase_schnet.report.viewer import Property, Structures
from ase_schnet.runs.exchange_log import EXCHANGE_LOG, ExchangeRecord
from ase_schnet.runs.record import replicas_in

#: The worst first.
OUTCOMES = ("FAIL", "INCONCLUSIVE", "PASS")
COLUMNS = (
    *("replica", "time (ps)", "mean temperature (K)", "drift (meV/atom/ps)", "±"),
    *("median energy_std (meV/atom)", "verdict"),
)


def replicas_page(directory: Path, *, structures: bool) -> Page:
    """Collect what a report says of the directory of ``run_replicas`` (md --replicas).

    Parameters
    ----------
    directory
        It holds the directories of the replicas. One that cannot be read, or has not begun, is told as such.
    structures
        Whether the last frame of each replica is shown.

    Raises
    ------
    ValueError
        None of the replicas can be read.
    """
    runs: dict[Path, JudgedRun] = {}
    verdicts, rows = [], []
    for place in replicas_in(directory):
        try:
            runs[place] = judged_run(place)
            verdicts.append(_verdict(place.name, runs[place]))
            numbers = _row(runs[place])
        except ValueError as error:
            verdicts.append(Verdict(place.name, "INCONCLUSIVE", str(error)))
            numbers = [math.nan] * (len(COLUMNS) - 2)
        rows.append([place.name, *numbers, verdicts[-1].outcome])
    if not runs:
        raise ValueError(verdicts[0].words)
    sections = [Section("Replicas", [Table(COLUMNS, rows)]), *_exchange(directory)]
    if structures and any(run.frames.shown for run in runs.values()):
        sections.append(Section("Where the replicas are", [_last_frames(runs)]))
    first, one = next(iter(runs.items()))
    about = dict(about_run(first, one.about, one.record))
    starts = {run.about.get("settings", {}).get("temperature_K") for run in runs.values()} - {None}
    if len(starts) > 1:
        about["start"] = f"{min(starts):g} to {max(starts):g} K"
    about = {**about, "run": str(directory.resolve()), "replicas": str(len(rows))}
    return Page(
        f"Replicas {directory.resolve().name}: {one.about.get('formula', '')}",
        list(about.items()),
        verdicts,
        sections,
        {
            "kind": "replicas",
            "replicas": {
                place.name: numbers_of_run(run.record, run.drift) for place, run in runs.items()
            },
        },
    )


def _verdict(name: str, run: JudgedRun) -> Verdict:
    """Return one judgement of a run: the worst of its own, and why."""
    outcome = next((one for one in OUTCOMES if any(v.outcome == one for v in run.verdicts)), "NOTE")
    told = [v for v in run.verdicts if v.outcome == outcome]
    told += [v for v in run.verdicts if v.about == "Collected"]
    return Verdict(name, outcome, "; ".join(f"{v.about}: {v.words}" for v in told))


def _row(run: JudgedRun) -> list[float]:
    """Return the numbers of a run under the names of `COLUMNS`."""
    record, slope = run.record, run.drift
    std = record.energy_std_eV
    return [
        float(record.time_fs[-1]) / 1000,
        float(record.temperature_K.mean()),
        math.nan if slope is None else slope.drift_meV_per_atom_per_ps,
        math.nan if slope is None else slope.drift_stderr_meV_per_atom_per_ps,
        math.nan if std is None else 1000 * float(np.nanmedian(std)) / record.n_atoms,
    ]


def _exchange(directory: Path) -> Sequence[Section]:
    """Return the section of a replica exchange of which something was tried; none of other replicas."""
    if not (directory / EXCHANGE_LOG).exists():
        return []
    record = ExchangeRecord.read(directory)
    if not len(record.time_fs):
        return []
    words = f"Temperatures of the walkers, and acceptance. Round trips: {record.round_trips.sum()}."
    return [Section("Exchange", [Picture(as_png(plot_exchange(record)), words)])]


def _last_frames(runs: dict[Path, JudgedRun]) -> Structures:
    last = {place: run.frames.shown[-1] for place, run in runs.items() if run.frames.shown}
    records = [runs[place].record for place in last]
    properties = {
        "replica": Property(np.array([int(place.name.split("_")[-1]) for place in last])),
        "potential energy": Property(
            np.array([record.potential_energy_eV[-1] for record in records]), "eV", "last sample"
        ),
        "temperature": Property(
            np.array([record.temperature_K.mean() for record in records]), "K", "mean of the run"
        ),
    }
    axes = {"x": "replica", "y": "potential energy", "colour": "temperature"}
    return Structures("Last frames", list(last.values()), properties, **axes)

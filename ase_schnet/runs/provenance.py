"""Describe the atoms, the calculator and the software of a run, for ``run.json``."""

import platform
from pathlib import Path

import ase
import numpy as np
from ase import Atoms

from ase_schnet import __version__
from ase_schnet.applicability.calculator_parts import components_of
from ase_schnet.runs.record import MDRecord, read_about


def provenance(atoms: Atoms, calculator: dict) -> dict:
    """Return what run.json says of ``atoms``, of the software, and of a calculator so described."""
    return {
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "calculator": calculator,
        "versions": {
            "ase_schnet": __version__,
            "ase": ase.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def describe_calculator(calculator) -> dict:
    """Return the name of a calculator and, where it or a part of it tells, its ``model_info``."""
    told = [
        getattr(one, "model_info", None)
        for one in (calculator, *(p for p, _ in components_of(calculator)))
    ]
    return {
        "name": getattr(calculator, "name", None) or type(calculator).__name__,
        "model_info": next((info for info in told if info is not None), None),
    }


def process_of_run(directory: Path) -> dict | None:
    """Return the process that works in a run directory, or did when it ended abruptly."""
    try:
        return read_about(directory).get("process")
    except (OSError, ValueError):
        return None


def repulsion_of_run(path: str | Path, default: str | None) -> str | None:
    """Return the repulsion of the run in the directory ``path``; ``default`` where there is no run."""
    try:
        return read_about(path)["calculator"]["model_info"].get("repulsion")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return default  # no run, or a damaged one, which whoever resumes it says


def unfinished(run_dir: Path, record: MDRecord) -> float | None:
    """Return the time, ps, that was asked of a run that has not come to it and did not fail; else None."""
    about = read_about(run_dir)
    asked_ps = about.get("time_ps")
    if record.failure is not None or asked_ps is None:
        return None
    # the last sample may be earlier than the last step by nearly the time between two
    sample_ps = record.timestep_fs * about["settings"]["record_every"] / 1000
    next_ps = record.time_fs[-1] / 1000 + sample_ps if len(record) else 0.0
    return None if next_ps > asked_ps * (1 + 1e-9) else float(asked_ps)

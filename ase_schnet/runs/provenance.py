"""Which atoms, calculator and software a run was made with."""

import json
import platform
from importlib import metadata
from pathlib import Path

import ase
import numpy as np
from ase import Atoms

from ase_schnet.applicability.calculator_parts import components_of
from ase_schnet.runs.record import RUN_FILE


def provenance(atoms: Atoms) -> dict:
    """For run.json: plain values, with name and checksum of the model where the calculator tells."""
    try:
        package = metadata.version("ase_schnet")
    except metadata.PackageNotFoundError:
        package = "not installed"
    return {
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "calculator": describe_calculator(atoms.calc),
        "versions": {
            "ase_schnet": package,
            "ase": ase.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def describe_calculator(calculator) -> dict:
    """Return its name and, where it or else a part of it tells, its model's."""
    told = [
        getattr(one, "model_info", None)
        for one in (calculator, *(p for p, _ in components_of(calculator)))
    ]
    return {
        "name": getattr(calculator, "name", None) or type(calculator).__name__,
        "model_info": next((info for info in told if info is not None), None),
    }


def require_same_repulsion(path: Path, then: dict | None, now: dict | None) -> None:
    """Refuse to go on with the run in ``path`` with another repulsion than it began with.

    The repulsion changes nothing within the distances of training, so that the first energy, by which
    another calculator is noticed, does not tell.

    Parameters
    ----------
    then, now
        ``model_info`` of the run and of the calculator at hand; None where it tells nothing. A run that
        says nothing of a repulsion had none.

    Raises
    ------
    ValueError
    """
    if then is None or now is None or "repulsion" not in now:
        return
    before = then.get("repulsion")
    if before != now["repulsion"]:
        raise ValueError(
            f"{path} holds a run with repulsion={before!r}, the calculator has "
            f"{now['repulsion']!r}: give it repulsion={before!r} (--repulsion {before or 'none'}), or begin "
            "a new run in another directory"
        )


def repulsion_of_run(path: str | Path, default: str | None) -> str | None:
    """Repulsion that the run in the directory ``path`` was made with; ``default`` where there is no run."""
    try:
        about = json.loads((Path(path) / RUN_FILE).read_text())
        info = about["calculator"]["model_info"]
        return info.get("repulsion")
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return default  # no run, or a damaged one, which whoever resumes it says

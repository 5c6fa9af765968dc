"""Leave out what a structure still holds of results and labels that were made before those at hand.

ASE's results have no place for standard deviations, error bars and polarizabilities, so files hold them in
``info`` and ``arrays`` of a structure. From there they would go on beside new results, as if they belonged to
them: bars of another model, a polarizability of one geometry in every frame of a run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Names of results in ``info`` and ``arrays``.
RESULTS = (
    *("energy_std", "forces_std", "stress_std", "dipole_std"),
    *("energy_error", "forces_error", "stress_error", "error_level"),
    *("polarizability", "polarizability_std"),
)
#: What ``info`` says of a structure of training data: how it was made, and what it weighs.
MARKS = ("augmented", "augmented_from", "frame_id", "loss_weight")
#: What ``info`` says of labels: their units, and whose they are.
UNITS, LEVEL = "units", "level_of_theory"


def without_results(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``info`` or ``arrays`` without results."""
    return {name: value for name, value in values.items() if name not in RESULTS}


def info_of_moved(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ``info`` that a structure keeps when its atoms move: no results, no marks of training data.

    All frames of a run would be the one structure that augmented ones were made from.
    """
    return {name: value for name, value in without_results(info).items() if name not in MARKS}


def info_for_results(info: Mapping[str, Any], units: str) -> dict[str, Any]:
    """Return the ``info`` that results of a calculator may stand beside.

    Parameters
    ----------
    info
        Of the structure; other entries are kept.
    units
        Of the results. They take the place of units that `info` states.
    """
    kept = without_results(info)
    kept.pop(LEVEL, None)
    return kept | ({UNITS: units} if UNITS in kept else {})

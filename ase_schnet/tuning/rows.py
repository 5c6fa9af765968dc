"""The trials of a search as rows of a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ase_schnet.runtime.files import write_csv
from ase_schnet.tuning.study import FAILED, SAID

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

UNFINISHED = "unfinished"


@dataclass(frozen=True)
class Row:
    """Hold what became of one trial.

    Attributes
    ----------
    number
        From 0, in the order of their beginnings.
    ended
        "complete", "pruned", "diverged", "failed" or "unfinished".
    score
        Geometric mean of the validation errors over the spreads of their labels; None if not complete.
    values
        What was varied, by names of hyperparameters.
    errors
        Validation errors at the end, with their units in their names; mean over its folds.
    epochs
        Epochs that were trained, over all of its folds.
    time_s
        Time of its training, s.
    """

    number: int
    ended: str
    score: float | None
    values: Mapping[str, Any]
    errors: Mapping[str, float] = field(default_factory=dict)
    epochs: int = 0
    time_s: float = 0.0


def rows_of(trials: Sequence[FrozenTrial]) -> list[Row]:
    """Return the rows of trials, without those that never began."""
    rows = []
    for trial in trials:
        said = trial.user_attrs.get(SAID, {})
        ended = said.get("ended", UNFINISHED) if trial.state.is_finished() else UNFINISHED
        if ended == FAILED and not said.get("epochs"):
            continue
        rows.append(
            Row(
                trial.number,
                ended,
                trial.value if ended == "complete" else None,
                dict(trial.params),
                said.get("errors", {}),
                said.get("epochs", 0),
                said.get("time_s", 0.0),
            )
        )
    return rows


def write_rows(path: Path, rows: Sequence[Row]) -> None:
    """Write the table of the trials, a line each; cells are empty where there is no number.

    Parameters
    ----------
    path
        The csv file.
    rows
        The trials.
    """
    errors = sorted({name for row in rows for name in row.errors})
    names = list(dict.fromkeys(name for row in rows for name in row.values))
    table = {
        "trial": [row.number for row in rows],
        "ended": [row.ended for row in rows],
        "score": [row.score for row in rows],
        **{f"validation_{name}": [row.errors.get(name) for row in rows] for name in errors},
        "epochs": [row.epochs for row in rows],
        "time_s": [round(row.time_s, 3) for row in rows],
        **{name: [row.values.get(name) for row in rows] for name in names},
    }
    write_csv(path, {name: np.array(column, dtype=object) for name, column in table.items()})

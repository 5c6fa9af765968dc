"""Read what a learning has come to, finished or not, without touching its files."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from ase import Atoms

from ase_schnet.learning.explore import Life, RunPlan
from ase_schnet.learning.rounds import (
    ASKED_FOR,
    GOAL,
    LABELS,
    LAST,
    SETTINGS,
    Row,
    finished_rows,
    goal_reached,
    least_of_many,
)
from ase_schnet.learning.settings import LearnSettings, sizes_of_rounds
from ase_schnet.model_directories import CARD
from ase_schnet.structures.reading import read_frames


@dataclass(frozen=True)
class Learning:
    """Hold a learning as it lies on disk.

    Attributes
    ----------
    directory
        Of the learning.
    settings
        What it was begun with, in JSON types.
    goal_force_meV_per_Ang, budget
        What was asked for last: error of the forces, and structures to label; None for the default budget.
    rows
        What became of each finished round.
    lives
        Of the runs of the model of the end; none before the end.
    rounds_left
        Rounds of the budget that are not done.
    """

    directory: Path
    settings: dict
    goal_force_meV_per_Ang: float
    budget: int | None
    rows: list[Row]
    lives: list[Life]
    rounds_left: int

    @property
    def reached(self) -> bool:
        """Whether the goal was met by the last rounds."""
        return goal_reached(self.rows)

    @property
    def finished(self) -> bool:
        """Whether there is a model of the end."""
        return (self.directory / CARD).exists()

    def labels(self) -> list[Atoms]:
        """Return the labelled structures, with what is noted of each in ``info``."""
        path = self.directory / LABELS
        return list(read_frames(path)) if path.exists() else []


def is_learning(directory: Path) -> bool:
    """Return whether a directory is that of a learning."""
    return (directory / SETTINGS).is_file()


def read_learning(directory: str | Path) -> Learning:
    """Read a learning; ValueError if there is none, or its files are damaged."""
    directory = Path(directory)
    if not is_learning(directory):
        raise ValueError(f"{directory} holds no learning: it has no {SETTINGS}")
    try:
        settings = _json(directory / SETTINGS)
        asked = _json(directory / ASKED_FOR) if (directory / ASKED_FOR).exists() else {}
        goal = float(asked.get(GOAL, float("nan")))
        rows = [row.held_against(goal) for row in finished_rows(directory)]
        budgets = asked.get("budgets") or []
        budget = budgets[-1] if budgets else None
        members = int(settings.get("members", LearnSettings.members))
        left = (
            len(sizes_of_rounds(budgets, members, least_of_many(directory))) - len(rows)
            if budgets
            else 0
        )
        lives = _lives_of_the_end(directory)
        return Learning(directory, settings, goal, budget, rows, lives, left)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{directory} is damaged: {error}") from None


def _json(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def _lives_of_the_end(directory: Path) -> list[Life]:
    """Return the lives of the model that was trained last, from the largest number of structures."""
    found = {
        int(path.parent.name.removeprefix(f"{LAST}_")): path
        for path in (directory / "rounds").glob(f"{LAST}_*/lives.json")
    }
    if not found:
        return []
    return [
        Life(RunPlan(**each), life_ps, ended)
        for each in json.loads(found[max(found)].read_text(encoding="utf-8"))
        for life_ps, ended in [(each.pop("life_ps"), each.pop("ended"))]
    ]

"""A learning on disk: one folder for each round, whose files say what was done and why.

DIR/learn.json            the settings; asked_for.json those that may change, budget and goal
DIR/rounds.csv            a line for each round
DIR/labels.extxyz         all labels; with .journal, in which every finished call of the reference stands
DIR/rounds/K/             candidates.extxyz, chosen.extxyz, runs/, model/, round.json
DIR/rounds/last_N/        the model of the end, from N structures, and its runs; it is copied to DIR
DIR/rounds/added_K/       chosen.extxyz: structures that were added after the end
DIR/rounds/head_start/    networks that those of the difference to a cheap method start from
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import iread, write

from ase_schnet.learning.explore import Life
from ase_schnet.learning.settings import IN_A_ROW, LEAST_LATER, LEAST_OF_MANY
from ase_schnet.runtime.files import naming, replaced, write_csv, write_whole

LAST, LABELS, SETTINGS, ROW = "last", "labels.extxyz", "learn.json", "round.json"
#: What may change between two calls, and the name of the goal in it, which is that among the settings.
ASKED_FOR, GOAL = "asked_for.json", "goal_force_meV_per_Ang"
#: The rule by which a budget was divided, beside them.
LEAST = "least_of_many"
GOAL_MET = f"the goal was met {IN_A_ROW} times in a row"


@dataclass(frozen=True)
class Row:
    """Hold what became of a round.

    Attributes
    ----------
    round
        Its number, from 0.
    calls
        Structures that were given to the reference so far.
    labels, failed
        Those with a label, and those without.
    random
        Structures drawn at random in this round, with labels; they judged the model of the round before.
    forces_mae_meV_per_Ang, energy_mae_meV
        Errors of that model on them; NaN in round 0.
    runs_whole, runs
        Of its runs of the dynamics that it is for, those that nothing ended, and all.
    goal_met
        Whether it was good enough.
    """

    round: int
    calls: int
    labels: int
    failed: int
    random: int
    forces_mae_meV_per_Ang: float
    energy_mae_meV: float
    runs_whole: int
    runs: int
    goal_met: bool = False

    def held_against(self, goal_meV_per_Ang: float) -> Row:
        """Return the row with ``goal_met`` for an error of the forces that is asked for, meV/Å."""
        met = self.forces_mae_meV_per_Ang <= goal_meV_per_Ang and self.runs_whole == self.runs > 0
        return replace(self, goal_met=met)

    def words(self, goal_meV_per_Ang: float) -> str:
        """Return what the model of the round before came to."""
        if not self.runs:
            return "the first labels"
        lived = f"{self.runs_whole} of {self.runs} runs whole"
        if not self.random:
            return f"no random structure to judge by, {lived}: not yet"
        on = f"{self.random} random structure{'s' * (self.random > 1)}"
        return (
            f"the model before: forces {self.forces_mae_meV_per_Ang:.1f} meV/Å on {on} (goal "
            f"{goal_meV_per_Ang:g}), {lived}: {'good enough' if self.goal_met else 'not yet'}"
        )


class RoundDirectory:
    """Hold the files of one round, each made once.

    Parameters
    ----------
    directory
        Of the learning.
    name
        Number of the round, or the name of another folder.
    """

    def __init__(self, directory: Path, name: int | str):
        self.path = directory / "rounds" / str(name)
        self.path.mkdir(parents=True, exist_ok=True)
        self.model, self.runs = self.path / "model", self.path / "runs"
        self._row, self._lives = self.path / ROW, self.path / "lives.json"

    @property
    def begun(self) -> bool:
        """Whether something of the round was done: the process that did it may have been stopped."""
        return any(self.path.iterdir())

    def frames(self, name: str, make: Callable[[], list[Atoms]]) -> list[Atoms]:
        """Return the structures of a file of the round; make and write them if they are not there."""
        path = self.path / f"{name}.extxyz"
        if not path.exists():
            frames = make()
            with naming(path), replaced(path) as there:
                write(there, frames, format="extxyz")
        if not path.stat().st_size:  # what ASE writes of no structures, and does not read
            return []
        # read back even if they were just made: what goes on after a stop is the same to the last bit
        return list(iread(path, ":"))

    @property
    def row(self) -> Row | None:
        """What became of the round; None as long as it is not finished."""
        if not self._row.exists():
            return None
        return Row(**json.loads(self._row.read_text(encoding="utf-8")))

    def finish(self, row: Row) -> None:
        """Write what became of the round."""
        write_whole(self._row, (json.dumps(asdict(row), indent=1) + "\n").encode())

    def write_lives(self, lives: list[Life]) -> None:
        """Write how long the runs lived."""
        told = [
            {**asdict(life.plan), "life_ps": life.life_ps, "ended": life.ended} for life in lives
        ]
        write_whole(self._lives, (json.dumps(told, indent=1) + "\n").encode())


def goal_reached(rows: list[Row]) -> bool:
    """Return whether the last rounds met the goal."""
    last = rows[-IN_A_ROW:]
    return len(last) == IN_A_ROW and all(row.goal_met for row in last)


def finished_rows(directory: Path) -> list[Row]:
    """Return what became of the rounds of a learning that are done, in their order."""
    texts = (path.read_text(encoding="utf-8") for path in (directory / "rounds").glob(f"*/{ROW}"))
    return sorted((Row(**json.loads(text)) for text in texts), key=lambda row: row.round)


def write_table(directory: Path, rows: list[Row]) -> None:
    """Write rounds.csv."""
    columns = {name: np.array([getattr(row, name) for row in rows]) for name in asdict(rows[0])}
    write_csv(directory / "rounds.csv", columns)


def folders(directory: Path, prefix: str) -> list[str]:
    """Return the names of the rounds whose structures were chosen, in order: a prefix and a number."""
    found = (path.parent.name for path in (directory / "rounds").glob(f"{prefix}*/chosen.extxyz"))
    numbers = (name.removeprefix(prefix) for name in found)
    return [f"{prefix}{k}" for k in sorted(int(text) for text in numbers if text.isdigit())]


def least_of_many(directory: Path) -> int:
    """Return what `sizes_of_rounds` is told of a learning: directories of older versions do not say."""
    path = directory / ASKED_FOR
    if not path.exists():
        return LEAST_OF_MANY
    return int(json.loads(path.read_text(encoding="utf-8")).get(LEAST, LEAST_LATER))


def agreed_budgets(directory: Path, wanted: int | None, default: int, goal: float) -> list[int]:
    """Return the budgets that were asked for, call after call, and write down what is asked for now.

    Parameters
    ----------
    directory
        Of the learning.
    wanted
        Budget; None: the last one, or the default.
    default
        If none was ever asked for.
    goal
        Error of the forces to be reached, meV/Å.

    Raises
    ------
    ValueError
        If it is smaller than it was.
    """
    path = directory / ASKED_FOR
    budgets: list[int] = []
    if path.exists():
        budgets = json.loads(path.read_text(encoding="utf-8"))["budgets"]
    budgets = budgets or [wanted or default]
    if wanted is not None and wanted < budgets[-1]:
        raise ValueError(
            f"the budget is {budgets[-1]} structures already and can only be raised, not be {wanted}"
        )
    if wanted is not None and wanted > budgets[-1]:
        budgets.append(wanted)
    told = {"budgets": budgets, GOAL: goal, LEAST: least_of_many(directory)}
    write_whole(path, (json.dumps(told, indent=1) + "\n").encode())
    return budgets

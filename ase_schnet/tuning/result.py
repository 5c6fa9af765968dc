"""What came out of a search, in numbers, in words and in files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ase_schnet.training.hyperparameters import Hyperparameters
from ase_schnet.training.recipe import Recipe
from ase_schnet.tuning.rows import UNFINISHED, Row, write_rows

SETTINGS, TABLE = "settings.json", "tuning.csv"


@dataclass(frozen=True, eq=False)
class TuneResult:
    """Hold what came out of a search.

    Attributes
    ----------
    directory
        Of the search, with ``settings.json`` and ``tuning.csv``.
    rows
        The trials, in the order of their beginnings.
    recipe
        The recipe that was given.
    first
        What the space varies, as the recipe has it; the first trial, if the space holds it.
    time_s
        Time in which the search was at work, s.
    importance
        Share of the variance of ln(score) that each hyperparameter explains, largest first; None of fewer
        than ten complete trials.
    fixed
        What the space holds fixed.
    """

    directory: Path
    rows: Sequence[Row]
    recipe: Recipe
    first: Mapping[str, Any]
    time_s: float = 0.0
    importance: Mapping[str, float] | None = None
    fixed: Mapping[str, Any] = field(default_factory=dict)

    @property
    def best(self) -> Row | None:
        """The complete trial with the smallest score; None if there is none."""
        complete = [row for row in self.rows if row.score is not None]
        return min(complete, key=lambda row: row.score, default=None)

    @property
    def start(self) -> Row | None:
        """The complete trial of what the recipe says; None if there is none."""
        same = (row for row in self.rows if row.values == self.first and row.score is not None)
        return next(same, None)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Those of the best trial, with the epochs of the recipe; of the recipe, if no trial is complete."""
        base = Hyperparameters.of(self.recipe).with_values(self.fixed)
        return base if self.best is None else base.with_values(self.best.values)

    @property
    def tuned_recipe(self) -> Recipe:
        """The recipe with the hyperparameters of the best trial, for `cross_validate`."""
        return self.hyperparameters.applied_to(self.recipe)

    def write(self) -> None:
        """Write the table and, if a trial is complete, the settings file. Raises OSError."""
        write_rows(self.directory / TABLE, self.rows)
        if self.best is not None:
            self.hyperparameters.write(self.directory / SETTINGS)

    def counts(self) -> str:
        """Return how many trials there are, and how they ended, in words."""
        n = Counter(row.ended for row in self.rows)
        ended = [
            f"{n[how]} {how}" for how in sorted(n, key=lambda how: (how == UNFINISHED, -n[how]))
        ]
        return f"{len(self.rows)} trial{'s' * (len(self.rows) != 1)} ({', '.join(ended) or 'none'})"

    def gain(self) -> str:
        """Return by how much the best score is below that of the recipe, in words; "" if one is missing."""
        if self.best is None or self.start is None:
            return ""
        change = 100 * (self.best.score / self.start.score - 1)
        return f"{change:+.1f} %".replace("-", "−")

    def summary(self) -> str:
        """Return what was found, in a few lines."""
        lines = [f"{self.counts()} in {self.time_s / 3600:.2f} h"]
        best, start = self.best, self.start
        if best is None:
            return "\n".join(
                [*lines, "no trial is complete: give more --hours, or a smaller --share"]
            )
        if start is not None:
            lines.append(f"as given:    {_judged(start)}")
        lines.append(f"trial {best.number:<6} {_judged(best)}{_in_brackets(self.gain())}")
        if best is start:
            return "\n".join([*lines, "no trial is better than what was given"])
        lines += [
            f"  {name:<15} {_short(value)}{_in_brackets(_was(self.first.get(name), value))}"
            for name, value in best.values.items()
        ]
        lines.append(
            "the best of many trials is lucky too: on structures that none was validated on, expect less"
        )
        return "\n".join(lines)


def _judged(row: Row) -> str:
    """Return score and errors of a trial in words."""
    units = {
        "energy_mae_meV_per_atom": ("E", "meV/atom"),
        "forces_mae_meV_per_Ang": ("F", "meV/Å"),
        "stress_mae_meV_per_Ang3": ("σ", "meV/Å³"),
    }
    errors = ", ".join(f"{units[k][0]} {v:.3g} {units[k][1]}" for k, v in row.errors.items())
    return f"score {row.score:.4g}; validation MAE {errors}; {row.time_s:.0f} s"


def _was(before: Any, now: Any) -> str:
    return "" if before == now or before is None else f"was {_short(before)}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""

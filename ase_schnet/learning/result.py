"""What came out of a learning, in numbers and in words."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ase_schnet.learning.explore import Life, whole_runs
from ase_schnet.learning.rounds import Row
from ase_schnet.modelfile import TrainedModel
from ase_schnet.training.report import verdict_of
from ase_schnet.uncertainty.bars import LEVEL
from ase_schnet.uncertainty.conformal import structures_needed


@dataclass(frozen=True)
class LearnResult:
    """Hold what came out of a learning.

    Attributes
    ----------
    directory
        Of the learning; it is a model directory too.
    rows
        What became of each round.
    reached
        Whether the model met the goal twice in a row.
    ended
        Why the rounds ended, in words.
    goal_force_meV_per_Ang
        The goal, meV/Å.
    lives
        Of the runs of the model of the end.
    calls
        Structures that were given to the reference in all.
    model
        The model of the end.
    rounds_left
        Rounds of the budget that were not done.
    """

    directory: Path
    rows: list[Row]
    reached: bool
    ended: str
    goal_force_meV_per_Ang: float
    lives: list[Life]
    calls: int
    model: TrainedModel
    rounds_left: int = 0

    def of_the_end(self) -> tuple[int, float, float]:
        """Return calls, error of the forces (meV/Å, on random structures), and share of whole runs."""
        whole, runs = whole_runs(self.lives)
        return self.calls, self.model.card["kept_out"]["forces_mae_meV_per_Ang"], whole / runs

    def summary(self) -> str:
        """Return what was learnt and how good it is, in a few lines."""
        judged = self.model.card["kept_out"]
        whole, runs = whole_runs(self.lives)
        rounds = f"{len(self.rows)} round{'s' * (len(self.rows) != 1)}"
        lines = [
            f"ended after {rounds} and {self.calls} structures: {self.ended}",
            f"the model: forces {judged['forces_mae_meV_per_Ang']:.1f} meV/Å (goal "
            f"{self.goal_force_meV_per_Ang:g}), {told_energy(judged)}on {judged['n_structures']} random "
            f"structures that no member saw; {whole} of {runs} new runs whole",
        ]
        if (verdict := verdict_of(self.model.card)) and not verdict.passed:
            lines.append(str(verdict).splitlines()[-1])
        if intervals := self.model.card.get("intervals"):
            lines.append(
                f"error bars of {100 * intervals['level']:g} % rest on the same structures "
                "(energy_error, forces_error)"
            )
        else:
            lines.append(
                f"no error bars: those of {100 * LEVEL:g} % need {structures_needed(LEVEL)} random structures"
            )
        if not self.reached:
            more = (
                "goes on with the next round"
                if self.rounds_left
                else "with a larger budget goes on"
            )
            lines.append(f"not good enough yet: the same call {more}")
        ended = [life.ended for life in self.lives if life.plan.at_goal and not life.whole]
        reasons = Counter(ended).most_common(1)
        if reasons:
            lines.append(f"what ended runs, for example: {reasons[0][0]}")
        return "\n".join(lines)


def spent(calls: int, budget: int) -> str:
    """Return why the rounds of a budget ended, in words: all of it was labelled, or there was no more."""
    if calls < budget:
        return f"all rounds are done, and found {calls} structures of a budget of {budget}"
    return f"the budget of {budget} structures is spent"


def told_energy(judged: dict) -> str:
    """Return the error of the energies in words, of a molecule or of each atom of a crystal."""
    units = {"energy_mae_meV": "meV", "energy_mae_meV_per_atom": "meV/atom"}
    return next((f"energy {judged[k]:.1f} {unit} " for k, unit in units.items() if k in judged), "")

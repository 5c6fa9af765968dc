"""The loop: rounds until the model is good enough twice in a row, or the budget is spent."""

from __future__ import annotations

import json
import math
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet.data.splits import FoldPlan
from ase_schnet.inference.features import ModelFeatures
from ase_schnet.learning.aims import RunAim
from ase_schnet.learning.asked import AFTER_ALL, asked, bare, identity_of, said_by
from ase_schnet.learning.choose import choose
from ase_schnet.learning.explore import Life, explore, plan_runs
from ase_schnet.learning.first import check_starts, first_candidates, structures_of_aims
from ase_schnet.learning.fit import Fitted, divided, first_model, fit_round
from ase_schnet.learning.judge import judged
from ase_schnet.learning.labels import labels_of
from ase_schnet.learning.resources import Resources
from ase_schnet.learning.result import LearnResult, spent
from ase_schnet.learning.rounds import (
    ASKED_FOR,
    GOAL_MET,
    LABELS,
    LAST,
    SETTINGS,
    RoundDirectory,
    Row,
    agreed_budgets,
    finished_rows,
    goal_reached,
    least_of_many,
    write_table,
)
from ase_schnet.learning.settings import (
    DEAR_BUDGET,
    QUICK_BUDGET,
    LearnSettings,
    Methods,
    sizes_of_rounds,
)
from ase_schnet.learning.trust import refuse_contradicting
from ase_schnet.model_directories import CARD
from ase_schnet.modelfile import TrainedModel, load_model, save_model
from ase_schnet.runtime.cores import cores
from ase_schnet.runtime.kept_settings import agree
from ase_schnet.runtime.locks import LockFile
from ase_schnet.runtime.progress import duration
from ase_schnet.sampling.parts import remove_parts
from ase_schnet.sampling.spread import sorted_distances
from ase_schnet.uncertainty.bars import LEVEL
from ase_schnet.uncertainty.conformal import structures_needed

PARTS = "parts"
#: Thermal structures from which runs of the model begin.
MOST_STARTS = 100


class Loop:
    """Hold what all rounds have in common."""

    def __init__(
        self, starts: list[Atoms], directory: Path, settings: LearnSettings, resources: Resources
    ):
        if not starts:
            raise ValueError("there is no structure to learn from")
        self.starts = [bare(atoms, said_by(atoms)) for atoms in starts]
        self.directory, self.settings, self.resources = directory, settings, resources
        self.aims = settings.aims()
        self.methods = Methods.of(settings, periodic=bool(starts[0].pbc.any()))
        check_starts(self.starts, self.aims, self.methods)
        self.first = first_model(settings, self.starts)
        self.sizes: list[int] = []
        self._retries = resources.retry_failed
        self._fitted: Fitted | None = None  # what was trained last in this call
        self._explored_s = 0.0  # of the last runs of a model

    @classmethod
    def of_directory(cls, directory: Path, resources: Resources) -> Loop:
        """Return the loop that a directory was begun with; ValueError where none has come to its end."""
        path = directory / SETTINGS
        if not path.exists() or not (directory / CARD).exists():
            raise ValueError(f"{directory} holds no finished learning to extend: begin one with -o")
        told = json.loads(path.read_text(encoding="utf-8"))
        starts = [
            Atoms(numbers, positions, cell=cell, pbc=pbc, info=info)
            for numbers, positions, cell, pbc, info in told["structures"]
        ]
        told |= json.loads((directory / ASKED_FOR).read_text(encoding="utf-8"))
        values = {f.name: told[f.name] for f in fields(LearnSettings) if f.name in told}
        values["toward"] = tuple(values["toward"])
        return cls(starts, directory, LearnSettings(**values), resources)

    def locked(self) -> LockFile:
        """Return the lock of the directory, which is made if it is not there; ValueError for a model's."""
        if (self.directory / CARD).exists() and not (self.directory / SETTINGS).exists():
            raise ValueError(
                f"{self.directory} holds another model: give the learning its own folder"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        what = f"the learning in {self.directory}"
        return LockFile(self.directory / "learn.lock", what, take_over=self.resources.take_over)

    def begin(self) -> None:
        """Write the settings, or hold them against those that the directory was begun with.

        Raises
        ------
        ValueError
            For other settings; only budget and goal may change, and the budget only grow.
        """
        other = f"learn in another directory ({self.directory / LABELS} stays what it is)"
        default = QUICK_BUDGET if self.methods.is_quick else DEAR_BUDGET
        if not (self.directory / ASKED_FOR).exists():  # before anything is written
            sizes_of_rounds([self.settings.budget or default], self.settings.members)
        identity = identity_of(self.starts, self.settings, self.methods)
        agree(self.directory / SETTINGS, identity, "a learning", other)
        goal = self.settings.goal_force_meV_per_Ang
        budgets = agreed_budgets(self.directory, self.settings.budget, default, goal)
        least = least_of_many(self.directory)
        self.sizes = sizes_of_rounds(budgets, self.settings.members, least)

    def run(self, hours: float | None, *, begins_rounds: bool = True) -> LearnResult:
        """Do the rounds that are not done, if it `begins_rounds`, and train the model of the end."""
        end = math.inf if hours is None else time.monotonic() + 3600 * hours
        rows: list[Row] = []
        self.resources.tell(
            f"at most {sum(self.sizes)} structures, in rounds of {', '.join(map(str, self.sizes))}; "
            f"{self.methods.how_chosen}"
        )
        ended, done = "", len(finished_rows(self.directory))
        for k, size in enumerate(self.sizes):
            place = RoundDirectory(self.directory, k)
            if rows and place.row is None and (not begins_rounds or time.monotonic() > end):
                ended = "rounds are left" if hours is None else f"{hours:g} h are over"
                break
            if place.row is not None:
                self._tell_of(place.row)
            row = place.row or self._timed_round(k, size, place)
            rows.append(row.held_against(self.settings.goal_force_meV_per_Ang))
            write_table(self.directory, rows)
            if k + 1 >= done and goal_reached(rows):
                ended = GOAL_MET
                break
        model, lives = self._last()
        if self._retries:
            self.resources.tell("no failed label was tried again: the model of the end is begun")
        goal, calls = self.settings.goal_force_meV_per_Ang, len(asked(self.directory))
        ended, left = ended or spent(rows[-1].calls, sum(self.sizes)), len(self.sizes) - len(rows)
        return LearnResult(
            self.directory, rows, goal_reached(rows), ended, goal, lives, calls, model, left
        )

    def _timed_round(self, k: int, size: int, place: RoundDirectory) -> Row:
        """Do a round, and say for how long all may go on, if this process has done the whole of it."""
        began, is_new = time.monotonic(), not place.begun
        row = self._round(k, size, place)
        took = time.monotonic() - began
        if is_new and self._fitted is not None:
            left = took * (len(self.sizes) - k - 1) + self._explored_s
            left += self._fitted.last_s(self.settings, self.methods)
            runs = "" if self._explored_s else ", without the runs of its models"
            told = f"at most some {duration(left)} left{runs}"
            self.resources.tell(f"round {k} took {duration(took)}; {told}")
        return row

    def _round(self, k: int, size: int, place: RoundDirectory) -> Row:
        """Explore, choose, label, judge the model before, and fit."""
        before = None if k == 0 else self._model_of(k - 1)
        lives: list[Life] = []
        if before is None:
            candidates = place.frames("candidates", lambda: self._first(size, place))
            remove_parts(place.path / PARTS)
        else:
            frames, lives = self._explored(before, place, k)
            place.write_lives(lives)
            rng = np.random.default_rng([self.settings.seed, k, 1])
            aimed = (self.aims, self.starts[0], str(before), rng)
            candidates = place.frames("candidates", lambda: frames + structures_of_aims(*aimed))
        place.frames("chosen", lambda: self._chosen(k, size, before, candidates))
        labelled, calls = self._labelled(k)
        if k == 0:
            refuse_contradicting(labelled, self.methods)
        row = judged(k, before, lives, labelled, calls)
        self._tell_of(row)
        self.resources.tell(f"round {k}: {row.labels} of {row.calls} structures have labels")
        if k + 1 < len(self.sizes):  # a model after the last round would be asked nothing
            self._model_of(k, labelled)
        place.finish(row)
        return row

    def _labelled(self, k: int) -> tuple[list[Atoms], int]:
        """Return the structures of the rounds up to k that have labels, and how many were asked for."""
        everything = asked(self.directory)  # also what was added after an end: the file is whole
        known = self._label(everything, RoundDirectory(self.directory, k))
        labelled = [a for a in known if a.info["round"] <= k]
        return labelled, len([a for a in everything if a.info["round"] <= k])

    def _model_of(self, k: int, labelled: list[Atoms] | None = None) -> Path:
        """Return the model of round k, fitted if it is not: that of a last round whose budget was raised."""
        place = RoundDirectory(self.directory, k)
        if not (place.row is not None and (place.model / CARD).exists()):
            labelled = labelled or self._labelled(k)[0]
            plan, split = divided(labelled, self.settings.members, k, self.methods.kept_rounds)
            start = self.first if k == 0 else load_model(self._model_of(k - 1))
            self.resources.tell(f"round {k}: {split}")
            self._fit(labelled, place.model, plan, start, last=False)
        return place.model

    def _first(self, size: int, place: RoundDirectory) -> list[Atoms]:
        parts, at_work = place.path / PARTS, (self.resources.jobs, self.resources.take_over)
        return first_candidates(self.starts, self.methods, self.settings, size, parts, *at_work)

    def _explored(
        self, model: Path, place: RoundDirectory, k: int | None = None
    ) -> tuple[list[Atoms], list[Life]]:
        """Return frames and lives of runs of a model, in round k or at the end, from thermal structures."""
        earlier = asked(self.directory, k)
        # a molecule that had come apart when its run was stopped is no start
        thermal = [a for a in earlier if a.info["at_goal"] and not a.info.get("stopped")]
        thermal = thermal or self.starts
        rng = np.random.default_rng([self.settings.seed, AFTER_ALL if k is None else k])
        said = said_by(self.starts[0])
        starts = [bare(thermal[i], said) for i in rng.permutation(len(thermal))[:MOST_STARTS]]
        aims = [aim for aim in self.aims if isinstance(aim, RunAim)]
        goals = [(self.settings.temperature_K, self.settings.life_ps)]
        goals += [(aim.temperature_K, aim.time_ps) for aim in aims]
        jobs, number = self.resources.jobs or cores(), int(rng.integers(2**31))
        began = time.monotonic()
        plans = plan_runs(goals, biased=self.methods.chooses_by_doubt)
        found = explore(model, starts, plans, place.runs, seed=number, jobs=jobs)
        self._explored_s = time.monotonic() - began
        return found

    def _chosen(
        self, k: int, size: int, before: Path | None, candidates: list[Atoms]
    ) -> list[Atoms]:
        earlier = asked(self.directory)
        descriptor = sorted_distances if before is None else ModelFeatures(before)
        rng = np.random.default_rng([self.settings.seed, k, 2])
        share, by_doubt = self.methods.random_share, self.methods.chooses_by_doubt
        chosen = choose(candidates, earlier, size, descriptor, rng, share, by_doubt=by_doubt)
        for number, atoms in enumerate(chosen, start=len(earlier)):
            atoms.info |= {"round": k, "number": number}
        return chosen

    def _label(self, frames: list[Atoms], place: RoundDirectory) -> list[Atoms]:
        """Return those with labels; what failed is retried if asked for, once, before a model is begun."""
        again = self._retries and not place.model.exists()
        self._retries = self._retries and not again
        needed, path = 2 * self.settings.members, self.directory / LABELS
        return labels_of(frames, self.methods.reference, path, needed, self.resources, again)

    def _tell_of(self, row: Row) -> None:
        goal = self.settings.goal_force_meV_per_Ang
        self.resources.tell(f"round {row.round}: {row.held_against(goal).words(goal)}")

    def _last(self) -> tuple[TrainedModel, list[Life]]:
        """Train an ensemble on all labels, let it run, and copy it to the directory of the learning."""
        structures = asked(self.directory)
        place = RoundDirectory(self.directory, f"{LAST}_{len(structures)}")
        frames = self._label(structures, place)
        kept, needed = self.methods.kept_rounds, structures_needed(LEVEL)
        # one that is half done counts too: its end, of as many structures, then divides them alike
        last = max(k for a in structures if (k := a.info["round"]) < AFTER_ALL)
        plan, split = divided(frames, self.settings.members, last, kept, needed)
        self.resources.tell(f"the last training, on all labels; {split}")
        model = self._fit(frames, place.model, plan, self.first, last=True)
        _, lives = self._explored(place.model, place)
        place.write_lives(lives)
        save_model(self.directory, model)
        return load_model(self.directory), lives

    def _fit(
        self,
        frames: list[Atoms],
        path: Path,
        plan: FoldPlan,
        start: TrainedModel | None,
        last: bool,
    ) -> TrainedModel:
        """Fit the members as `fit_round` does, and keep how long it took."""
        self._fitted = fit_round(
            frames,
            path,
            plan,
            self.settings,
            self.methods,
            start=start,
            last=last,
            head_start_in=self.directory / "rounds" / "head_start",
            workers=self.resources.workers,
        )
        return self._fitted.model

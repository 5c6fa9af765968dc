"""One search: its directory, what it is for, and one process of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from ase_schnet.data.dataset import Dataset
from ase_schnet.model_directories import CARD
from ase_schnet.runtime.files import naming
from ase_schnet.runtime.kept_settings import agree
from ase_schnet.training.hyperparameters import Hyperparameters
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.stored import StoredDataset
from ase_schnet.tuning.result import TuneResult
from ase_schnet.tuning.rows import rows_of
from ase_schnet.tuning.score import Score
from ase_schnet.tuning.sessions import time_spent
from ase_schnet.tuning.settings import TuneSettings
from ase_schnet.tuning.space import SearchSpace
from ase_schnet.tuning.study import QUEUE, Study
from ase_schnet.tuning.trial import Trials, of_trials

DATA, BEGUN, SESSIONS = "data.npz", "tuning.json", "sessions"
WARMUP_SHARE = 1 / 3  # of the epochs of a trial: before that, a high learning rate looks bad


@dataclass
class Search:
    """Hold one search: its directory, and what it is for.

    Attributes
    ----------
    directory
        Of the search.
    recipe
        What is to be trained, with all defaults decided.
    settings
        The space, and what a trial is.
    take_over
        As in `tune`.

    Raises
    ------
    ValueError
        If the space holds values that cannot be trained, or the folds of a trial are more than there are.
    """

    directory: Path
    recipe: Recipe
    settings: TuneSettings
    take_over: bool = False

    def __post_init__(self):
        self.space = self.settings.space or SearchSpace.around(self.recipe)
        self.space.require_allowed(self.recipe)
        if self.settings.trial_folds > self.recipe.n_folds:
            raise ValueError(
                f"a trial cannot train {self.settings.trial_folds} folds, there are {self.recipe.n_folds}"
            )
        self.base = self.space.base(self.recipe)
        self.short = of_trials(self.base.applied_to(self.recipe), self.settings.share)
        values = self.base.values()
        self.first: dict[str, Any] = {name: values[name] for name in self.space.varied}
        self.data = StoredDataset(self.directory / DATA)

    def begin(self, dataset: Dataset) -> None:
        """Make the directory, or check that the same search was begun in it.

        Raises
        ------
        ValueError
            If it holds another search, or a model; if the GPU of the recipe is not here.
        CannotWrite
            If it cannot be written.
        """
        if (self.directory / CARD).exists():
            raise ValueError(f"{self.directory} holds a model: choose another output directory")
        self.recipe.require_device()
        score = Score.of(dataset, self.base.weights)
        with naming(self.directory):
            self.directory.mkdir(parents=True, exist_ok=True)
        before = {
            "space": self.space.to_dict(),
            "share": self.settings.share,
            "folds of a trial": self.settings.trial_folds,
            "seed": self.settings.seed,
            "data": dataset.fingerprint(),
            "config": self.recipe.config.to_dict(),
            **self.recipe.to_dict(),
        }
        with FileLock(self.directory / QUEUE):
            agree(self.directory / BEGUN, before, "a search")
            if not self.data.path.exists():
                self.data.write(dataset)
        self.open(score)

    def open(self, score: Score) -> None:
        """Open the trials of a search that was begun, which are compared by `score`."""
        warmup = round(WARMUP_SHARE * self.short.settings.epochs)
        seed = self.settings.seed
        self.score = score
        self.study = Study(self.directory, self.space, self.first, warmup, seed, self.take_over)

    def plan(self, hours: float) -> str:
        """Return space and budget in words."""
        given = "the first trial is what was given"
        if not self.space.contains(self.first):
            given = "what was given lies outside"
        folds = f"{self.settings.trial_folds} fold{'s' * (self.settings.trial_folds > 1)}"
        return (
            f"space ({given}):\n{self.space}\n"
            f"budget: {hours:g} h; a trial: {folds}, {self.short.settings.epochs} epochs of "
            f"{self.base.settings.epochs}, ended early if worse than the median\n"
            f"score: geometric mean of the validation MAE of {' and '.join(self.score.spreads)}, each over "
            "the spread of its labels"
        )

    def work(self, keep_going: Callable[[], bool]) -> None:
        """Train one trial after the other while `keep_going` returns true."""
        trials = Trials(
            self.short,
            Hyperparameters.of(self.short),
            self.data,
            self.score,
            self.settings.trial_folds,
        )
        while keep_going() and (claim := self.study.next()) is not None:
            try:
                trials.run(self.study, claim, keep_going)
            finally:
                claim.lock.release()
            with self.study.queue():
                self.result().write()

    def result(self, *, with_importance: bool = False) -> TuneResult:
        """Return what is known up to now."""
        return TuneResult(
            self.directory,
            rows_of(self.study.trials()),
            self.recipe,
            self.first,
            time_spent(self.directory / SESSIONS),
            self.study.importance() if with_importance else None,
            self.space.fixed,
        )

    def found(self) -> str:
        """Return what is known up to now in a few words."""
        result = self.result()
        best = "" if result.best is None else f"; best {result.best.score:.4g}"
        return f"{result.counts()}{best} {result.gain()}".rstrip()

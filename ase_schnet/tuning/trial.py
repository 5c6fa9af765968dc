"""One trial: the training of a fold or several, in which a fit that is worse than most ends early."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from ase_schnet.data.dataset import Dataset
from ase_schnet.training.checkpoint import load_header
from ase_schnet.training.hyperparameters import Hyperparameters
from ase_schnet.training.log import ELAPSED, read_log
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.result import TrainingDiverged
from ase_schnet.training.run import run_fit
from ase_schnet.training.stored import StoredDataset
from ase_schnet.training.trainer import Fit
from ase_schnet.tuning.score import Score, geometric_mean
from ase_schnet.tuning.study import COMPLETE, DIVERGED, FAILED, PRUNED, Claim, Study

#: A trial is judged about so often while it goes on.
REPORTS = 20


@dataclass(frozen=True, eq=False)
class Trials:
    """Train trials.

    Attributes
    ----------
    recipe
        What is tuned, with all defaults decided and with the epochs of a trial.
    base
        Hyperparameters of what a trial does not vary.
    data
        All structures, on disk.
    score
        What trials are compared by.
    folds
        Folds that each trial trains and is judged on, from the first.
    """

    recipe: Recipe
    base: Hyperparameters
    data: StoredDataset | Dataset
    score: Score
    folds: int = 1

    def run(self, study: Study, claim: Claim, keep_going: Callable[[], bool]) -> bool:
        """Train a trial from where it is to its end; return False if `keep_going` stopped it before.

        Raises
        ------
        ValueError
            What the fit raises; the trial has failed then.
        CannotWrite
            As `run_fit`; the trial can be gone on with.
        """
        if study.started(claim, _epochs_done(claim.directory)):
            study.end(claim, FAILED, None, reason="began too often", **_cost(claim.directory))
            return True
        try:
            return self._train(study, claim, keep_going)
        except ValueError as error:
            study.end(claim, FAILED, None, reason=str(error), **_cost(claim.directory))
            raise

    def _train(self, study: Study, claim: Claim, keep_going: Callable[[], bool]) -> bool:
        recipe = self.base.with_values(claim.values).applied_to(self.recipe)
        ends = []
        for fold in range(self.folds):
            fit = recipe.fit(self.data, fold)
            watch = _Watch(study, claim, fit, self.score, keep_going, may_prune=fold == 0)
            place = claim.directory / f"fold_{fold + 1}"
            try:
                result = run_fit(
                    fit,
                    place.with_suffix(".safetensors"),
                    log=place.with_suffix(".csv"),
                    label=None,
                    keep_going=watch,
                )
            except TrainingDiverged:
                study.end(claim, DIVERGED, None, **_cost(claim.directory))
                return True
            if watch.pruned:
                errors = self.score.errors(fit.history[-1])
                study.end(claim, PRUNED, None, errors=errors, **_cost(claim.directory))
                return True
            if result is None:
                return False
            ends.append({f"validation_{k}": v for k, v in result.validation.to_dict().items()})
        each = [self.score.errors(end) for end in ends]
        errors = {name: sum(e[name] for e in each) / len(each) for name in each[0]}
        score = geometric_mean([self.score(end) for end in ends])
        study.end(claim, COMPLETE, score, errors=errors, **_cost(claim.directory))
        return True


class _Watch:
    """Look at a fit before each of its epochs: report its score, and say whether it goes on."""

    def __init__(
        self,
        study: Study,
        claim: Claim,
        fit: Fit,
        score: Score,
        keep_going: Callable[[], bool],
        *,
        may_prune: bool,
    ):
        self._study, self._claim, self._fit, self._score = study, claim, fit, score
        self._keep_going, self._may_prune = keep_going, may_prune
        self._every = max(1, fit.settings.epochs // REPORTS)
        self.pruned = False

    def __call__(self) -> bool:
        epoch = self._fit.epoch
        if self._may_prune and epoch and epoch % self._every == 0:
            score = self._score(self._fit.history[-1])
            self.pruned = self._study.report(self._claim, epoch, score)
        return not self.pruned and self._keep_going()


def of_trials(recipe: Recipe, share: float) -> Recipe:
    """Return the recipe with the epochs of a trial, a share of its own."""
    epochs = max(1, round(share * recipe.settings.epochs))
    return replace(recipe, settings=replace(recipe.settings, epochs=epochs, patience=0))


def _epochs_done(directory: Path) -> int:
    """Return the epochs in the checkpoints of a trial."""
    return sum(load_header(path)["epoch"] for path in directory.glob("fold_*.safetensors"))


def _cost(directory: Path) -> dict[str, float]:
    """Return epochs and seconds of the fits of a trial, from their logs."""
    logs = [read_log(path) for path in sorted(directory.glob("fold_*.csv"))]
    return {
        "epochs": sum(len(log.get("epoch", ())) for log in logs),
        "time_s": sum(max((t for t in log.get(ELAPSED, ()) if t), default=0.0) for log in logs),
    }

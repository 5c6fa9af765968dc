"""The trials of a search on disk: an Optuna study in SQLite, which several processes share.

Whoever begins a trial holds the lock of the queue until he holds the lock of the trial. A trial that is
begun, and whose lock nobody holds, was left by a process that ended: the next one goes on with it. What is
tried next depends on the trials before, the seed, and nothing else: a search of one process that is killed
and started again tries the same points as one that is not.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock

from ase_schnet.runtime.locks import InUseError, LockFile
from ase_schnet.tuning.optuna_study import DRAWN, distributions_of, open_study, quiet
from ase_schnet.tuning.space import SearchSpace

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial, Trial
else:
    try:
        import optuna
    except ImportError:  # an optional dependency
        optuna = None

DATABASE, QUEUE, TRIALS = "study.db", "queue.lock", "trials"
#: Begun so often at the same epoch without coming further, a trial has failed.
MAX_STARTS = 3
#: User attributes of a trial.
SAID, STARTS = "said", "starts"
COMPLETE, PRUNED, DIVERGED, FAILED = "complete", "pruned", "diverged", "failed"
TRIED = "the point was tried before"


@dataclass(frozen=True, eq=False)
class Claim:
    """Hold a trial that this process works on.

    Attributes
    ----------
    trial
        Of Optuna.
    directory
        Of its checkpoints and logs.
    lock
        Held until the trial has ended or is left.
    """

    trial: Trial
    directory: Path
    lock: LockFile

    @property
    def number(self) -> int:
        """Number of the trial, from 0."""
        return self.trial.number

    @property
    def values(self) -> dict[str, Any]:
        """What is varied, by names of hyperparameters."""
        return dict(self.trial.params)


class Study:
    """Begin, go on with and end trials.

    Parameters
    ----------
    directory
        Of the search; it exists.
    space
        What is varied.
    first
        The point that is tried first, if the space holds it.
    warmup_epochs
        Epochs of a trial before it can be pruned.
    seed
        Of the points.
    take_over
        Go on with trials of processes of other hosts.

    Raises
    ------
    ValueError
        If Optuna is not installed, or the directory has a name that no database can have.
    """

    def __init__(
        self,
        directory: Path,
        space: SearchSpace,
        first: dict[str, Any],
        warmup_epochs: int,
        seed: int = 0,
        take_over: bool = False,
    ):
        self.directory, self._space, self._seed = directory, space, seed
        self._first = {name: first[name] for name in space.varied}
        self._take_over = take_over
        self._distributions = distributions_of(space.varied)
        with self.queue():
            self._study = open_study(directory / DATABASE, warmup_epochs)

    @contextmanager
    def queue(self) -> Iterator[None]:
        """Let one process at a time begin a trial or write what came out."""
        with FileLock(self.directory / QUEUE), quiet():
            yield

    def next(self) -> Claim | None:
        """Return a trial that was left, or else a new one; None if all points are tried or being tried."""
        with self.queue():
            return self._left() or self._new()

    def trials(self) -> list[FrozenTrial]:
        """Return all trials as they are now."""
        return self._study.get_trials(deepcopy=False)

    def report(self, claim: Claim, epoch: int, score: float) -> bool:
        """Note the score of an epoch; return whether the trial is worse than most and must end.

        An epoch that was noted before, by a process that was killed later, is left alone.
        """
        if epoch not in claim.trial.storage.get_trial(claim.trial._trial_id).intermediate_values:
            claim.trial.report(score, epoch)
        return claim.trial.should_prune()

    def end(self, claim: Claim, how: str, score: float | None, **said: Any) -> None:
        """Write down how a trial ended, and let it go.

        Parameters
        ----------
        claim
            The trial.
        how
            COMPLETE, PRUNED, DIVERGED or FAILED.
        score
            Of a complete trial.
        **said
            More about it, in plain types.
        """
        claim.trial.set_user_attr(SAID, {"ended": how, **said})
        states = optuna.trial.TrialState
        state = {COMPLETE: states.COMPLETE, FAILED: states.FAIL}.get(how, states.PRUNED)
        if how == DIVERGED:  # worse than all others
            claim.trial.report(float("inf"), 1 + (_last_epoch(claim.trial) or 0))
        with quiet():
            self._study.tell(claim.number, score if how == COMPLETE else None, state)
        for path in claim.directory.glob("*.safetensors"):
            path.unlink()
        claim.lock.release()
        if how == FAILED and not said.get("epochs"):  # it was never begun
            shutil.rmtree(claim.directory, ignore_errors=True)

    def started(self, claim: Claim, epoch: int) -> bool:
        """Note that a trial is begun, or gone on with, at an epoch; return whether it comes no further.

        A network that needs more memory than there is kills every process that tries it.
        """
        starts = [*claim.trial.user_attrs.get(STARTS, []), epoch]
        claim.trial.set_user_attr(STARTS, starts)
        return starts.count(epoch) > MAX_STARTS

    def importance(self) -> dict[str, float] | None:
        """Return the share of the variance of ln(score) that each hyperparameter explains, largest first.

        By functional ANOVA (Hutter, Hoos, Leyton-Brown, ICML 2014) over the complete trials; None of fewer
        than ten, or of one hyperparameter.
        """
        complete = [t for t in self.trials() if t.state == optuna.trial.TrialState.COMPLETE]
        if len(complete) < DRAWN or len(self._space.varied) < 2:
            return None
        with quiet():
            found = optuna.importance.get_param_importances(
                self._study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0),
                target=lambda trial: float(np.log(trial.value)),
            )
        return {name: float(share) for name, share in found.items()}

    def _left(self) -> Claim | None:
        for frozen in self.trials():
            if frozen.state != optuna.trial.TrialState.RUNNING:
                continue
            try:
                lock = self._lock(frozen.number)
            except InUseError:
                continue
            trial = optuna.trial.Trial(self._study, frozen._trial_id)
            if trial.storage.get_trial(trial._trial_id).state != optuna.trial.TrialState.RUNNING:
                lock.release()  # it was ended, and let go, since the trials were read
                continue
            claim = Claim(trial, self._directory_of(frozen.number), lock)
            if set(frozen.params) == set(self._distributions):
                return claim
            self.end(claim, FAILED, None, reason="the process was killed before it began")
        return None

    def _new(self) -> Claim | None:
        while True:
            trials = self.trials()
            tried = {_key(t.params) for t in trials if len(t.params) == len(self._distributions)}
            if len(tried) >= self._space.size:
                return None
            seed = int(np.random.SeedSequence([self._seed, len(trials)]).generate_state(1)[0])
            if not trials and self._space.contains(self._first):
                self._study.enqueue_trial(self._first)
            elif trials and trials[-1].user_attrs.get(SAID, {}).get("reason") == TRIED:
                self._study.enqueue_trial(self._untried(tried, seed))
            self._study.sampler = optuna.samplers.TPESampler(
                n_startup_trials=DRAWN, constant_liar=True, seed=seed
            )
            trial = self._study.ask(self._distributions)
            claim = Claim(trial, self._directory_of(trial.number), self._lock(trial.number))
            if _key(trial.params) not in tried:
                return claim
            self.end(claim, FAILED, None, reason=TRIED)

    def _untried(self, tried: set[tuple], seed: int) -> dict[str, Any]:
        """Return a point of a space that has one left, drawn at random."""
        random = np.random.default_rng(seed)
        while True:
            point = self._space.draw(random)
            if _key(point) not in tried:
                return point

    def _directory_of(self, number: int) -> Path:
        return self.directory / TRIALS / f"{number:04d}"

    def _lock(self, number: int) -> LockFile:
        directory = self._directory_of(number)
        directory.mkdir(parents=True, exist_ok=True)
        return LockFile(directory / "lock", f"trial {number}", take_over=self._take_over)


def _key(params: dict[str, Any]) -> tuple:
    return tuple(sorted(params.items()))


def _last_epoch(trial: Trial) -> int | None:
    return trial.storage.get_trial(trial._trial_id).last_step

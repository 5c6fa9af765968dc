"""The working directory of an ensemble that is being trained: MODEL_DIR/training.

=================================  ====================================================================
``plan.json``                      the recipe, the fingerprint of the data, where they came from
``data.npz``                       the labelled structures, which processes and machines read
``fold_3.csv``                     log of the fit of fold 3; it stays when the model is complete
``fold_3.safetensors``             its checkpoint
``fold_3_done.safetensors``        its weights, once it is finished
``fold_3_again*``                  the same of its second attempt, with another seed, if there is one
``fold_3.lock``, ``training.lock`` the process that trains fold 3; the process that trains all folds
``pretraining``                    the pool of a pretraining and its labels, if there is one
=================================  ====================================================================

Folds are counted from 1. Every file is replaced as a whole, and the files of a fold are written by the job of
that fold alone. So jobs on several machines share this directory and nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from torch import Tensor

from ase_schnet.data.dataset import Dataset
from ase_schnet.model_directories import CARD
from ase_schnet.modelfile import load_model
from ase_schnet.runtime.files import CannotWrite, naming, write_whole
from ase_schnet.runtime.locks import LockFile
from ase_schnet.training.changes import ELECTRONS, require_same
from ase_schnet.training.checkpoint import load_checkpoint, load_header, save_checkpoint
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.result import TrainingDiverged
from ase_schnet.training.stored import StoredDataset, damaged
from ase_schnet.training.trainer import TINY_LOSS

WORK, PRETRAINING = "training", "pretraining"
PLAN, DATA = "plan.json", "data.npz"
# what the card's "training" has of a recipe; ELECTRONS stand beside it
IN_CARD = ("loss", "settings", "kept_out", "folds", "augmentation", "start")
FAR_WORSE = 4.0  # times the median loss of the other folds: twice their error
ATTEMPT_SUFFIX = ("", "_again")


class WorkDirectory:
    """Manage the files in MODEL_DIR/training, and say what is still to be done.

    Parameters
    ----------
    directory
        The model directory.
    """

    def __init__(self, directory: str | Path):
        self.model_dir = Path(directory)
        self.path = self.model_dir / WORK
        self.data = StoredDataset(self.path / DATA)

    @property
    def complete(self) -> bool:
        """Whether the model is there, with all members joined."""
        return (self.model_dir / CARD).exists()

    @property
    def begun(self) -> bool:
        """Whether a training was begun and is not complete."""
        return (self.path / PLAN).exists()

    def begin(self, dataset: Dataset, recipe: Recipe, provenance: dict | None = None) -> None:
        """Write down what is to be trained, or check that the same was begun or finished before.

        Raises
        ------
        ValueError
            If the directory holds the training of another recipe or of other data. All differences are named.
        CannotWrite
            If a file cannot be written.
        """
        plan = {
            "recipe": {"config": recipe.config.to_dict(), **recipe.to_dict()},
            "data": dataset.fingerprint(),
            "provenance": provenance or {},
            "seen_before": recipe.seen_before,
        }
        plan = json.loads(json.dumps(plan))
        if self.complete:
            require_same(self.model_dir, self._finished_plan(), plan, dataset)
        elif self.begun:
            require_same(self.model_dir, self.plan(), plan, dataset, self.data.read)
        else:
            self._make()
            self.data.write(dataset)
            write_whole(self.path / PLAN, json.dumps(plan).encode())  # last: now all is there

    def plan(self) -> dict:
        """Return recipe, fingerprint and provenance. Raises ValueError where no training was begun."""
        path = self.path / PLAN
        try:
            return json.loads(path.read_text())
        except FileNotFoundError:
            raise ValueError(
                f"{self.model_dir} holds no training; begin one with ase-schnet train"
            ) from None
        except ValueError as error:
            raise damaged(path, error) from None

    @property
    def n_folds(self) -> int:
        """Number of members of the ensemble."""
        return len(self.plan()["recipe"]["folds"])

    def lock(self, take_over: bool = False) -> LockFile:
        """Return the lock of the whole training, held.

        Parameters
        ----------
        take_over
            As in :class:`~ase_schnet.runtime.locks.Lock`.

        Raises
        ------
        InUseError
            If another process trains the ensemble of this directory.
        """
        return self._lock("training.lock", f"{self.model_dir}", take_over)

    def lock_fold(self, fold: int, take_over: bool = False) -> LockFile:
        """Return the lock of one fold, held, as `lock` does."""
        return self._lock(f"fold_{fold}.lock", f"fold {fold} of {self.model_dir}", take_over)

    def checkpoint(self, fold: int, attempt: int) -> Path:
        """Return the file for the state of a fit."""
        return self.path / f"fold_{fold}{ATTEMPT_SUFFIX[attempt]}.safetensors"

    def log(self, fold: int, attempt: int) -> Path:
        """Return the file for the log of a fit."""
        return self.checkpoint(fold, attempt).with_suffix(".csv")

    def finish(self, fold: int, attempt: int, tensors: dict[str, Tensor], header: dict) -> None:
        """Write down how an attempt ended.

        Parameters
        ----------
        fold, attempt
            The fold from 1, the attempt from 0.
        tensors
            The weights; empty for a fit that diverged.
        header
            "diverged", and "entry" for the card.
        """
        save_checkpoint(self._done(fold, attempt), tensors, header)

    def attempts(self, fold: int) -> list[dict]:
        """Return the headers of the attempts that have ended."""
        paths = (self._done(fold, attempt) for attempt in range(len(ATTEMPT_SUFFIX)))
        return [load_header(path) for path in paths if path.exists()]

    def due(self, fold: int) -> int | None:
        """Return the attempt that a fold needs now; None if it is done or has failed for good."""
        ended = self.attempts(fold)
        if not ended:
            return 0
        if len(ended) < len(ATTEMPT_SUFFIX) and (ended[0]["diverged"] or self.times_worse(fold)):
            return 1
        return None

    def times_worse(self, fold: int) -> float | None:
        """Return the loss of a fold over the median of the others, if it is above FAR_WORSE; else None.

        The loss of a fold is the median over its structures: a few odd ones do not move it. It is judged
        when all folds have ended, by their first attempts, in whatever order they came.
        """
        losses = {k: self._first_loss(k) for k in range(1, self.n_folds + 1)}
        if None in losses.values():
            return None
        ratio = losses.pop(fold) / max(np.median(list(losses.values())), TINY_LOSS)
        return float(ratio) if ratio > FAR_WORSE else None

    def require_good(self, fold: int) -> None:
        """Raise TrainingDiverged if all attempts diverged."""
        ended = self.attempts(fold)
        if all(header["diverged"] for header in ended):
            seeds = " and ".join(str(header["entry"]["seed"]) for header in ended)
            raise TrainingDiverged(
                f"fold {fold} diverged with the seeds {seeds}; train in another directory with a lower "
                "learning rate"
            )

    def best(self, fold: int) -> tuple[dict[str, Tensor], dict]:
        """Return weights and header of the better attempt."""
        self.require_good(fold)
        good = [k for k, header in enumerate(self.attempts(fold)) if not header["diverged"]]
        ends = [load_checkpoint(self._done(fold, attempt)) for attempt in good]
        return min(ends, key=lambda end: end[1]["entry"]["loss_median"])

    def left_to_do(self) -> str | None:
        """Return one line with the folds that must still be trained, and why; None if none."""
        due = {fold: self.due(fold) for fold in range(1, self.n_folds + 1)}
        begun = [str(fold) for fold, attempt in due.items() if attempt == 0]
        begun = [f"fold{'s' * (len(begun) > 1)} {', '.join(begun)} not finished"] if begun else []
        again = [
            f"fold {fold} {self.why_again(fold)} and needs a second attempt"
            for fold, attempt in due.items()
            if attempt == 1
        ]
        return "; ".join(begun + again) or None

    def why_again(self, fold: int) -> str:
        """Return why a fold needs, or had, a second attempt."""
        worse = self.times_worse(fold)
        return f"ended {worse:.1f} times worse than the others" if worse else "diverged"

    def clean(self, *, pool: bool = True) -> None:
        """Remove all files but the logs, and, if asked to, but the pool of a pretraining."""
        ours = ("fold_*", "*.lock", f"{PLAN}*", f"{DATA}*", f".{PLAN}.*", f".{DATA}.*")
        for path in (path for pattern in ours for path in self.path.glob(pattern)):
            if path.suffix != ".csv":
                path.unlink()
        if pool and (self.path / PRETRAINING).exists():
            shutil.rmtree(self.path / PRETRAINING)

    def _finished_plan(self) -> dict:
        """Return what `plan` was, from the card of the finished model."""
        model = load_model(self.model_dir)
        training = model.card.get("training")
        if not training:
            raise ValueError(
                f"{self.model_dir} holds a model, and its card says nothing about its "
                "training. Choose another output directory"
            )
        recipe = {name: training[name] for name in IN_CARD if name in training}
        recipe |= {name: model.card[name] for name in ELECTRONS if name in model.card}
        recipe["level_of_theory"], recipe["baseline"] = model.level_of_theory, model.baseline
        return {
            "recipe": {"config": model.config, **recipe},
            "data": training.get("data_fingerprint"),
            "provenance": training,
        }

    def _lock(self, name: str, what: str, take_over: bool) -> LockFile:
        self._make()
        return LockFile(self.path / name, what, take_over=take_over)

    def _make(self) -> None:
        with naming(self.path):
            self.path.mkdir(parents=True, exist_ok=True)

    def _first_loss(self, fold: int) -> float | None:
        good = [header for header in self.attempts(fold) if not header["diverged"]]
        return good[0]["entry"]["loss_median"] if good else None

    def _done(self, fold: int, attempt: int) -> Path:
        return self.path / f"fold_{fold}{ATTEMPT_SUFFIX[attempt]}_done.safetensors"


@contextmanager
def resumable(how: str) -> Iterator[None]:
    """Add to the line of a file that could not be written how to go on: "`how` goes on"."""
    try:
        yield
    except CannotWrite as error:
        line = f"{error.strerror}. Earlier files are kept: correct the cause, then {how} goes on"
        raise OSError(error.errno, line) from None

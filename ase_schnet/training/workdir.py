"""The working directory of an ensemble that is being trained: MODEL_DIR/training.

=================================  ====================================================================
``plan.json``                      the recipe, the fingerprint of the data, where they came from
``data.npz``                       the labelled structures, so that the members can be joined anywhere
``fold_3.csv``                     log of the fit of fold 3; stays when the model is complete
``fold_3.safetensors``             its checkpoint
``fold_3_done.safetensors``        its weights, once it is finished
``fold_3_again…``                  the same of its second attempt, with another seed, where it needed one
=================================  ====================================================================

Folds are counted from 1. Every file is replaced as a whole, and a fold's files are written by the job of
that fold alone, so jobs on several machines need to share nothing but this directory.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from ase_schnet.data.dataset import Dataset
from ase_schnet.files import CannotWrite, naming, whole_file
from ase_schnet.modelfile import CARD, load_model
from ase_schnet.training.changes import ELECTRONS, require_same
from ase_schnet.training.checkpoint import load_checkpoint, load_header, save_checkpoint
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.trainer import TINY_LOSS, TrainingDiverged

WORK = "training"
PLAN, DATA = "plan.json", "data.npz"
# what the card's "training" has of a recipe; ELECTRONS stand beside it
IN_CARD = ("loss", "settings", "kept_out", "folds", "augmentation")
FAR_WORSE = 4.0  # times the median loss of the other folds: twice their error
ATTEMPT_SUFFIX = ("", "_again")


class WorkDirectory:
    """The files in `MODEL_DIR/training`, and what they say is still to be done."""

    def __init__(self, directory: str | Path):
        self.model_dir = Path(directory)
        self.path = self.model_dir / WORK

    @property
    def complete(self) -> bool:
        """The model is there, all members joined."""
        return (self.model_dir / CARD).exists()

    @property
    def begun(self) -> bool:
        """A training was begun and is not complete."""
        return (self.path / PLAN).exists()

    def begin(self, dataset: Dataset, recipe: Recipe, provenance: dict | None = None) -> None:
        """Write down what is to be trained, or see that it is what was begun, or finished, before.

        Raises ValueError when the directory holds the training of another recipe or of other data, naming
        all that differs.
        """
        plan = {"config": recipe.config.to_dict(), **recipe.to_dict()}
        plan = {
            "recipe": plan,
            "data": dataset.fingerprint(),
            "provenance": provenance or {},
        }
        plan = json.loads(json.dumps(plan))
        if self.complete:
            require_same(self.model_dir, self._finished_plan(), plan, dataset)
        elif self.begun:
            require_same(self.model_dir, self.plan(), plan, dataset, self.dataset)
        else:
            with naming(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
            columns = {f.name: getattr(dataset, f.name) for f in fields(dataset)}
            known = {name: value for name, value in columns.items() if value is not None}
            self._write(DATA, lambda file: np.savez(file, **known))
            text = json.dumps(plan).encode()
            self._write(PLAN, lambda file: file.write(text))  # last: all is there now

    def plan(self) -> dict:
        """Recipe, fingerprint and provenance. Raises ValueError where no training was begun."""
        try:
            return json.loads((self.path / PLAN).read_text())
        except FileNotFoundError:
            raise ValueError(
                f"{self.model_dir} holds no training; begin one with ase-schnet train"
            ) from None
        except ValueError as error:
            raise self._damaged(PLAN, error) from None

    @property
    def n_folds(self) -> int:
        """Members of the ensemble."""
        return len(self.plan()["recipe"]["folds"])

    def dataset(self) -> Dataset:
        """All structures with their labels."""
        try:
            with (self.path / DATA).open("rb") as raw, np.load(raw) as file:
                return Dataset(**{k: v if v.ndim else str(v) for k, v in file.items()})
        except (FileNotFoundError, ValueError, EOFError, TypeError, BadZipFile) as error:
            raise self._damaged(DATA, error) from None

    def checkpoint(self, fold: int, attempt: int) -> Path:
        """Where the state of a fit goes."""
        return self.path / f"fold_{fold}{ATTEMPT_SUFFIX[attempt]}.safetensors"

    def log(self, fold: int, attempt: int) -> Path:
        """Where the log of a fit goes."""
        return self.checkpoint(fold, attempt).with_suffix(".csv")

    def lock(self, fold: int):
        """To be held while a fold is trained; the system lets go of it when the process dies."""
        path = self.path / f"fold_{fold}.lock"
        with naming(path):
            try:
                return FileLock(path, timeout=0).acquire()
            except Timeout:
                raise ValueError(
                    f"fold {fold} is being trained by another process, which holds {path}"
                ) from None

    def finish(self, fold: int, attempt: int, tensors: dict[str, Tensor], header: dict) -> None:
        """Write down how an attempt ended: header["diverged"], and if not, weights and ["entry"]."""
        save_checkpoint(self._done(fold, attempt), tensors, header)

    def attempts(self, fold: int) -> list[dict]:
        """The headers of the attempts that have ended."""
        paths = (self._done(fold, attempt) for attempt in range(len(ATTEMPT_SUFFIX)))
        return [load_header(path) for path in paths if path.exists()]

    def due(self, fold: int) -> int | None:
        """The attempt that fold needs now; None if it is done or has failed for good."""
        ended = self.attempts(fold)
        if not ended:
            return 0
        if len(ended) < len(ATTEMPT_SUFFIX) and (ended[0]["diverged"] or self.times_worse(fold)):
            return 1
        return None

    def times_worse(self, fold: int) -> float | None:
        """How many times worse fold ended than the others did in the median, if FAR_WORSE; else None.

        A fold's loss is the median over its structures, which a few odd ones do not move. It is judged
        only when all folds have ended, by their first attempts, whatever the order they came in.
        """
        losses = {k: self._first_loss(k) for k in range(1, self.n_folds + 1)}
        if None in losses.values():
            return None
        ratio = losses.pop(fold) / max(np.median(list(losses.values())), TINY_LOSS)
        return float(ratio) if ratio > FAR_WORSE else None

    def require_good(self, fold: int) -> None:
        """Raise TrainingDiverged if no attempt led anywhere."""
        ended = self.attempts(fold)
        if all(header["diverged"] for header in ended):
            seeds = " and ".join(str(header["entry"]["seed"]) for header in ended)
            raise TrainingDiverged(
                f"fold {fold} diverged with the seeds {seeds}; train in another directory with a lower "
                "learning rate"
            )

    def best(self, fold: int) -> tuple[dict[str, Tensor], dict]:
        """Weights and header of the better attempt."""
        self.require_good(fold)
        good = [k for k, header in enumerate(self.attempts(fold)) if not header["diverged"]]
        ends = [load_checkpoint(self._done(fold, attempt)) for attempt in good]
        return min(ends, key=lambda end: end[1]["entry"]["loss_median"])

    def left_to_do(self) -> str | None:
        """The folds that must still be trained, and why, in one line; None if all are done."""
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
        """Why a fold needs, or had, a second attempt."""
        worse = self.times_worse(fold)
        return f"ended {worse:.1f} times worse than the others" if worse else "diverged"

    def clean(self) -> None:
        """Leave the logs alone behind."""
        ours = ("fold_*", f"{PLAN}*", f"{DATA}*", f".{PLAN}.*", f".{DATA}.*")
        for path in (path for pattern in ours for path in self.path.glob(pattern)):
            if path.suffix != ".csv":
                path.unlink()

    def _finished_plan(self) -> dict:
        """What `plan` was, from the card of the finished model."""
        model = load_model(self.model_dir)
        training = model.card.get("training")
        if not training:
            raise ValueError(
                f"{self.model_dir} holds a model whose card says nothing of its training; choose another "
                "output directory"
            )
        recipe = {name: training[name] for name in IN_CARD if name in training}
        recipe |= {name: model.card[name] for name in ELECTRONS if name in model.card}
        return {
            "recipe": {"config": model.config, **recipe},
            "data": training.get("data_fingerprint"),
            "provenance": training,
        }

    def _damaged(self, name: str, error: Exception) -> ValueError:
        return ValueError(
            f"{self.path / name} is damaged or missing ({error}); remove {self.path} and train anew"
        )

    def _first_loss(self, fold: int) -> float | None:
        good = [header for header in self.attempts(fold) if not header["diverged"]]
        return good[0]["entry"]["loss_median"] if good else None

    def _done(self, fold: int, attempt: int) -> Path:
        return self.path / f"fold_{fold}{ATTEMPT_SUFFIX[attempt]}_done.safetensors"

    def _write(self, name: str, write) -> None:
        with whole_file(self.path / name) as file:
            write(file)


@contextmanager
def resumable(how: str) -> Iterator[None]:
    """Add to the line of what could not be written `how` to go on when it can."""
    try:
        yield
    except CannotWrite as error:
        line = f"{error.strerror}; what was written before is kept, and when it can, {how} goes on"
        raise OSError(error.errno, line) from None

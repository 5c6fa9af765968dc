"""One member of an ensemble as a job by itself: it begins, goes on, or returns at once if it is done.

Run it for every fold, in any order, on any machines that see the model directory, as often as you like;
then `assemble_ensemble` (training/crossval.py) joins the members.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from numpy.typing import NDArray

from ase_schnet.data.contradictions import refuse_contradictions
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.outliers import refuse_outliers
from ase_schnet.data.seen import is_seen
from ase_schnet.runtime.progress import say
from ase_schnet.training.card import fold_entry
from ase_schnet.training.checkpoint import nested
from ase_schnet.training.cutoff import require_sensible_cutoff
from ase_schnet.training.distributed import (
    SharedFit,
    is_rank_zero,
    locked_by_rank_zero,
    on_every_rank,
    on_rank_zero,
    shared,
)
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.result import FitResult, TrainingDiverged
from ase_schnet.training.run import run_fit
from ase_schnet.training.stored import StoredDataset
from ase_schnet.training.trainer import Fit
from ase_schnet.training.workdir import WorkDirectory, resumable


@dataclass(frozen=True)
class RunControl:
    """Hold what a training is told beside its data and recipe: where it is shown, and when it stops.

    Attributes
    ----------
    position
        Line of the progress bar.
    keep_going
        Called before every epoch; when it returns false, the training stops with a checkpoint.
    take_over
        Train although a process of another host is written down as training here.
    """

    position: int = 0
    keep_going: Callable[[], bool] = lambda: True
    take_over: bool = False


def train_fold(
    dataset: Dataset,
    directory: str | Path,
    recipe: Recipe,
    fold: int,
    *,
    provenance: dict | None = None,
    allow_outliers: bool = False,
    allow_contradictions: bool = False,
    position: int = 0,
    keep_going: Callable[[], bool] = lambda: True,
    take_over: bool = False,
) -> bool:
    """Train one member of the ensemble in `directory`.

    A fit that diverges (see `run_fit`) is begun again once with another seed. So is a fit that ended far
    worse than the others (`WorkDirectory.times_worse`). That is known only when all have ended: call this a
    second time for every fold, or let `assemble_ensemble` say whether it is needed. Under torchrun all
    processes must call this, and share the fit.

    Parameters
    ----------
    dataset, directory, recipe
        As in :func:`~ase_schnet.training.crossval.cross_validate`.
    fold
        1 to the number of folds, as files and tables count them.
    provenance
        More JSON for the "training" entry of the card (data files, split).
    allow_outliers, allow_contradictions
        Train in spite of labels that `label_outliers` or `label_contradictions` names.
    position, keep_going, take_over
        As in :class:`RunControl`.

    Returns
    -------
    bool
        True when the member is done, False when `keep_going` stopped it.

    Raises
    ------
    ValueError
        If there is no such fold, if labels are missing, outlying or contradictory, or if there is another
        training in `directory`.
    InUseError, TrainingDiverged, OSError
        If another process trains this fold; if the fit diverged with both seeds; if something could not be
        written, such as on a full disk (earlier files stay).
    """
    if not 1 <= fold <= recipe.n_folds:
        raise ValueError(f"there are folds 1 to {recipe.n_folds}, not {fold}")
    recipe.require_device()
    work = WorkDirectory(directory)
    complete = on_rank_zero(lambda: work.complete)
    allowed = allow_outliers, allow_contradictions
    recipe = on_every_rank(lambda: checked_recipe(dataset, recipe, *allowed, complete))
    with resumable("the same call"):
        on_rank_zero(lambda: work.begin(dataset, recipe, provenance))
        if complete:
            return True
        control = RunControl(position, keep_going, take_over)
        return train_member(dataset, work, recipe, fold, control)


def checked_recipe(
    dataset: Dataset,
    recipe: Recipe,
    allow_outliers: bool,
    allow_contradictions: bool,
    complete: bool,
) -> Recipe:
    """Return the recipe with the defaults for `dataset`; before a training, check labels and augmentation.

    Raises
    ------
    ValueError
        For a cutoff that is none, folds of other structures, an element that a member would not be trained
        on, and labels that are missing, outlying or contradictory; and what the augmentation raises.
    """
    if not complete:
        recipe.require_trainable(dataset)
        require_sensible_cutoff(recipe.config, dataset, begun=recipe.start is not None)
    recipe = recipe.with_defaults_for(dataset)
    if complete:
        return recipe
    # errors of an augmentation should come here, before a directory is begun
    recipe.augmented(dataset, recipe.plan.training(0), 0)
    _warn_of_seen(dataset, recipe)
    if not allow_outliers:
        refuse_outliers(dataset)
    if not allow_contradictions:
        refuse_contradictions(dataset, forces=recipe.weights.forces > 0)
    return recipe


def judging(dataset: Dataset, kept_out: NDArray, seen_before: str | None) -> NDArray:
    """Return the numbers of the kept-out structures that judge an ensemble.

    They are those that the model which the members started from has not seen either; all, if it has seen all.
    """
    if seen_before is None:
        return kept_out
    new = kept_out[~is_seen(seen_before, dataset.subset(kept_out))]
    return new if len(new) else kept_out


def _warn_of_seen(dataset: Dataset, recipe: Recipe) -> None:
    kept_out, before = recipe.plan.kept_out, recipe.seen_before
    if before is None:
        return
    seen = int(is_seen(before, dataset.subset(kept_out)).sum())
    if seen:
        rest = len(kept_out) - seen
        warnings.warn(
            f"{seen} of {len(kept_out)} kept-out structures were in the training of {recipe.start.name}: "
            + (
                f"the other {rest} judge the model"
                if rest
                else "the errors and the error bars will flatter the model. Give structures that it has not "
                "seen, or all data and the seed of its training"
            ),
            stacklevel=3,
        )


def train_member(
    data: Dataset | StoredDataset,
    work: WorkDirectory,
    recipe: Recipe,
    fold: int,
    control: RunControl,
) -> bool:
    """Do what `train_fold` does, for a training that was begun in `work` with a checked recipe."""
    kind = SharedFit if shared() else Fit
    with locked_by_rank_zero(lambda: work.lock_fold(fold, control.take_over)):
        while (attempt := on_rank_zero(lambda: work.due(fold))) is not None:
            fit = on_every_rank(partial(recipe.fit, data, fold - 1, attempt, kind))
            if not _attempt(work, fit, fold, attempt, control):
                return False
        on_rank_zero(lambda: work.require_good(fold))
    return True


def _attempt(work: WorkDirectory, fit: Fit, fold: int, attempt: int, control: RunControl) -> bool:
    """Run one fit and write down how it ended; return False if it was stopped before."""
    if attempt:
        seed = fit.settings.seed
        on_rank_zero(lambda: say(f"fold {fold} {work.why_again(fold)}: again with seed {seed}"))
    try:
        result = run_fit(
            fit,
            work.checkpoint(fold, attempt),
            log=work.log(fold, attempt),
            label=f"fold {fold}" if is_rank_zero() else None,
            position=control.position,
            keep_going=control.keep_going,
        )
    except TrainingDiverged:
        entry = {"seed": fit.settings.seed, "epoch": fit.epoch, "recoveries": fit.recoveries}
        header = {"diverged": True, "entry": entry}
        on_rank_zero(lambda: work.finish(fold, attempt, {}, header))
        return True
    if result is None:
        return False
    on_rank_zero(lambda: work.finish(fold, attempt, *_ended(fit, result)))
    return True


def _ended(fit: Fit, result: FitResult) -> tuple[dict, dict]:
    """Return what the ensemble needs of a finished fit: weights and shift; scale and entry in the card."""
    potential = result.potential
    tensors = nested("schnet", potential.schnet.state_dict()) | {"shift": potential.shift}
    return tensors, {"diverged": False, "scale": potential.scale, "entry": fold_entry(fit, result)}

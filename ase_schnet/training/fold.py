"""One member of an ensemble as a job by itself: it begins, goes on, or returns at once if it is done.

Run it for every fold, in any order, on any machines that see the model directory, as often as you like;
then `assemble` (training/crossval.py) joins the members.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

from ase_schnet.data.contradictions import refuse_contradictions
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.outliers import refuse_outliers
from ase_schnet.training.card import fold_entry
from ase_schnet.training.checkpoint import nested
from ase_schnet.training.distributed import SharedFit, leads, shared, told
from ase_schnet.training.progress import say
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.run import run_fit
from ase_schnet.training.trainer import Fit, FitResult, TrainingDiverged
from ase_schnet.training.workdir import WorkDirectory, resumable


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
) -> bool:
    """Train one member of the ensemble in `directory`. True when it is done.

    A fit that diverges (see `run_fit`) is begun again once with another seed. So is one that ended far worse
    than all the others did (`WorkDirectory.times_worse`), which can be known only when all have ended: call
    this a second time for every fold, or let `assemble` say whether there is a need.

    fold : 1 to the number of folds, as files and tables count them.
    provenance : further JSON for the card's "training" entry (data files, split).
    allow_outliers : train in spite of labels that `label_outliers` names.
    allow_contradictions : train in spite of what `label_contradictions` says of the labels.
    position : of the progress bar.
    keep_going : when it turns false, stop with a checkpoint and return False.

    Under torchrun all processes must call this, and share the fit.

    Raises
    ------
    ValueError : no such fold; labels missing, outlying or contradictory; another training in `directory`;
        the fold is being trained by another process.
    TrainingDiverged : with both seeds.
    OSError : something could not be written, such as on a full disk; what was stays.
    """
    if not 1 <= fold <= recipe.n_folds:
        raise ValueError(f"there are folds 1 to {recipe.n_folds}, not {fold}")
    work, recipe = WorkDirectory(directory), recipe.settled(dataset)
    if work.complete:
        told(lambda: work.begin(dataset, recipe, provenance))  # the same, or an error
        return True
    if not allow_outliers:
        refuse_outliers(dataset)
    if not allow_contradictions:
        refuse_contradictions(dataset, forces=recipe.weights.forces > 0)
    with resumable("the same call"):
        return train_member(
            dataset,
            work,
            recipe,
            fold,
            provenance=provenance,
            position=position,
            keep_going=keep_going,
        )


def train_member(
    dataset: Dataset,
    work: WorkDirectory,
    recipe: Recipe,
    fold: int,
    *,
    provenance: dict | None = None,
    position: int = 0,
    keep_going: Callable[[], bool] = lambda: True,
) -> bool:
    """`train_fold` with a settled recipe and labels that were looked at. Raises CannotWrite."""
    told(lambda: work.begin(dataset, recipe, provenance))
    kind = SharedFit if shared() else Fit
    with work.lock(fold) if leads() else nullcontext():
        while (attempt := told(lambda: work.due(fold))) is not None:
            fit = recipe.fit(dataset, fold - 1, attempt, kind)
            if not _attempt(work, fit, fold, attempt, position, keep_going):
                return False
        told(lambda: work.require_good(fold))
    return True


def _attempt(work, fit: Fit, fold: int, attempt: int, position: int, keep_going) -> bool:
    """Run one fit and write down how it ended. False if it was stopped before."""
    label = f"fold {fold}" if leads() else None
    if attempt and label:
        why, seed = work.why_again(fold), fit.settings.seed
        say(f"{label} {why}: again with seed {seed}")
    try:
        result = run_fit(
            fit,
            work.checkpoint(fold, attempt),
            log=work.log(fold, attempt) if leads() else None,
            label=label,
            position=position,
            keep_going=keep_going,
        )
    except TrainingDiverged:
        entry = {"seed": fit.settings.seed, "epoch": fit.epoch, "recoveries": fit.recoveries}
        header = {"diverged": True, "entry": entry}
        told(lambda: work.finish(fold, attempt, {}, header))
        return True
    if result is None:
        return False
    told(lambda: work.finish(fold, attempt, *_ended(fit, result)))
    return True


def _ended(fit: Fit, result: FitResult) -> tuple[dict, dict]:
    """What the ensemble needs of a finished fit: weights and shift; scale and its entry in the card."""
    potential = result.potential
    tensors = nested("schnet", potential.schnet.state_dict()) | {"shift": potential.shift}
    return tensors, {"diverged": False, "scale": potential.scale, "entry": fold_entry(fit, result)}

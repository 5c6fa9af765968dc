"""Cross-validation in k folds: its members are the ensemble, its tables judge it.

    plan ─► k fits, in parallel processes ─► stacked weights ─► the kept-out part ─► model directory

Each member is validated on its own fold and trained on the other k − 1; the kept-out part judges the
ensemble (docs/sources.md, cross-validation and its tables).
"""

from __future__ import annotations

import warnings
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path

import numpy as np

from ase_schnet.arguments import whole
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.pairs import extent_of
from ase_schnet.data.splits import twins_of
from ase_schnet.modelfile import TrainedModel, load_model, save_model
from ase_schnet.runtime.processes import StartedAgain, refuse_to_start_again
from ase_schnet.trained_model import UNSPECIFIED
from ase_schnet.training.card import conditions, judge, without_folders
from ase_schnet.training.checkpoint import unnested
from ase_schnet.training.fold import checked_recipe, judging
from ase_schnet.training.length import training_length
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.verdict import training_verdict
from ase_schnet.training.workdir import WorkDirectory, resumable
from ase_schnet.training.workers import train_members


def cross_validate(
    dataset: Dataset,
    directory: str | Path,
    recipe: Recipe,
    *,
    jobs: int | None = None,
    executor: Executor | None = None,
    resume: bool = False,
    provenance: dict | None = None,
    allow_outliers: bool = False,
    allow_contradictions: bool = False,
    take_over: bool = False,
) -> TrainedModel:
    """Train the ensemble and write its model directory.

    A member that diverges, or ends far worse than the others, is trained once more with another seed: see
    :func:`~ase_schnet.training.fold.train_fold`. The logs of the fits stay in `directory`/training.

    Parameters
    ----------
    dataset, directory, recipe
        All labelled structures; the model directory; network, loss, settings and folds.
    jobs
        Processes that train members side by side, one thread each; None: all cores.
    executor
        Trains each member as a job (Dask's, say) where `directory` has the same absolute path.
    resume
        Continue from the checkpoints of an interrupted call with the same arguments; of a finished one,
        return the model. It is not trained longer: the learning rate has come to its end.
    provenance, allow_outliers, allow_contradictions, take_over
        As in `train_fold`.

    Raises
    ------
    ValueError
        If labels are missing for a term with weight, outlying or contradicting each other; if `directory`
        holds a model or checkpoints and not `resume`, or those of other arguments; all differences are named.
    InUseError, TrainingDiverged, OSError
        As `train_fold`; after an OSError (ConnectionError: the executor is gone) the training can be resumed.
    BrokenProcessPool
        If a process was killed, or the caller's script has no `if __name__ == "__main__":`.
    """
    refuse_to_start_again()
    if jobs is not None:
        whole("jobs", jobs, 1)
    work = WorkDirectory(directory if executor is None else Path(directory).resolve())
    if work.complete and not resume:
        raise ValueError(f"{directory} already holds a model; choose another output directory")
    recipe = checked_recipe(dataset, recipe, allow_outliers, allow_contradictions, work.complete)
    _warn_of_divided_twins(dataset, recipe)
    if executor is None and not work.complete:
        recipe.require_device()
    with resumable("resume=True"):
        if work.complete:
            work.begin(dataset, recipe, provenance)  # the same, or an error
            return _assemble(work, dataset)
        with work.lock(take_over):
            fresh = _begin(dataset, work, recipe, provenance, resume)
            _train_what_is_left(dataset, work, recipe, jobs, take_over, fresh, executor)
            return _assemble(work, dataset)


def _begin(
    dataset: Dataset, work: WorkDirectory, recipe: Recipe, provenance: dict | None, resume: bool
) -> bool:
    """Begin the training, or get ready to resume it; return whether it is new."""
    fresh = not work.begun
    if not fresh and not resume:
        raise ValueError(
            f"{work.model_dir} holds an unfinished training; continue it with resume=True or remove it"
        )
    work.begin(dataset, recipe, provenance)
    return fresh


def _train_what_is_left(
    dataset: Dataset,
    work: WorkDirectory,
    recipe: Recipe,
    jobs: int | None,
    take_over: bool,
    fresh: bool,
    executor: Executor | None,
) -> None:
    """Train until no fold is due."""
    while due := [k for k in range(1, recipe.n_folds + 1) if work.due(k) is not None]:
        try:
            train_members(dataset, work, recipe, due, jobs, take_over, executor)
        except StartedAgain:
            if fresh:  # nothing was trained: the mended script begins anew
                work.clean(pool=False)
            raise


def _warn_of_divided_twins(dataset: Dataset, recipe: Recipe) -> None:
    divided = recipe.plan.divided(twins_of(dataset))
    if divided:
        warnings.warn(
            f"{divided} structures are the same, perhaps turned, as one in another part of the split: the "
            "errors will flatter the model. plan_folds(..., twins=twins_of(dataset)) keeps them together",
            stacklevel=3,
        )


def assemble_ensemble(directory: str | Path) -> TrainedModel:
    """Join the members that `train_fold` has trained, judge the ensemble, and write its model directory.

    It needs nothing but `directory`. Where the model is there already, it is returned.

    Parameters
    ----------
    directory
        The model directory.

    Returns
    -------
    TrainedModel
        The ensemble as it was written.

    Raises
    ------
    ValueError
        For folds that are not finished, or that ended far worse than the others and must be trained
        once more; they are named.
    TrainingDiverged
        For a fold that diverged with both seeds.
    OSError
        If something could not be written.
    """
    work = WorkDirectory(directory)
    with resumable("the same call"):
        return _assemble(work)


def _assemble(work: WorkDirectory, dataset: Dataset | None = None) -> TrainedModel:
    if work.complete:
        work.clean()  # the process that wrote the model may have been killed before it did
        return load_model(work.model_dir)
    plan, folds = work.plan(), range(1, work.n_folds + 1)
    if left := work.left_to_do():
        raise ValueError(
            f"{work.model_dir}: {left}. Run ase-schnet train with the same options and --fold K for each"
        )
    dataset = work.data.read() if dataset is None else dataset
    members = [work.best(fold) for fold in folds]
    model = _stack(members, dataset, plan["recipe"])
    model_says = ("config", "level_of_theory", "baseline")
    recipe = {k: v for k, v in plan["recipe"].items() if k not in model_says}
    also = plan["provenance"].pop("trained_on", {})
    electrons = {k: recipe[k] for k in ("charge", "multiplicity") if k in recipe}
    # judged with its charge, which the structures that judge it may state
    model = replace(model, trained_on={**model.trained_on, **also}, card=electrons)
    entries = [_fold_card(work, fold) for fold in folds]
    kept_out = np.array(recipe["kept_out"])
    before = plan.get("seen_before")
    judged = judge(model, dataset.subset(judging(dataset, kept_out, before)))
    verdict = training_verdict(dataset, judged["kept_out"], entries, recipe)
    card = {
        **electrons,
        "training": {
            **without_folders(plan["provenance"]),
            **conditions(dataset, plan["data"], kept_out, before),
            **{k: v for k, v in recipe.items() if k not in electrons},
        },
        "verdict": verdict.to_dict(),
        **_length(verdict.passed, entries),
        "folds": entries,
        **judged,
    }
    save_model(work.model_dir, replace(model, card=card))
    work.clean()
    return load_model(work.model_dir)


def _length(passed: bool, entries: list[dict]) -> dict:
    """Return what the card says of the length of the training; nothing of one that failed."""
    length = training_length(entries) if passed else None
    return {} if length is None else {"training_length": length.to_dict()}


def _fold_card(work: WorkDirectory, fold: int) -> dict:
    """Return what the card says of a fold, and in brief of its attempts, if it needed more than one."""
    entry, ended = work.best(fold)[1]["entry"], work.attempts(fold)
    if len(ended) == 1:
        return entry
    brief = ("seed", "epoch", "loss_median", "recoveries")
    attempts = [
        {"diverged": e["diverged"], **{k: e["entry"][k] for k in brief if k in e["entry"]}}
        for e in ended
    ]
    return {**entry, "attempts": attempts, "times_worse": work.times_worse(fold)}


def _stack(members: list[tuple[dict, dict]], dataset: Dataset, recipe: dict) -> TrainedModel:
    """Return the weights of the members as (M, ...) arrays."""
    config, level = recipe["config"], recipe.get("level_of_theory", UNSPECIFIED)
    earlier = recipe.get("start", {}).get("trained_on", {})
    others = {k: v for k, v in earlier.items() if k != level}
    own = extent_of(dataset, config["cutoff"])
    states = [unnested("schnet", tensors) for tensors, _ in members]
    return TrainedModel(
        config=config,
        elements=dataset.elements,
        energy_shift=np.stack([tensors["shift"].numpy() for tensors, _ in members]),
        scale=np.array([header["scale"] for _, header in members]),
        weights={name: np.stack([state[name].numpy() for state in states]) for name in states[0]},
        pbc=bool(dataset.pbc.any()),
        distance_ranges=own["distance_ranges_Ang"],
        level_of_theory=level,
        baseline=recipe.get("baseline"),
        trained_on={**others, level: own},
    )

"""k-fold cross-validation whose members are the ensemble, and the tables that judge it.

    plan ─► k fits, in parallel processes ─► stacked weights ─► the kept-out part ─► model directory

Each member is validated on its own fold and trained on the other k − 1; the kept-out part judges the
ensemble (implementation report, sections 3.3 and 4.2).
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from ase_schnet.data.dataset import Dataset, sampled_distances
from ase_schnet.data.splits import FoldPlan
from ase_schnet.model.schnet import SchNetConfig
from ase_schnet.modelfile import CARD, TrainedModel, load_model, save_model
from ase_schnet.training.card import conditions, fold_losses, judge
from ase_schnet.training.loss import LossWeights
from ase_schnet.training.settings import FitSettings
from ase_schnet.training.trainer import Fit, FitResult, run_fit

WORK = "training"  # checkpoints live here, inside the model directory, until it is complete


@dataclass(frozen=True)
class Recipe:
    """Everything besides the data that decides what comes out."""

    config: SchNetConfig
    weights: LossWeights
    settings: FitSettings
    plan: FoldPlan
    device: str = "cpu"

    def to_dict(self) -> dict:
        """Plain types, ready for JSON; the network's shape has its own place in the card."""
        return {
            "loss": self.weights.to_dict(),
            "settings": self.settings.to_dict(),
            "kept_out": self.plan.kept_out.tolist(),
            "folds": [fold.tolist() for fold in self.plan.folds],
        }

    def fit(self, dataset: Dataset, fold: int) -> Fit:
        """Member `fold`, ready to run."""
        return Fit(
            self.config,
            dataset.subset(self.plan.training(fold)),
            dataset.subset(self.plan.validation(fold)),
            self.weights,
            replace(self.settings, seed=self.settings.seed + fold),
            self.device,
        )


def cross_validate(
    dataset: Dataset,
    directory: str | Path,
    recipe: Recipe,
    *,
    jobs: int | None = None,
    resume: bool = False,
    provenance: dict | None = None,
) -> TrainedModel:
    """Train the ensemble and write its model directory.

    jobs : processes that train members side by side, one thread each; all cores by default.
    resume : continue from the checkpoints of an interrupted call with the same arguments.
    provenance : further JSON for the card's "training" entry (data files, split).

    Raises
    ------
    ValueError : labels missing for a term with weight; a model or checkpoints in `directory` already and
        not `resume`; checkpoints that belong to other arguments.
    TrainingDiverged : a member's loss is no longer finite.
    """
    directory = Path(directory)
    recipe = replace(recipe, weights=recipe.weights.settled(dataset))
    recipe.weights.require(dataset.subset(recipe.plan.kept_out), "kept-out")
    if (directory / CARD).exists():
        raise ValueError(f"{directory} already holds a model; choose another output directory")
    work = directory / WORK
    if work.exists() and not resume:
        raise ValueError(
            f"{directory} holds an unfinished training; continue it with resume=True (--resume) "
            "or remove it"
        )
    for fold in range(len(recipe.plan.folds)):
        recipe.fit(dataset, fold)  # an input error shows here, before any process starts
    work.mkdir(parents=True, exist_ok=True)
    _train_members(dataset, work, recipe, jobs)
    members = []
    for fold in range(len(recipe.plan.folds)):
        fit = recipe.fit(dataset, fold)
        fit.load(_checkpoint(work, fold))
        members.append((fit, fit.result()))
    model = _stack([result for _, result in members], dataset, recipe)
    training = {**(provenance or {}), **conditions(dataset), **recipe.to_dict()}
    kept_out = dataset.subset(recipe.plan.kept_out)
    card = {"training": training, "folds": fold_losses(members), **judge(model, kept_out)}
    save_model(directory, replace(model, card=card))
    shutil.rmtree(work)
    return load_model(directory)


def _checkpoint(work: Path, fold: int) -> Path:
    return work / f"fold_{fold + 1}.safetensors"


def _train_members(dataset: Dataset, work: Path, recipe: Recipe, jobs: int | None) -> None:
    folds = range(len(recipe.plan.folds))
    jobs = min(len(folds), jobs or os.cpu_count() or 1)
    if jobs == 1 or recipe.device != "cpu":
        for fold in folds:
            run_fit(recipe.fit(dataset, fold), _checkpoint(work, fold), label=f"fold {fold + 1}")
        return
    context = multiprocessing.get_context("spawn")
    stop, lock = context.Event(), context.RLock()  # one terminal, several bars
    executor = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start_worker, initargs=(stop, lock)
    )
    try:
        futures = [
            executor.submit(_train_member, dataset, work, recipe, fold, os.getpid())
            for fold in folds
        ]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()
    finally:  # after Ctrl-C or a failure the members end their epoch and save it
        stop.set()
        executor.shutdown(cancel_futures=True)


_stop = None  # in a worker process: set when the parent wants it to end


def _start_worker(stop, lock) -> None:
    global _stop  # the only way to hand a synchronisation primitive to a pool's tasks
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    torch.set_num_threads(1)  # this process is ours alone
    tqdm.set_lock(lock)


def _train_member(dataset: Dataset, work: Path, recipe: Recipe, fold: int, parent: int) -> None:
    """One member in a worker process, which must not outlive a parent that was killed."""
    run_fit(
        recipe.fit(dataset, fold),
        _checkpoint(work, fold),
        label=f"fold {fold + 1}",
        position=fold,
        keep_going=lambda: not _stop.is_set() and os.getppid() == parent,
    )


def _stack(results: list[FitResult], dataset: Dataset, recipe: Recipe) -> TrainedModel:
    """The members' weights as (M, ...) arrays."""
    states = [r.potential.schnet.state_dict() for r in results]
    return TrainedModel(
        config=recipe.config.to_dict(),
        elements=dataset.elements,
        energy_shift=np.stack([r.potential.shift.cpu().numpy() for r in results]),
        scale=np.array([r.potential.scale for r in results]),
        weights={
            name: np.stack([state[name].cpu().numpy() for state in states]) for name in states[0]
        },
        pbc=bool(dataset.pbc.any()),
        distance_ranges=sampled_distances(dataset, recipe.config.cutoff),
    )

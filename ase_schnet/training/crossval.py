"""k-fold cross-validation whose members are the ensemble, and the tables that judge it.

    plan ─► k fits, in parallel processes ─► stacked weights ─► the kept-out part ─► model directory

Each member is validated on its own fold and trained on the other k − 1; the kept-out part judges the
ensemble (implementation report, sections 3.3 and 4.2).
"""

from __future__ import annotations

import multiprocessing
import os
import platform
import shutil
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import ase
import numpy as np
import torch
from tqdm import tqdm

from ase_schnet import __version__
from ase_schnet.data.dataset import Dataset, label_statistics, sampled_distances
from ase_schnet.data.splits import FoldPlan
from ase_schnet.evaluation import compare
from ase_schnet.inference.torch_ensemble import TorchEnsemble
from ase_schnet.model.schnet import SchNetConfig
from ase_schnet.modelfile import CARD, TrainedModel, load_model, save_model
from ase_schnet.neighbors import half_list
from ase_schnet.training.loss import LossWeights, losses_per_structure
from ase_schnet.training.trainer import Fit, FitResult, FitSettings, run_fit

WORK = "training"  # checkpoints live here, inside the model directory, until it is complete


@dataclass(frozen=True)
class Recipe:
    """Everything besides the data that decides what comes out."""

    config: SchNetConfig
    weights: LossWeights
    settings: FitSettings
    plan: FoldPlan
    device: str = "cpu"

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
    started = time.monotonic()
    _train_members(dataset, work, recipe, jobs)
    members = []
    for fold in range(len(recipe.plan.folds)):
        fit = recipe.fit(dataset, fold)
        fit.load(_checkpoint(work, fold))
        members.append((fit, fit.result()))
    model = _stack([result for _, result in members], dataset, recipe)
    training = {
        **(provenance or {}),
        **_provenance(dataset, recipe),
        "wall_time_s": round(time.monotonic() - started),
    }
    card = {"training": training, **_judge(model, members, dataset, recipe)}
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
    lock = context.RLock()  # one terminal, several bars
    executor = ProcessPoolExecutor(
        jobs, mp_context=context, initializer=_start_worker, initargs=(lock,)
    )
    try:
        futures = [
            executor.submit(_train_member, dataset, work, recipe, fold, os.getpid())
            for fold in folds
        ]
        for future in futures:
            future.result()
    except BaseException:
        executor.shutdown(wait=False, cancel_futures=True)
        raise
    executor.shutdown()


def _start_worker(lock) -> None:
    torch.set_num_threads(1)  # this process is ours alone
    tqdm.set_lock(lock)


def _train_member(dataset: Dataset, work: Path, recipe: Recipe, fold: int, parent: int) -> None:
    """One member in a worker process, which must not outlive a parent that was killed."""
    run_fit(
        recipe.fit(dataset, fold),
        _checkpoint(work, fold),
        label=f"fold {fold + 1}",
        position=fold,
        keep_going=lambda: os.getppid() == parent,
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


def _judge(
    model: TrainedModel, members: list[tuple[Fit, FitResult]], dataset: Dataset, recipe: Recipe
) -> dict:
    """Tables 3 and 4 of the implementation report, errors and calibration on the kept-out part."""
    folds = []
    for fit, result in members:
        losses = losses_per_structure(result.potential, fit.validation, fit.loss)
        folds.append(
            {
                "loss_min": float(losses.min()),
                "loss_max": float(losses.max()),
                "loss_mean": float(losses.mean()),
                "loss_std": float(losses.std(ddof=1)) if len(losses) > 1 else 0.0,
                "best_epoch": result.best_epoch,
                "epochs": fit.epoch,
                "history": _thinned(result.history),
                "validation": result.validation.to_dict(),
            }
        )
    engine = TorchEnsemble(model)
    comparison = compare(engine, dataset.subset(recipe.plan.kept_out))
    return {
        "folds": folds,
        "kept_out": comparison.metrics(),
        "kept_out_std": comparison.spread(),
        "calibration": {k: c.to_dict() for k, c in comparison.calibration().items()},
        "self_check": _self_check(engine, dataset.subset(recipe.plan.kept_out[:1])),
    }


def _thinned(history: list[dict], points: int = 60) -> dict[str, list]:
    """About `points` rows of a fit's history as columns: enough to draw, small enough for the card."""
    rows = history[:: max(1, len(history) // points)]
    names = (
        "epoch",
        "training_loss",
        "validation_loss",
        "validation_energy_mae_meV",
        "validation_forces_mae_meV_per_Ang",
    )
    return {name: [row[name] for row in rows] for name in names}


def _self_check(engine: TorchEnsemble, structure: Dataset) -> dict:
    """One structure with the members' energies and mean forces, for the reader to repeat."""
    pairs = half_list(
        structure.R, engine.model.config["cutoff"], structure.cells[0], structure.pbc[0]
    )
    prediction = engine.evaluate(structure.Z, structure.R, pairs)
    return {
        "numbers": structure.Z.tolist(),
        "positions_Ang": structure.R.tolist(),
        "cell_Ang": structure.cells[0].tolist(),
        "pbc": structure.pbc[0].tolist(),
        "energies_eV": prediction.energies.tolist(),
        "forces_eV_per_Ang": prediction.forces.mean(axis=0).tolist(),
    }


def _provenance(dataset: Dataset, recipe: Recipe) -> dict:
    statistics = label_statistics(dataset)
    return {
        "source": dataset.source,
        "units_in_source": dataset.units,
        "data_fingerprint": dataset.fingerprint(),
        "n_structures": len(dataset),
        "species_shifts_undetermined": statistics.undetermined,
        "kept_out": recipe.plan.kept_out.tolist(),
        "folds": [fold.tolist() for fold in recipe.plan.folds],
        "loss": recipe.weights.to_dict(),
        "settings": recipe.settings.to_dict(),
        "versions": {
            "ase_schnet": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "ase": ase.__version__,
            "python": platform.python_version(),
        },
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }

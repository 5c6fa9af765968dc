"""Prepare a training: pool, difference, teacher. Every step is on disk when it is done.

The cheap method makes a pool of structures around the dear ones, and labels it. A network learns the
difference dear − cheap on the dear ones: the teacher, which starts from the difference of two cheap methods.
Cheap label and difference together are what the members learn of the pool.
"""

from __future__ import annotations

from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms

from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.reference import Reference, read_reference
from ase_schnet.pretraining.contrast import Contrasted
from ase_schnet.pretraining.difference import (
    difference_of,
    electrons_of,
    frames_of,
    quieted,
    require_difference,
)
from ase_schnet.pretraining.given_pool import digest_of, given_pool
from ase_schnet.pretraining.head_start import head_start
from ase_schnet.pretraining.pool import THERMAL, label_pool, sample_pool
from ase_schnet.pretraining.settings import Pretraining, teacher_network, teacher_settings
from ase_schnet.pretraining.taught import Taught
from ase_schnet.runtime.kept_settings import agree
from ase_schnet.runtime.progress import say
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.workdir import PRETRAINING, WorkDirectory

TEACHER = "teacher"


def pretrained(
    dataset: Dataset,
    directory: str | Path,
    recipe: Recipe,
    settings: Pretraining,
    *,
    head_start_in: Path | None = None,
    jobs: int | None = None,
    executor: Executor | None = None,
    take_over: bool = False,
    only_find: bool = False,
) -> tuple[Recipe, dict]:
    """Prepare the pool and its labels in `directory`, or find them there.

    Parameters
    ----------
    dataset, directory
        The dear structures, and the model directory that will be trained.
    recipe, settings
        How its members will be trained, and the settings of the pretraining.
    head_start_in
        Where the networks that the teacher starts from are found, or kept; None: they are for this training.
    jobs, executor, take_over
        As of `cross_validate`, also for labels and the members of the teacher.
    only_find
        Raise ValueError where the pool is not there yet.

    Returns
    -------
    tuple
        The recipe with the pool, and "trained_on" of the card, by level of theory.

    Raises
    ------
    ValueError
        For data without energies or forces, augmented data, an unknown or missing cheap method, a pool that
        was made for something else, and what `cross_validate` raises.
    InputError, InUseError
        If the cheap method cannot describe the structures; if another process works here.
    """
    if recipe.augment is not None:
        raise ValueError("a pretraining makes its own structures: train without augmented ones")
    reference = _methods(settings)
    work = WorkDirectory(directory if executor is None else Path(directory).resolve())
    place = work.path / PRETRAINING
    taught = Taught(place, settings, reference.level_of_theory)
    recipe = replace(recipe, augment=taught)
    if work.complete:
        return recipe, {}
    if only_find and not taught.written:
        raise ValueError(f"{place} holds no pool yet: make it with --prepare first")
    require_difference(dataset, reference, electrons_of(recipe))
    own = _own_pool(dataset, recipe, taught)  # before a directory is begun
    with nullcontext() if only_find else work.lock(take_over):
        place.mkdir(parents=True, exist_ok=True)
        agree(place / "prepared_for.json", _made_from(dataset, recipe, taught), "a pool")
        if not taught.written:
            where = {"jobs": jobs, "executor": executor, "take_over": take_over}
            _prepare(dataset, work, recipe, taught, reference, own, head_start_in, where)
    return recipe, {"trained_on": taught.trained_on(recipe.config.cutoff)}


def _methods(settings: Pretraining) -> Reference:
    """Return the cheap method, after a look at the second one: its absence should not be seen hours later."""
    reference = read_reference(settings.reference)
    if settings.second is not None:
        second = read_reference(settings.second)
        if second.identity == reference.identity:
            other = "gfn1-xtb" if reference.text.lower().startswith("gfn2") else "gfn2-xtb"
            raise ValueError(
                f"the second method is {reference.text} too: give another one (second={other}), or "
                "second=none"
            )
    return reference


def _own_pool(dataset: Dataset, recipe: Recipe, taught: Taught) -> list[Atoms] | None:
    """Return the structures that are given as a pool, if there are some and they are still needed."""
    if taught.settings.pool is None or taught.written:
        return None
    cutoff, electrons = recipe.config.cutoff, electrons_of(recipe)
    return given_pool(taught.settings.pool, dataset, cutoff, electrons, THERMAL)


def _made_from(dataset: Dataset, recipe: Recipe, taught: Taught) -> dict:
    """Return all that the pool and the teacher depend on, in plain types."""
    return {
        "data": dataset.fingerprint(),
        **taught.settings.of_pool(),
        **{
            name: recipe.to_dict()[name] for name in ("folds", "kept_out", "charge", "multiplicity")
        },
        "network": recipe.config.to_dict(),
        "pool_file": None if taught.settings.pool is None else digest_of(taught.settings.pool),
    }


def _prepare(
    dataset: Dataset,
    work: WorkDirectory,
    recipe: Recipe,
    taught: Taught,
    reference: Reference,
    own: list[Atoms] | None,
    head_start_in: Path | None,
    where: dict,
) -> None:
    """Make the pool, unless there is an `own` one, and the teacher; write what this says of the pool."""
    place, settings, electrons = taught.directory, taught.settings, electrons_of(recipe)
    labelling = {name: where[name] for name in ("jobs", "take_over")}
    frames = frames_of(dataset, *electrons)
    difference, kept = difference_of(
        dataset,
        reference,
        place / "dear.extxyz",
        electrons=electrons,
        **labelling,
    )
    pool = own
    if pool is None:
        # nothing is made from what tests the ensemble
        starts = np.setdiff1d(kept, recipe.plan.kept_out)
        near = [frames[k] for k in starts]
        pool = sample_pool(near, reference, settings, place, **labelling)
        for atoms in pool:
            atoms.info["sampled_from"] = int(starts[atoms.info["sampled_from"]])
    pool = label_pool(pool, reference, place, **labelling)
    bare = replace(
        recipe,
        config=teacher_network(recipe.config),
        augment=None,
        start=None,
        baseline=reference.text,
    )
    kept_in = (head_start_in or place / "head_start").resolve()  # workers may be elsewhere
    start = head_start(pool, reference, settings, bare, kept_in, where)
    steps, started = settings.teacher_steps, start is not None
    settled = teacher_settings(recipe.settings, difference, steps, started)
    say(
        f"pretraining: networks of the difference to {reference.level_of_theory}, one for each fold, "
        f"{settled.epochs} epochs"
    )
    teacher = cross_validate(
        quieted(difference),
        work.model_dir / TEACHER,
        replace(bare, plan=recipe.plan.restricted(kept), settings=settled, start=start),
        resume=True,
        allow_outliers=True,  # the labels themselves were checked
        allow_contradictions=True,
        **where,
    )
    contrast = Contrasted(reference, settings.second, place, frames, electrons, **labelling)
    taught.write(pool, teacher, difference, kept, contrast)

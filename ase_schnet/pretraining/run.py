"""Prepare a training: pool, difference, teacher. Every step is on disk when it is done.

dear structures ─► pool (cheap method) ───────────────┐
└─► difference, dear − cheap ─► teacher ─► labels of the pool, for each member ─► training
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np

from ase_schnet.data.dataset import Dataset
from ase_schnet.labelling.reference import Reference, read_reference
from ase_schnet.pretraining.contrast import Contrasted
from ase_schnet.pretraining.difference import difference_of, electrons_of, frames_of, plan_of
from ase_schnet.pretraining.pool import sample_pool
from ase_schnet.pretraining.settings import Pretraining, teacher_settings
from ase_schnet.pretraining.taught import Taught
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.progress import say
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.workdir import WORK, WorkDirectory

TEACHER = "teacher"


def pretrained(
    dataset: Dataset,
    directory: str | Path,
    recipe: Recipe,
    settings: Pretraining,
    *,
    jobs: int | None = None,
    only_find: bool = False,
    take_over: bool = False,
) -> tuple[Recipe, dict]:
    """Prepare the pool and its labels in `directory`, or find them there.

    Parameters
    ----------
    dataset
        The dear structures.
    directory
        The model directory that will be trained.
    recipe
        How its members will be trained, with all defaults decided.
    settings
        Of the pretraining.
    jobs
        Processes; None: all cores.
    only_find
        Raise ValueError where the pool is not there yet.
    take_over
        Go on although a process of another host is noted as working here.

    Returns
    -------
    tuple
        The recipe with the pool, and what else the card says: "trained_on" by level of theory.

    Raises
    ------
    ValueError
        For data without energies or forces, augmented data, an unknown or missing program of the cheap
        method, and what `cross_validate` raises.
    InputError
        If the cheap method cannot describe the structures.
    InUseError
        If another process works here.
    """
    if recipe.augment is not None:
        raise ValueError("a pretraining makes its own structures: train without augmented ones")
    reference = read_reference(settings.reference)
    work = Path(directory) / WORK / "pretraining"
    taught = Taught(work, settings, reference.level_of_theory)
    recipe = replace(recipe, augment=taught)
    if WorkDirectory(directory).complete:
        return recipe, {}
    if not taught.written and only_find:
        raise ValueError(
            f"{work} holds no pool yet: make it with --prepare before the members are trained"
        )
    if not taught.written:
        _prepare(dataset, directory, recipe, reference, jobs, take_over)
    return recipe, {"trained_on": taught.trained_on(recipe.config.cutoff)}


def _prepare(
    dataset: Dataset,
    directory: str | Path,
    recipe: Recipe,
    reference: Reference,
    jobs: int | None,
    take_over: bool,
) -> None:
    """Make the pool and the teacher, and write what the teacher says of the pool."""
    taught = cast(Taught, recipe.augment)
    work, settings, electrons = taught.directory, taught.settings, electrons_of(recipe)
    frames = frames_of(dataset, *electrons)
    difference, kept = difference_of(
        dataset, reference, work / "dear.extxyz", electrons=electrons, jobs=jobs
    )
    starts = np.setdiff1d(
        kept, recipe.plan.kept_out
    )  # nothing is made from what tests the ensemble
    pool = sample_pool([frames[k] for k in starts], reference, settings, work, jobs)
    for atoms in pool:
        atoms.info["sampled_from"] = int(starts[atoms.info["sampled_from"]])
    say(f"pretraining: a network of the difference to {reference.level_of_theory}")
    teacher = cross_validate(
        difference,
        Path(directory) / TEACHER,
        replace(
            recipe,
            plan=plan_of(recipe.plan, kept),
            settings=teacher_settings(recipe.settings, difference),
            augment=None,
            start=None,
            baseline=reference.text,
        ),
        jobs=jobs,
        resume=True,
        allow_outliers=True,  # the labels themselves were checked
        allow_contradictions=True,
        take_over=take_over,
    )
    contrast = Contrasted(reference, settings.second, work, frames, electrons, jobs)
    taught.write(pool, teacher, difference, contrast)

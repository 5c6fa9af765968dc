"""Where the networks of the difference begin: they know by what another cheap method differs.

The difference of two cheap methods costs milliseconds a structure, and depends on bonds, angles and turns of
the molecule much as that of the dear method does. A network that has learnt it on thousands of structures
errs less after its own, by a few per cent for frames of one run (benchmarks/teachers.md), by a seventh for
those that a learning chooses at several temperatures (benchmarks/defaults.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import NDArray

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import default_kept_out, plan_folds, twins_of
from ase_schnet.labelling.label import label_structures
from ase_schnet.labelling.reference import Reference, read_reference
from ase_schnet.model_directories import CARD
from ase_schnet.modelfile import load_model
from ase_schnet.pretraining.difference import electrons_of, frames_of, minus
from ase_schnet.pretraining.pool import BOND_BREAKING
from ase_schnet.pretraining.settings import HEAD_START_FIT, Pretraining
from ase_schnet.runtime.progress import say
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.start import Start

#: Most structures of the pool that both methods label; fewer than the least teach nothing.
MOST, LEAST = 3000, 500
#: Structures of an element, of the fewest that are kept: with less, it might be missing in a member's part.
RARE = 50
#: Difference of a force component, eV/Å, above which a structure is left out: one of the methods is lost.
LARGEST_DIFFERENCE = 10.0


def head_start(
    pool: list[Atoms],
    reference: Reference,
    settings: Pretraining,
    recipe: Recipe,
    directory: Path,
    where: Mapping,
) -> Start | None:
    """Return networks of what the second cheap method says differently of structures of the pool.

    One for each member, so that those of the teacher do not all begin at the same weights. None without a
    second method, or where it describes too few of the structures.

    Parameters
    ----------
    pool
        Structures with labels of `reference`.
    reference, settings
        The cheap method, and the settings of the pretraining.
    recipe
        Of the teacher.
    directory
        Where labels and networks are kept, so that an interrupted call goes on; networks that are there are
        returned, whatever the pool.
    where
        What `cross_validate` is told of processes: jobs, executor, take_over.
    """
    if settings.second is None:
        return None
    second = read_reference(settings.second)
    name, place = f"{second.level_of_theory} minus {reference.level_of_theory}", directory / "model"
    if (place / CARD).exists():
        return Start(load_model(place), name)
    whole = [atoms for atoms in pool if atoms.info["sampled_by"] not in BOND_BREAKING]
    chosen = np.random.default_rng([settings.seed, 2]).permutation(len(whole))[:MOST]
    if len(chosen) < LEAST:
        return None
    known = _differences([whole[k] for k in chosen], reference, second, recipe, directory, where)
    if known is None:
        return None
    n = len(known)
    say(
        f"pretraining: networks of {name} on {n} structures, from which those of the difference start"
    )
    model = cross_validate(
        known,
        place,
        _recipe(recipe, known, second, settings.seed),
        resume=True,
        allow_outliers=True,
        allow_contradictions=True,
        **where,
    )
    return Start(model, name)


def _recipe(recipe: Recipe, known: Dataset, second: Reference, seed: int) -> Recipe:
    """Return the recipe of the teacher for differences of the cheap methods."""
    kept_out, twins = default_kept_out(len(known)), twins_of(known)
    plan = plan_folds(len(known), recipe.n_folds, n_kept_out=kept_out, seed=seed, twins=twins)
    return replace(
        recipe,
        plan=plan,
        weights=replace(recipe.weights, stress=None),
        settings=replace(recipe.settings, **HEAD_START_FIT),
        level_of_theory=second.level_of_theory,
    )


def _differences(
    pool: list[Atoms],
    cheap: Reference,
    second: Reference,
    recipe: Recipe,
    directory: Path,
    where: Mapping,
) -> Dataset | None:
    """Return the second method's labels minus those of the pool; None where it describes too few."""
    dataset = replace(Dataset.from_atoms(pool), stress=None)
    directory.mkdir(parents=True, exist_ok=True)
    result = label_structures(
        frames_of(dataset, *electrons_of(recipe)),
        second,
        directory / "labels.extxyz",
        jobs=where.get("jobs"),
        take_over=where.get("take_over", False),
    )
    known = np.setdiff1d(np.arange(len(pool)), list(result.failures))
    if len(known) < LEAST:
        return None
    other = replace(Dataset.from_atoms(result.frames), stress=None)
    difference = minus(other, dataset.subset(known), cheap)
    largest = np.maximum.reduceat(np.abs(difference.F).max(axis=1), difference.ptr[:-1])
    kept = (largest <= LARGEST_DIFFERENCE) & ~_with_rare_elements(difference)
    return difference.subset(np.flatnonzero(kept)) if kept.sum() >= LEAST else None


def _with_rare_elements(dataset: Dataset) -> NDArray:
    """Return which structures hold an element that few others hold, (S,) bool."""
    holds = np.stack(
        [np.logical_or.reduceat(z == dataset.Z, dataset.ptr[:-1]) for z in dataset.elements]
    )
    rare = holds[holds.sum(axis=1) < min(RARE, len(dataset))]
    return np.logical_or.reduce(rare, axis=0)

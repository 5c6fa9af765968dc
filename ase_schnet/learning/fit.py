"""The members of a round: fitted to all labels so far, from where the last round left them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from ase import Atoms

from ase_schnet.data.dataset import Dataset
from ase_schnet.data.splits import FoldPlan
from ase_schnet.labelling.reference import read_reference
from ase_schnet.learning.choose import RANDOM
from ase_schnet.learning.settings import LearnSettings, Methods
from ase_schnet.modelfile import TrainedModel, load_model
from ase_schnet.pretraining.difference import quieted
from ase_schnet.pretraining.run import pretrained
from ase_schnet.pretraining.settings import POOL_FIT, Pretraining
from ase_schnet.schnet_config import PRESETS
from ase_schnet.training.crossval import cross_validate
from ase_schnet.training.electrons import settled_electrons
from ase_schnet.training.loss_weights import LossWeights
from ase_schnet.training.recipe import Recipe
from ase_schnet.training.settings import FINE_TUNING_RATE, FitSettings
from ase_schnet.training.start import Start

#: Most epochs, however few the structures are.
MOST_EPOCHS = 2000
#: Cheap structures, thermal and far, epochs on them, and steps of the teacher, in a round; the last one has
#: the defaults.
ROUND_POOL, ROUND_EPOCHS, ROUND_TEACHER_STEPS = (4_000, 6_000), 8, 4_000
#: Share of a round's labels that judge: random ones, which are kept out of the fit.
JUDGES = 0.25


class Split(NamedTuple):
    """Hold how labels are divided, as numbers of structures."""

    training: int
    validation: int
    random: int

    def __str__(self) -> str:
        return (
            f"a member trains on {self.training} and is validated on {self.validation}; {self.random} random "
            "ones judge"
        )


class Fitted(NamedTuple):
    """Hold the model of a round, and what it took to pretrain for (0 without) and to train, s."""

    model: TrainedModel
    preparing_s: float
    training_s: float

    def last_s(self, settings: LearnSettings, methods: Methods) -> float:
        """Return how long the last training may take, s, by the structures and steps that it has more."""
        if not methods.pretrains:
            return self.training_s * settings.last_steps / settings.round_steps
        larger = (Pretraining.n_thermal + Pretraining.n_far) / sum(ROUND_POOL)
        longer = POOL_FIT["epochs"] / ROUND_EPOCHS
        return larger * (self.preparing_s + longer * self.training_s)


def divided(
    frames: list[Atoms],
    members: int,
    round_: int,
    kept_rounds: int = 2,
    at_least: int = 0,
) -> tuple[FoldPlan, Split]:
    """Return the folds: by the number of each label, so that a member is never trained on what validates it.

    A quarter of each round judges, of those drawn at random.

    Parameters
    ----------
    frames
        Labelled structures with ``round``, ``share`` and ``number`` in ``info``.
    members
        Number of folds.
    round_
        The present round.
    kept_rounds
        Rounds whose judges are kept out, the present one and those before.
    at_least
        How many judges to keep out, also from earlier rounds: for members that begin anew.
    """
    random = np.array([a.info["share"] == RANDOM for a in frames])
    of_round = np.array([a.info["round"] for a in frames])
    for k in np.unique(of_round[random]):
        judges = max(1, round(JUDGES * (of_round == k).sum()))
        random[np.flatnonzero(random & (of_round == k))[judges:]] = False
    since = round_ + 1 - kept_rounds
    if random.any():  # rounds whose model dies at once have none: then the last that were drawn
        since = min(since, of_round[random].max())
    while since > 0 and (random & (of_round >= since)).sum() < at_least:
        since -= 1
    kept = random & (of_round >= since)
    fold = np.array([int(a.info["number"]) % members for a in frames])
    folds = tuple(np.flatnonzero((fold == k) & ~kept) for k in range(members))
    rest = int((~kept).sum())
    validation = round(rest / members)
    return FoldPlan(folds, np.flatnonzero(kept)), Split(
        rest - validation, validation, int(kept.sum())
    )


def first_model(settings: LearnSettings, structures: list[Atoms]) -> TrainedModel | None:
    """Return the model that members start from, which must know all elements; None: random weights."""
    if settings.start_from is None:
        return None
    model = load_model(settings.start_from)
    model.require_elements(z for atoms in structures for z in atoms.numbers.tolist())
    return model


def fit_round(
    frames: list[Atoms],
    directory: Path,
    plan: FoldPlan,
    settings: LearnSettings,
    methods: Methods,
    *,
    start: TrainedModel | None = None,
    last: bool = False,
    head_start_in: Path | None = None,
    workers: Mapping | None = None,
) -> Fitted:
    """Fit the members and write their model directory; go on where an interrupted call was.

    Parameters
    ----------
    frames
        Labelled structures.
    directory, plan
        The model directory of the round, and how the structures are divided.
    settings, methods
        Of the learning.
    start
        The model that members start from, as that of the round before; None: random weights.
    last
        Whether to train as long as a training of its own.
    head_start_in
        As of `pretrained`: one head start serves all rounds.
    workers
        What `cross_validate` is told of processes: jobs, executor, take_over.
    """
    began = time.monotonic()
    data = Dataset.from_atoms(frames)
    recipe = _recipe(data, plan, settings, methods, start, last)
    provenance: dict = {"command": "ase-schnet learn", "learn": settings.to_dict()}
    where = dict(workers or {})
    if methods.pretrains:  # few labels: those of squeezed bonds may not outweigh all others
        data = quieted(data)
        cheap = _pretraining(settings, methods, last)
        recipe, told = pretrained(
            data, directory, recipe, cheap, head_start_in=head_start_in, **where
        )
        provenance |= told
    prepared = time.monotonic()
    model = cross_validate(
        data,
        directory,
        recipe,
        resume=True,
        provenance=provenance,
        allow_outliers=True,  # where the model was wrong is what it shall learn
        allow_contradictions=True,
        **where,
    )
    return Fitted(model, prepared - began, time.monotonic() - prepared)


def _recipe(
    data: Dataset,
    plan: FoldPlan,
    settings: LearnSettings,
    methods: Methods,
    start: TrainedModel | None,
    last: bool,
) -> Recipe:
    first = None if start is None else Start(start, str(start.path))
    n_fitted = len(data) - len(plan.kept_out)
    return Recipe(
        PRESETS["fast"] if first is None else first.config,
        LossWeights(),
        _fit_settings(n_fitted, settings, methods, first is not None, last),
        plan,
        "cpu",
        None,
        *settled_electrons(data, None, None),
        start=first,
        level_of_theory=methods.reference.level_of_theory,
    )


def _pretraining(settings: LearnSettings, methods: Methods, last: bool) -> Pretraining:
    names = ("n_thermal", "n_far", "teacher_steps")
    pool: dict = {} if last else dict(zip(names, (*ROUND_POOL, ROUND_TEACHER_STEPS), strict=True))
    kelvin, cheap = settings.temperature_K, methods.sampler
    second = read_reference(Pretraining.second).identity
    if cheap.identity == second:
        pool["second"] = "gfn2-xtb"
    return Pretraining(cheap.text, temperature_K=kelvin, seed=settings.seed, **pool)


def _fit_settings(
    n: int, settings: LearnSettings, methods: Methods, started: bool, last: bool
) -> FitSettings:
    if methods.pretrains:
        epochs = POOL_FIT["epochs"] if last else ROUND_EPOCHS
        return FitSettings(**{**POOL_FIT, "epochs": epochs}, seed=settings.seed)
    steps = settings.last_steps if last else settings.round_steps
    epochs = min(MOST_EPOCHS, max(1, round(steps * FitSettings.batch_size / n)))
    rate = FINE_TUNING_RATE if started else FitSettings.learning_rate
    return FitSettings(epochs=epochs, learning_rate=rate, seed=settings.seed)

"""Fit the error bars of a finished model to labelled structures that none of its members saw."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from ase_schnet.coverage import error_bars_of
from ase_schnet.data.dataset import Dataset
from ase_schnet.data.seen import is_seen, seen_entry, seen_in_training, structure_hashes
from ase_schnet.evaluation import Comparison, compare
from ase_schnet.inference.ensemble import Ensemble
from ase_schnet.inference.error_bars import ErrorBars
from ase_schnet.modelfile import TrainedModel, load_model, save_model
from ase_schnet.trained_model import UNSPECIFIED
from ase_schnet.uncertainty.bars import LEVEL
from ase_schnet.uncertainty.conformal import Intervals, fit_intervals

#: Mean error over mean std below which labels are the model's own predictions, written and read.
OWN = 1e-3
#: Mean error over that of the kept-out structures above which labels are of something else. At three times
#: the temperature it is four.
ODD = 30.0


def calibrate_intervals(
    directory: str | Path,
    dataset: Dataset,
    *,
    level: float = LEVEL,
    level_of_theory: str | None = None,
) -> Intervals:
    """Fit the intervals of a model to new labels, and write them into its card.

    Energies and forces do not change, so runs and trainings that use the model go on.

    Parameters
    ----------
    directory
        The model directory.
    dataset
        Labelled structures that no member saw. The data of the training themselves will do as well: then the
        part is taken that was kept out.
    level
        Probability that an interval is to cover an error.
    level_of_theory
        Of the labels, if it is known: it must be that of the model, where the card says it.

    Raises
    ------
    ValueError
        Members were trained on some of the structures, or the labels are of another level of theory; and
        what `fit_intervals` and `compare` raise. The model remains as it was.
    """
    model = own_model(directory)
    _require_same_level(model, level_of_theory)
    unseen, training = unseen_part(model, dataset)
    intervals = _fit(model, unseen, level)
    _warn_of_lost_bars(model, intervals)
    card = {**model.card, "intervals": {**intervals.to_dict(), "source": Path(dataset.source).name}}
    card |= {"training": training} if training else {}
    card["earlier_sha256"] = [*card.get("earlier_sha256", []), model.checksum]
    save_model(model.path, replace(model, card=card))
    return intervals


def own_model(directory: str | Path) -> TrainedModel:
    """Read a model that may be changed.

    Raises
    ------
    ValueError
        It is one that comes with the package.
    ModelFileError
        There is none, or it holds the difference to another method.
    """
    model = load_model(directory)
    if not Path(directory).is_dir():
        raise ValueError(
            f"{directory} is a model that comes with the package: copy {model.path} and calibrate the copy"
        )
    model.require_whole()
    return model


def _require_same_level(model: TrainedModel, level_of_theory: str | None) -> None:
    if level_of_theory in (None, model.level_of_theory):
        return
    if model.level_of_theory != UNSPECIFIED:
        raise ValueError(
            f"the labels are of {level_of_theory}, model {model.path} is of {model.level_of_theory}: the "
            "error bars would hold the difference of the two methods"
        )
    warnings.warn(
        f"the card of {model.path} does not say its level of theory: {level_of_theory} is not compared",
        stacklevel=3,
    )


def _warn_of_lost_bars(model: TrainedModel, intervals: Intervals) -> None:
    before = model.card.get("intervals") or {}
    names = ("energy", "forces", "stress")
    lost = [n for n in names if before.get(n) and not getattr(intervals, n)]
    if lost:
        warnings.warn(
            f"too few labels of {' and '.join(lost)}: these have no error bars any more",
            stacklevel=3,
        )


def _fit(model: TrainedModel, dataset: Dataset, level: float) -> Intervals:
    """Return the intervals from those structures that will have finite error bars."""
    comparison = compare(Ensemble(model), dataset)
    residuals = list(comparison.residuals())
    intervals = fit_intervals(residuals, level)
    bars = ErrorBars(replace(model, card={**model.card, "intervals": intervals.to_dict()}))
    made = (error_bars_of(bars, dataset.atoms(s), r) for s, r in enumerate(residuals))
    like = [all(np.isfinite(bar).all() for bar in each.values()) for each in made]
    if all(like):
        _require_plausible(model, comparison)
        return intervals
    unlike = len(like) - sum(like)
    if not any(like) and not model.known_ranges:
        raise ValueError(
            f"the card of {model.path} does not know the distances of its training, so that all error bars "
            "are infinite: convert it again with structures of its training (ase-schnet convert --data)"
        )
    if not any(like):
        raise ValueError(
            f"none of the {unlike} structures is like the training of {model.path}: another composition, or "
            "distances outside it; their error bars are infinite whatever their errors"
        )
    warnings.warn(
        f"{unlike} of {len(like)} structures are unlike the training of {model.path} and left out: their "
        "error bars are infinite",
        stacklevel=3,
    )
    return _fit(model, dataset.subset(np.flatnonzero(like)), level)


def _require_plausible(model: TrainedModel, comparison: Comparison) -> None:
    """Refuse labels that are the model's own predictions, or hardly those of its method."""
    for q in comparison.quantities(total_energies=True):
        size = float(np.abs(q.error).mean())
        if size < OWN * float(q.std.mean()):
            raise ValueError(
                f"the {q.name} labels are the predictions of {model.path} itself: its errors are those of "
                "labels from elsewhere"
            )
    if found := errors_of_something_else(model, comparison):
        raise ValueError(found)


def errors_of_something_else(model: TrainedModel, comparison: Comparison) -> str:
    """Say which errors are so large that the labels are hardly of the method of a model; "" if none are.

    Parameters
    ----------
    model
        Its card says how large its errors were on its kept-out structures.
    comparison
        Its predictions beside the labels.
    """
    before = model.card.get("kept_out") or {}
    for q in comparison.quantities(total_energies=True):
        size = float(np.abs(q.error).mean())
        usual = before.get(f"{q.name}_mae_{q.unit_in_names}")
        if usual and 1000 * size > ODD * usual:
            return (
                f"the {q.name} errors are {1000 * size:.3g} {q.unit} on average, {1000 * size / usual:.0f} "
                f"times those of the structures that {model.path} was tested on: labels of another method, "
                "another unit or another zero of energy"
            )
    return ""


def _distinct(dataset: Dataset) -> Dataset:
    """Return each structure once: copies are no evidence of their own."""
    first = np.sort(np.unique(structure_hashes(dataset), return_index=True)[1])
    if len(first) < len(dataset):
        warnings.warn(
            f"{len(dataset) - len(first)} of {len(dataset)} structures are copies of others and left out",
            stacklevel=4,
        )
    return dataset.subset(first)


def unseen_part(model: TrainedModel, dataset: Dataset) -> tuple[Dataset, dict]:
    """Return the structures that no member saw, and what the card is to say of the training.

    Parameters
    ----------
    model
        Its card says what its members saw.
    dataset
        Other structures, or the data of the training, whose kept-out part is taken.

    Raises
    ------
    ValueError
        Members saw some of the structures.
    """
    training = model.card.get("training", {})
    if "kept_out" in training and training.get("data_fingerprint") == dataset.fingerprint():
        kept_out = np.array(training["kept_out"])
        training = {"seen": seen_entry(dataset, kept_out), **training}  # cards of 0.1 have none
        kept = dataset.subset(kept_out)
        new = ~is_seen(training["seen"], kept)  # also to what the members started from
        if not new.any():
            raise ValueError(
                f"all structures kept out of the training of {model.path} were in that of the model that its "
                "members started from: give structures that no member saw"
            )
        return kept.subset(np.flatnonzero(new)), training
    seen = seen_in_training(model.card, dataset)
    if seen is None:
        warnings.warn(
            f"the card of {model.path} does not tell which structures its members saw: if these are among "
            "them, the error bars will be too narrow",
            stacklevel=3,
        )
    elif seen.any():
        raise ValueError(
            f"{seen.sum()} of {len(dataset)} structures were in the training of {model.path}, where its "
            "errors are smaller than elsewhere: give structures that no member saw, or the whole training "
            "data, of which the kept-out part is taken"
        )
    return _distinct(dataset), training

"""Was a training long enough? What twice the epochs would change, from the history of one training.

The learning rate falls to zero over the epochs that were asked for, so every validation loss falls towards
its end, however short or long the training was: that slope is the schedule's. What a longer training can
still win are errors on the training part; the rest of the validation loss comes from too few structures or
too small a network, and no epoch lowers it. So the slope counts in the proportion of the two losses
(benchmarks/training_length.md has what was tried, and how well each foretells a training twice as long).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ase_schnet.training.settings import FitSettings

#: Epochs in the last third below which nothing is said.
FEWEST_EPOCHS = 12
#: A doubling lowers ln(loss) by so many times its slope over the last third, while both losses are alike;
#: and by so many times slope · training loss / validation loss once they are not.
ALIKE, APART = 1.5, 3.0
#: What the estimate itself is wrong by: so much of ln(loss), and this share of the change beside it.
UNCERTAIN, SHARE = 0.1, 0.35
#: Change and twice its error above which nothing is called flat.
UNCLEAR = 0.35


@dataclass(frozen=True)
class TrainingLength:
    """Hold what a training of twice the epochs would change.

    Attributes
    ----------
    epochs
        Of the training.
    members
        Change of the natural logarithm of the validation loss by twice the epochs, of each member.
    change
        Their mean, as a fraction of the loss: −0.09 for a loss that falls by 9 %.
    error
        Its standard error: of the mean of the members, and of the estimate itself.
    """

    epochs: int
    members: tuple[float, ...]
    change: float
    error: float

    @property
    def words(self) -> str:
        """Say the change, and what to do."""
        each = f"{100 * abs(self.change):.0f} ± {100 * self.error:.0f} % per doubling of the epochs"
        certain = abs(math.log1p(self.change)) > 2 * self.error / (1 + self.change)
        if certain and self.change < 0:
            return (
                f"validation loss still falling {each}: train again with --epochs {2 * self.epochs} "
                "(a finished training cannot go on: its learning rate has come to its end)"
            )
        if certain:
            return f"validation loss rising {each}: more epochs overfit"
        each = f"{100 * self.change:+.0f}{each[each.index(' ') :]}".replace("-", "−")
        if 2 * self.error + abs(self.change) > UNCLEAR:
            return f"validation loss {each}: too uncertain to say that more epochs would help"
        return f"validation loss flat, {each}: more epochs change little"

    def to_dict(self) -> dict:
        """Return plain types, for the card."""
        return {**asdict(self), "members": list(self.members), "words": self.words}


def change_per_doubling(history: Sequence[dict], settings: FitSettings) -> float | None:
    """Estimate how the validation loss would change if the epochs were doubled.

    Parameters
    ----------
    history
        Records of all epochs of a fit, with "epoch", "training_loss" and "validation_loss".
    settings
        Of the fit.

    Returns
    -------
    float or None
        Change of ln(loss); None for a fit that did not reach its last epoch, whose learning rate is not at
        its end, and for one of fewer than 3 × `FEWEST_EPOCHS` epochs.
    """
    epochs = np.array([row["epoch"] for row in history])
    last = epochs > 2 / 3 * settings.epochs
    if len(history) != settings.epochs or last.sum() < FEWEST_EPOCHS:
        return None
    training, validation = (
        np.array([row[f"{part}_loss"] for row in history])[last]
        for part in ("training", "validation")
    )
    if min(validation.min(), training.min()) <= 0:
        return None
    slope = float(np.polyfit(np.log2(epochs[last]), np.log(validation), 1)[0])
    if settings.schedule != "cosine":  # the rate hardly changes: the slope is the training's own
        return slope
    return slope * min(ALIKE, APART * float(training[-1] / validation[-1]))


def training_length(folds: Sequence[dict]) -> TrainingLength | None:
    """Say whether an ensemble was trained for long enough.

    Parameters
    ----------
    folds
        Entries of the members in the card (`fold_entry`).

    Returns
    -------
    TrainingLength or None
        None for a single member, or if one of them says nothing: see `change_per_doubling`.
    """
    members = [fold.get("change_per_doubling") for fold in folds]
    if len(members) < 2 or None in members:
        return None
    mean = float(np.mean(members))
    scatter = float(np.std(members, ddof=1)) / math.sqrt(len(members))
    error = math.exp(mean) * math.hypot(scatter, UNCERTAIN, SHARE * mean)
    return TrainingLength(folds[0]["epochs"], tuple(members), math.expm1(mean), error)

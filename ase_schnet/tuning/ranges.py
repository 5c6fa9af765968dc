"""Values that one hyperparameter may take: a range or a list of choices, refused if they make no sense."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ase_schnet.training.hyperparameters import NAMES, Hyperparameters, require_known

#: Hyperparameters that no search may vary, and why.
NOT_SEARCHED = {
    "epochs": "all trials have the same",
    "patience": "all trials are equally long",
    "seed": "the best seed of one training is not that of another",
    "centres": "a value must be a number or a word",
    "widths": "a value must be a number or a word",
    "readout_widths": "a value must be a number or a word",
}
SEARCHED = tuple(name for name in NAMES if name not in NOT_SEARCHED)
_DEFAULTS = Hyperparameters().values()


@dataclass(frozen=True)
class Range:
    """Hold the ends of a range, both of which belong to it.

    Attributes
    ----------
    low, high
        The ends.
    log
        Whether factors, not differences, are equally likely.
    """

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:.4g} to {self.high:.4g}" + ", logarithmic" * self.log


def is_whole(name: str) -> bool:
    """Return whether the values of a hyperparameter are whole numbers."""
    return isinstance(_DEFAULTS[name], int) and not isinstance(_DEFAULTS[name], bool)


def require_searchable(name: str) -> None:
    """Raise ValueError for a name that no hyperparameter has, or one that no search may vary."""
    if name in NOT_SEARCHED:
        raise ValueError(f"{name!r} cannot be searched: {NOT_SEARCHED[name]}")
    require_known(name, SEARCHED)


def range_of(name: str, said: Mapping[str, Any]) -> Range:
    """Return the range that ``{"low": 1e-4, "high": 1e-2, "log": true}`` says.

    Parameters
    ----------
    name
        Of the hyperparameter, for messages.
    said
        The JSON object; "log" may be missing.

    Raises
    ------
    ValueError
        If an end is missing, or something else is said.
    """
    odd = sorted(set(said) - {"low", "high", "log"})
    if odd or not {"low", "high"} <= set(said):
        what = f", not {odd[0]}" if odd else ""
        raise ValueError(f"{name!r}: a range says low, high and, if logarithmic, log{what}")
    return Range(said["low"], said["high"], said.get("log", False))


def checked_range(name: str, ends: Range) -> Range:
    """Return a range with ends as the hyperparameter has them. Raises ValueError for one that is empty."""
    if isinstance(_DEFAULTS[name], (str, bool)):
        raise ValueError(f"{name!r} has no range, it is no number: give a list of choices")
    if not isinstance(ends.log, bool):
        raise ValueError(f"{name!r}: log must be true or false, got {ends.log!r}")
    low, high = (_number(name, end) for end in (ends.low, ends.high))
    if low >= high:
        what = "is above" if low > high else "is also"
        raise ValueError(f"{name!r}: the range is empty, its low end {low!r} {what} its high end")
    if ends.log and low <= 0:
        raise ValueError(f"{name!r}: a logarithmic range must be above 0, got {low!r}")
    return Range(low, high, ends.log)


def checked_choices(name: str, choices: tuple) -> tuple:
    """Return choices of the type that the hyperparameter has. Raises ValueError for fewer than two."""
    kind = type(_DEFAULTS[name])
    if kind in (str, bool):
        odd = [value for value in choices if not isinstance(value, kind)]
        if odd:
            what = "a word" if kind is str else "true or false"
            raise ValueError(f"{name!r} must be {what}, got {odd[0]!r}")
    else:
        choices = tuple(_number(name, value) for value in choices)
    if len(choices) < 2:
        raise ValueError(f"{name!r}: a list has at least two choices; a value alone is held fixed")
    if len(set(choices)) < len(choices):
        twice = next(value for value in choices if choices.count(value) > 1)
        raise ValueError(f"{name!r}: the choice {twice!r} stands there twice")
    return choices


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{name!r} must be a number, got {value!r}")
    if is_whole(name):
        if value != int(value):
            raise ValueError(f"{name!r} must be a whole number, got {value!r}")
        return int(value)
    return float(value)

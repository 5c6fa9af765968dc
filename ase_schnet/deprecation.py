"""Old names that still work for one release, with a warning."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def renamed(function: Callable[P, T], old: str, new: str) -> Callable[P, T]:
    """Return `function` under its name `old`, which warns that `new` is to be used."""

    @functools.wraps(function)
    def deprecated(*args: P.args, **kwargs: P.kwargs) -> T:
        warnings.warn(
            f"{old} is now named {new}; the old name will be removed in 0.3",
            DeprecationWarning,
            stacklevel=2,
        )
        return function(*args, **kwargs)

    deprecated.__doc__ = f"Call {new} instead: this name is deprecated."
    return deprecated

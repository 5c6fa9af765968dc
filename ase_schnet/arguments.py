"""Check arguments that must be positive or whole numbers."""

import math

import numpy as np


def positive(name: str, value: float) -> float:
    """Return `value` as a float; ValueError that names the argument unless it is above 0 and finite."""
    if 0 < value < math.inf:
        return float(value)
    raise ValueError(f"{name} must be above 0, not {value}")


def whole(name: str, value: int, smallest: int) -> int:
    """Return `value` as an int; ValueError that names the argument unless it is at least `smallest`."""
    if isinstance(value, (int, np.integer)) and value >= smallest:
        return int(value)
    raise ValueError(f"{name} must be a whole number of at least {smallest}, not {value!r}")

"""Refuse arguments that are no positive number or no whole number, one clear line each."""

import math

import numpy as np


def positive(name: str, value: float) -> float:
    if 0 < value < math.inf:
        return float(value)
    raise ValueError(f"{name} must be above 0, not {value}")


def whole(name: str, value: int, smallest: int) -> int:
    if isinstance(value, (int, np.integer)) and value >= smallest:
        return int(value)
    raise ValueError(f"{name} must be a whole number of at least {smallest}, not {value!r}")

"""Check arguments that must be positive or whole numbers."""

import math

import numpy as np

#: No atoms stay bound above it, K; 1.7 eV.
HOTTEST_K = 20_000.0


def positive(name: str, value: float) -> float:
    """Return `value` as a float; ValueError that names the argument unless it is above 0 and finite."""
    if 0 < value < math.inf:
        return float(value)
    raise ValueError(f"{name} must be above 0, not {value}")


def temperature_of_matter(name: str, kelvin: float) -> float:
    """Return a temperature (K) as a float; ValueError where it is not above 0, or no atoms stay bound."""
    if positive(name, kelvin) <= HOTTEST_K:
        return float(kelvin)
    raise ValueError(f"{name} is {kelvin:g} K, above {HOTTEST_K:g} K, where no atoms stay bound")


def whole(name: str, value: int, smallest: int) -> int:
    """Return `value` as an int; ValueError that names the argument unless it is at least `smallest`."""
    if isinstance(value, (int, np.integer)) and value >= smallest:
        return int(value)
    raise ValueError(f"{name} must be a whole number of at least {smallest}, not {value!r}")

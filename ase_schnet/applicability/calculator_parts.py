"""The calculators inside a calculator: what they say of themselves is not lost when they are added up.

ASE's ``SumCalculator``, ``MixedCalculator``, ``AverageCalculator`` and ``LinearCombinationCalculator`` hold
theirs in ``mixer.calcs``; those that correct another (``DFTD3``, ``TorchDFTD3Calculator``) hold it in
``dft``, and others that pass everything on in ``calculator`` or ``calc``.
"""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import BaseCalculator

#: Attributes in which a calculator keeps the one that it corrects or passes on.
INNER = ("dft", "calculator", "calc")


def components_of(calculator: BaseCalculator | None) -> list[tuple[BaseCalculator, float]]:
    """Find the calculators that make up ``calculator``, each with its weight; itself if it has none."""
    found, left, seen = [], [] if calculator is None else [(calculator, 1.0)], set()
    while left:
        one, weight = left.pop(0)
        if id(one) in seen:  # two that know each other
            continue
        seen.add(id(one))
        inner = _held_by(one)
        left = [(held, weight * w) for held, w in inner] + left
        if not inner:
            found.append((one, weight))
    return found


def _held_by(calculator: BaseCalculator) -> list[tuple[BaseCalculator, float]]:
    mixer = getattr(calculator, "mixer", None)
    held = list(zip(getattr(mixer, "calcs", ()), getattr(mixer, "weights", ()), strict=False))
    others = (getattr(calculator, name, None) for name in INNER)
    return held + [(other, 1.0) for other in others if hasattr(other, "get_property")]


def limits_of(calculator: BaseCalculator | None) -> dict | None:
    """How far the calculator, or else the first part of it that says so, may be believed: its ``limits``.

    None where neither it nor any part says.
    """
    if hasattr(calculator, "limits"):
        return calculator.limits
    told = (part.limits for part, _ in components_of(calculator) if hasattr(part, "limits"))
    return next(told, None)


def uncertainty_of(calculator: BaseCalculator | None) -> dict[str, float | np.ndarray]:
    """Standard deviations of the structure last evaluated, and the committee's energies, where there are any.

    Of a sum they are those of the one part that has them, times its weight, the committee's energies (M,)
    with what the other parts add, eV. Of several such
    parts, whose errors have nothing to do with each other, the squares add up; they have no common committee.

    Returns
    -------
    dict
        ``energy_std`` (eV), ``forces_std`` (N, 3) (eV/Å) and ``energy_committee`` (M,) (eV), as far as known.
    """
    results = getattr(calculator, "results", {})
    parts = components_of(calculator)
    if len(parts) == 1 and parts[0][0] is calculator:
        names = ("energy_std", "forces_std", "energy_committee")
        return {name: results[name] for name in names if name in results}
    known = [(part.results, w) for part, w in parts if "energy_std" in getattr(part, "results", {})]
    if not known:
        return {}
    found = {}
    for name in ("energy_std", "forces_std"):
        if all(name in mine for mine, _ in known):
            found[name] = np.sqrt(sum((w * mine[name]) ** 2 for mine, w in known))
    (mine, weight), energy = known[0], results.get("energy")
    if len(known) == 1 and energy is not None and "energy_committee" in mine:
        found["energy_committee"] = energy + weight * (mine["energy_committee"] - mine["energy"])
    return found

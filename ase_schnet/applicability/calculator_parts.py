"""The calculators inside a calculator: their limits and uncertainties are found through a sum of them.

ASE's ``SumCalculator``, ``MixedCalculator``, ``AverageCalculator`` and ``LinearCombinationCalculator`` have
them in ``mixer.calcs``. Calculators that correct another (``DFTD3``, ``TorchDFTD3Calculator``) have it in
``dft``, others that forward every call have it in ``calculator`` or ``calc``.
"""

from __future__ import annotations

import numpy as np
from ase.calculators.calculator import BaseCalculator

#: Attributes in which a calculator has the one that it corrects or forwards.
INNER = ("dft", "calculator", "calc")


def components_of(calculator: BaseCalculator | None) -> list[tuple[BaseCalculator, float]]:
    """Return the calculators inside ``calculator`` with their weights; itself if it has none inside.

    The weight of one that occurs several times is the sum of its weights.
    """
    found: dict[int, tuple[BaseCalculator, float]] = {}
    left = [] if calculator is None else [(calculator, 1.0, frozenset[int]())]
    while left:
        one, weight, above = left.pop(0)
        if id(one) in above:  # two that have each other
            continue
        inner = _held_by(one)
        left = [(held, weight * w, above | {id(one)}) for held, w in inner] + left
        if not inner:
            before = found[id(one)][1] if id(one) in found else 0.0
            found[id(one)] = one, before + weight
    return list(found.values())


def _held_by(calculator: BaseCalculator) -> list[tuple[BaseCalculator, float]]:
    mixer = getattr(calculator, "mixer", None)
    held: list[tuple[BaseCalculator, float]] = list(
        zip(getattr(mixer, "calcs", ()), getattr(mixer, "weights", ()), strict=False)
    )
    for name in INNER:
        other = getattr(calculator, name, None)
        if hasattr(other, "get_property") and all(other is not one for one, _ in held):
            held.append((other, 1.0))
    return held


def limits_of(calculator: BaseCalculator | None) -> dict | None:
    """Return the limits within which a calculator can be trusted: its attribute ``limits``.

    If it has none, they are those of the first calculator inside it that has them; None if no one has.
    """
    for one in (calculator, *(inner for inner, _ in components_of(calculator))):
        limits = getattr(one, "limits", None)
        if limits is not None:
            return limits
    return None


def uncertainty_of(
    calculator: BaseCalculator | None, *, error_bars: bool = False
) -> dict[str, float | np.ndarray]:
    """Return standard deviations and committee energies of the structure last evaluated, also of sums.

    ASE's sums of calculators pass on energy, forces and stress only. If one calculator of a sum has standard
    deviations, they are multiplied by its weight, and the committee energies include the energies of the
    others, which count as exact. If several have them, their errors are taken as independent: the squares are
    added, and there are no committee energies. So it is with error bars, if all are of one level. For models
    that err alike, such as two of the same data, that is too small in a sum and too large in a difference.

    Parameters
    ----------
    calculator
        A calculator, or a sum of them.
    error_bars
        Return ``energy_error`` (eV), ``forces_error`` (N, 3) (eV/Å) and, of periodic structures,
        ``stress_std`` and ``stress_error`` (6,) (eV/Å³) too, which take a while to make.

    Returns
    -------
    dict
        ``energy_std`` (eV), ``forces_std`` (N, 3) (eV/Å) and ``energy_committee`` (M,) (eV), if known.
    """
    bars = ("energy_error", "forces_error", "stress_error")
    names = ("energy_std", "forces_std", *(("stress_std", *bars) if error_bars else ()))
    results = getattr(calculator, "results", {})
    parts = components_of(calculator)
    if len(parts) == 1 and parts[0][0] is calculator:
        return {name: results[name] for name in (*names, "energy_committee") if name in results}
    uncertain = [(p, w) for p, w in parts if w and "energy_std" in getattr(p, "results", {})]
    if not uncertain:
        return {}
    if error_bars and len({_level_of(part) for part, _ in uncertain}) > 1:
        names = tuple(name for name in names if name not in bars)
    known = [(part.results, w) for part, w in uncertain]
    found = {}
    for name in names:
        if all(name in mine for mine, _ in known):
            found[name] = np.sqrt(sum((w * mine[name]) ** 2 for mine, w in known))
    (mine, weight), energy = known[0], results.get("energy")
    if len(known) == 1 and energy is not None and "energy_committee" in mine:
        found["energy_committee"] = energy + weight * (mine["energy_committee"] - mine["energy"])
    return found


def _level_of(calculator: BaseCalculator) -> float | None:
    return (getattr(calculator, "limits", None) or {}).get("error_level")

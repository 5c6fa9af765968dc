"""Describe a scan: its minimum within the training range, walls and holes of the model outside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ase_schnet.scan.scan_1d import ScanResult
from ase_schnet.scan.scan_2d import ScanMap
from ase_schnet.uncertainty.bars import LEVEL, half_width

#: A point outside the training range lies in a hole of the model if it is this far below all inside, eV.
HOLE_EV = 1.0
#: Atoms closer than in training must repel: an energy that falls by this on the way inwards is a hole, eV.
WALL_EV = 0.1
#: Said where no point counts.
UNRELIABLE = "; no point is converged and within training, so none of this is reliable"


def lost_points(result: ScanResult | ScanMap) -> int:
    """Count the finished points that did not converge or have no energy."""
    finished = _finished(result)
    lost = ~np.isfinite(result.energies_eV)
    if result.converged is not None:
        lost |= ~result.converged
    return int((lost & finished).sum())


def points_in_holes(result: ScanResult | ScanMap) -> NDArray:
    """Find the points in a hole of the model, (P,) or (P, Q) bool.

    Such a point is outside the training range and its energy is far below all inside. In the scan of a
    distance it may also be closer than any distance in training, where the energy falls while the atoms
    approach.
    """
    inside = inside_training(result)
    if not inside.any():
        return np.zeros(inside.shape, dtype=bool)
    energy = np.nan_to_num(result.energies_eV, nan=np.inf)
    holes = ~inside & (energy < result.energies_eV[inside].min() - HOLE_EV)
    if isinstance(result, ScanResult) and result.trained_range is not None:
        order = np.argsort(-result.values, kind="stable")  # from far to near
        below = order[(result.values[order] < result.trained_range[0]) & np.isfinite(energy[order])]
        if len(below):
            holes[below] |= energy[below] < np.maximum.accumulate(energy[below]) - WALL_EV
    return holes


def inside_training(result: ScanResult | ScanMap, *, every_level: bool = False) -> NDArray:
    """Find the points that converged, have an energy and are within training, (P,) or (P, Q) bool.

    Parameters
    ----------
    result
        The scan.
    every_level
        Within the training of any level of theory, not only of the model's own.
    """
    inside = np.isfinite(result.energies_eV)
    if result.outside_training is not None:
        outside = result.outside_training
        inside &= ~(
            outside if isinstance(outside, np.ndarray) else np.array([bool(w) for w in outside])
        )
    if result.converged is not None:
        inside &= result.converged
    if every_level:
        return inside
    if isinstance(result, ScanMap):
        rows, columns = map(_within, result.values, result.trained_ranges)
        return inside & rows[:, None] & columns
    return inside & _within(result.values, result.trained_range)


def _within(values: NDArray, limits: tuple[float, float] | None) -> NDArray:
    """Return which values (P,) are within limits; all, where there are none."""
    if limits is None:
        return np.ones(values.shape, dtype=bool)
    return (values >= limits[0]) & (values <= limits[1])


def describe_scan(result: ScanResult, cheap: str = "a cheap method", factor: float = 1.0) -> str:
    """Describe a scan in words: lowest and highest point within training, wall or hole outside it.

    The difference of their energies has an error bar, if members of an ensemble gave theirs.

    Parameters
    ----------
    result
        The scan.
    cheap
        Name of the method that taught the model the shape of the energy beyond its own level of theory.
    factor
        How many times larger errors are than the disagreement of the members has them.
    """
    name, energy = result.coordinate_name, result.energies_eV
    trained_range, known_range = result.trained_range, result.known_range
    known, inside = np.isfinite(energy), inside_training(result)
    lines = []
    if trained_range is not None:
        lines.append("{}: {:.3f} to {:.3f} in training".format(name, *trained_range))
        if known_range is not None and known_range != trained_range:
            lines[-1] += ", {:.3f} to {:.3f} with those of {}".format(*known_range, cheap)
    if not known.any():
        return "\n".join([*lines, f"{name}: no point has an energy"])
    judged = inside if inside.any() else known
    low, high = (np.flatnonzero(judged)[pick(energy[judged])] for pick in (np.argmin, np.argmax))
    where = f"; only the {inside.sum()} of {len(energy)} points within training count"
    if inside.all():
        where = ""
    elif not inside.any():
        where = UNRELIABLE
    height = _higher(result, low, high, factor if inside.any() else None)
    lines.append(
        f"{name}: lowest at {result.values[low]:.4g}, highest at {result.values[high]:.4g}, "
        f"{height} higher{where}"
    )
    if inside.any():
        holes = points_in_holes(result)
        for stretch in _stretches(known & ~inside):
            taught = cheap if _all_known(result, stretch) else None
            lines.append(_describe_stretch(result, stretch, energy[low], holes, taught))
    lost = lost_points(result)
    if lost:
        lines.append(f"lost: {lost} of {len(energy)} points did not converge or have no energy")
    return "\n".join(lines)


def _higher(
    result: ScanResult | ScanMap, low: tuple | np.intp, high: tuple | np.intp, factor: float | None
) -> str:
    """Write by how much the energy at one point is above that at another; with its error, given a factor."""
    height = f"{result.energies_eV[high] - result.energies_eV[low]:.4f}"
    members = result.energy_committee_eV
    if members is None or factor is None:
        return f"{height} eV"
    differences = members[high] - members[low]  # (M,)
    level = result.error_level or LEVEL
    error = half_width(differences.std(ddof=1), len(differences), level, factor)
    return f"{height} ± {error:.4f} eV ({100 * level:g} %)"


def describe_map(result: ScanMap, factor: float = 1.0) -> str:
    """Describe a map in words: lowest and highest point within training, number of points outside it.

    Parameters
    ----------
    result
        The map.
    factor
        How many times larger errors are than the disagreement of the members has them.
    """
    pairs = zip(result.coordinate_names, result.trained_ranges, strict=True)
    lines = ["{}: {:.3f} to {:.3f} in training".format(n, *limits) for n, limits in pairs if limits]
    inside, known = inside_training(result), np.isfinite(result.energies_eV)
    judged = inside if inside.any() else known
    if not judged.any():
        return "\n".join([*lines, "no point has an energy"])
    energy = np.where(judged, result.energies_eV, np.nan)
    low, high = (
        np.unravel_index(pick(energy), energy.shape) for pick in (np.nanargmin, np.nanargmax)
    )
    at = [
        ", ".join(f"{v[k]:.4g}" for v, k in zip(result.values, p, strict=True)) for p in (low, high)
    ]
    guessed = "" if inside.any() else UNRELIABLE
    height = _higher(result, low, high, factor if inside.any() else None)
    lines.append(
        f"{' and '.join(result.coordinate_names)}: lowest at {at[0]}, highest at {at[1]}, "
        f"{height} higher{guessed}"
    )
    beyond = int((known & ~inside).sum())
    if beyond and inside.any():
        lines.append(
            f"outside training: {beyond} of {known.sum()} points, which are not counted here"
        )
    holes = int(points_in_holes(result).sum())
    if holes:
        lines.append(
            f"a HOLE of the model: {holes} points are more than {HOLE_EV:g} eV below the lowest"
        )
    lost = lost_points(result)
    if lost:
        lines.append(
            f"lost: {lost} of {_finished(result).sum()} points did not converge or have no energy"
        )
    return "\n".join(lines)


def _describe_stretch(
    result: ScanResult,
    points: NDArray,
    lowest_eV: float,
    holes: NDArray,
    taught: str | None,
) -> str:
    """Describe in one line neighbouring points (K,) outside training, or that a cheap method has `taught`."""
    values, above = result.values[points], result.energies_eV[points] - lowest_eV
    where = f"{values.min():.4g} to {values.max():.4g} ({len(points)} points)"
    what = f"outside training: {where if len(points) > 1 else f'{values[0]:.4g}'}, "
    if holes[points].any():
        deepest = above[holes[points]].min()
        side = f"{-deepest:.3g} eV below" if deepest < 0 else f"{deepest:.3g} eV above"
        what += f"a HOLE of the model, down to {side} the lowest"
    elif taught is not None:
        what += f"here it rests on {taught}, up to {above.max():.3g} eV above the lowest"
    elif result.trained_range is not None and values.max() < result.trained_range[0]:
        what += f"a wall of repulsion, up to {above.max():.3g} eV above the lowest"
    else:
        what += f"not reliable, up to {above.max():.3g} eV above the lowest"
    told = result.outside_training or []
    reason = next((told[k] for k in points[np.argsort(-np.abs(above))] if told and told[k]), "")
    return f"{what}: {reason}" if reason else what


def _all_known(result: ScanResult, points: NDArray) -> bool:
    """Tell whether points (K,) lie in the known range, and all other distances in what the model knows."""
    if None in (result.known_range, result.outside_training) or any(
        result.outside_training[k] for k in points
    ):
        return False
    return bool(_within(result.values[points], result.known_range).all())


def _stretches(mask: NDArray) -> list[NDArray]:
    """Find the stretches of neighbouring True in a mask (P,), as arrays of indices."""
    points = np.flatnonzero(mask)
    parts = np.split(points, np.flatnonzero(np.diff(points) > 1) + 1)
    return [part for part in parts if len(part)]


def _finished(result: ScanResult | ScanMap) -> NDArray:
    """Find the points that were calculated, (P,) or (P, Q) bool; after Ctrl-C not all."""
    done = np.ones(result.energies_eV.shape, dtype=bool)
    if isinstance(result, ScanMap):
        done[:] = False
        for site in result.frames:
            done[site] = True
    return done

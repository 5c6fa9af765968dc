"""Visit the points of a scan one after the other: place, relax, evaluate; keep what is finished."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed
from numpy.typing import NDArray
from tqdm import tqdm

from ase_schnet.simulation.scan.coordinate import TOLERANCE, Coordinate
from ase_schnet.simulation.scan.relax import check_relaxable, relax

#: What an ensemble says beside its energy.
UNCERTAINTY = ("energy_std", "energy_committee")


@dataclass(frozen=True, eq=False)
class Point:
    """A finished point: where on the grid, its structure, its results, whether it relaxed."""

    site: tuple[int, ...]
    frame: Atoms
    results: dict[str, float | NDArray]
    converged: bool


def prepare(
    atoms: Atoms,
    coordinates: Sequence[Coordinate],
    axes: Sequence[NDArray],
    fmax: float | None,
) -> None:
    """Refuse structures and settings that make no scan; ``fmax`` None for a rigid one.

    Raises
    ------
    ValueError
    """
    if atoms.calc is None:
        raise ValueError("the atoms have no calculator: set atoms.calc first")
    if fmax is not None and not 0 < fmax < math.inf:
        raise ValueError(f"fmax must be positive, not {fmax}")
    for coordinate, values in zip(coordinates, axes, strict=True):
        coordinate.check_free(atoms)
        if fmax is not None:
            check_relaxable(atoms, coordinate, values)


def walk(
    atoms: Atoms,
    coordinates: Sequence[Coordinate],
    axes: Sequence[NDArray],
    sites: Sequence[tuple[int, ...]],
    fmax: float | None,
    progress: bool | None,
) -> list[Point]:
    """Visit ``sites``, indices into ``axes``, in this order; those finished, after Ctrl-C.

    Rigid (``fmax`` None): every point is ``atoms`` with the coordinates moved. Relaxed: it starts
    from the converged point nearest on the grid, of equally near ones the lowest.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C before the first point.
    """
    points: list[Point] = []
    try:
        for site in tqdm(sites, unit="point", disable=None if progress is None else not progress):
            values = [axis[k] for axis, k in zip(axes, site, strict=True)]
            start = atoms if fmax is None else _nearest(points, site, atoms)
            frame = atoms.copy()
            frame.positions = start.positions
            points.append(_solve(site, frame, atoms.calc, coordinates, values, fmax))
    except KeyboardInterrupt:
        warnings.warn(f"interrupted after {len(points)} of {len(sites)} points", stacklevel=4)
        if not points:
            raise
    return points


def evaluate(frame: Atoms, calculator: BaseCalculator, where: str) -> dict[str, float | NDArray]:
    """Energy (eV) and, of an ensemble, its spread; NaN with a warning where it cannot be had."""
    atoms = frame.copy()
    atoms.calc = calculator
    try:
        results = {"energy": float(atoms.get_potential_energy())}
    except CalculationFailed as error:
        warnings.warn(f"no energy at {where}: {error}", stacklevel=5)
        return {"energy": math.nan}
    known = getattr(calculator, "results", {})
    return results | {name: np.copy(known[name]) for name in UNCERTAINTY if name in known}


def column(points: Sequence[dict], name: str) -> NDArray | None:
    """One result of all points, (P,) or (P, M), NaN where it is missing; None if nobody has it."""
    known = next((point[name] for point in points if name in point), None)
    if known is None:
        return None
    missing = np.full_like(known, np.nan, dtype=float)
    return np.array([point.get(name, missing) for point in points], dtype=float)


def member_columns(committee: NDArray | None) -> dict[str, NDArray]:
    """The members' energies (P, M), if any, as named columns of a table."""
    if committee is None:
        return {}
    return {f"energy_member_{k}_eV": member for k, member in enumerate(committee.T)}


def _solve(
    site: tuple[int, ...],
    frame: Atoms,
    calculator: BaseCalculator,
    coordinates: Sequence[Coordinate],
    values: Sequence[float],
    fmax: float | None,
) -> Point:
    """Place, relax and evaluate one point, warning where that fails."""
    where = " and ".join(f"{c.name} {v:g}" for c, v in zip(coordinates, values, strict=True))
    for coordinate, value in zip(coordinates, values, strict=True):
        coordinate.place(frame, value)
    converged = True
    if fmax is None:
        for c, value in zip(coordinates, values, strict=True):
            if abs(c.difference(c.measure(frame), value)) > TOLERANCE[c.unit]:
                raise ValueError(
                    f"moving along the other coordinate changes the {c.name}: exchange the two, or "
                    "say which atoms move"
                )
    else:
        atoms = frame.copy()
        atoms.calc = calculator
        try:
            converged = relax(atoms, coordinates, values, fmax)
        except CalculationFailed as error:
            warnings.warn(f"no energy at {where}: {error}", stacklevel=4)
            return Point(site, frame, {"energy": math.nan}, False)
        frame.positions = atoms.positions
        if not converged:
            warnings.warn(f"not converged at {where}", stacklevel=4)
    results = evaluate(frame, calculator, where)
    return Point(site, frame, results, converged and math.isfinite(results["energy"]))


def _nearest(points: Sequence[Point], site: tuple[int, ...], atoms: Atoms) -> Atoms:
    """Structure to start ``site`` from: of the nearest converged point, else the one given."""

    def order(point: Point) -> tuple[int, float]:
        steps = sum(abs(a - b) for a, b in zip(point.site, site, strict=True))
        return steps, point.results["energy"]

    converged = [point for point in points if point.converged]
    return min(converged, key=order).frame if converged else atoms

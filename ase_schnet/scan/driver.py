"""Visit the points of a scan one after the other: place, relax, evaluate; keep what is finished."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed
from numpy.typing import NDArray
from tqdm import tqdm

from ase_schnet.applicability.calculator_parts import uncertainty_of
from ase_schnet.applicability.structure_watch import StructureWatch
from ase_schnet.scan.coordinate import TOLERANCE, Coordinate
from ase_schnet.scan.relax import check_relaxable, relax


@dataclass(frozen=True, eq=False)
class Point:
    """A finished point: where on the grid, its structure, its results, whether it relaxed.

    ``outside`` names what of the structure the calculator cannot be believed on, "" where there is nothing,
    None where the calculator knows nothing of itself.
    """

    site: tuple[int, ...]
    frame: Atoms
    results: dict[str, float | NDArray]
    converged: bool
    outside: str | None = None


def prepare(
    atoms: Atoms,
    coordinates: Sequence[Coordinate],
    axes: Sequence[NDArray],
    fmax: float | None,
) -> None:
    """Refuse structures and settings that make no scan, warn of doubtful values; ``fmax`` None if rigid.

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
        doubt = coordinate.doubt(atoms, values)
        if doubt is not None:
            warnings.warn(doubt, stacklevel=4)
        if fmax is not None:
            check_relaxable(atoms, coordinate, values)


def walk(
    atoms: Atoms,
    coordinates: Sequence[Coordinate],
    axes: Sequence[NDArray],
    fmax: float | None,
    progress: bool | None,
) -> list[Point]:
    """Visit the grid of ``axes``, from the point nearest to ``atoms`` outwards; those finished, after Ctrl-C.

    Rigid (``fmax`` None): every point is ``atoms`` with the coordinates moved. Relaxed: it starts
    from the converged point nearest on the grid, of equally near ones the lowest. Outwards, because a point
    that ends in a hole of the calculator, or beyond a barrier, is then the start of those beyond it alone.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C before the first point.
    """
    points: list[Point] = []
    watch, sites = StructureWatch(atoms), outwards(atoms, coordinates, axes)
    try:
        for site in tqdm(sites, unit="point", disable=None if progress is None else not progress):
            values = [axis[k] for axis, k in zip(axes, site, strict=True)]
            start = atoms if fmax is None else _nearest(points, site, atoms)
            frame = atoms.copy()
            frame.positions = start.positions
            point = _solve(site, frame, atoms.calc, coordinates, values, fmax)
            points.append(_watched(point, watch, atoms.calc))
    except KeyboardInterrupt:
        warnings.warn(f"interrupted after {len(points)} of {len(sites)} points", stacklevel=4)
        if not points:
            raise
    return points


def outwards(
    atoms: Atoms, coordinates: Sequence[Coordinate], axes: Sequence[NDArray]
) -> list[tuple[int, ...]]:
    """Sort the grid's points, indices into ``axes``, by their steps from the one nearest to ``atoms``."""
    start = [
        int(np.abs(c.difference(values, c.measure(atoms))).argmin())
        for c, values in zip(coordinates, axes, strict=True)
    ]
    sites = product(*(range(len(values)) for values in axes))
    return sorted(sites, key=lambda site: sum(abs(a - b) for a, b in zip(site, start, strict=True)))


def evaluate(frame: Atoms, calculator: BaseCalculator, where: str) -> dict[str, float | NDArray]:
    """Energy (eV) and, of an ensemble, its spread; NaN with a warning where it cannot be had."""
    atoms = frame.copy()
    atoms.calc = calculator
    try:
        results = {"energy": float(atoms.get_potential_energy())}
    except CalculationFailed as error:
        warnings.warn(f"no energy at {where}: {error}", stacklevel=5)
        return {"energy": math.nan}
    known = uncertainty_of(calculator)
    known.pop("forces_std", None)
    return results | {name: np.copy(value) for name, value in known.items()}


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


def _watched(point: Point, watch: StructureWatch, calculator: BaseCalculator) -> Point:
    """The point with what the calculator, which has just evaluated it, cannot be believed on."""
    if not watch.knows or not math.isfinite(point.results["energy"]):
        return point
    atoms = point.frame.copy()
    atoms.calc = calculator
    return replace(point, outside="; ".join(watch.find(atoms).values()))


def _nearest(points: Sequence[Point], site: tuple[int, ...], atoms: Atoms) -> Atoms:
    """Structure to start ``site`` from: of the nearest converged point, else the one given."""

    def order(point: Point) -> tuple[int, float]:
        steps = sum(abs(a - b) for a, b in zip(point.site, site, strict=True))
        return steps, float(point.results["energy"])

    converged = [point for point in points if point.converged]
    return min(converged, key=order).frame if converged else atoms

"""Visit the points of a scan one after the other: place, relax, evaluate. Finished points are kept."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed, InputError
from numpy.typing import NDArray
from tqdm import tqdm

from ase_schnet.applicability.calculator_parts import uncertainty_of
from ase_schnet.applicability.structure_watch import StructureWatch
from ase_schnet.runtime.progress import is_hidden
from ase_schnet.scan.coordinate import TOLERANCE, Coordinate, StraightError
from ase_schnet.scan.relax import check_relaxable, relax


@dataclass(frozen=True, eq=False)
class Point:
    """Hold a finished point of a scan.

    Attributes
    ----------
    site
        Indices of the point on the grid, one for each coordinate.
    frame
        The structure, without calculator.
    results
        Energy (eV) and what else the calculator gives, by name.
    converged
        Whether the point relaxed and has an energy.
    outside
        What of the structure is outside the training data of the calculator; "" for nothing, None if the
        calculator does not know.
    """

    site: tuple[int, ...]
    frame: Atoms
    results: dict[str, float | NDArray]
    converged: bool
    outside: str | None = None


def check_scan(
    atoms: Atoms,
    coordinates: Sequence[Coordinate],
    axes: Sequence[NDArray],
    fmax: float | None,
) -> None:
    """Refuse structures and settings with which no scan is possible, and warn about suspicious values.

    Parameters
    ----------
    atoms
        The structure, with its calculator.
    coordinates, axes
        The coordinates, and the values of each, (P,), Å or °.
    fmax
        Largest force after relaxation, eV/Å; None for a rigid scan.

    Raises
    ------
    ValueError
        For fixed atoms that would have to move, a missing calculator, and an impossible ``fmax``.
    """
    if atoms.calc is None:
        raise ValueError("the atoms have no calculator: set atoms.calc first")
    if fmax is not None and not 0 < fmax < math.inf:
        raise ValueError(f"fmax must be positive, not {fmax}")
    for coordinate, values in zip(coordinates, axes, strict=True):
        coordinate.check_free(atoms)
        suspicion = coordinate.suspicion(atoms, values)
        if suspicion is not None:
            warnings.warn(suspicion, stacklevel=4)
        if fmax is not None:
            check_relaxable(atoms, coordinate, values)


def visit_points(
    atoms: Atoms,
    coordinates: Sequence[Coordinate],
    axes: Sequence[NDArray],
    fmax: float | None,
    progress: bool | None,
) -> list[Point]:
    """Visit all points of a grid, from the one nearest to ``atoms`` outwards.

    In a rigid scan every point is ``atoms`` with the coordinates moved. In a relaxed scan a point starts from
    the nearest converged point of the grid, and from the lowest of those equally near. The order is
    outwards so that a point that ends in a hole of the model, or beyond a barrier, is the start only of
    points beyond it.

    Parameters
    ----------
    atoms
        The structure, with its calculator.
    coordinates, axes
        The coordinates, and the values of each, (P,), Å or °.
    fmax
        Largest force after relaxation, eV/Å; None for a rigid scan.
    progress
        Show a progress bar; None shows it only on a terminal.

    Returns
    -------
    list of Point
        All points; after Ctrl-C, with a warning, those that are finished. A point whose structure the
        calculator refuses, or at which a coordinate has no value, has no energy, with a warning.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C before the first point is finished.
    """
    points: list[Point] = []
    watch, sites = StructureWatch(atoms), order_outwards(atoms, coordinates, axes)
    try:
        for site in tqdm(sites, unit="point", disable=is_hidden(progress)):
            values = [axis[k] for axis, k in zip(axes, site, strict=True)]
            start = atoms if fmax is None else _nearest(points, site, atoms)
            frame = atoms.copy()
            frame.positions = start.positions
            try:
                point = _compute_point(site, frame, atoms.calc, coordinates, values, fmax)
            except (InputError, StraightError) as error:
                if not points:
                    raise  # of the structure itself, and not of this point alone
                where = _where(coordinates, values)
                warnings.warn(f"no energy at {where}: {error}", stacklevel=4)
                point = Point(site, frame, {"energy": math.nan}, False)
            points.append(_add_outside(point, watch, atoms.calc))
    except KeyboardInterrupt:
        warnings.warn(f"interrupted after {len(points)} of {len(sites)} points", stacklevel=4)
        if not points:
            raise
    return points


def order_outwards(
    atoms: Atoms, coordinates: Sequence[Coordinate], axes: Sequence[NDArray]
) -> list[tuple[int, ...]]:
    """Sort the points of the grid by their number of steps from the one nearest to ``atoms``."""
    start = [
        int(np.abs(c.difference(values, c.measure(atoms))).argmin())
        for c, values in zip(coordinates, axes, strict=True)
    ]
    sites = product(*(range(len(values)) for values in axes))
    return sorted(sites, key=lambda site: sum(abs(a - b) for a, b in zip(site, start, strict=True)))


def energy_and_spread(
    frame: Atoms, calculator: BaseCalculator, where: str
) -> dict[str, float | NDArray]:
    """Compute the energy (eV), and its spread and error bar if known; NaN with a warning if that fails."""
    atoms = frame.copy()
    atoms.calc = calculator
    try:
        results = {"energy": float(atoms.get_potential_energy())}
    except CalculationFailed as error:
        warnings.warn(f"no energy at {where}: {error}", stacklevel=5)
        return {"energy": math.nan}
    known = uncertainty_of(calculator, error_bars=True)
    known.pop("forces_std", None)
    known.pop("forces_error", None)
    return results | {name: np.copy(value) for name, value in known.items()}


def stack_results(points: Sequence[dict], name: str) -> NDArray | None:
    """Stack one result of all points, (P,) or (P, M), NaN where it is missing; None if all lack it."""
    known = next((point[name] for point in points if name in point), None)
    if known is None:
        return None
    missing = np.full_like(known, np.nan, dtype=float)
    return np.array([point.get(name, missing) for point in points], dtype=float)


def member_columns(committee: NDArray | None) -> dict[str, NDArray]:
    """Name the columns of the members' energies (P, M), eV, for a table."""
    if committee is None:
        return {}
    return {f"energy_member_{k}_eV": member for k, member in enumerate(committee.T)}


def error_columns(errors_eV: NDArray | None, level: float | None) -> dict[str, NDArray | None]:
    """Name the columns of error bars (P,) or (P, Q), eV, and of their level for a table.

    The level has a column, the same number in each line: every reader of tables finds it there.
    """
    levels = None if errors_eV is None or level is None else np.full_like(errors_eV, level)
    return {"energy_error_eV": errors_eV, "error_level": levels}


def range_columns(
    name: str, limits: tuple[float, float] | None, n_points: int
) -> dict[str, NDArray | None]:
    """Name the columns of a range for a table of `n_points` lines, the same two numbers in each."""
    low, high = (None, None) if limits is None else (np.full(n_points, limit) for limit in limits)
    return {f"{name}_from_Ang": low, f"{name}_to_Ang": high}


def _compute_point(
    site: tuple[int, ...],
    frame: Atoms,
    calculator: BaseCalculator,
    coordinates: Sequence[Coordinate],
    values: Sequence[float],
    fmax: float | None,
) -> Point:
    """Place, relax and evaluate one point; warn if that fails."""
    where = _where(coordinates, values)
    for coordinate, value in zip(coordinates, values, strict=True):
        coordinate.place(frame, value)
    converged = True
    if fmax is None:
        for c, value in zip(coordinates, values, strict=True):
            if abs(c.difference(c.measure(frame), value)) > TOLERANCE[c.unit]:
                raise ValueError(
                    f"moving along the other coordinate changes the {c.name}: exchange the two, or "
                    "say which atoms move (moving=)"
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
    results = energy_and_spread(frame, calculator, where)
    return Point(site, frame, results, converged and math.isfinite(results["energy"]))


def _where(coordinates: Sequence[Coordinate], values: Sequence[float]) -> str:
    """Return a point in words."""
    return " and ".join(f"{c.name} {v:g}" for c, v in zip(coordinates, values, strict=True))


def _add_outside(point: Point, watch: StructureWatch, calculator: BaseCalculator) -> Point:
    """Add to a point what of its structure is outside the training data of the calculator."""
    if not watch.knows or not math.isfinite(point.results["energy"]):
        return point
    atoms = point.frame.copy()
    atoms.calc = calculator
    return replace(point, outside="; ".join(watch.find(atoms).values()))


def _nearest(points: Sequence[Point], site: tuple[int, ...], atoms: Atoms) -> Atoms:
    """Find the structure to start from: that of the nearest converged point, else ``atoms``."""

    def order(point: Point) -> tuple[int, float]:
        steps = sum(abs(a - b) for a, b in zip(point.site, site, strict=True))
        return steps, float(point.results["energy"])

    converged = [point for point in points if point.converged]
    return min(converged, key=order).frame if converged else atoms

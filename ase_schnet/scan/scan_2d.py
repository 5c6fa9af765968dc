"""Scans of two coordinates on a grid: maps of the potential energy surface."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_schnet.applicability.calculator_parts import limits_of
from ase_schnet.runtime.files import write_csv
from ase_schnet.scan.coordinate import Coordinate
from ase_schnet.scan.driver import (
    Point,
    check_scan,
    error_columns,
    member_columns,
    range_columns,
    stack_results,
    visit_points,
)
from ase_schnet.structures.writing import write_frames

#: Columns of a table with the trained range of either coordinate.
RANGES = ("first_trained", "second_trained")


@dataclass(frozen=True, eq=False)
class ScanMap:
    """Hold energies along two coordinates: a grid of P by Q points, M ensemble members, float64.

    Attributes
    ----------
    coordinate_names
        Names of the two coordinates, such as "C0-C1-O2-H8 dihedral (°)".
    values
        Values of the first (P,) and the second (Q,), Å or °, as the names say.
    energies_eV
        Energies (P, Q), eV; NaN where a calculation failed or was not done.
    energy_std_eV
        Standard deviations over the ensemble, (P, Q), eV; None if the calculator is no ensemble.
    energy_committee_eV
        Energies of the members, (P, Q, M), eV, or None.
    frames
        Structures without calculator, by grid point (p, q); finished points only.
    converged
        Whether each point relaxed, (P, Q) bool; None for a rigid map.
    outside_training
        Where the structure is outside the training data, (P, Q) bool: unknown distances, or forces on which
        the members disagree. None if the calculator does not know.
    energy_error_eV
        Error bars, (P, Q), eV, infinite for structures unlike all training; None if the calculator has none.
    error_level
        Probability with which an error bar covers the error.
    trained_ranges
        For each coordinate its range in the training data of the model's level of theory, Å; None where it is
        not known, and for angles and dihedrals, of which ``outside_training`` tells.
    """

    coordinate_names: tuple[str, str]
    values: tuple[NDArray, NDArray]
    energies_eV: NDArray
    energy_std_eV: NDArray | None
    energy_committee_eV: NDArray | None
    frames: dict[tuple[int, int], Atoms]
    converged: NDArray | None = None
    outside_training: NDArray | None = None
    energy_error_eV: NDArray | None = None
    error_level: float | None = None
    trained_ranges: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None)

    @property
    def minimum(self) -> tuple[int, int]:
        """Return the grid point (p, q) of the lowest energy."""
        p, q = np.unravel_index(np.nanargmin(self.energies_eV), self._shape)
        return int(p), int(q)

    @property
    def _shape(self) -> tuple[int, int]:
        return self.energies_eV.shape

    def write_csv(self, path: str | Path) -> None:
        """Write a csv file, one line per finished point; every number reads back to the same bits."""
        columns = self._of_frames(
            energy_eV=self.energies_eV,
            energy_std_eV=self.energy_std_eV,
            **error_columns(self.energy_error_eV, self.error_level),
            converged=self.converged,
            outside_training=self.outside_training,
        )
        for name, limits in zip(RANGES, self.trained_ranges, strict=True):
            columns |= range_columns(name, limits, len(self.frames))
        members = self.energy_committee_eV
        finished = None if members is None else members[self._finished]
        write_csv(path, columns | member_columns(finished))

    def write_frames(self, path: str | Path) -> None:
        """Write the structures as extended xyz, ready to be labelled.

        The energies have names that no reader takes for labels.
        """
        columns = self._of_frames(
            model_energy_eV=self.energies_eV, model_energy_std_eV=self.energy_std_eV
        )
        write_frames(path, [self.frames[site] for site in sorted(self.frames)], columns)

    @property
    def _finished(self) -> tuple[NDArray, NDArray]:
        """Return the indices of the finished points, row by row."""
        p, q = np.array(sorted(self.frames)).T
        return p, q

    def _of_frames(self, **grids: NDArray | None) -> dict[str, NDArray | None]:
        """Collect columns over the finished points: the two coordinates, and grids (P, Q) by name."""
        where = self._finished
        axes = zip(self.coordinate_names, self.values, where, strict=True)
        columns = {name: values[k] for name, values, k in axes}
        return columns | {n: None if grid is None else grid[where] for n, grid in grids.items()}


def scan_map(
    atoms: Atoms,
    first: Sequence[int],
    first_values: ArrayLike,
    second: Sequence[int],
    second_values: ArrayLike,
    *,
    moving: tuple[Sequence[int] | None, Sequence[int] | None] = (None, None),
    relaxed: bool = False,
    fmax: float = 0.01,
    progress: bool | None = None,
) -> ScanMap:
    """Scan two coordinates on a grid; energies in eV. ``atoms`` do not change.

    Parameters
    ----------
    atoms
        Any structure with any calculator.
    first
        Atom indices of the first coordinate: two for a distance, three for an angle, four for a dihedral.
    first_values
        Values (P,), Å for distances, degrees for angles and dihedrals.
    second
        Atom indices of the second coordinate.
    second_values
        Values (Q,).
    moving
        For each coordinate the atoms that move as one piece, or None for those that its own scan moves.
    relaxed
        Relax all other coordinates at every point, from the nearest point that converged. The first point is
        the one nearest to ``atoms``, and the scan goes outwards from there.
    fmax
        Largest force on an atom that counts as relaxed, eV/Å.
    progress
        Show a progress bar; None shows it only on a terminal.

    Returns
    -------
    ScanMap
        All points; after Ctrl-C, with a warning, those that are finished, and NaN elsewhere.

    Raises
    ------
    ValueError
        For arguments that define no map, and coordinates that cannot be moved independently.
    """
    pairs = zip((first, second), moving, strict=True)
    coordinates = [Coordinate.of(atoms, indices, piece) for indices, piece in pairs]
    if coordinates[0].depends_on(coordinates[1]):
        raise ValueError("a map needs two different coordinates")
    axes = [
        c.check_values(v) for c, v in zip(coordinates, (first_values, second_values), strict=True)
    ]
    limit = fmax if relaxed else None
    check_scan(atoms, coordinates, axes, limit)
    points = visit_points(atoms, coordinates, axes, limit, progress)
    return _map_of(points, coordinates, axes, atoms, relaxed=relaxed)


def _map_of(
    points: Sequence[Point],
    coordinates: Sequence[Coordinate],
    axes: Sequence[NDArray],
    atoms: Atoms,
    *,
    relaxed: bool,
) -> ScanMap:
    """Put the finished points of a scan of ``atoms`` on the grid of the two axes, (P,) and (Q,)."""
    first, second = coordinates
    return ScanMap(
        coordinate_names=(first.name, second.name),
        values=(axes[0], axes[1]),
        energies_eV=_grid(points, axes, "energy"),
        energy_std_eV=_grid(points, axes, "energy_std"),
        energy_committee_eV=_grid(points, axes, "energy_committee"),
        frames={point.site: point.frame for point in points},
        converged=_converged(points, axes) if relaxed else None,
        outside_training=_outside(points, axes),
        energy_error_eV=_grid(points, axes, "energy_error"),
        error_level=(limits_of(atoms.calc) or {}).get("error_level"),
        trained_ranges=(first.trained_range(atoms), second.trained_range(atoms)),
    )


def _grid(points: Sequence[Point], axes: Sequence[NDArray], name: str) -> NDArray | None:
    """Put one result on the grid, (P, Q) or (P, Q, M), NaN where there is none."""
    found = stack_results([point.results for point in points], name)
    if found is None:
        return None
    grid = np.full((*map(len, axes), *found.shape[1:]), np.nan)
    grid[tuple(np.array([point.site for point in points]).T)] = found
    return grid


def _converged(points: Sequence[Point], axes: Sequence[NDArray]) -> NDArray:
    """Put on the grid which points converged, (P, Q) bool."""
    grid = np.zeros(tuple(map(len, axes)), dtype=bool)
    for point in points:
        grid[point.site] = point.converged
    return grid


def _outside(points: Sequence[Point], axes: Sequence[NDArray]) -> NDArray | None:
    """Put on the grid which points are outside the training data, (P, Q) bool; None if unknown."""
    if not any(point.outside is not None for point in points):
        return None
    grid = np.zeros(tuple(map(len, axes)), dtype=bool)
    for point in points:
        grid[point.site] = bool(point.outside)
    return grid

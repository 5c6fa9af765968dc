"""Maps of the potential energy surface along two coordinates."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from numpy.typing import ArrayLike, NDArray

from ase_schnet.files import write_csv
from ase_schnet.scan.coordinate import Coordinate
from ase_schnet.scan.driver import Point, column, member_columns, prepare, walk
from ase_schnet.structures.writing import write_frames


@dataclass(frozen=True, eq=False)
class ScanMap:
    """Energies along two coordinates: a grid of P by Q points, M ensemble members, float64.

    Attributes
    ----------
    coordinate_names
        Of the first and the second, such as "C0-C1-O2-H8 dihedral (°)".
    values
        Of the first (P,) and of the second (Q,), in the unit the name gives.
    energies_eV : (P, Q) array
        NaN where a calculation failed or was not done any more.
    energy_std_eV : (P, Q) array or None
        Standard deviation over the ensemble, where the calculator is one.
    energy_committee_eV : (P, Q, M) array or None
        The members' energies.
    frames
        By grid point (p, q), the structures without calculator; only those finished.
    converged : (P, Q) bool array or None
        Whether each point relaxed; None for a rigid map.
    outside_training : (P, Q) bool array or None
        Where the calculator cannot be believed: distances it never saw, forces its members do not agree on.
        None where the calculator does not say.
    """

    coordinate_names: tuple[str, str]
    values: tuple[NDArray, NDArray]
    energies_eV: NDArray
    energy_std_eV: NDArray | None
    energy_committee_eV: NDArray | None
    frames: dict[tuple[int, int], Atoms]
    converged: NDArray | None = None
    outside_training: NDArray | None = None

    @property
    def minimum(self) -> tuple[int, int]:
        """Grid point (p, q) of the lowest energy."""
        return tuple(map(int, np.unravel_index(np.nanargmin(self.energies_eV), self._shape)))

    @property
    def _shape(self) -> tuple[int, int]:
        return self.energies_eV.shape

    def write_csv(self, path: str | Path) -> None:
        """Write one line per finished point; every float reads back to the same bits."""
        columns = self._of_frames(
            energy_eV=self.energies_eV,
            energy_std_eV=self.energy_std_eV,
            converged=self.converged,
            outside_training=self.outside_training,
        )
        members = self.energy_committee_eV
        finished = None if members is None else members[self._finished]
        write_csv(path, columns | member_columns(finished))

    def write_frames(self, path: str | Path) -> None:
        """Write the structures as extended xyz, ready to be labelled.

        The energies stand under names that no reader takes for labels.
        """
        columns = self._of_frames(
            model_energy_eV=self.energies_eV, model_energy_std_eV=self.energy_std_eV
        )
        write_frames(path, [self.frames[site] for site in sorted(self.frames)], columns)

    @property
    def _finished(self) -> tuple[NDArray, NDArray]:
        """Indices of the finished points, row by row."""
        p, q = np.array(sorted(self.frames)).T
        return p, q

    def _of_frames(self, **grids: NDArray | None) -> dict[str, NDArray | None]:
        """Columns over the finished points: the two coordinates and what is given as (P, Q)."""
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
    """Scan two coordinates at once, on a grid. ``atoms`` stay as they are.

    Parameters
    ----------
    first, second
        Atom indices: two for a distance, three for an angle, four for a dihedral.
    first_values, second_values : (P,), (Q,) array
        Å for distances, degrees for angles and dihedrals.
    moving
        For each coordinate the atoms that move as one piece, or None for what its own scan moves.
    relaxed
        Relax all else at every point, each from the nearest point that converged. The grid point nearest to
        ``atoms`` is the first, and from there it goes outwards.
    atoms, fmax, progress
        As for :func:`~ase_schnet.scan.scan_1d.scan_distance`.

    Returns
    -------
    ScanMap
        After Ctrl-C, with a warning, of the points finished by then, NaN elsewhere.

    Raises
    ------
    ValueError
        For arguments that make no map, and coordinates that cannot be moved independently.
    """
    pairs = zip((first, second), moving, strict=True)
    coordinates = [Coordinate.of(atoms, indices, piece) for indices, piece in pairs]
    if set(first) == set(second):
        raise ValueError("a map needs two different coordinates")
    axes = [
        c.check_values(v) for c, v in zip(coordinates, (first_values, second_values), strict=True)
    ]
    limit = fmax if relaxed else None
    prepare(atoms, coordinates, axes, limit)
    points = walk(atoms, coordinates, axes, limit, progress)
    return ScanMap(
        coordinate_names=tuple(c.name for c in coordinates),
        values=tuple(axes),
        energies_eV=_grid(points, axes, "energy"),
        energy_std_eV=_grid(points, axes, "energy_std"),
        energy_committee_eV=_grid(points, axes, "energy_committee"),
        frames={point.site: point.frame for point in points},
        converged=_converged(points, axes) if relaxed else None,
        outside_training=_outside(points, axes),
    )


def _grid(points: Sequence[Point], axes: Sequence[NDArray], name: str) -> NDArray | None:
    """Lay one result on the grid, (P, Q) or (P, Q, M), NaN where there is none."""
    found = column([point.results for point in points], name)
    if found is None:
        return None
    grid = np.full((*map(len, axes), *found.shape[1:]), np.nan)
    grid[tuple(np.array([point.site for point in points]).T)] = found
    return grid


def _converged(points: Sequence[Point], axes: Sequence[NDArray]) -> NDArray:
    grid = np.zeros(tuple(map(len, axes)), dtype=bool)
    for point in points:
        grid[point.site] = point.converged
    return grid


def _outside(points: Sequence[Point], axes: Sequence[NDArray]) -> NDArray | None:
    if not any(point.outside is not None for point in points):
        return None
    grid = np.zeros(tuple(map(len, axes)), dtype=bool)
    for point in points:
        grid[point.site] = bool(point.outside)
    return grid

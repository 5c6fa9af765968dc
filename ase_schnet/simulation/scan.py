"""Cuts through the potential energy surface, with the ensemble's error and a reference."""

import csv
import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator, CalculationFailed
from ase.io import read
from ase.io.formats import UnknownFileTypeError
from ase.neighborlist import natural_cutoffs, neighbor_list
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

#: Atoms closer than this times the sum of their covalent radii count as bonded.
BOND_FACTOR = 1.2


@dataclass(frozen=True, eq=False)
class ScanResult:
    """Energies along one coordinate: P points, M ensemble members, float64.

    Attributes
    ----------
    coordinate_name
        For axis labels and csv headers, such as "O2-H8 distance (Å)".
    values : (P,) array
        The coordinate, in the unit its name gives.
    energies_eV : (P,) array
    energy_std_eV : (P,) array or None
        Standard deviation over the ensemble, where the calculator is one.
    energy_committee_eV : (P, M) array or None
        The members' energies.
    reference_energies_eV : (P,) array or None
        NaN where the reference does not reach. Its zero may differ from that of ``energies_eV``.
    frames
        The structures, without calculator.
    """

    coordinate_name: str
    values: NDArray
    energies_eV: NDArray
    energy_std_eV: NDArray | None
    energy_committee_eV: NDArray | None
    reference_energies_eV: NDArray | None
    frames: list[Atoms]

    def write_csv(self, path: str | Path) -> None:
        """Write one line per point; every float reads back to the same bits."""
        columns = {
            self.coordinate_name: self.values,
            "energy_eV": self.energies_eV,
            "energy_std_eV": self.energy_std_eV,
            "reference_energy_eV": self.reference_energies_eV,
        }
        if self.energy_committee_eV is not None:
            for k, member in enumerate(self.energy_committee_eV.T):
                columns[f"energy_member_{k}_eV"] = member
        columns = {name: column for name, column in columns.items() if column is not None}
        with Path(path).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(np.column_stack(list(columns.values())).tolist())


def scan_distance(
    atoms: Atoms,
    i: int,
    j: int,
    values: ArrayLike,
    *,
    moving: Sequence[int] | None = None,
    reference: str | Path | BaseCalculator | None = None,
    progress: bool | None = None,
) -> ScanResult:
    """Rigid scan of the distance between two atoms. ``atoms`` stay as they are.

    Parameters
    ----------
    atoms
        Any structure with any calculator.
    i, j
        Atom indices; ``i`` stays, ``j`` moves along the line from ``i`` to ``j``.
    values : (P,) array
        Distances, Å.
    moving
        Indices of the atoms that move with ``j``, itself included; by default those that
        :func:`fragment_of` finds.
    reference
        Path of a file of structures with energies, interpolated in their own i-j distance by a
        cubic spline (never extrapolated), or an ASE calculator evaluated at every point.
    progress
        Show a progress bar; None shows it on a terminal only.

    Returns
    -------
    ScanResult
        After Ctrl-C, with a warning, of the points finished by then.

    Raises
    ------
    ValueError
        For indices, distances, ``moving`` or a reference that make no scan.
    """
    values, moving = _check_arguments(atoms, i, j, values, moving)
    line = atoms.get_distance(i, j, mic=True, vector=True)  # (3,) from i to j
    length = np.linalg.norm(line)
    if length < 1e-6:
        raise ValueError(f"atoms {i} and {j} coincide: there is no direction to move along")
    frames = []
    for value in values:
        frame = atoms.copy()
        frame.positions[moving] += (value - length) * line / length
        frames.append(frame)
    from_file = isinstance(reference, (str, Path))
    reference_eV = _interpolate(reference, atoms, i, j, values) if from_file else None
    points = _evaluate(frames, atoms.calc, progress)
    n = len(points)  # fewer than asked for after Ctrl-C
    if n == 0:
        raise KeyboardInterrupt
    if reference is not None and not from_file:
        known = _column(_evaluate(frames[:n], reference, progress), "energy")
        reference_eV = np.pad(known, (0, n - len(known)), constant_values=np.nan)
    return ScanResult(
        coordinate_name=f"{atoms.symbols[i]}{i}-{atoms.symbols[j]}{j} distance (Å)",
        values=values[:n],
        energies_eV=_column(points, "energy"),
        energy_std_eV=_column(points, "energy_std"),
        energy_committee_eV=_column(points, "energy_committee"),
        reference_energies_eV=None if reference_eV is None else reference_eV[:n],
        frames=frames[:n],
    )


def fragment_of(atoms: Atoms, i: int, j: int) -> list[int]:
    """Atoms on ``j``'s side of the bond i-j, found from covalent radii.

    Only ``j`` itself where that bond lies in a ring or does not exist.
    """
    cutoffs = natural_cutoffs(atoms, mult=BOND_FACTOR)
    first, second = neighbor_list("ij", atoms, cutoffs)  # each bond twice
    is_cut = ((first == i) & (second == j)) | ((first == j) & (second == i))
    if not is_cut.any():
        return [j]
    first, second = first[~is_cut], second[~is_cut]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(len(atoms), len(atoms)))
    component = connected_components(graph, directed=False)[1]
    if component[i] == component[j]:
        return [j]
    return np.flatnonzero(component == component[j]).tolist()


def _evaluate(
    frames: Sequence[Atoms], calculator: BaseCalculator, progress: bool | None
) -> list[dict[str, float | NDArray]]:
    """Energies of the frames, one dictionary each; those finished, after Ctrl-C."""
    points = []
    disable = None if progress is None else not progress  # None: off when not on a terminal
    try:
        for k, frame in enumerate(tqdm(frames, unit="point", disable=disable)):
            atoms = frame.copy()
            atoms.calc = calculator
            try:
                point = {"energy": float(atoms.get_potential_energy())}
            except CalculationFailed as error:
                warnings.warn(f"no energy at point {k}: {error}", stacklevel=3)
                points.append({"energy": math.nan})
                continue
            results = getattr(calculator, "results", {})
            names = ("energy_std", "energy_committee")
            points.append(point | {name: results[name] for name in names if name in results})
    except KeyboardInterrupt:
        warnings.warn(f"interrupted after {len(points)} of {len(frames)} points", stacklevel=3)
    return points


def _column(points: list[dict], name: str) -> NDArray | None:
    """Gather one result of all points, (P,) or (P, M), NaN where a calculation failed."""
    known = next((point[name] for point in points if name in point), None)
    if known is None:
        return np.empty(0) if name == "energy" else None
    missing = np.full_like(known, np.nan, dtype=float)
    return np.array([point.get(name, missing) for point in points], dtype=float)


def _interpolate(path: str | Path, atoms: Atoms, i: int, j: int, values: NDArray) -> NDArray:
    """Energies (P,) of a file's structures at the distances ``values``, NaN beyond its range."""
    try:
        structures = read(path, index=":")
    except UnknownFileTypeError as error:
        raise ValueError(f"{path} is not a file of structures: {error}") from None
    energies = {}  # by distance
    for k, structure in enumerate(structures):
        if not np.array_equal(structure.numbers, atoms.numbers):
            raise ValueError(f"structure {k} of {path} does not have the atoms of the scan")
        if structure.calc is None or "energy" not in structure.calc.results:
            raise ValueError(f"structure {k} of {path} has no energy")
        distance = round(structure.get_distance(i, j, mic=True), 6)
        if distance in energies:
            raise ValueError(f"{path} has two structures with {i} and {j} {distance} Å apart")
        energies[distance] = structure.get_potential_energy()
    if len(energies) < 2:
        raise ValueError(f"{path} has fewer than two structures to interpolate between")
    distances = sorted(energies)
    spline = CubicSpline(distances, [energies[d] for d in distances], extrapolate=False)
    return spline(values)


def _check_arguments(
    atoms: Atoms, i: int, j: int, values: ArrayLike, moving: Sequence[int] | None
) -> tuple[NDArray, list[int]]:
    """Refuse what makes no scan; return distances (P,) and the moving atoms."""
    n = len(atoms)
    if atoms.calc is None:
        raise ValueError("the atoms have no calculator: set atoms.calc first")
    for index in (i, j, *(moving or ())):
        if not 0 <= index < n:
            raise ValueError(f"atom {index} does not exist: the structure has atoms 0 to {n - 1}")
    if i == j:
        raise ValueError(f"a distance needs two different atoms, not {i} twice")
    if moving is None:
        moving = fragment_of(atoms, i, j)
    elif j not in moving or i in moving:
        raise ValueError(f"moving must hold {j} (which moves) and not {i} (which stays)")
    values = np.array(values, dtype=float, ndmin=1)
    if values.ndim != 1 or values.size == 0:
        raise ValueError("values must be a list of at least one distance")
    if not (np.isfinite(values) & (values > 0)).all():
        raise ValueError("distances must be positive and finite")
    return values, sorted(set(moving))

"""Scans of one coordinate: a distance, an angle or a dihedral."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import ArrayLike, NDArray

from ase_schnet.applicability.calculator_parts import limits_of
from ase_schnet.runtime.files import write_csv
from ase_schnet.scan.coordinate import Coordinate
from ase_schnet.scan.driver import (
    check_scan,
    error_columns,
    member_columns,
    range_columns,
    stack_results,
    visit_points,
)
from ase_schnet.scan.reference import energies_along, read_reference
from ase_schnet.structures.writing import write_frames


@dataclass(frozen=True, eq=False)
class ScanResult:
    """Hold energies along one coordinate: P points, M ensemble members, float64.

    Attributes
    ----------
    coordinate_name
        Name for axis labels and csv headers, such as "O2-H8 distance (Å)".
    values
        Values of the coordinate, (P,), Å or °, as the name says.
    energies_eV
        Energies (P,), eV; NaN where a calculation failed.
    energy_std_eV
        Standard deviations over the ensemble, (P,), eV; None if the calculator is no ensemble.
    energy_committee_eV
        Energies of the members, (P, M), eV, or None.
    reference_energies_eV
        Energies of the reference, (P,), eV, or None; NaN outside its range. Its zero may differ from that of
        ``energies_eV``.
    frames
        The P structures, without calculator.
    converged
        Whether each point relaxed, (P,) bool; None for a rigid scan.
    outside_training
        For each of P structures, what is outside the training data: unknown distances, or forces on which the
        members disagree; "" for nothing. None if the calculator does not know.
    energy_error_eV
        Error bars, (P,), eV, infinite for structures unlike all training; None if the calculator has none.
    error_level
        Probability with which an error bar covers the error.
    trained_range, known_range
        Range of a distance in the training data of the model's level of theory, and of every level, Å; None
        where it is not known, and for angles and dihedrals, of which ``outside_training`` tells.
    """

    coordinate_name: str
    values: NDArray
    energies_eV: NDArray
    energy_std_eV: NDArray | None
    energy_committee_eV: NDArray | None
    reference_energies_eV: NDArray | None
    frames: list[Atoms]
    converged: NDArray | None = None
    outside_training: list[str] | None = None
    energy_error_eV: NDArray | None = None
    error_level: float | None = None
    trained_range: tuple[float, float] | None = None
    known_range: tuple[float, float] | None = None

    @property
    def unit(self) -> str:
        """Return the unit of ``values``, "Å" or "°"."""
        return self.coordinate_name.rpartition("(")[2].rstrip(")")

    def write_csv(self, path: str | Path) -> None:
        """Write a csv file, one line per point; every number reads back to the same bits."""
        columns = {
            self.coordinate_name: self.values,
            "energy_eV": self.energies_eV,
            "energy_std_eV": self.energy_std_eV,
            **error_columns(self.energy_error_eV, self.error_level),
            "reference_energy_eV": self.reference_energies_eV,
            "converged": self.converged,
            "outside_training": self._is_outside,
            **range_columns("trained", self.trained_range, len(self.values)),
            **range_columns("known", self.known_range, len(self.values)),
        }
        write_csv(path, columns | member_columns(self.energy_committee_eV))

    @property
    def _is_outside(self) -> NDArray | None:
        """Return which points are outside the training data, (P,) bool, or None."""
        told = self.outside_training
        return None if told is None else np.array([bool(why) for why in told])

    def write_frames(self, path: str | Path) -> None:
        """Write the structures as extended xyz, ready to be labelled.

        The energies have names that no reader takes for labels.
        """
        columns = {
            self.coordinate_name: self.values,
            "model_energy_eV": self.energies_eV,
            "model_energy_std_eV": self.energy_std_eV,
        }
        write_frames(path, self.frames, columns)


class ScanOptions(TypedDict, total=False):
    """Hold the keyword options of a scan of one coordinate; :func:`scan_distance` describes them."""

    moving: Sequence[int] | None
    relaxed: bool
    fmax: float
    reference: str | Path | BaseCalculator | None
    progress: bool | None


def scan_distance(
    atoms: Atoms,
    i: int,
    j: int,
    values: ArrayLike,
    *,
    moving: Sequence[int] | None = None,
    relaxed: bool = False,
    fmax: float = 0.01,
    reference: str | Path | BaseCalculator | None = None,
    progress: bool | None = None,
) -> ScanResult:
    """Scan the distance between two atoms, Å; energies in eV. ``atoms`` do not change.

    Parameters
    ----------
    atoms
        Any structure with any calculator. In a periodic one, distances are to the nearest image.
    i, j
        Atom indices; ``i`` stays, ``j`` moves along the line from ``i`` to ``j``.
    values
        Distances (P,), Å.
    moving
        Indices of the atoms that move as one piece, with ``j`` and without ``i``. By default all that is
        connected to ``j`` when the bond i-j is cut; only ``j`` if there is no such bond or it is in a ring.
    relaxed
        Relax all other coordinates at every point (:class:`HoldCoordinates
        <ase_schnet.scan.relax.HoldCoordinates>`), from the nearest point that converged. The first point is
        the one nearest to ``atoms``, and the scan goes outwards from there. FixAtoms and FixCartesian
        constraints of ``atoms`` are kept. If there are several minima, the scan follows the one that it comes
        from; a scan from another structure may find another one.
    fmax
        Largest force on an atom that counts as relaxed, eV/Å.
    reference
        Path of a file of structures with energies, which are interpolated (never extrapolated) by a cubic
        spline over their own values of the coordinate, or an ASE calculator that is evaluated at every
        structure of the scan.
    progress
        Show a progress bar; None shows it only on a terminal.

    Returns
    -------
    ScanResult
        In the order of ``values``; after Ctrl-C, with a warning, only the finished points. There are also
        warnings about points that do not converge or have no energy, and about probable mistakes (0.097 Å,
        1.8°).

    Raises
    ------
    ValueError
        For indices, values, ``moving``, constraints or a reference with which no scan is possible.
    """
    coordinate = Coordinate.of(atoms, (i, j), moving)
    return _scan(atoms, coordinate, values, relaxed, fmax, reference, progress)


def scan_angle(
    atoms: Atoms,
    i: int,
    j: int,
    k: int,
    values_deg: ArrayLike,
    *,
    moving: Sequence[int] | None = None,
    relaxed: bool = False,
    fmax: float = 0.01,
    reference: str | Path | BaseCalculator | None = None,
    progress: bool | None = None,
) -> ScanResult:
    """Scan the angle i-j-k at ``j``, degrees; energies in eV. ``atoms`` do not change.

    Atom ``k`` and what is connected to it turn in the plane of the three atoms.

    Parameters
    ----------
    atoms
        Any structure with any calculator.
    i, j, k
        Atom indices; ``j`` is the vertex, ``i`` stays, ``k`` moves.
    values_deg
        Angles (P,), degrees, up to 180; for a relaxed scan 5 to 175.
    moving
        As for :func:`scan_distance`, with ``k``; by default found by cutting the bond j-k.
    relaxed, fmax, reference, progress
        As for :func:`scan_distance`.

    Returns
    -------
    ScanResult
        As for :func:`scan_distance`.
    """
    coordinate = Coordinate.of(atoms, (i, j, k), moving)
    return _scan(atoms, coordinate, values_deg, relaxed, fmax, reference, progress)


def scan_dihedral(
    atoms: Atoms,
    i: int,
    j: int,
    k: int,
    l: int,  # noqa: E741  (ASE and all others call the fourth atom so)
    values_deg: ArrayLike,
    **options: Unpack[ScanOptions],
) -> ScanResult:
    """Scan the dihedral i-j-k-l, degrees; energies in eV. ``atoms`` do not change.

    Atom ``l`` and all atoms on the side of ``k`` turn about the bond j-k.

    Parameters
    ----------
    atoms
        Any structure with any calculator.
    i, j, k, l
        Atom indices; ``i`` stays, ``l`` moves.
    values_deg
        Dihedrals (P,), degrees, with the sign of ASE and IUPAC; any full turn is possible, such as -180 to
        180 or 0 to 360.
    **options
        ``moving=None``, ``relaxed=False``, ``fmax=0.01``, ``reference=None`` and ``progress=None``, as for
        :func:`scan_distance`. What moves by default is found by cutting the bond j-k; only ``l`` if that bond
        is in a ring, or if ``i`` would turn too.

    Returns
    -------
    ScanResult
        As for :func:`scan_distance`.
    """
    moving = options.pop("moving", None)
    return _scan(atoms, Coordinate.of(atoms, (i, j, k, l), moving), values_deg, **options)


def _scan(
    atoms: Atoms,
    coordinate: Coordinate,
    values: ArrayLike,
    relaxed: bool = False,
    fmax: float = 0.01,
    reference: str | Path | BaseCalculator | None = None,
    progress: bool | None = None,
) -> ScanResult:
    """Scan a coordinate at the values (P,), Å or °."""
    values = coordinate.check_values(values)
    limit = fmax if relaxed else None
    check_scan(atoms, [coordinate], [values], limit)
    from_file = isinstance(reference, (str, Path))
    reference_eV = read_reference(reference, coordinate, atoms, values) if from_file else None
    points = visit_points(atoms, [coordinate], [values], limit, progress)
    points.sort(key=lambda point: point.site)  # they are in the order of the visits
    done = [point.site[0] for point in points]  # after Ctrl-C not all
    outside = [point.outside for point in points]
    frames, results = [p.frame for p in points], [p.results for p in points]
    if reference is not None and not from_file:
        reference_eV = np.full(len(values), np.nan)
        reference_eV[done] = energies_along(frames, reference, progress)
    return ScanResult(
        coordinate_name=coordinate.name,
        values=values[done],
        energies_eV=stack_results(results, "energy"),
        energy_std_eV=stack_results(results, "energy_std"),
        energy_committee_eV=stack_results(results, "energy_committee"),
        reference_energies_eV=None if reference_eV is None else reference_eV[done],
        frames=frames,
        converged=None if limit is None else np.array([p.converged for p in points]),
        outside_training=None if None in outside else outside,
        energy_error_eV=stack_results(results, "energy_error"),
        error_level=(limits_of(atoms.calc) or {}).get("error_level"),
        trained_range=coordinate.trained_range(atoms),
        known_range=coordinate.trained_range(atoms, every_level=True),
    )

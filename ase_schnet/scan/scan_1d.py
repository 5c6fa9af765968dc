"""Cuts through the potential energy surface, with the ensemble's error and a reference."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from numpy.typing import ArrayLike, NDArray

from ase_schnet.files import write_csv
from ase_schnet.scan.coordinate import Coordinate
from ase_schnet.scan.driver import column, member_columns, prepare, walk
from ase_schnet.scan.reference import evaluate_along, read_curve
from ase_schnet.structures.writing import write_frames


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
        NaN where a calculation failed.
    energy_std_eV : (P,) array or None
        Standard deviation over the ensemble, where the calculator is one.
    energy_committee_eV : (P, M) array or None
        The members' energies.
    reference_energies_eV : (P,) array or None
        NaN where the reference does not reach. Its zero may differ from that of ``energies_eV``.
    frames
        The structures, without calculator.
    converged : (P,) bool array or None
        Whether each point relaxed; None for a rigid scan.
    outside_training : list of P strings or None
        What of each structure the calculator cannot be believed on: distances that its training never saw,
        forces on which its members do not agree; "" where there is nothing. None where it does not say.
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

    @property
    def unit(self) -> str:
        """Unit of ``values``, "Å" or "°"."""
        return self.coordinate_name.rpartition("(")[2].rstrip(")")

    def write_csv(self, path: str | Path) -> None:
        """Write one line per point; every float reads back to the same bits."""
        columns = {
            self.coordinate_name: self.values,
            "energy_eV": self.energies_eV,
            "energy_std_eV": self.energy_std_eV,
            "reference_energy_eV": self.reference_energies_eV,
            "converged": self.converged,
            "outside_training": self._is_outside,
        }
        write_csv(path, columns | member_columns(self.energy_committee_eV))

    @property
    def _is_outside(self) -> NDArray | None:
        told = self.outside_training
        return None if told is None else np.array([bool(why) for why in told])

    def write_frames(self, path: str | Path) -> None:
        """Write the structures as extended xyz, ready to be labelled.

        The energies stand under names that no reader takes for labels.
        """
        columns = {
            self.coordinate_name: self.values,
            "model_energy_eV": self.energies_eV,
            "model_energy_std_eV": self.energy_std_eV,
        }
        write_frames(path, self.frames, columns)


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
    """Scan the distance between two atoms. ``atoms`` stay as they are.

    Parameters
    ----------
    atoms
        Any structure with any calculator. In a periodic one, distances are to the nearest image.
    i, j
        Atom indices; ``i`` stays, ``j`` moves along the line from ``i`` to ``j``.
    values : (P,) array
        Distances, Å.
    moving
        Indices of the atoms that move as one piece, ``j`` included and ``i`` not. By default, what
        hangs on ``j`` when the bond i-j is cut; ``j`` alone where there is no such bond or it is in
        a ring.
    relaxed
        Relax all else at every point (:class:`HoldCoordinates
        <ase_schnet.scan.relax.HoldCoordinates>`), starting from the nearest point that converged.
        The value nearest to that of ``atoms`` is the first, and from there it goes outwards. FixAtoms and
        FixCartesian of ``atoms`` are kept. Of several minima it stays in the one it comes from: a scan from
        elsewhere may show another.
    fmax
        Largest force on an atom that counts as relaxed, eV/Å.
    reference
        Path of a file of structures with energies, interpolated in their own value of the
        coordinate by a cubic spline (never extrapolated), or an ASE calculator that is evaluated at
        every structure of the scan.
    progress
        Show a progress bar; None shows it on a terminal only.

    Returns
    -------
    ScanResult
        In the order of ``values``; after Ctrl-C, with a warning, of the points finished by then. Points that
        do not converge and values that are hardly meant (0.097 Å, 1.8°) come with a warning too.

    Raises
    ------
    ValueError
        For indices, values, ``moving``, constraints or a reference that make no scan.
    """
    coordinate = Coordinate.of(atoms, (i, j), moving)
    return _scan(atoms, coordinate, values, fmax if relaxed else None, reference, progress)


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
    """Scan the angle i-j-k at ``j``: ``k`` and what hangs on it turn in the plane of the three.

    ``values_deg`` are in degrees, up to 180 (relaxed: 5 to 175). What moves by default is found by
    cutting the bond j-k; all else is as for :func:`scan_distance`.
    """
    coordinate = Coordinate.of(atoms, (i, j, k), moving)
    return _scan(atoms, coordinate, values_deg, fmax if relaxed else None, reference, progress)


def scan_dihedral(
    atoms: Atoms,
    i: int,
    j: int,
    k: int,
    l: int,  # noqa: E741  (ASE's and everybody's name of the fourth atom)
    values_deg: ArrayLike,
    *,
    moving: Sequence[int] | None = None,
    relaxed: bool = False,
    fmax: float = 0.01,
    reference: str | Path | BaseCalculator | None = None,
    progress: bool | None = None,
) -> ScanResult:
    """Scan the dihedral i-j-k-l: ``l`` and all on ``k``'s side turn about the bond j-k.

    ``values_deg`` are in degrees with ASE's (IUPAC's) sign; any turn may be given, as -180 to 180
    or 0 to 360. What moves by default is found by cutting the bond j-k; ``l`` alone where that bond
    is in a ring or ``i`` would turn along. All else is as for :func:`scan_distance`.
    """
    coordinate = Coordinate.of(atoms, (i, j, k, l), moving)
    return _scan(atoms, coordinate, values_deg, fmax if relaxed else None, reference, progress)


def _scan(
    atoms: Atoms,
    coordinate: Coordinate,
    values: ArrayLike,
    fmax: float | None,
    reference: str | Path | BaseCalculator | None,
    progress: bool | None,
) -> ScanResult:
    values = coordinate.check_values(values)
    prepare(atoms, [coordinate], [values], fmax)
    from_file = isinstance(reference, (str, Path))
    reference_eV = read_curve(reference, coordinate, atoms, values) if from_file else None
    points = walk(atoms, [coordinate], [values], fmax, progress)
    points.sort(key=lambda point: point.site)  # it went outwards from the structure given
    done = [point.site[0] for point in points]  # not all after Ctrl-C
    outside = [point.outside for point in points]
    frames, results = [p.frame for p in points], [p.results for p in points]
    if reference is not None and not from_file:
        reference_eV = np.full(len(values), np.nan)
        reference_eV[done] = evaluate_along(frames, reference, progress)
    return ScanResult(
        coordinate_name=coordinate.name,
        values=values[done],
        energies_eV=column(results, "energy"),
        energy_std_eV=column(results, "energy_std"),
        energy_committee_eV=column(results, "energy_committee"),
        reference_energies_eV=None if reference_eV is None else reference_eV[done],
        frames=frames,
        converged=None if fmax is None else np.array([p.converged for p in points]),
        outside_training=None if None in outside else outside,
    )

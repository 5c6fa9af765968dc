"""A distance, an angle or a dihedral: measure it, and move one side of the structure along it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from ase import Atoms
from ase.data import covalent_radii
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.transform import Rotation

from ase_schnet.applicability.calculator_parts import components_of
from ase_schnet.bonds import fragment_of, vectors_to
from ase_schnet.degrees_of_freedom import held_components

KINDS = {2: "distance", 3: "angle", 4: "dihedral"}
#: Largest difference between the value asked for and the value of a point.
TOLERANCE = {"Å": 1e-6, "°": 1e-3}
#: Values that are probably a mistake: all distances below SHORT times the sum of the covalent radii (given in
#: nm?), one below DEEP times that sum, all above LONG_ANG (given in pm?), angles up to RADIANS (in radians?).
SHORT, DEEP, LONG_ANG, RADIANS = 0.5, 0.2, 20.0, 6.3
#: Three atoms count as collinear if their angle is within this of 0 or 180°.
STRAIGHT_DEG = 0.1


class StraightError(ValueError):
    """Report three atoms in a line, where a dihedral has no value and an angle no plane to turn in."""


@dataclass(frozen=True)
class Coordinate:
    """Hold what a scan changes: the distance of two atoms, the angle of three or the dihedral of four.

    Attributes
    ----------
    indices
        Indices of the two, three or four atoms, in ASE's order. The first stays and the last moves.
    moving
        Indices of all atoms that move as one rigid piece, with the last of ``indices`` among them.
    name
        Name for axis labels and csv headers, such as "C0-C1-O2-H8 dihedral (°)".
    """

    indices: tuple[int, ...]
    moving: tuple[int, ...]
    name: str

    def trained_range(
        self, atoms: Atoms, *, every_level: bool = False
    ) -> tuple[float, float] | None:
        """Return the range of a distance in the training of the calculator of ``atoms``, Å.

        The data are those of the model's own level of theory, or of every level. None for angles and
        dihedrals, of which a training keeps no ranges, for calculators that are not models of this package,
        and for a structure whose distance is in no range.
        """
        inner = (one for one, _ in components_of(atoms.calc))
        model = next((one.trained for one in inner if hasattr(one, "trained")), None)
        if model is None or len(self.indices) != 2:
            return None
        find = model.known_range if every_level else model.trained_range
        i, j = self.indices
        return find(atoms.symbols[i], atoms.symbols[j], atoms.get_distance(i, j, mic=True))

    @classmethod
    def of(
        cls, atoms: Atoms, indices: Sequence[int], moving: Sequence[int] | None = None
    ) -> "Coordinate":
        """Check that ``indices`` define a coordinate of ``atoms``, and find the atoms that move.

        Parameters
        ----------
        atoms
            The structure.
        indices
            Two atoms for a distance, three for an angle, four for a dihedral.
        moving
            Indices of the atoms that move as one piece. By default what is connected to the last atom when
            the bond between the first two (distance) or middle two (angle, dihedral) is cut.

        Returns
        -------
        Coordinate
            The coordinate, with its name.

        Raises
        ------
        ValueError
            For atoms that do not exist, coincide or are collinear, and for a piece that cannot move.
        """
        indices, n = tuple(indices), len(atoms)
        moving = None if moving is None else list(moving)
        kind = KINDS.get(len(indices))
        if kind is None:
            raise ValueError(
                "a coordinate is two atoms (distance), three (angle) or four (dihedral)"
            )
        for index in (*indices, *(moving or ())):
            if not 0 <= index < n:
                raise ValueError(
                    f"atom {index} does not exist: the structure has atoms 0 to {n - 1}"
                )
        if len(set(indices)) < len(indices):
            number = {2: "two", 3: "three", 4: "four"}[len(indices)]
            raise ValueError(
                f"a{'n' if kind == 'angle' else ''} {kind} needs {number} different atoms, "
                f"not {', '.join(map(str, indices))}"
            )
        if not np.isfinite(atoms.positions).all():
            raise ValueError("positions of the atoms are not finite numbers")
        _refuse_degenerate(atoms, indices)
        first, last = indices[0], indices[-1]
        if moving is None:
            moving = _moving_side(atoms, indices)
        elif last not in moving or first in moving:
            raise ValueError(f"moving must hold {last} (which moves) and not {first} (which stays)")
        unit = "Å" if kind == "distance" else "°"
        name = f"{'-'.join(f'{atoms.symbols[k]}{k}' for k in indices)} {kind} ({unit})"
        return cls(indices, tuple(sorted(set(moving))), name)

    def depends_on(self, other: "Coordinate") -> bool:
        """Tell whether the value of another coordinate is that of this one, or of a dihedral its negative.

        Two angles of the same three atoms at different corners are different; so are dihedrals of the same
        four atoms about different axes.
        """
        ends, others = ({c.indices[0], c.indices[-1]} for c in (self, other))
        return ends == others and set(self.indices) == set(other.indices)

    @property
    def kind(self) -> str:
        """Return "distance", "angle" or "dihedral"."""
        return KINDS[len(self.indices)]

    @property
    def unit(self) -> str:
        """Return the unit of the coordinate, "Å" or "°"."""
        return "Å" if self.kind == "distance" else "°"

    def measure(self, atoms: Atoms) -> float:
        """Measure the coordinate between nearest images, Å or °; a dihedral is in [0, 360).

        Raises
        ------
        StraightError
            For a dihedral of which three atoms lie in a line.
        """
        if self.kind == "dihedral":
            _refuse_straight(atoms, self.indices)
        return float(getattr(atoms, f"get_{self.kind}")(*self.indices, mic=True))

    def difference(self, a: ArrayLike, b: ArrayLike) -> NDArray | float:
        """Return ``a - b``, Å or °; for dihedrals the shorter way round, in [-180, 180)."""
        change = np.subtract(a, b)
        return (change + 180) % 360 - 180 if self.kind == "dihedral" else change

    def check_values(self, values: ArrayLike) -> NDArray:
        """Return the values of a scan, Å or °, as (P,) float64.

        Raises
        ------
        ValueError
            For values that are impossible for the coordinate.
        """
        values = np.array(values, dtype=float, ndmin=1)
        if values.ndim != 1 or values.size == 0:
            raise ValueError(f"values must be a list of at least one {self.kind}")
        if self.kind == "dihedral":
            if not np.isfinite(values).all():
                raise ValueError("dihedrals must be finite")
        elif not (np.isfinite(values) & (values > 0)).all():
            raise ValueError(f"{self.kind}s must be positive and finite")
        elif self.kind == "angle" and (values > 180).any():
            raise ValueError(f"angles must be at most 180°, not {values.max():g}")
        return values

    def suspicion(self, atoms: Atoms, values: NDArray) -> str | None:
        """Describe ``values`` (P,) that are probably a mistake, such as nm or radians; else return None."""
        name, low, high = self.name.removesuffix(f" ({self.unit})"), values.min(), values.max()
        what = f"{name} from {low:g} to {high:g}{' Å' if self.unit == 'Å' else '°'}"
        if self.kind == "distance":
            radii = float(covalent_radii[atoms.numbers[list(self.indices)]].sum())
            if high < SHORT * radii:
                return (
                    f"{what} is less than half a bond length: distances are in Å, are these in nm?"
                )
            if low > LONG_ANG:
                return f"{what} is longer than any bond: distances are in Å, are these in pm?"
            if low < DEEP * radii:
                return f"{what} begins far below any bond length, deep inside the atoms: is this intended?"
        elif 0 < np.abs(values).max() <= RADIANS and not (
            self.kind == "dihedral" and high - low < 1
        ):
            return f"{what} is very small: {self.kind}s are in degrees, are these in radians?"
        return None

    def check_free(self, atoms: Atoms) -> None:
        """Refuse to move atoms that a FixAtoms or FixCartesian constraint holds; ValueError."""
        held = held_components(atoms).any(axis=1)  # (N,)
        stuck = [k for k in self.moving if held[k]]
        if stuck:
            names = ", ".join(f"{atoms.symbols[k]}{k}" for k in stuck[:5])
            raise ValueError(f"{names} would have to move but is fixed: give moving= or unfix it")

    def place(self, atoms: Atoms, value: float) -> None:
        """Move the moving atoms as one piece, in place, until the coordinate has ``value``, Å or °.

        Raises
        ------
        ValueError
            If a periodic image comes nearer, so that the coordinate cannot have that value.
        StraightError
            If the atoms of an angle or dihedral lie in a line.
        """
        _refuse_straight(atoms, self.indices)
        change = self.difference(value, self.measure(atoms))
        moving, positions = list(self.moving), atoms.positions
        i, j = self.indices[:2]
        if self.kind == "distance":
            line = atoms.get_distance(i, j, mic=True, vector=True)
            positions[moving] += change * line / np.linalg.norm(line)
        else:
            if self.kind == "angle":
                centre = j
                to_ends = atoms.get_distances(j, [i, self.indices[2]], mic=True, vector=True)
                axis = np.cross(*to_ends)
            else:
                centre = self.indices[2]
                axis = atoms.get_distance(j, centre, mic=True, vector=True)
            turn = Rotation.from_rotvec(change * axis / np.linalg.norm(axis), degrees=True)
            positions[moving] = positions[centre] + turn.apply(vectors_to(atoms, centre, moving))
        now = self.measure(atoms)
        if abs(self.difference(now, value)) > TOLERANCE[self.unit]:
            raise ValueError(
                f"{self.name} of {value:g} does not fit the periodic cell: the nearest images make "
                f"{now:g}"
            )


def _refuse_degenerate(atoms: Atoms, indices: Sequence[int]) -> None:
    """Refuse atoms that coincide (no direction) and collinear ones (no plane); ValueError."""
    for i, j in pairwise(indices):
        if atoms.get_distance(i, j, mic=True) < 1e-6:
            raise ValueError(f"atoms {i} and {j} coincide: there is no direction to move along")
    _refuse_straight(atoms, indices)


def _refuse_straight(atoms: Atoms, indices: Sequence[int]) -> None:
    """Raise StraightError where three of the atoms of an angle or dihedral are collinear."""
    for triple in zip(indices, indices[1:], indices[2:], strict=False):
        angle = atoms.get_angle(*triple, mic=True)
        if not STRAIGHT_DEG < angle < 180 - STRAIGHT_DEG:
            i, j, k = triple
            raise StraightError(
                f"atoms {i}, {j} and {k} lie in a line: there is no plane to turn in"
            )


def _moving_side(atoms: Atoms, indices: Sequence[int]) -> list[int]:
    """Find the atoms that move with the last: beyond the cut bond (distance: i-j, angle, dihedral: j-k).

    This is only the last itself if the bond is in a ring or does not exist, or if cutting it does not
    separate the first atom from the last, as in an improper dihedral.
    """
    first, last = indices[0], indices[-1]
    cut = indices[:2] if len(indices) == 2 else indices[1:3]
    side = fragment_of(atoms, *cut)
    return side if last in side and first not in side else [last]
